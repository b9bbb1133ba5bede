//! Pools on an ordinary disk: what was committed is there after a process that ends without
//! closing, and what is damaged is refused.

mod common;
mod journaled;

use common::{DATA, LAYOUT};
use journaled::{JOURNAL, POOL, Place, judge, records, run, states, step};
use pobj::{CommitMode, Durability, Error, PPtr, Pool, PoolOptions};
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

#[test]
fn what_was_committed_is_there_without_a_close() {
    let place = Place::new();
    let states = states(900);
    let mut done = 0;
    for (number, steps) in [1..=1, 2..=20, 21..=400, 401..=900].into_iter().enumerate() {
        done = *steps.end();
        assert_eq!(run(&place, steps), states[done as usize]);
        let pool = place.open();
        assert!(
            pool.replayed().is_some_and(|replayed| replayed.records > 0),
            "{number}"
        );
        assert_eq!(judge(&pool, &states), Ok(done));
    }
    let mut pool = place.open();
    assert_eq!(judge(&pool, &states), Ok(done));
    let stats = pool.disk_stats().unwrap();
    assert_eq!(stats.journal_size, JOURNAL);
    pool.checkpoint().unwrap();
    let closed = pool.disk_stats().unwrap();
    assert_eq!((closed.journal_used, closed.dirty), (0, 0));
    drop(pool);
    // The file alone is the pool now.
    fs::remove_file(place.journal()).unwrap();
    let pool = place.open();
    assert_eq!(pool.replayed(), None);
    assert_eq!(judge(&pool, &states), Ok(done));
}

#[test]
fn pages_are_given_back_within_a_limit_and_come_back_as_they_were() {
    const LIMIT: u64 = 1 << 20;
    let place = Place::new();
    let states = states(2000);
    let options = || place.options().memory_limit(LIMIT);
    let mut pool = Pool::open(&options()).unwrap();
    let mut state = states[0];
    let mut past_limit = 0;
    for number in 1..=1500 {
        step(&mut pool, &mut state, number);
        if number % 5 == 0 {
            pool.tend().unwrap();
        }
        let stats = pool.disk_stats().unwrap();
        past_limit = past_limit.max(stats.resident.saturating_sub(LIMIT));
        if number % 100 == 0 {
            assert_eq!(judge(&pool, &states), Ok(number));
        }
    }
    // A step changes some 150 KB at most.
    assert!(past_limit < 1 << 20, "{past_limit} bytes past the limit");
    let stats = pool.disk_stats().unwrap();
    assert_eq!(stats.memory_limit, LIMIT);
    assert!(stats.given_back > LIMIT, "{stats:?}");
    assert!(stats.checkpoints > 5, "{stats:?}");
    drop(pool);
    let mut pool = Pool::open(&options()).unwrap();
    assert!(pool.replayed().is_some(), "it was not closed");
    assert_eq!(judge(&pool, &states), Ok(1500));
    for number in 1501..=2000 {
        step(&mut pool, &mut state, number);
    }
    drop(pool);
    assert_eq!(judge(&place.open(), &states), Ok(2000));
}

#[test]
fn a_memory_limit_that_changes_counts_from_there_on() {
    let place = Place::new();
    let states = states(600);
    let mut pool = place.open();
    let mut state = states[0];
    for number in 1..=300 {
        step(&mut pool, &mut state, number);
    }
    pool.checkpoint().unwrap();
    let before = pool.disk_stats().unwrap();
    assert_eq!(before.given_back, 0);
    let limit = before.resident / 4;
    pool.set_memory_limit(Some(limit));
    pool.tend().unwrap();
    let after = pool.disk_stats().unwrap();
    assert!(after.resident <= limit, "{after:?}");
    assert_eq!(judge(&pool, &states), Ok(300));
    pool.set_memory_limit(None);
    for number in 301..=600 {
        step(&mut pool, &mut state, number);
    }
    let last = pool.disk_stats().unwrap();
    assert_eq!(last.given_back, after.given_back);
    assert!(last.resident > limit && last.memory_limit > POOL);
    assert_eq!(judge(&pool, &states), Ok(600));
}

