//! Mistakes in the structures' use of transactions, and in the flushes, the fences and the order of
//! the stores that they come down to, are found.

use std::ops::Range;
use std::path::Path;

use explore::keys::{self, Keys, Room};
use explore::structures::{self, Hashes, Lists, MISTAKES, Sets, Strings, Structure, Values, ZSets};
use explore::transactions::{self, Flavour, Transactions};
use explore::{DIRECTORY, campaign, forgotten};
use powercut::explore::LIBPMEMOBJ_VOLATILE;
use powercut::mutant::{Mutant, Mutation};
use powercut::trace::Event;
use powercut::{Config, LINE_BYTES, LineNumber, Recording, Recovery};

/// Seeds after which a mistake that was not found counts as missed.
const SEEDS: u64 = 4;

/// Words of runs to be forgotten, taken and given back, and seeds until there must be so many.
const WORDS: usize = 4;
const WORDS_SEEDS: u64 = 20;

/// Fences at which a mistake in growing is looked for.
const FENCES_OF_GROWTH: usize = 6;

/// With this variable in the environment all mutants of the steps are tried, and thoroughly.
const ALL_VARIABLE: &str = "PMEDIS_MUTANTS_ALL";

fn tries_all() -> bool {
    std::env::var_os(ALL_VARIABLE).is_some()
}

/// Outcomes of a cut: few first, and more for what they do not show.
fn outcomes() -> &'static [usize] {
    if tries_all() { &[8, 64] } else { &[8] }
}

fn config(seed: u64) -> Config {
    Config {
        outcomes_per_cut: 8,
        recoveries_one_in: 0,
        ..campaign::config(seed)
    }
}

fn mistakes_are_found<S: Structure>() {
    for mistake in MISTAKES {
        let found = (1..=SEEDS).find(|&seed| {
            let report = campaign::explore_values::<S>(Some(mistake), &config(seed));
            !report.violations.is_empty()
        });
        let seed = found.unwrap_or_else(|| panic!("{:?}: {mistake:?} is not found", S::TYPE));
        println!("{:?}: {mistake:?} is found with seed {seed}", S::TYPE);
    }
}

/// Kinds of mutations: flushes, fences and stores left out, stores ahead of a fence, and stores
/// swapped.
const KINDS: usize = 5;

/// A mutation's kind; none if it is about what libpmemobj never makes durable.
fn kind(mutation: Mutation) -> Option<usize> {
    let counts = |line: LineNumber| !LIBPMEMOBJ_VOLATILE.contains(&(line as usize * LINE_BYTES));
    match mutation {
        Mutation::FlushLeftOut(line) => counts(line).then_some(0),
        Mutation::FenceLeftOut => Some(1),
        Mutation::StoreAheadOfFence(line) => counts(line).then_some(2),
        Mutation::StoresSwapped(a, b) => (counts(a) && counts(b)).then_some(3),
        Mutation::StoreLeftOut(line) => counts(line).then_some(4),
    }
}

/// Whether the exploration of a mutant finds something, thoroughly if it has to.
fn is_found(recording: &Recording, mutant: &Mutant, check: &impl Recovery) -> bool {
    let recording = recording.with(mutant);
    outcomes().iter().any(|&outcomes_per_cut| {
        let config = Config {
            fences: mutant.fences.clone(),
            outcomes_per_cut,
            ..config(1)
        };
        let report = powercut::explore(&recording, check, Path::new(DIRECTORY), &config);
        !report.violations.is_empty()
    })
}

/// Explores mutants of the steps of a recording until one of each kind is found. Not each makes a
/// difference: `docs/crash-consistency.md` tells which do not, and why.
fn mutants_are_found(name: &str, recording: &Recording, check: &impl Recovery) {
    let steps = 0..recording.steps.len() - 2;
    mutants_of_steps_are_found(name, recording, check, steps, usize::MAX);
}

