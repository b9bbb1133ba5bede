//! Poolsets of directories of which something is missing or damaged: they are refused, and nothing
//! of what is there goes.

mod common;

use common::{DATA, Place};
use pobj::{PPtr, Pool, PoolOptions};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const START: u64 = 16 << 20;
const FIRST: &str = "000000.pmem";
const SECOND: &str = "000001.pmem";
/// Where libpmemobj notes where its heap starts, and how long it is.
const LENGTH_AT: [u64; 2] = [5136, 6176];
/// Its logs.
const LANES_AT: u64 = 8192;

/// A set of directories, whose description is at the place's path.
struct Directories {
    place: Place,
    paths: Vec<PathBuf>,
}

impl Directories {
    /// Directories of 64 MiB each, of replicas that have so many.
    fn new(replicas: &[usize]) -> Directories {
        let place = Place::new();
        let (mut text, mut paths) = ("PMEMPOOLSET\nOPTION SINGLEHDR\n".to_owned(), Vec::new());
        for (nth, &count) in replicas.iter().enumerate() {
            text += if nth == 0 { "" } else { "REPLICA\n" };
            for _ in 0..count {
                let path = place.path().with_extension(format!("{}", paths.len()));
                fs::create_dir(&path).unwrap();
                text += &format!("64M {}\n", path.display());
                paths.push(path);
            }
        }
        fs::write(place.path(), text).unwrap();
        Directories { place, paths }
    }

    /// That of a pool which was made to grow.
    fn own() -> Directories {
        let place = Place::new();
        drop(Pool::open(&place.options().size(START).max_size(4 * START)).unwrap());
        let paths = vec![place.path().with_extension("pool.parts")];
        Directories { place, paths }
    }

    fn options(&self) -> PoolOptions {
        self.place.options().size(START)
    }

    fn open(&self) -> Pool {
        Pool::open(&self.options()).expect("the pool opens")
    }

    /// Makes the pool, with an object, and has it grow by a part.
    fn grown(&self) -> PPtr<u8> {
        let mut pool = self.open();
        assert!(pool.is_new());
        let mut tx = pool.begin();
        let ptr = tx.alloc(5, DATA).unwrap();
        tx.fill(ptr, b"bytes").unwrap();
        tx.commit().unwrap();
        pool.grow(Some(8 << 20)).unwrap();
        // More than the first part has room for.
        for _ in 0..14 {
            let mut tx = pool.begin();
            let large = tx.alloc(1 << 20, DATA).unwrap();
            tx.fill(large, &[7; 1 << 20]).unwrap();
            tx.commit().unwrap();
        }
        assert_eq!(pool.usage().size, START + (8 << 20));
        ptr.ptr()
    }

    /// What is in all files.
    fn content(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = self
            .paths
            .iter()
            .flat_map(|path| fs::read_dir(path).unwrap());
        let files = entries.map(|entry| entry.unwrap().path());
        let all = files.map(|file| (file.clone(), fs::read(file).unwrap()));
        all.collect()
    }

    /// The set is refused with these words, and nothing changes.
    #[track_caller]
    fn is_refused(&self, words: &[&str]) {
        let before = self.content();
        let own = self.place.options();
        for options in [
            own.clone(),
            own.size(START),
            self.options().max_size(64 << 20),
        ] {
            let error = Pool::open(&options).err().expect("it is refused");
            let told = error.to_string();
            assert!(words.iter().all(|&word| told.contains(word)), "{told}");
            assert!(self.content() == before, "files have changed: {told}");
        }
    }
}

fn zero(path: &Path, at: u64, len: usize) {
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(&vec![0; len], at).unwrap();
}

/// Moves all parts of a directory to another, which comes to be.
fn move_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let part = entry.unwrap().path();
        fs::rename(&part, to.join(part.file_name().unwrap())).unwrap();
    }
}

#[test]
fn a_replica_without_parts_is_named_whichever_it_is() {
    let set = Directories::new(&[1, 1]);
    let ptr = set.grown();
    let aside = set.place.path().with_extension("aside");
    for lost in &set.paths {
        move_all(lost, &aside);
        set.is_refused(&[lost.join(FIRST).to_str().unwrap(), "does not exist"]);
        move_all(&aside, lost);
    }
    assert_eq!(set.open().bytes(ptr, 5).unwrap(), b"bytes");
}

#[test]
fn a_first_part_whose_beginning_is_lost_stays() {
    let set = Directories::own();
    let first = set.paths[0].join(FIRST);
    zero(&first, 0, 4096);
    set.is_refused(&[first.to_str().unwrap(), "no libpmemobj header"]);

    let set = Directories::new(&[1, 1]);
    set.grown();
    for path in &set.paths {
        let first = path.join(FIRST);
        let head = fs::read(&first).unwrap();
        zero(&first, 0, 4096);
        set.is_refused(&[first.to_str().unwrap(), "no libpmemobj header"]);
        fs::write(&first, head).unwrap();
    }
    set.open();
}

#[test]
fn parts_behind_one_that_is_missing_stay_whatever_they_begin_with() {
    let set = Directories::new(&[2]);
    set.grown();
    let [first, second] = [set.paths[0].join(FIRST), set.paths[1].join(SECOND)];
    assert!(first.exists() && second.exists());
    fs::remove_file(&first).unwrap();
    let missing = [first.to_str().unwrap(), "does not exist"];
    let bytes = fs::read(&second).unwrap();
    // It begins as it is; with something, and no length where the first part has one; with nothing.
    set.is_refused(&missing);
    fs::write(&second, &bytes).unwrap();
    let file = File::options().write(true).open(&second).unwrap();
    file.write_all_at(b"something", 0).unwrap();
    LENGTH_AT.iter().for_each(|&at| zero(&second, at, 8));
    set.is_refused(&missing);
    zero(&second, 0, 2 << 20);
    set.is_refused(&missing);
}

