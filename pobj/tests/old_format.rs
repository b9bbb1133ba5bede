//! Pools of format 1, whose pages and large objects are objects of libpmemobj's: they open, what
//! they hold is used on, and what becomes free of it serves everything.

mod common;

use common::{DATA, LAYOUT, Place, RECORD};
use pmdk_bindings::{Libpmemobj, PMEMobjpool, load};
use pobj::{Cursor, Kind, PPtr, Pool};
use std::fs::File;
use std::mem::zeroed;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

const POOL: u64 = 32 << 20;
const ROOT_SIZE: u64 = 1280;
const LOG_AT: u64 = 64;
const USER_AT: u64 = 256;
const PAGE_LEN: u64 = 65_392;
const SEED: [u64; 2] = [11, 12];
/// What pages are allocated with: eight of them fill two of libpmemobj's chunks.
const PAGE_UNIT: usize = 65_408;

const PAGE: u64 = 1;
const UNDO: u64 = 2;
const LOG: u64 = 3;
const LARGE_DATA: u64 = 16;
const LARGE_RECORD: u64 = 17;

/// Number of libpmemobj's objects of a type.
fn count(place: &Place, type_num: u64) -> usize {
    let old = Old::open(place);
    // SAFETY: the pool is open, and nothing is freed meanwhile.
    unsafe {
        let objects = old.lib.objects(old.pop);
        objects
            .filter(|oid| old.lib.pmemobj_type_num(*oid) == type_num)
            .count()
    }
}

fn name(place: &Place) -> std::ffi::CString {
    std::ffi::CString::new(place.path().as_os_str().as_bytes()).expect("no zero byte")
}

/// A pool as a program of format 1 wrote it.
struct Old {
    lib: &'static Libpmemobj,
    pop: *mut PMEMobjpool,
    page_class: u64,
}

impl Drop for Old {
    fn drop(&mut self) {
        // SAFETY: the pool is open, and nothing of it is used any more.
        unsafe { self.lib.pmemobj_close(self.pop) };
    }
}

impl Old {
    fn open(place: &Place) -> Old {
        let lib = load().expect("libpmemobj is installed");
        // SAFETY: the arguments are strings that outlive the call.
        let pop = unsafe { lib.pmemobj_open(name(place).as_ptr(), LAYOUT.name.as_ptr()) };
        assert!(!pop.is_null());
        let page_class = 0;
        Old {
            lib,
            pop,
            page_class,
        }
    }

    fn create(place: &Place) -> Old {
        let lib = load().expect("libpmemobj is installed");
        let (path, layout) = (name(place), LAYOUT.name.as_ptr());
        // SAFETY: the arguments are strings that outlive the call, a size and a mode.
        let pop = unsafe { lib.pmemobj_create(path.as_ptr(), layout, POOL as usize, 0o600) };
        assert!(!pop.is_null(), "the pool can be created");
        let mut class = pmdk_bindings::pobj_alloc_class_desc {
            unit_size: PAGE_UNIT,
            alignment: 0,
            units_per_block: 8,
            header_type: pmdk_bindings::POBJ_HEADER_COMPACT,
            class_id: 0,
        };
        let entry = c"heap.alloc_class.new.desc".as_ptr();
        // SAFETY: the pool is open, and the argument is what the entry point takes.
        let failed = unsafe { lib.pmemobj_ctl_set(pop, entry, (&raw mut class).cast()) };
        assert_eq!(failed, 0);
        let page_class = pmdk_bindings::pobj_class_id(class.class_id as u16);
        Old {
            lib,
            pop,
            page_class,
        }
    }

    fn root(&self) -> u64 {
        // SAFETY: the pool is open.
        unsafe { self.lib.pmemobj_root(self.pop, ROOT_SIZE as usize).off }
    }

    fn allocate(&self, size: u64, type_num: u64, flags: u64) -> u64 {
        // SAFETY: the action is initialized by the call before it is published; the pool is open.
        unsafe {
            let mut action = zeroed();
            let oid =
                self.lib
                    .pmemobj_xreserve(self.pop, &mut action, size as usize, type_num, flags);
            assert_ne!(oid.off, 0, "there is room");
            assert_eq!(self.lib.pmemobj_publish(self.pop, &mut action, 1), 0);
            self.write(oid.off, &vec![0; size as usize]);
            oid.off
        }
    }

