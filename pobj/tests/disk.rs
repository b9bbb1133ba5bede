//! Pools on an ordinary disk: what was committed is there after a process that ends without
//! closing, after a power cut at any moment, and not if the disk lies.

use fastrand::Rng;
use pobj::{Durability, Error, Kind, PPtr, Pool, PoolOptions};
use powercut::disk::{Fault, Recording, record, told};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const POOL: u64 = 8 << 20;
const JOURNAL: u64 = 1 << 20;
/// Objects that hang from the user words.
const OBJECTS: usize = 24;
/// Where a step's number is.
const STEP: usize = 100;

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let directory = tempfile::Builder::new()
            .prefix("pobj-disk-")
            .tempdir_in("/dev/shm");
        Place(directory.expect("tmpfs is mounted"))
    }

    fn pool(&self) -> PathBuf {
        self.0.path().join("test.pool")
    }

    fn journal(&self) -> PathBuf {
        self.0.path().join("test.pool.journal")
    }

    fn options(&self) -> PoolOptions {
        PoolOptions::new(self.pool())
            .durability(Durability::Disk)
            .size(POOL)
            .journal(JOURNAL)
    }

    fn open(&self) -> Pool {
        Pool::open(&self.options()).expect("the pool opens")
    }
}

/// What object `index` has after the step `step` has changed it.
fn content(index: usize, step: u64) -> Vec<u8> {
    let mut rng = Rng::with_seed(step * 1000 + index as u64);
    let len = match rng.u8(..10) {
        0 => rng.usize(33_000..150_000),
        1..4 => [1500, 5000, 12_000][rng.usize(..3)],
        _ => rng.usize(16..200),
    };
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    bytes[..8].copy_from_slice(&step.to_le_bytes());
    bytes[8..16].copy_from_slice(&(len as u64).to_le_bytes());
    bytes
}

/// Which step has last changed each object.
type State = [u64; OBJECTS];

/// Changes some objects in one transaction, or in a group of several.
fn step(pool: &mut Pool, state: &mut State, step: u64) {
    let mut rng = Rng::with_seed(step);
    let is_group = rng.u8(..4) == 0;
    if is_group {
        pool.hold();
    }
    let mut tx = pool.begin();
    for _ in 0..rng.usize(1..5) {
        let index = rng.usize(..OBJECTS);
        if state[index] == step {
            continue;
        }
        let bytes = content(index, step);
        let word = tx.user_word(index);
        let old = *tx.get(word).unwrap();
        let new = tx.alloc(bytes.len() as u64, Kind::Data).unwrap();
        tx.fill(new, &bytes).unwrap();
        tx.set(word, new.offset()).unwrap();
        if let Some(old) = PPtr::<u8>::new(old) {
            tx.free(old).unwrap();
        }
        state[index] = step;
        if is_group {
            tx.commit().unwrap();
            tx = pool.begin();
        } else if rng.u8(..3) == 0 {
            tx.step().unwrap();
        }
    }
    tx.set(tx.user_word(STEP), step).unwrap();
    tx.commit().unwrap();
    if is_group {
        pool.release().unwrap();
    }
}

/// The states after each step, from the one before the first.
fn states(steps: u64) -> Vec<State> {
    let mut states = vec![[0; OBJECTS]];
    for step in 1..=steps {
        let mut rng = Rng::with_seed(step);
        let mut state = *states.last().unwrap();
        let is_group = rng.u8(..4) == 0;
        for _ in 0..rng.usize(1..5) {
            let index = rng.usize(..OBJECTS);
            if state[index] == step {
                continue;
            }
            state[index] = step;
            if !is_group {
                rng.u8(..3);
            }
        }
        states.push(state);
    }
    states
}

/// The step that the pool is at, if it holds what it should then.
fn judge(pool: &Pool, states: &[State]) -> Result<u64, String> {
    if !pool.damages().is_empty() {
        return Err(format!("damages: {:?}", pool.damages()));
    }
    let step = *pool.get(pool.user_word(STEP)).map_err(|e| e.to_string())?;
    let state = states.get(step as usize).ok_or(format!("step {step}"))?;
    let mut bytes_used = 0;
    for (index, &changed) in state.iter().enumerate() {
        let word = *pool.get(pool.user_word(index)).map_err(|e| e.to_string())?;
        let Some(at) = PPtr::<u8>::new(word) else {
            if changed != 0 {
                return Err(format!("object {index} is missing at step {step}"));
            }
            continue;
        };
        let expected = content(index, changed);
        bytes_used += pool.capacity(at).map_err(|e| e.to_string())?;
        match pool.bytes(at, expected.len() as u64) {
            Ok(bytes) if bytes == expected => {}
            Ok(_) => return Err(format!("object {index} differs at step {step}")),
            Err(error) => return Err(error.to_string()),
        }
    }
    match pool.usage().used == bytes_used {
        true => Ok(step),
        false => Err(format!(
            "{} bytes are in use, {bytes_used} are reachable",
            pool.usage().used
        )),
    }
}