#[test]
fn a_kernel_that_does_not_take_pages_back_is_told_of_and_tried_again() {
    const LIMIT: u64 = 256 << 10;
    let place = Place::new();
    let states = states(600);
    let mut pool = Pool::open(&place.options().memory_limit(LIMIT)).unwrap();
    let (from, len) = pool.mapping();
    // What is locked into memory, the kernel does not take.
    // SAFETY: the pool's mapping, which stays as it is otherwise.
    let locked = unsafe { libc::mlock(from as *const _, len) } == 0;
    if !locked {
        println!("no memory can be locked here: not tried");
        return;
    }
    let mut state = states[0];
    for number in 1..=300 {
        step(&mut pool, &mut state, number);
    }
    pool.checkpoint().unwrap();
    pool.tend().unwrap();
    let stats = pool.disk_stats().unwrap();
    assert!(stats.resident > LIMIT && stats.given_back == 0, "{stats:?}");
    assert!(stats.not_given_back.is_some() && pool.not_given_back().is_some());
    assert_eq!(stats.failure, None, "it is as durable as ever");
    // SAFETY: as above.
    assert_eq!(unsafe { libc::munlock(from as *const _, len) }, 0);
    pool.tend().unwrap();
    let stats = pool.disk_stats().unwrap();
    assert!(stats.resident <= LIMIT && stats.given_back > 0, "{stats:?}");
    assert_eq!(pool.not_given_back(), None);
    for number in 301..=600 {
        step(&mut pool, &mut state, number);
    }
    drop(pool);
    assert_eq!(judge(&place.open(), &states), Ok(600));
}

/// Pages of `len` bytes at `from` that are in memory.
fn in_memory(from: usize, len: usize) -> usize {
    let mut pages = vec![0u8; len.div_ceil(4096)];
    // SAFETY: a mapping of this process, and a byte for each page of it.
    let failed = unsafe { libc::mincore(from as *mut _, len, pages.as_mut_ptr()) } != 0;
    assert!(!failed, "{}", std::io::Error::last_os_error());
    pages.iter().filter(|&&page| page & 1 != 0).count()
}

#[test]
fn what_will_be_needed_is_read_ahead_once_reads_wait_for_the_disk() {
    const LEN: usize = 64 << 10;
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    if pobj::is_volatile(directory.path()) {
        println!("no disk is known here: not tried");
        return;
    }
    let path = directory.path().join("test.pool");
    let options = PoolOptions::new(&path, &LAYOUT).durability(Durability::Disk);
    let options = options.size(32 << 20).memory_limit(4096);
    let mut pool = Pool::open(&options).unwrap();
    let mut objects = Vec::new();
    for number in 0..200u8 {
        let mut tx = pool.begin();
        let object = tx.alloc(LEN as u64, DATA).unwrap();
        tx.fill(object, &vec![number; LEN]).unwrap();
        tx.commit().unwrap();
        objects.push(object.ptr());
    }
    pool.checkpoint().unwrap();
    pool.tend().unwrap();
    let file = fs::File::open(&path).unwrap();
    file.sync_all().unwrap();
    // SAFETY: an open file; no memory is passed.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    // Of the whole pages of an object.
    let pages = |pool: &Pool, object: PPtr<u8>| {
        let from = pool.address_of(object).next_multiple_of(4096);
        in_memory(from, LEN - 4096)
    };
    let cold = objects.iter().copied();
    let cold: Vec<PPtr<u8>> = cold.filter(|&at| pages(&pool, at) == 0).collect();
    let [first, second, .., last] = cold[..] else {
        println!("the kernel keeps what it was asked to drop: not tried");
        return;
    };
    // Nothing has waited yet.
    pool.will_need(last, LEN as u64);
    assert_eq!(pages(&pool, last), 0);
    for at in [first, second] {
        std::hint::black_box(pool.bytes(at, LEN as u64).unwrap().iter().max());
    }
    pool.tend().unwrap();
    pool.will_need(last, LEN as u64);
    let start = std::time::Instant::now();
    while pages(&pool, last) < LEN / 4096 - 1 {
        assert!(start.elapsed().as_secs() < 300, "it is not read");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[test]
fn a_journal_in_use_goes_round_and_round() {
    let place = Place::new();
    let states = states(3000);
    assert_eq!(run(&place, 1..=3000), states[3000]);
    let pool = place.open();
    assert_eq!(judge(&pool, &states), Ok(3000));
    assert!(
        pool.disk_stats().unwrap().lsn > 3 * JOURNAL,
        "it is larger than the journal"
    );
}

#[test]
fn deferred_commits_are_durable_with_the_sync() {
    let place = Place::new();
    let states = states(40);
    // One in which everything fits into a record.
    let mut pool = Pool::open(&place.options().journal(8 << 20)).unwrap();
    pool.set_commit_mode(CommitMode::Deferred);
    let mut state = states[0];
    let copy = Place::new();
    for number in 1..=40 {
        step(&mut pool, &mut state, number);
        if number % 10 == 0 {
            let before = pool.disk_stats().unwrap().syncs;
            pool.sync().unwrap();
            pool.sync().unwrap();
            assert_eq!(pool.disk_stats().unwrap().syncs, before + 1);
        }
        if number == 35 {
            for file in fs::read_dir(place.directory()).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), copy.directory().join(file.file_name())).unwrap();
            }
        }
    }
    drop(pool);
    assert_eq!(judge(&copy.open(), &states), Ok(30));
    assert_eq!(judge(&place.open(), &states), Ok(40));
}

