//! `explore <subject> <seed> <states>`: explores until so many states were judged; the exit code is
//! 1 if one of them was wrong. The same seed does the same again.
//!
//! `explore damage <seed> <pools> [first]`: damages so many pools, from that number on.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use explore::campaign::{self, Subject};
use explore::damage;
use powercut::Config;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse().ok();
    let done = match &words[..] {
        ["damage", seed, pools] => {
            number(seed).and_then(|seed| Some(damage_pools(seed, 0, number(pools)?)))
        }
        ["damage", seed, pools, first] => {
            number(seed).and_then(|seed| Some(damage_pools(seed, number(first)?, number(pools)?)))
        }
        [subject, seed, states] => Subject::from_name(subject)
            .and_then(|subject| Some(explore(subject, number(seed)?, number(states)?))),
        _ => None,
    };
    match done {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => {
            let subjects = Subject::ALL.map(Subject::name).join("|");
            eprintln!("usage: explore <{subjects}> <seed> <states>");
            eprintln!("       explore damage <seed> <pools> [first]");
            ExitCode::from(2)
        }
    }
}

/// Where to keep the images that something is wrong with.
fn keep() -> Option<PathBuf> {
    env::var_os("POWERCUT_KEEP").map(PathBuf::from)
}

fn explore(subject: Subject, seed: u64, states: u64) -> bool {
    // A process has pools of one durability: those with a journal are on a disk.
    if subject != Subject::Disk {
        explore::prepare_process();
    }
    let total = campaign::run(subject, seed, states, |seed| Config {
        keep: keep(),
        ..campaign::config(seed)
    });
    println!(
        "total {}: {} states, {} violations",
        subject.name(),
        total.states,
        total.violations.len()
    );
    total.violations.is_empty()
}

fn damage_pools(seed: u64, first: u64, pools: u64) -> bool {
    explore::prepare_process();
    let tally = damage::run(seed, first, pools, keep().as_deref());
    println!("damage: {tally}");
    tally.failures.is_empty()
}