/// Runs steps, without an end that is told to the pool.
fn run(place: &Place, steps: std::ops::RangeInclusive<u64>) -> State {
    let mut pool = place.open();
    let mut state = states(steps.start() - 1).pop().unwrap();
    for number in steps {
        step(&mut pool, &mut state, number);
    }
    state
}

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
fn lazy_commits_are_durable_with_the_sync() {
    let place = Place::new();
    let states = states(40);
    // One in which everything fits into a record.
    let mut pool = Pool::open(&place.options().journal(8 << 20)).unwrap();
    pool.set_lazy(true);
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
            for file in fs::read_dir(place.0.path()).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), copy.0.path().join(file.file_name())).unwrap();
            }
        }
    }
    drop(pool);
    assert_eq!(judge(&copy.open(), &states), Ok(30));
    assert_eq!(judge(&place.open(), &states), Ok(40));
}

#[test]
fn lazy_commits_do_not_outgrow_the_journal() {
    let place = Place::new();
    let states = states(300);
    let mut pool = place.open();
    pool.set_lazy(true);
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

/// The records in a journal's bytes, and what is left of older ones, in order: where they are, and
/// their positions.
fn records(journal: &[u8]) -> Vec<(usize, u64)> {
    let blocks = journal.chunks(4096).enumerate().skip(2);
    let heads = blocks.filter(|(_, block)| block.starts_with(b"PmLi\0\0\0\0"));
    let mut found: Vec<(usize, u64)> = heads
        .map(|(number, block)| {
            let lsn = u64::from_le_bytes(block[8..16].try_into().unwrap());
            (number * 4096, lsn)
        })
        .collect();
    found.sort_by_key(|&(_, lsn)| lsn);
    found
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
    let at = tx.alloc(large.len() as u64, Kind::Data).unwrap();
    tx.fill(at, &large).unwrap();
    tx.set(tx.user_word(0), at.offset()).unwrap();
    tx.commit().unwrap();
    drop(pool);
    let mut pool = place.open();
    let at = PPtr::<u8>::new(*pool.get(pool.user_word(0)).unwrap()).unwrap();
    assert!(pool.bytes(at, large.len() as u64).unwrap() == large);
    pool.checkpoint().unwrap();
    let left = fs::read_dir(place.0.path()).unwrap().count();
    assert_eq!(left, 2, "files of records stay");
}

/// Cuts the power at moments of a recording; the first of them that leaves something else than what
/// was told.
fn first_violation(
    recording: &Recording,
    states: &[State],
    fault: Fault,
    cuts: usize,
    seed: u64,
) -> Option<String> {
    let mut rng = Rng::with_seed(seed);
    let image = Place::new();
    (0..cuts).find_map(|_| {
        let moment = rng.usize(..recording.moments());
        recording
            .image(moment, fault, &mut rng, image.0.path())
            .unwrap();
        let least = recording.told_before(moment);
        let most = recording.told_after(moment).unwrap_or(least);
        let found = match Pool::open(&image.options()) {
            Ok(pool) => judge(&pool, states),
            Err(error) => Err(error.to_string()),
        };
        match found {
            Ok(step) if (least..=most).contains(&step) => None,
            other => Some(format!(
                "at moment {moment} of {}: {other:?}, not {least} to {most}",
                recording.moments()
            )),
        }
    })
}

/// The steps `steps` of a pool, recorded from its opening on.
fn recorded(place: &Place, steps: std::ops::RangeInclusive<u64>) -> Recording {
    let mut state = states(steps.start() - 1).pop().unwrap();
    let directory: &Path = place.0.path();
    let first = steps.start() - 1;
    let recording = record(directory, || {
        told(first);
        let mut pool = place.open();
        for number in steps {
            step(&mut pool, &mut state, number);
            told(number);
            if number % 97 == 0 {
                pool.checkpoint().unwrap();
            }
            if number % 7 == 0 {
                pool.tend().unwrap();
            }
        }
    });
    recording.unwrap()
}

// One test, as one recording can be under way in a process.
#[test]
fn power_cuts_leave_what_was_told_and_lies_of_the_disk_are_noticed() {
    let cuts = std::env::var("POBJ_DISK_CUTS").map_or(150, |cuts| cuts.parse().unwrap());
    let states = states(1600);
    let place = Place::new();
    run(&place, 1..=100);
    let recording = recorded(&place, 101..=700);
    let none = first_violation(&recording, &states, Fault::None, cuts, 1);
    assert_eq!(none, None);
    // The last one is a journal that is reused before its control block says so, durably; its first
    // writes begin the use.
    for fault in [
        Fault::LateWrites(".journal"),
        Fault::LostSyncs(".pool"),
        Fault::LateHead(".journal", 8192, 2),
    ] {
        let found = first_violation(&recording, &states, fault, 1000, 2);
        assert!(found.is_some(), "{fault:?} is not noticed");
    }
    let forged = (0..1000).find_map(|cut| forged_violation(&recording, &states, cut));
    assert!(
        forged.is_some(),
        "torn records do not matter, if their checksums are not looked at"
    );
    for seed in 0..(cuts as u64 / 15).max(4) {
        cut_replay(&recording, &states, seed);
    }
}

/// Gives each record of a journal the checksum of what is there: as if nobody looked at checksums.
fn forge_checksums(journal: &Path) {
    const HEADER: usize = 32;
    let mut bytes = fs::read(journal).unwrap();
    let word = |bytes: &[u8], at: usize| {
        let word = bytes.get(at..at + 8).expect("a word");
        u64::from_le_bytes(word.try_into().unwrap())
    };
    let control = |block: usize| &bytes[block * 4096..][..56];
    // The block of the higher generation counts.
    let newest = (0..2).max_by_key(|&block| word(control(block), 8)).unwrap();
    let id = word(control(newest), 16);
    for (at, lsn) in records(&bytes) {
        let len = word(&bytes, at + 16) as usize;
        let Some(payload) = bytes.get(at + HEADER..).and_then(|rest| rest.get(..len)) else {
            continue;
        };
        let magic = u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()));
        let words = [magic, lsn, len as u64].map(u64::to_le_bytes);
        let seed = xxh3_64_with_seed(words.as_flattened(), id);
        let checksum = xxh3_64_with_seed(payload, seed);
        bytes[at + 24..at + HEADER].copy_from_slice(&checksum.to_le_bytes());
    }
    fs::write(journal, bytes).unwrap();
}

