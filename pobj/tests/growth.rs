//! Pools that get more room: in directories while they are open, in plain files when they are
//! opened.

mod common;

use common::{DATA, Place};
use pobj::{Error, GrowthEvent, PPtr, Pool, PoolOptions};
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const START: u64 = 16 << 20;
const MOST: u64 = 96 << 20;

/// A pool that can grow to [`MOST`].
fn growing(place: &Place) -> PoolOptions {
    place.options().size(START).max_size(MOST)
}

/// Opens a pool. A child that another test forks has all locks of this process until it has become
/// its program.
fn open(options: &PoolOptions) -> Pool {
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        match Pool::open(options) {
            Err(Error::Locked(_)) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(1));
            }
            opened => return opened.expect("the pool opens"),
        }
    }
}

/// The parts of the growing pool.
fn parts(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(parts_directory(place)).expect("its directory");
    let mut parts: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    parts.sort();
    parts
}

fn parts_directory(place: &Place) -> PathBuf {
    place.path().with_extension("pool.parts")
}

fn content(nth: usize, len: u64) -> Vec<u8> {
    (nth as u64).to_le_bytes().repeat(len as usize / 8)
}

/// Allocates objects until none fits.
fn fill(pool: &mut Pool, len: u64) -> Vec<PPtr<u8>> {
    let mut objects = Vec::new();
    loop {
        let mut tx = pool.begin();
        match tx.alloc(len, DATA) {
            Ok(ptr) => {
                tx.fill(ptr, &content(objects.len(), len)).unwrap();
                tx.commit().unwrap();
                objects.push(ptr.ptr());
            }
            Err(Error::Full(_)) => return objects,
            Err(error) => panic!("{error}"),
        }
    }
}

fn are_whole(pool: &Pool, objects: &[PPtr<u8>], len: u64) {
    for (nth, &ptr) in objects.iter().enumerate() {
        assert_eq!(
            pool.bytes(ptr, len).unwrap(),
            content(nth, len),
            "object {nth}"
        );
    }
}

#[test]
fn a_pool_in_a_directory_grows_until_it_has_its_largest_size() {
    for len in [1000, 100_000, 5_000_000] {
        let place = Place::new();
        let options = growing(&place);
        let mut pool = open(&options);
        assert_eq!((pool.usage().size, pool.usage().size_max), (START, MOST));
        let objects = fill(&mut pool, len);
        let usage = pool.usage();
        assert_eq!((usage.size, usage.size_max), (MOST, MOST), "{usage:?}");
        assert!(
            objects.len() as u64 * len > MOST * 8 / 10,
            "{} objects of {len} bytes: {usage:?}",
            objects.len()
        );
        let events = pool.take_growth_events();
        assert!(
            matches!(events.last(), Some(GrowthEvent::Grown { to: MOST, .. })),
            "{events:?}"
        );
        are_whole(&pool, &objects, len);
        drop(pool);
        let pool = open(&options);
        let again = pool.usage();
        assert_eq!((again.used, again.size), (usage.used, usage.size));
        assert!(pool.damages().is_empty());
        are_whole(&pool, &objects, len);
        drop(pool);
        let check = Command::new("pmempool")
            .arg("check")
            .arg(place.path())
            .output();
        let check = check.expect("pmempool is installed");
        assert!(check.status.success(), "{check:?}");
    }
}

#[test]
fn a_group_may_grow_the_pool_and_be_taken_back() {
    let place = Place::new();
    let mut pool = open(&growing(&place));
    let used = pool.usage().used;
    pool.begin_group();
    let mut kept = None;
    for _ in 0..60 {
        let mut tx = pool.begin();
        let ptr = tx.alloc(1 << 20, DATA).unwrap();
        tx.fill(ptr, &content(1, 1 << 20)).unwrap();
        tx.commit().unwrap();
        kept = Some(ptr.ptr());
    }
    assert!(pool.usage().size > START);
    pool.end_group().unwrap();
    assert_eq!(pool.usage().used, used + (60 << 20));
    let ptr = kept.unwrap();
    assert_eq!(pool.bytes(ptr, 1 << 20).unwrap(), content(1, 1 << 20));
    {
        let mut tx = pool.begin();
        for _ in 0..10 {
            tx.alloc(1 << 20, DATA).unwrap();
            tx.step().unwrap();
        }
    }
    assert_eq!(pool.usage().used, used + (60 << 20));
}

#[test]
fn growth_by_hand_is_exact_and_refused_beyond_the_largest_size() {
    let place = Place::new();
    let mut pool = open(&growing(&place));
    assert_eq!(pool.grow(Some(5 << 20)).unwrap(), START + (6 << 20));
    assert!(pool.grow(None).unwrap() > START + (6 << 20));
    let size = pool.usage().size;
    let refused = pool.grow(Some(MOST)).unwrap_err();
    assert!(matches!(refused, Error::State(_)), "{refused}");
    assert_eq!(pool.usage().size, size);
    drop(pool);
    // What was 'size' once is the least from now on.
    let pool = open(&place.options().size(80 << 20).max_size(MOST));
    assert_eq!(pool.usage().size, 80 << 20);
    drop(pool);
    // More may be allowed later, less as well.
    let mut pool = open(&place.options().max_size(2 * MOST));
    assert_eq!(pool.usage().size_max, 2 * MOST);
    pool.grow(Some(MOST)).unwrap();
    drop(pool);
    let mut pool = open(&place.options().max_size(START));
    let usage = pool.usage();
    assert_eq!(usage.size_max, usage.size);
    assert!(pool.grow(None).is_err());
}

