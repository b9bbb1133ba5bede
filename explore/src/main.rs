//! `explore <subject> <seed> <states>`: explores until so many states were judged; the exit code is 1
//! if one of them was wrong. The same seed does the same again.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use pmedis_explore::campaign::{self, Subject};
use powercut::Config;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let parsed = match &arguments[..] {
        [subject, seed, states] => Subject::from_name(subject)
            .and_then(|subject| Some((subject, seed.parse().ok()?, states.parse().ok()?))),
        _ => None,
    };
    let Some((subject, seed, states)) = parsed else {
        let subjects = Subject::ALL.map(Subject::name).join("|");
        eprintln!("usage: explore <{subjects}> <seed> <states>");
        return ExitCode::from(2);
    };
    pmedis_explore::prepare_process();
    let keep = env::var_os("POWERCUT_KEEP").map(PathBuf::from);
    let total = campaign::run(subject, seed, states, |seed| Config {
        keep: keep.clone(),
        ..campaign::config(seed)
    });
    println!(
        "total {}: {} states, {} violations",
        subject.name(),
        total.states,
        total.violations.len()
    );
    if total.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