    fn write(&self, offset: u64, bytes: &[u8]) {
        // SAFETY: the callers write into objects that they have just allocated.
        unsafe {
            let at = self.pop.cast::<u8>().add(offset as usize);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len());
        }
    }

    fn write_word(&self, offset: u64, word: u64) {
        self.write(offset, &word.to_le_bytes());
    }

    /// A page of slots of 128 bytes, of which the first are allocated; where they are.
    fn page(&self, kind: u8, allocated: u64) -> Vec<u64> {
        const CLASS: u8 = 7;
        const SIZE: u64 = 128;
        let page = self.allocate(PAGE_LEN, PAGE, self.page_class);
        let first = |slots: u64| (page + 64 + 8 * slots.div_ceil(64)).next_multiple_of(64) - page;
        let mut slots = (PAGE_LEN - 64) / SIZE;
        while first(slots) + slots * SIZE > PAGE_LEN {
            slots -= 1;
        }
        let mut header = Vec::from(*b"PgSb");
        header.extend([CLASS, kind]);
        header.extend((slots as u16).to_le_bytes());
        header.extend((first(slots) as u32).to_le_bytes());
        header.extend((SIZE as u32).to_le_bytes());
        let sum = xxhash_rust::xxh3::xxh3_64_with_seed(&header, page);
        header.extend(sum.to_le_bytes());
        self.write(page, &header);
        self.write_word(page + 64, (1 << allocated) - 1);
        let slots = (0..allocated).map(|slot| page + first(slots) + slot * SIZE);
        slots.collect()
    }

    /// Writes the log and, last, the header.
    fn finish(&self) {
        let root = self.root();
        let log = self.allocate(PAGE_LEN, LOG, self.page_class);
        self.write_word(root + LOG_AT, log);
        let mut header = LAYOUT.magic.to_le_bytes().to_vec();
        for word in [1, SEED[0], SEED[1], 0, 0, 0] {
            header.extend(u64::to_le_bytes(word));
        }
        let sum = xxhash_rust::xxh3::xxh3_64(&header);
        header.extend(sum.to_le_bytes());
        self.write(root, &header);
    }
}

fn objects(pool: &Pool, kind: Kind) -> Vec<PPtr<u8>> {
    let mut found = Vec::new();
    let mut cursor = Cursor::default();
    while let Some((object, next)) = pool.next_object(kind, cursor) {
        found.push(object);
        cursor = next;
    }
    found
}

fn free(pool: &mut Pool, object: PPtr<u8>) {
    let mut tx = pool.begin();
    tx.free(object).expect("it is there");
    tx.commit().expect("a deletion needs no room");
}

/// Allocates objects of `len` bytes until none fits; how many did.
fn fill(pool: &mut Pool, len: u64) -> u64 {
    for n in 0.. {
        let mut tx = pool.begin();
        match tx.alloc(len, DATA) {
            Ok(_) => tx.commit().expect("it is allocated"),
            Err(error) => {
                assert!(matches!(error, pobj::Error::Full(_)), "{error}");
                return n;
            }
        }
    }
    unreachable!("a pool is not infinite")
}

/// Makes a pool of format 1; the objects it has: data and records, each with its first bytes.
fn old_pool(place: &Place) -> Vec<(u64, Kind, u64)> {
    let old = Old::create(place);
    let mut all = Vec::new();
    let root = old.root();
    let mut enter = |offsets: Vec<u64>, kind: Kind| {
        for offset in offsets {
            let mark = offset.rotate_left(20) | 1;
            old.write_word(offset, mark);
            all.push((offset, kind, mark));
        }
    };
    enter(old.page(DATA.number(), 20), DATA);
    enter(old.page(RECORD.number(), 10), RECORD);
    for size in [140_000, 300_000, 500_000, 900_000] {
        enter(vec![old.allocate(size, LARGE_DATA, 0)], DATA);
        enter(vec![old.allocate(size, LARGE_RECORD, 0)], RECORD);
    }
    // A segment of the undo log that nobody uses.
    old.allocate((1 << 20) - 16, UNDO, 0);
    old.write_word(root + USER_AT + 8, 77);
    old.finish();
    all
}