#[test]
fn a_length_that_is_lost_is_no_reason_to_remove_parts() {
    let set = Directories::new(&[1]);
    set.grown();
    let first = set.paths[0].join(FIRST);
    for lens in [[0, 0], [1 << 20, 8 << 20]] {
        let file = File::options().write(true).open(&first).unwrap();
        for (at, len) in LENGTH_AT.into_iter().zip(lens) {
            file.write_all_at(&u64::to_le_bytes(len), at).unwrap();
        }
        set.is_refused(&["by its own word"]);
    }
}

#[test]
fn no_part_goes_before_all_replicas_have_all_parts() {
    let set = Directories::new(&[1, 1]);
    set.grown();
    // What a growth has left, and a part that the pool knows of and one replica has not.
    fs::write(set.paths[0].join("000002.pmem"), vec![0; 4096]).unwrap();
    let known = set.paths[1].join(SECOND);
    let aside = set.place.path().with_extension("aside");
    fs::rename(&known, &aside).unwrap();
    set.is_refused(&["in replica 1", "a part is missing"]);
    fs::rename(&aside, &known).unwrap();
    set.open();
    assert!(!set.paths[0].join("000002.pmem").exists());
}

#[test]
fn a_set_without_a_part_is_no_pool_before_a_size_is_given() {
    for set in [Directories::new(&[2, 1]), Directories::own()] {
        set.content()
            .keys()
            .for_each(|part| fs::remove_file(part).unwrap());
        let error = Pool::open(&set.place.options())
            .err()
            .expect("it is refused");
        assert!(
            error.to_string().contains("poolset without a pool"),
            "{error}"
        );
        assert!(set.content().is_empty());
        assert!(set.open().is_new());
    }
}

#[test]
fn a_withdrawn_pool_leaves_the_directories_as_they_were() {
    let set = Directories::new(&[2, 1]);
    let mut pool = set.open();
    assert_eq!(set.content().len(), 2);
    assert!(pool.withdraw());
    drop(pool);
    assert!(set.content().is_empty());
    assert!(set.place.path().exists());
    drop(set.open());
    // One that was there before is nobody's to remove.
    assert!(!set.open().withdraw());
    assert_eq!(set.content().len(), 2);
}

#[test]
fn a_creation_that_was_cut_short_in_any_replica_is_done_again() {
    let set = Directories::new(&[1, 1]);
    let firsts = [0, 1].map(|nth| set.paths[nth].join(FIRST));
    drop(set.open());
    let header = fs::read(&firsts[0]).unwrap()[..4096].to_vec();
    let blank = vec![0; START as usize];
    let mut begun = blank.clone();
    begun[..4096].copy_from_slice(&header);
    // Parts of one replica; of both; and libpmemobj's header, which it writes first.
    for parts in [
        [Some(&blank), None],
        [None, Some(&blank)],
        [Some(&blank), Some(&blank)],
        [Some(&begun), Some(&blank)],
        [Some(&begun), Some(&begun)],
    ] {
        for (first, content) in firsts.iter().zip(parts) {
            fs::remove_file(first).unwrap();
            content
                .map_or(Ok(()), |content| fs::write(first, content))
                .unwrap();
        }
        let pool = set.open();
        assert!(pool.is_new());
        assert_eq!(pool.usage().size, START);
        assert!(pool.damages().is_empty());
    }
}

#[test]
fn a_file_where_the_next_part_is_to_be_is_left() {
    let set = Directories::new(&[1]);
    let ptr = set.grown();
    let next = set.paths[0].join("000002.pmem");
    let mut pool = set.open();
    fs::write(&next, "somebody's").unwrap();
    pool.grow(Some(8 << 20)).unwrap_err();
    assert_eq!(fs::read(&next).unwrap(), b"somebody's");
    drop(pool);
    set.is_refused(&[next.to_str().unwrap(), "something in it"]);
    fs::remove_file(&next).unwrap();
    assert_eq!(set.open().bytes(ptr, 5).unwrap(), b"bytes");
}

#[test]
fn a_set_is_verified_before_libpmemobj_follows_it() {
    let set = Directories::new(&[1, 1]);
    let ptr = set.grown();
    let first = set.paths[0].join(FIRST);
    let file = File::options().read(true).write(true).open(&first).unwrap();
    let mut heap = [0; 8];
    file.read_exact_at(&mut heap, LENGTH_AT[0]).unwrap();
    let zone = u64::from_le_bytes(heap) + 1024;
    let chunk = u64::from_le_bytes(heap) + 1024 + (512 << 10);
    for (at, word, expected) in [
        (LANES_AT + 8, 1 << 50, "a log's extension"),
        (LANES_AT + 16, 1 << 20, "a log's header"),
        (zone + 64, 0xffff, "a chunk's"),
        (chunk, 0, "a run's header"),
    ] {
        let mut before = [0; 8];
        file.read_exact_at(&mut before, at).unwrap();
        file.write_all_at(&u64::to_le_bytes(word), at).unwrap();
        set.is_refused(&["damaged", expected]);
        file.write_all_at(&before, at).unwrap();
    }
    let pool = set.open();
    assert!(pool.damages().is_empty());
    assert_eq!(pool.bytes(ptr, 5).unwrap(), b"bytes");
}
