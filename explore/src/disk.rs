//! Keys of all types in a pool with a journal, on an ordinary disk.
//!
//! What the files of the pool and of its journal can hold after a power cut, or in a copy that is
//! made meanwhile, is opened by the normal recovery, and must be what was told. The workload is
//! that of `keys/`; each of its steps is an event-loop cycle, or each of its commits a record of
//! its own, as the seed decides. Some openings are cut in turn.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use fastrand::Rng;
use pobj::{Durability, Pool, PoolOptions};
use powercut::disk::{Fault, Recording, record, told};
use powercut::{Config, Progress, Report, Violation};
use store::layout::pool_at;

use crate::check::{Opened, Recovered};
use crate::closer::Closer;
use crate::keys::{Keys, Keyspace};
use crate::states::{Description, States};
use crate::{DIRECTORY, POOL_BYTES, POOL_SEED};

/// Steps of a workload: so many that the journal goes round.
const STEPS: u64 = 400;
/// Bytes of the journal: as few as there can be.
const JOURNAL: u64 = 1 << 20;
/// States of a workload.
const STATES: u64 = 1000;
/// One of so many is a copy that is made while the workload goes on,
const COPIES_ONE_IN: u64 = 10;
/// and the opening of one of so many is cut, so often.
const OPENINGS_ONE_IN: u64 = 20;
const CUTS_OF_OPENING: usize = 3;

fn options(path: &Path) -> PoolOptions {
    pool_at(path)
        .durability(Durability::Disk)
        .size(POOL_BYTES)
        .journal(JOURNAL)
        .seed(POOL_SEED)
}

/// A life of a pool's files, and what was told of it.
pub struct Life {
    recording: Recording,
    states: States,
}

/// Records the workload of this seed.
///
/// # Panics
/// If the workload fails without any cut.
pub fn live(seed: u64) -> Life {
    let directory = tempfile::tempdir_in(DIRECTORY).expect("tmpfs is mounted");
    let path = directory.path().join("pool");
    let mut rng = Rng::with_seed(seed);
    let mut keyspace = Keyspace::open(&options(&path)).expect("the pool can be made");
    for _ in 0..6 {
        keyspace.put(&mut rng).expect("there is room");
    }
    // It is not closed: the recording begins with a journal in use.
    drop(keyspace);
    let mut states = States::default();
    let recording = record(directory.path(), || {
        let mut keyspace = Keyspace::open(&options(&path)).expect("the pool opens");
        keyspace
            .pool_mut()
            .set_commit_mode(crate::commit_mode(seed));
        states.push(keyspace.describe().expect("the pool is sound"));
        told(0);
        for step in 1..=STEPS {
            // So many steps might fill the pool.
            keyspace.act_with_room(&mut rng).expect("there is room");
            let state = keyspace.describe().expect("the pool is sound");
            assert_eq!(state, keyspace.expected(), "without any cut");
            states.push(state);
            match step {
                _ if step % 97 == 0 => keyspace.pool_mut().checkpoint(),
                _ if step % 7 == 0 => keyspace.pool_mut().tend(),
                _ => keyspace.pool_mut().sync(),
            }
            .expect("the disk takes it");
            told(step);
        }
    });
    let recording = recording.expect("the directory can be read");
    Life { recording, states }
}

/// The first and the last step that the pool may be at.
fn progress(recording: &Recording, first: usize, last: usize) -> Progress {
    let acknowledged = recording.told_before(first);
    let begun = recording.told_after(last).unwrap_or(STEPS);
    Progress {
        acknowledged: acknowledged as usize,
        begun: begun as usize,
    }
}

