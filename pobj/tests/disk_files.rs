//! The files around a pool on an ordinary disk: what others have put in their places stays, and a
//! journal that is not the one with the latest changes is refused before anything is written.

mod common;
mod journaled;

use common::LAYOUT;
use journaled::{JOURNAL, Place, judge, records, run, states, step};
use pobj::{Durability, Error, Pool, PoolOptions};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// With a journal in which all steps have room, so that there is no checkpoint.
fn roomy(place: &Place) -> PoolOptions {
    place.options().journal(8 << 20)
}

/// Whether the file system keeps extended attributes.
fn keeps_attributes(place: &Place) -> bool {
    let file = fs::File::create(place.directory().join("attribute")).unwrap();
    let set = {
        use std::os::fd::AsRawFd;
        let name = c"user.pobj-test.try";
        // SAFETY: an open file, a C string, and one readable byte.
        unsafe { libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), [1u8].as_ptr().cast(), 1, 0) }
    };
    fs::remove_file(place.directory().join("attribute")).unwrap();
    set == 0
}

#[test]
fn an_older_journal_is_refused_and_the_right_one_serves_afterwards() {
    let place = Place::new();
    if !keeps_attributes(&place) {
        println!("no extended attributes here: not tried");
        return;
    }
    let states = states(60);
    let mut pool = Pool::open(&roomy(&place)).unwrap();
    let mut state = states[0];
    for number in 1..=30 {
        step(&mut pool, &mut state, number);
    }
    let older = fs::read(place.journal()).unwrap();
    for number in 31..=60 {
        step(&mut pool, &mut state, number);
    }
    pool.tend().unwrap();
    assert_eq!(pool.disk_stats().unwrap().checkpoints, 0);
    drop(pool);
    let right = fs::read(place.journal()).unwrap();
    let file = fs::read(place.pool()).unwrap();
    let mut cut = right.clone();
    let (cut_at, _) = records(&right)[records(&older).len()];
    cut[cut_at..].fill(0);
    // Another file of the same bytes has no such mark.
    let copy = Place::new();
    for wrong in [&older, &cut] {
        fs::write(place.journal(), wrong).unwrap();
        for durability in [Durability::Disk, Durability::Process] {
            match Pool::open(&roomy(&place).durability(durability)) {
                Err(Error::Journal { reason, .. }) => assert!(reason.contains("older"), "{reason}"),
                Err(other) => panic!("{other}"),
                Ok(_) => panic!("it opens, {durability:?}"),
            }
            assert!(fs::read(place.pool()).unwrap() == file, "{durability:?}");
            assert!(
                &fs::read(place.journal()).unwrap() == wrong,
                "{durability:?}"
            );
        }
        fs::write(copy.pool(), &file).unwrap();
        fs::write(copy.journal(), wrong).unwrap();
        assert_eq!(judge(&Pool::open(&roomy(&copy)).unwrap(), &states), Ok(30));
    }
    fs::write(place.journal(), &right).unwrap();
    let pool = Pool::open(&roomy(&place)).unwrap();
    assert_eq!(judge(&pool, &states), Ok(60));
    drop(pool);
    // Who puts both back as they were has to say so.
    fs::write(place.pool(), &file).unwrap();
    fs::write(place.journal(), &older).unwrap();
    assert!(Pool::open(&roomy(&place)).is_err());
    let pool = Pool::open(&roomy(&place).accept_copy()).unwrap();
    assert_eq!(judge(&pool, &states), Ok(30));
}

/// The names of a directory's files.
fn names(directory: &Path) -> Vec<String> {
    let files = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_new_pool_takes_no_other_files_place() {
    let place = Place::new();
    let other = place.directory().join("test.pool.new");
    let options = PoolOptions::new(&other, &LAYOUT).durability(Durability::Disk);
    let mut opened = Pool::open(&options.size(8 << 20)).unwrap();
    // What a process that is gone has left, and one that makes the same pool.
    let left = [".test.pool.new-4294967295", ".test.pool.new-1"];
    for name in left.into_iter().chain([".test.pool.new-x"]) {
        fs::write(place.directory().join(name), "half a pool").unwrap();
    }
    let mut pool = place.open();
    step(&mut pool, &mut states(0)[0], 1);
    drop(pool);
    step(&mut opened, &mut states(0)[0], 1);
    drop(opened);
    let all = [
        ".test.pool.new-1",
        ".test.pool.new-x",
        "test.pool",
        "test.pool.journal",
        "test.pool.new",
        "test.pool.new.journal",
    ];
    assert_eq!(names(place.directory()), all);
    let options = PoolOptions::new(&other, &LAYOUT).durability(Durability::Disk);
    assert_eq!(judge(&Pool::open(&options).unwrap(), &states(1)), Ok(1));
}

#[test]
fn a_file_that_is_no_journal_is_not_overwritten() {
    let place = Place::new();
    let states = states(10);
    for is_new in [true, false] {
        if !is_new {
            run(&place, 1..=10);
            place.open().checkpoint().unwrap();
        }
        let precious = [&[0; 10_000], b"precious".as_slice()].concat();
        fs::write(place.journal(), &precious).unwrap();
        let refused = Pool::open(&place.options()).map(|_| ()).unwrap_err();
        assert!(matches!(refused, Error::State(_)), "{refused}");
        assert!(fs::read(place.journal()).unwrap() == precious);
        assert_eq!(place.pool().exists(), !is_new);
        // What is left of one that was being made.
        fs::write(place.journal(), [0; 10_000]).unwrap();
        let pool = place.open();
        assert_eq!(pool.disk_stats().unwrap().journal_size, JOURNAL);
        assert_eq!(judge(&pool, &states), Ok(if is_new { 0 } else { 10 }));
        drop(pool);
        if is_new {
            fs::remove_file(place.pool()).unwrap();
            fs::write(place.journal(), "").unwrap();
        }
    }
}

#[test]
fn a_link_that_leads_nowhere_yet_leads_to_the_new_pool() {
    let (place, elsewhere) = (Place::new(), Place::new());
    // Relative to where it is, and over another link.
    let between = place.directory().join("between");
    symlink("between", place.pool()).unwrap();
    symlink(elsewhere.pool(), &between).unwrap();
    run(&place, 1..=10);
    place.open().checkpoint().unwrap();
    assert!(fs::symlink_metadata(place.pool()).unwrap().is_symlink());
    assert_eq!(
        names(elsewhere.directory()),
        ["test.pool", "test.pool.journal"]
    );
    assert_eq!(names(place.directory()), ["between", "test.pool"]);
    assert_eq!(judge(&elsewhere.open(), &states(10)), Ok(10));
}
