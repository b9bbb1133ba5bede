//! Pools on an ordinary disk: what was told is there after a power cut at any moment, and in copies
//! that are made meanwhile; not if the disk lies.

mod common;
mod journaled;

use fastrand::Rng;
use journaled::{Place, State, judge, records, run, states, step};
use pobj::Pool;
use powercut::disk::{Fault, Recording, record, told};
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64_with_seed;

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
            .image(moment, fault, &mut rng, image.directory())
            .unwrap();
        let least = recording.told_before(moment);
        let most = recording.told_after(moment).unwrap_or(least);
        let why = violation(&image, states, least..=most)?;
        Some(format!(
            "at moment {moment} of {}: {why}",
            recording.moments()
        ))
    })
}

/// What is wrong with the pool that a cut has left, which should be in one of these states.
fn violation(image: &Place, states: &[State], expected: RangeInclusive<u64>) -> Option<String> {
    let found = match Pool::open(&image.options()) {
        Ok(pool) => judge(&pool, states),
        Err(error) => Err(error.to_string()),
    };
    match found {
        Ok(step) if expected.contains(&step) => None,
        other => Some(format!("{other:?}, not {expected:?}")),
    }
}

/// The steps `steps` of a pool, recorded from its opening on.
fn recorded(place: &Place, steps: RangeInclusive<u64>) -> Recording {
    let mut state = states(steps.start() - 1).pop().unwrap();
    let first = steps.start() - 1;
    let recording = record(place.directory(), || {
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
    copies_hold_what_was_told(&recording, &states, cuts);
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
    replaying_into_the_file_can_be_cut(&states);
    for seed in 0..(cuts as u64 / 15).max(4) {
        assert_eq!(
            second_violation(&recording, &states, Fault::None, seed),
            None
        );
    }
    let lost = Fault::LostSyncs(".pool");
    let found = (0..100).find_map(|seed| second_violation(&recording, &states, lost, seed));
    assert!(
        found.is_some(),
        "that replayed pages are synced does not matter"
    );
}

/// Copies of the files, made in any order between two syncs, are the pool too.
fn copies_hold_what_was_told(recording: &Recording, states: &[State], count: usize) {
    let mut rng = Rng::with_seed(3);
    let copy = Place::new();
    for _ in 0..count {
        let moment = rng.usize(..recording.moments());
        let (first, last) = recording.copy(moment, &mut rng, copy.directory()).unwrap();
        let least = recording.told_before(first);
        let most = recording.told_after(last).unwrap_or(states.len() as u64);
        let pool = Pool::open(&copy.options());
        let pool = pool.unwrap_or_else(|error| panic!("at moment {moment}: {error}"));
        let step = judge(&pool, states).unwrap_or_else(|why| panic!("at moment {moment}: {why}"));
        assert!(
            (least..=most).contains(&step),
            "at moment {moment}: step {step}, not {least} to {most}"
        );
    }
}

/// Replaying for a use that does not go on with the journal is cut at each of its last moments, in
/// which the journal is given up: the next opening finds what was there, and takes no journal for
/// that of another pool.
fn replaying_into_the_file_can_be_cut(states: &[State]) {
    let mut rng = Rng::with_seed(4);
    let (place, image) = (Place::new(), Place::new());
    run(&place, 1..=50);
    let opening = record(place.directory(), || {
        let pool = Pool::open(&place.options().journal(2 << 20)).unwrap();
        assert!(pool.replayed().is_some());
    });
    let opening = opening.unwrap();
    for moment in opening.moments().saturating_sub(60)..opening.moments() {
        opening
            .image(moment, Fault::None, &mut rng, image.directory())
            .unwrap();
        let pool = Pool::open(&image.options());
        let pool = pool.unwrap_or_else(|error| panic!("at moment {moment}: {error}"));
        assert_eq!(judge(&pool, states), Ok(50), "at moment {moment}");
        assert_eq!(pool.journal_set_aside(), None, "at moment {moment}");
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
        .image(moment, Fault::None, &mut rng, image.directory())
        .unwrap();
    forge_checksums(&image.journal());
    match Pool::open(&image.options()) {
        Ok(pool) => judge(&pool, states).err(),
        // That it is the older lap's record behind the last one is not what is asked here.
        Err(_) => None,
    }
}

/// Cuts the power of a pool, opens it, goes on with the journal that it has, and cuts the power
/// again, at moments of the opening and of what comes then, of which the disk makes what `fault`
/// says; what is wrong after one of them.
fn second_violation(
    recording: &Recording,
    states: &[State],
    fault: Fault,
    seed: u64,
) -> Option<String> {
    let mut rng = Rng::with_seed(seed);
    let image = Place::new();
    let moment = rng.usize(..recording.moments());
    recording
        .image(moment, Fault::None, &mut rng, image.directory())
        .unwrap();
    let before = recording.told_before(moment);
    let after = recording.told_after(moment).unwrap_or(before);
    let going_on = record(image.directory(), || {
        told(before);
        let mut pool = image.open();
        let found = judge(&pool, states).expect("a state");
        assert!((before..=after).contains(&found));
        let mut state = states[found as usize];
        for number in found + 1..=found + 40 {
            step(&mut pool, &mut state, number);
            told(number);
            if number % 2 == 0 {
                pool.tend().unwrap();
            }
            if number == found + 30 {
                pool.checkpoint().unwrap();
            }
        }
    });
    let going_on = going_on.unwrap();
    let again = Place::new();
    (0..24).find_map(|cut| {
        // Half of them early: at the opening, and before the first checkpoint is complete.
        let part = if cut % 2 == 0 { 1 } else { 8 };
        let moment = rng.usize(..going_on.moments() / part);
        let least = going_on.told_before(moment).max(before);
        let most = going_on.told_after(moment).unwrap_or(least).max(after);
        going_on
            .image(moment, fault, &mut rng, again.directory())
            .unwrap();
        violation(&again, states, least..=most)
            .map(|why| format!("seed {seed}, moment {moment}: {why}"))
    })
}