/// [`mutants_are_found`] of some steps, each mutant with cuts at so many fences from its mistake
/// on.
fn mutants_of_steps_are_found(
    name: &str,
    recording: &Recording,
    check: &impl Recovery,
    steps: Range<usize>,
    fences: usize,
) {
    let mut tried = [0; KINDS];
    let mut found = [0; KINDS];
    for step in steps {
        let mut before = 0;
        let mut events = recording.events(step).into_iter().enumerate().peekable();
        for mut mutant in recording.mutants(step) {
            let Some(kind) = kind(mutant.mutation) else {
                continue;
            };
            if found[kind] > 0 && !tries_all() {
                continue;
            }
            if fences != usize::MAX {
                while let Some((_, event)) = events.next_if(|(at, _)| *at < mutant.event) {
                    before += usize::from(event == Event::Fence);
                }
                let first = (mutant.fences.start + before).saturating_sub(1);
                mutant.fences = first..mutant.fences.end.min(first + fences);
            }
            tried[kind] += 1;
            if is_found(recording, &mutant, check) {
                found[kind] += 1;
            } else {
                let Mutant {
                    mutation, event, ..
                } = mutant;
                println!("{name}, step {step}, event {event}: {mutation}: makes no difference");
            }
        }
    }
    println!("{name}: {found:?} of {tried:?} mutants are found");
    assert!(
        found.iter().all(|&found| found > 0),
        "{name}: a kind of mutants is not found: {found:?} of {tried:?}"
    );
}

fn mutants_of_values<S: Structure>(seed: u64) {
    let (recording, states) = campaign::record(&Values::<S>::new(seed, 6));
    let check = structures::Check::<S>::new(states);
    mutants_are_found(&format!("{:?}", S::TYPE), &recording, &check);
}

fn mutants_of_keys(name: &str, room: Room) {
    let (recording, states) = campaign::record(&Keys {
        seed: 1,
        steps: 10,
        room,
    });
    mutants_are_found(name, &recording, &keys::Check::new(states));
}

/// In the step in which a full pool grows. Its images are large, so this takes long.
fn mutants_of_growth() {
    let (recording, states) = campaign::record(&Keys {
        seed: 1,
        steps: keys::GROWS_AT + 3,
        room: Room::Growing,
    });
    let check = keys::Check::new(states);
    let step = keys::GROWS_AT..keys::GROWS_AT + 1;
    mutants_of_steps_are_found(
        "a pool that grows",
        &recording,
        &check,
        step,
        FENCES_OF_GROWTH,
    );
}

/// A word of a run, taken or given back, that a step forgets shows after a cut, in a full pool
/// whose granules are all somebody's.
fn forgotten_words_are_found() {
    let (mut tried, mut found) = ([0; 2], [0; 2]);
    for seed in 1.. {
        let (recording, states) = campaign::record(&Keys {
            seed,
            steps: 10,
            room: Room::Full,
        });
        let check = keys::Check::new(states);
        for step in 0..recording.steps.len() - 2 {
            for word in forgotten::run_words(&recording, step) {
                let kind = usize::from(word.after == 0);
                // A run that is another one's before is given back with it, as long as that was.
                let is_replaced = word.before != 0 && word.after != 0;
                if is_replaced || tried[kind] >= WORDS {
                    continue;
                }
                tried[kind] += 1;
                let mutant = forgotten::forgetting(&recording, step, word);
                let config = Config {
                    fences: recording.fences_after(step),
                    ..config(seed)
                };
                let report = powercut::explore(&mutant, &check, Path::new(DIRECTORY), &config);
                if report.violations.is_empty() {
                    println!("seed {seed}, step {step}: {word:x?}: makes no difference")
                } else {
                    found[kind] += 1
                }
            }
        }
        if tried.iter().all(|&tried| tried >= WORDS) || seed >= WORDS_SEEDS {
            break;
        }
    }
    println!("words of runs: {found:?} of {tried:?}, taken and given back, are found");
    assert_eq!(found, [WORDS; 2], "words of runs, taken and given back");
}

fn mutants_of_transactions() {
    let (recording, states) = campaign::record(&Transactions {
        seed: 3,
        steps: 8,
        flavour: Flavour::Small,
        mistake: None,
    });
    mutants_are_found(
        "transactions",
        &recording,
        &transactions::Check::new(states),
    );
}

fn main() {
    explore::prepare_process();
    mutants_of_transactions();
    mutants_of_values::<Strings>(1);
    mutants_of_values::<Lists>(1);
    mutants_of_values::<Hashes>(1);
    mutants_of_values::<Sets>(1);
    mutants_of_values::<ZSets>(1);
    mutants_of_keys("keys", Room::Ample);
    mutants_of_keys("keys in a full pool", Room::Full);
    if tries_all() {
        mutants_of_growth();
    }
    forgotten_words_are_found();
    mistakes_are_found::<Strings>();
    mistakes_are_found::<Lists>();
    mistakes_are_found::<Hashes>();
    mistakes_are_found::<Sets>();
    mistakes_are_found::<ZSets>();
}