/// Judges states of the workload of the configuration's seed, on a disk with this fault.
///
/// # Panics
/// If there is no room for images.
pub fn explore(config: &Config, fault: Fault) -> Report {
    let start = Instant::now();
    let life = live(config.seed);
    let mut rng = Rng::with_seed(!config.seed);
    let closer = Closer::default();
    let image = tempfile::tempdir_in(DIRECTORY).expect("tmpfs is mounted");
    let mut report = Report {
        seed: config.seed,
        ..Report::default()
    };
    while report.states < STATES.min(config.states_max) && report.violations.is_empty() {
        let moment = rng.usize(..life.recording.moments());
        let (first, last) = if report.states % COPIES_ONE_IN == COPIES_ONE_IN - 1 {
            (life.recording.copy(moment, &mut rng, image.path())).expect("there is room")
        } else {
            let made = (life.recording).image(moment, fault, &mut rng, image.path());
            made.expect("there is room");
            (moment, moment)
        };
        let progress = progress(&life.recording, first, last);
        report.states += 1;
        report.cuts += 1;
        let judged = catch_unwind(AssertUnwindSafe(|| {
            if report.states.is_multiple_of(OPENINGS_ONE_IN) {
                cut_opening(&life, image.path(), progress, &mut rng, &mut report)
            } else {
                judge(&life, image.path(), progress, &closer)
            }
        }));
        let judged = judged.unwrap_or_else(|_| Err("it panics".into()));
        if let Err(message) = judged {
            report.violations.push(Violation {
                message,
                fence: moment,
                progress,
                recovery_depth: 0,
                survivors: Vec::new(),
                pending: Vec::new(),
            });
        }
    }
    report.elapsed = start.elapsed();
    report
}

fn open(directory: &Path) -> Result<Keyspace, String> {
    Keyspace::open(&options(&directory.join("pool"))).map_err(|error| error.to_string())
}

/// Opens what is in a directory, and says whether it is what may be there; looks closer at some.
fn judge(life: &Life, directory: &Path, progress: Progress, closer: &Closer) -> Result<(), String> {
    let text = |error: pobj::Error| error.to_string();
    let opened = open(directory)?;
    let found = check(life, &opened, progress)?;
    let Some(seed) = closer.chosen() else {
        return Ok(());
    };
    let path = directory.join("pool");
    // The file alone has to be the pool for PMDK.
    let complete = |mut opened: Keyspace| {
        opened.pool_mut().checkpoint().map_err(text)?;
        Ok(opened)
    };
    let again = |path: &Path| {
        Keyspace::open(&options(path))
            .map_err(text)
            .and_then(complete)
    };
    let opened = complete(opened)?;
    let opened = Closer::recover_again(opened, &path, again, Keyspace::describe, &found)?;
    let mut pool = Keys::work_on(opened, seed, &found)?;
    pool.trim(usize::MAX).map_err(text)?;
    pool.checkpoint().map_err(text)?;
    Closer::nothing_is_left(pool, &path)
}

fn check(life: &Life, opened: &Keyspace, progress: Progress) -> Result<Description, String> {
    let pool: &Pool = opened.pool();
    if !pool.damages().is_empty() {
        return Err(format!("damaged: {:?}", pool.damages()));
    }
    let found = opened.describe().map_err(|error| error.to_string())?;
    life.states.check(&found, progress)?;
    Ok(found)
}

/// Cuts the power while what is in a directory is opened, and opens it again.
fn cut_opening(
    life: &Life,
    directory: &Path,
    progress: Progress,
    rng: &mut Rng,
    report: &mut Report,
) -> Result<(), String> {
    let mut outcome = Ok(());
    let opening = record(directory, || {
        outcome = open(directory).and_then(|opened| check(life, &opened, progress).map(drop));
    });
    outcome?;
    let opening = opening.map_err(|error| error.to_string())?;
    report.recoveries += 1;
    let again = tempfile::tempdir_in(DIRECTORY).expect("tmpfs is mounted");
    for _ in 0..CUTS_OF_OPENING {
        let moment = rng.usize(..opening.moments());
        (opening.image(moment, Fault::None, rng, again.path())).expect("there is room");
        report.states += 1;
        report.recovery_states += 1;
        check(life, &open(again.path())?, progress)
            .map_err(|why| format!("cut while it was opened: {why}"))?;
    }
    Ok(())
}