#[test]
fn an_old_pool_becomes_a_new_one_and_keeps_what_it_has() {
    let place = Place::new();
    let all = old_pool(&place);
    let mut pool = place.open(POOL);
    assert!(pool.damages().is_empty(), "{:?}", pool.damages());
    assert_eq!(pool.seed(), SEED);
    assert_eq!(*pool.get(pool.user_word(1)).unwrap(), 77);
    for kind in [DATA, RECORD] {
        let mut found: Vec<u64> = objects(&pool, kind).iter().map(|at| at.offset()).collect();
        let mut expected: Vec<u64> = all
            .iter()
            .filter(|one| one.1 == kind)
            .map(|one| one.0)
            .collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
    for &(offset, _, mark) in &all {
        let at = PPtr::<u64>::new(offset).unwrap();
        assert_eq!(*pool.get(at).unwrap(), mark);
        // It can be changed, too.
        let mut tx = pool.begin();
        tx.set(at, !mark).unwrap();
        tx.commit().unwrap();
    }
    // New objects lie in extents; old slots are handed out on.
    let used = pool.usage().used;
    let mut tx = pool.begin();
    let new = [100, 128, 200_000].map(|len| tx.alloc(len, DATA).unwrap().ptr());
    tx.commit().unwrap();
    assert!(pool.usage().used > used);
    drop(pool);

    // The version says that it is a new pool now.
    let file = File::open(place.path()).unwrap();
    let mut word = [0; 8];
    file.read_exact_at(&mut word, 6144).unwrap();
    let root = u64::from_le_bytes(word);
    file.read_exact_at(&mut word, root + 8).unwrap();
    assert_eq!(u64::from_le_bytes(word), 2);
    assert_eq!(count(&place, UNDO), 0);

    let mut pool = place.open(POOL);
    for &(offset, _, mark) in &all {
        assert_eq!(*pool.get(PPtr::<u64>::new(offset).unwrap()).unwrap(), !mark);
    }
    for object in new {
        free(&mut pool, object);
    }
    assert_eq!(pool.usage().used, used);
}

#[test]
fn what_an_old_pool_frees_serves_everything() {
    let place = Place::new();
    let all = old_pool(&place);
    let mut pool = place.open(POOL);
    let small = fill(&mut pool, 10_000);
    // In a full pool, the old objects go: in batches, in a group that is undone, and in one that is
    // not.
    let (first, rest) = all.split_at(all.len() / 2);
    for &(offset, ..) in first {
        free(&mut pool, PPtr::new(offset).unwrap());
    }
    let used = pool.usage().used;
    pool.begin_group();
    for &(offset, ..) in rest {
        free(&mut pool, PPtr::new(offset).unwrap());
        let mut tx = pool.begin();
        assert!(
            tx.free(PPtr::<u8>::new(offset).unwrap())
                .and_then(|()| tx.commit())
                .is_err()
        );
    }
    drop(pool);
    let mut pool = place.open(POOL);
    assert_eq!(pool.usage().used, used, "the group is undone");
    assert_eq!(count_left(&pool, rest), rest.len());
    pool.begin_group();
    for &(offset, ..) in rest {
        free(&mut pool, PPtr::new(offset).unwrap());
    }
    pool.end_group().unwrap();
    let more = fill(&mut pool, 10_000);
    assert!(more * 10_000 > 2_700_000, "{more} after {small}");
    for kind in [DATA, RECORD] {
        for object in objects(&pool, kind) {
            free(&mut pool, object);
        }
    }
    pool.trim(usize::MAX).unwrap();
    let usage = pool.usage();
    assert_eq!((usage.used, usage.pages), (0, 0));
    assert_eq!(usage.free + usage.reserved, usage.capacity, "{usage:?}");
    drop(pool);
    for gone in [PAGE, LARGE_DATA, LARGE_RECORD] {
        assert_eq!(count(&place, gone), 0, "objects of type {gone}");
    }
    let again = place.open(POOL).usage();
    assert_eq!((again.free, again.capacity), (usage.free, usage.capacity));
}

fn count_left(pool: &Pool, all: &[(u64, Kind, u64)]) -> usize {
    let is_there = |one: &&(u64, Kind, u64)| {
        PPtr::<u8>::new(one.0).is_some_and(|object| pool.capacity(object).is_ok())
    };
    all.iter().filter(is_there).count()
}