#[test]
fn deferred_commits_do_not_outgrow_the_journal() {
    let place = Place::new();
    let states = states(300);
    let mut pool = place.open();
    pool.set_commit_mode(CommitMode::Deferred);
    let mut state = states[0];
    for number in 1..=300 {
        step(&mut pool, &mut state, number);
    }
    let syncs = pool.disk_stats().unwrap().syncs;
    assert!((2..300).contains(&syncs), "{syncs} records");
    pool.sync().unwrap();
    drop(pool);
    assert_eq!(judge(&place.open(), &states), Ok(300));
}

/// Why a pool is refused.
fn refusal(place: &Place) -> String {
    match Pool::open(&place.options()) {
        Ok(_) => panic!("the pool opens"),
        Err(error @ Error::Journal { .. }) => error.to_string(),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_journal_that_is_lost_foreign_or_damaged_is_refused() {
    let place = Place::new();
    run(&place, 1..=30);
    let kept = fs::read(place.journal()).unwrap();
    let put = |bytes: &[u8]| fs::write(place.journal(), bytes).unwrap();

    fs::remove_file(place.journal()).unwrap();
    assert!(refusal(&place).contains("not there"));
    put(&kept[..100_000]);
    assert!(refusal(&place).contains("cut off"));
    let other = Place::new();
    run(&other, 1..=30);
    fs::copy(other.journal(), place.journal()).unwrap();
    assert!(refusal(&place).contains("another pool"));
    // The last record but one.
    let mut damaged = kept.clone();
    let (at, _) = *records(&kept).iter().nth_back(1).unwrap();
    damaged[at + 100] ^= 1;
    put(&damaged);
    assert!(refusal(&place).contains("damaged"));
    // An older one of the same pool.
    put(&kept);
    run(&place, 31..=40);
    put(&kept);
    assert!(refusal(&place).contains("older"));
}

#[test]
fn an_older_file_beside_a_newer_journal_is_refused() {
    let place = Place::new();
    run(&place, 1..=30);
    let older = fs::read(place.pool()).unwrap();
    let mut pool = place.open();
    let mut state = states(30).pop().unwrap();
    step(&mut pool, &mut state, 31);
    let marked = fs::read(place.pool()).unwrap();
    for number in 32..=500 {
        step(&mut pool, &mut state, number);
    }
    assert!(pool.disk_stats().unwrap().checkpoints > 0);
    drop(pool);
    for file in [older, marked] {
        fs::write(place.pool(), file).unwrap();
        assert!(refusal(&place).contains("older"));
    }
}

#[test]
fn what_is_left_of_a_torn_record_is_cut_off() {
    let place = Place::new();
    let states = states(30);
    run(&place, 1..=30);
    let journal = fs::File::options()
        .write(true)
        .open(place.journal())
        .unwrap();
    let (at, _) = *records(&fs::read(place.journal()).unwrap()).last().unwrap();
    journal.write_all_at(&[0xaa; 512], at as u64).unwrap();
    let pool = place.open();
    assert_eq!(judge(&pool, &states), Ok(29));
}

#[test]
fn a_change_larger_than_the_journal_is_one_step_too() {
    let place = Place::new();
    let mut pool = place.open();
    let large: Vec<u8> = (0..3 << 20).map(|at| (at % 251) as u8).collect();
    let mut tx = pool.begin();
    let at = tx.alloc(large.len() as u64, DATA).unwrap();
    tx.fill(at, &large).unwrap();
    tx.set(tx.user_word(0), at.offset()).unwrap();
    tx.commit().unwrap();
    drop(pool);
    let mut pool = place.open();
    let at = PPtr::<u8>::new(*pool.get(pool.user_word(0)).unwrap()).unwrap();
    assert!(pool.bytes(at, large.len() as u64).unwrap() == large);
    pool.checkpoint().unwrap();
    let left = fs::read_dir(place.directory()).unwrap().count();
    assert_eq!(left, 2, "files of records stay");
}

#[test]
fn a_step_without_room_for_its_undo_log_leaves_nothing_to_undo() {
    common::no_room::a_step_without_room(Durability::Disk);
}

/// A change that takes a file of its own beside the journal: its bytes.
fn make_large(pool: &mut Pool) -> Vec<u8> {
    let large: Vec<u8> = (0..1 << 20).map(|at| (at % 251) as u8).collect();
    let mut tx = pool.begin();
    let at = tx.alloc(large.len() as u64, DATA).unwrap();
    tx.fill(at, &large).unwrap();
    tx.set(tx.user_word(120), at.offset()).unwrap();
    tx.commit().unwrap();
    large
}

fn has_large(pool: &Pool, large: &[u8]) -> bool {
    let Some(at) = PPtr::<u8>::new(*pool.get(pool.user_word(120)).unwrap()) else {
        return false;
    };
    pool.bytes(at, large.len() as u64).unwrap() == large
}

fn files(place: &Place) -> usize {
    fs::read_dir(place.directory()).unwrap().count()
}

#[test]
fn a_journal_that_another_pool_needs_is_put_aside_and_taken_back() {
    let states = states(40);
    for is_link in [false, true] {
        let place = Place::new();
        let elsewhere = Place::new();
        if is_link {
            std::os::unix::fs::symlink(elsewhere.journal(), place.journal()).unwrap();
        }
        // Neither pool is closed: each needs its journal.
        run(&place, 1..=30);
        let large = make_large(&mut place.open());
        let [first, second] = ["first", "second"].map(|name| place.directory().join(name));
        fs::rename(place.pool(), &first).unwrap();
        run(&place, 1..=20);
        assert_eq!(judge(&place.open(), &states), Ok(20));
        let aside = |pool: &Pool| pool.journal_set_aside().map(ToOwned::to_owned);
        for _ in 0..2 {
            fs::rename(place.pool(), &second).unwrap();
            fs::rename(&first, place.pool()).unwrap();
            let pool = place.open();
            assert!(has_large(&pool, &large) && aside(&pool).is_none());
            drop(pool);
            fs::rename(place.pool(), &first).unwrap();
            fs::rename(&second, place.pool()).unwrap();
            assert_eq!(judge(&place.open(), &states), Ok(20));
        }
        if is_link {
            let kept = fs::symlink_metadata(place.journal()).unwrap();
            assert!(kept.is_symlink() && files(&elsewhere) == 2);
        }
        // An older file of the same pool, which is complete: so is the newer one afterwards.
        let mut pool = place.open();
        pool.checkpoint().unwrap();
        fs::copy(place.pool(), &first).unwrap();
        drop(pool);
        run(&place, 21..=30);
        fs::rename(place.pool(), &second).unwrap();
        fs::rename(&first, place.pool()).unwrap();
        let pool = place.open();
        let put = aside(&pool).expect("the journal of the newer file is put aside");
        assert!(put.is_file() && judge(&pool, &states) == Ok(20));
        drop(pool);
        fs::rename(&second, place.pool()).unwrap();
        assert_eq!(judge(&place.open(), &states), Ok(30));
        assert!(!put.exists());
    }
}

#[test]
fn a_journal_that_nobody_needs_makes_room_for_the_next() {
    let place = Place::new();
    run(&place, 1..=30);
    place.open().checkpoint().unwrap();
    fs::remove_file(place.pool()).unwrap();
    let pool = place.open();
    assert_eq!(pool.journal_set_aside(), None);
    drop(pool);
    assert_eq!(files(&place), 2);
    // What was put aside does not make way for another.
    run(&place, 1..=10);
    let copy = fs::read(place.journal()).unwrap();
    fs::remove_file(place.pool()).unwrap();
    let put = place.open().journal_set_aside().map(ToOwned::to_owned);
    assert!(put.is_some_and(|put| put.is_file()));
    fs::write(place.journal(), copy).unwrap();
    fs::remove_file(place.pool()).unwrap();
    assert!(refusal(&place).contains("move one of the two away"));
}

/// What has come by the names of a new pool's files, or of its journal's, is no part of it.
#[test]
fn a_new_pool_that_is_withdrawn_takes_its_own_files_with_it() {
    for moved in ["", "pool", "journal"] {
        let place = Place::new();
        let mut pool = place.open();
        assert!(pool.is_new());
        for (what, name) in [("pool", place.pool()), ("journal", place.journal())] {
            if what == moved {
                fs::rename(&name, name.with_extension("moved")).unwrap();
                fs::write(&name, "another's").unwrap();
            }
        }
        assert!(pool.withdraw());
        drop(pool);
        for (what, name) in [("pool", place.pool()), ("journal", place.journal())] {
            let left = fs::read(&name).ok();
            let another = (what == moved).then(|| b"another's".to_vec());
            assert_eq!(left, another, "{what}, {moved}");
        }
    }
}