#[test]
fn a_growth_that_was_cut_short_leaves_nothing_behind() {
    let place = Place::new();
    let options = growing(&place);
    let mut pool = open(&options);
    let objects = fill_some(&mut pool);
    drop(pool);
    let before = parts(&place);
    // The part's file came to be, wholly or not, and libpmemobj did not hear of it.
    for len in [0, 4096, 20 << 20] {
        let next = parts_directory(&place).join(format!("{:06}.pmem", before.len()));
        fs::write(&next, vec![0; len]).unwrap();
        let mut pool = open(&options);
        assert_eq!(parts(&place), before, "{len} bytes");
        are_whole(&pool, &objects, 1000);
        if len > 4096 {
            pool.grow(None).unwrap();
        }
    }
    assert_eq!(parts(&place).len(), before.len() + 1);
    // A part that the pool knows of is missed.
    let last = parts(&place).pop().unwrap();
    fs::rename(&last, place.path().with_extension("aside")).unwrap();
    let error = Pool::open(&options).err().expect("it is refused");
    assert!(error.to_string().contains("a part is missing"), "{error}");
    fs::rename(place.path().with_extension("aside"), &last).unwrap();
    are_whole(&open(&options), &objects, 1000);
}

fn fill_some(pool: &mut Pool) -> Vec<PPtr<u8>> {
    let mut objects = Vec::new();
    for nth in 0..1000 {
        let mut tx = pool.begin();
        let ptr = tx.alloc(1000, DATA).unwrap();
        tx.fill(ptr, &content(nth, 1000)).unwrap();
        tx.commit().unwrap();
        objects.push(ptr.ptr());
    }
    objects
}

#[test]
fn a_creation_that_was_cut_short_is_done_again() {
    let place = Place::new();
    let options = growing(&place);
    let directory = parts_directory(&place);
    let first = directory.join("000000.pmem");
    // Before the description, with and without a part.
    fs::create_dir(&directory).unwrap();
    drop(open(&options));
    fs::remove_file(place.path()).unwrap();
    let error = Pool::open(&options).err().expect("it is refused");
    assert!(error.to_string().contains("parts of a pool"), "{error}");
    fs::write(&first, vec![0; 5 << 20]).unwrap();
    drop(open(&options));
    // After it, before libpmemobj's header.
    for len in [0, START as usize] {
        fs::write(&first, vec![0; len]).unwrap();
        let pool = open(&options);
        assert!(pool.is_new());
        assert_eq!(pool.usage().size, START);
    }
}

#[test]
fn a_pool_is_made_by_one_and_used_by_one() {
    let place = Place::new();
    let options = growing(&place);
    let pool = open(&options);
    let error = Pool::open(&options).err().expect("it is locked");
    assert!(matches!(error, Error::Locked(_)), "{error}");
    drop(pool);
    drop(open(&options));
}

#[test]
fn directories_are_filled_in_turn_as_libpmemobj_does() {
    let place = Place::new();
    let directories = ["a", "b", "c"].map(|name| place.path().with_extension(name));
    let mut text = "PMEMPOOLSET\nOPTION SINGLEHDR\n".to_owned();
    for directory in &directories {
        fs::create_dir(directory).unwrap();
        text += &format!("64M {}\n", directory.display());
    }
    fs::write(place.path(), text).unwrap();
    let options = place.options().size(START);
    let mut pool = open(&options);
    assert_eq!(
        (pool.usage().size, pool.usage().size_max),
        (START, 192 << 20)
    );
    for round in 0..3 {
        for _ in 0..2 {
            pool.grow(Some(4 << 20)).unwrap();
        }
        drop(pool);
        pool = open(&options);
        assert_eq!(pool.usage().size, START + (round + 1) * (8 << 20));
    }
    let files = |directory: &PathBuf| fs::read_dir(directory).unwrap().count();
    assert_eq!(directories.each_ref().map(files).iter().sum::<usize>(), 7);
    assert!(directories.iter().all(|one| files(one) > 0));
}

/// Makes a plain file longer.
fn lengthen(path: &Path, len: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(len).unwrap();
}

#[test]
fn a_plain_file_grows_when_it_is_opened() {
    let place = Place::new();
    let mut pool = place.open(START);
    let objects = fill(&mut pool, 1000);
    let full = pool.usage().used;
    assert!(matches!(pool.grow(None), Err(Error::State(_))));
    drop(pool);

    let mut pool = place.open(48 << 20);
    assert_eq!(pool.usage().size, 48 << 20);
    are_whole(&pool, &objects, 1000);
    let more = fill(&mut pool, 100_000);
    assert!(more.len() > 290, "{} more objects", more.len());
    let used = pool.usage().used;
    assert!(used > full + (29 << 20));
    drop(pool);

    // By hand, without blocks; and a smaller size is no reason to cut it.
    lengthen(&place.path(), 80 << 20);
    let mut pool = place.open(START);
    let usage = pool.usage();
    assert_eq!((usage.size, usage.used), (80 << 20, used));
    are_whole(&pool, &objects, 1000);
    are_whole(&pool, &more, 100_000);
    let last = fill(&mut pool, 1 << 20);
    assert!(last.len() > 28, "{} more objects", last.len());
    drop(pool);
    let check = Command::new("pmempool")
        .arg("check")
        .arg(place.path())
        .output();
    let check = check.expect("pmempool is installed");
    assert!(check.status.success(), "{check:?}");
}