/// What a cut leaves of a pool if torn records are taken for whole ones, should it be wrong.
fn forged_violation(recording: &Recording, states: &[State], seed: u64) -> Option<String> {
    let mut rng = Rng::with_seed(seed);
    let image = Place::new();
    let moment = rng.usize(..recording.moments());
    recording
        .image(moment, Fault::None, &mut rng, image.0.path())
        .unwrap();
    forge_checksums(&image.journal());
    match Pool::open(&image.options()) {
        Ok(pool) => judge(&pool, states).err(),
        // That it is the older lap's record behind the last one is not what is asked here.
        Err(_) => None,
    }
}

/// Cuts the power while a pool that the power was cut of is opened again, and once more.
fn cut_replay(recording: &Recording, states: &[State], seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let image = Place::new();
    let moment = rng.usize(..recording.moments());
    recording
        .image(moment, Fault::None, &mut rng, image.0.path())
        .unwrap();
    let told = recording.told_before(moment);
    let most = recording.told_after(moment).unwrap_or(told);
    let opening = record(image.0.path(), || {
        powercut::disk::told(told);
        drop(Pool::open(&image.options()).expect("the pool opens"));
    });
    let opening = opening.unwrap();
    let again = Place::new();
    for _ in 0..12 {
        let moment = rng.usize(..opening.moments());
        opening
            .image(moment, Fault::None, &mut rng, again.0.path())
            .unwrap();
        let pool = Pool::open(&again.options());
        let pool = pool.unwrap_or_else(|error| panic!("seed {seed}, moment {moment}: {error}"));
        let step = judge(&pool, states).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(
            (told..=most).contains(&step),
            "seed {seed}, moment {moment}: step {step}, not {told} to {most}"
        );
    }
}
