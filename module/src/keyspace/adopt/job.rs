//! All native keys, or those of a pattern, become PM keys in the background: some at a time, while
//! clients are served.
//!
//! The keys are walked over as SCAN does it, each is adopted by itself. So a server that dies in
//! the midst of it has lost nothing: what was adopted is in the pool, the rest where it was. When
//! it is done, an RDB is made, so that the one that has the native values is not loaded again.

use super::adopt;
use crate::SETTINGS;
use crate::config::Adopt;
use crate::error::CmdError;
use crate::keyspace::ENGINE;
use crate::redis::{Ctx, MainCell, OwnedString, Reply, spares_replicas};
use crate::report;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a slice may take, unless one key takes longer, and how long clients are served before
/// the next one.
const SLICE: Duration = Duration::from_micros(500);
const PAUSE: Duration = Duration::from_millis(1);
/// How long is waited while nothing may be adopted: keys are still being shown, or writes are
/// paused.
const WAIT: Duration = Duration::from_millis(20);
/// Keys that a step of the walk looks at.
const STEP: &[u8] = b"20";

/// What is being done, or was done last.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// It goes on.
    pub running: bool,
    /// Keys that were looked at, of any kind; some perhaps twice.
    pub looked_at: u64,
    /// Keys that were there at the beginning.
    pub keys: u64,
    /// Keys that have become PM keys.
    pub adopted: u64,
    /// Keys that could not.
    pub refused: u64,
    /// Why the last of these could not, or why it ended early.
    pub why: Option<String>,
}

#[derive(Debug, Default)]
struct Job {
    progress: Progress,
    /// The databases that are still to be walked over.
    dbs: VecDeque<i32>,
    pattern: Option<Vec<u8>>,
    /// Where the walk stands in the first of them.
    cursor: Vec<u8>,
    started: Option<Instant>,
}

static JOB: MainCell<Job> = MainCell::empty();

/// Begins to adopt keys: of the selected database those that match a pattern, without one all keys
/// of all databases. False if that is being done already.
pub fn begin(ctx: &Ctx, pattern: Option<Vec<u8>>) -> bool {
    if progress().running {
        return false;
    }
    let home = ctx.keep_db();
    let (mut dbs, mut keys) = (VecDeque::new(), 0);
    let wanted = |db: i32| pattern.is_none() || db == home.number();
    for db in (0..).take_while(|&db| ctx.select_db(db)) {
        if wanted(db) && ctx.db_size() > 0 {
            keys += ctx.db_size();
            dbs.push_back(db);
        }
    }
    drop(home);
    let job = Job {
        progress: Progress {
            running: true,
            keys,
            ..Progress::default()
        },
        dbs,
        pattern,
        cursor: b"0".to_vec(),
        started: Some(Instant::now()),
    };
    let begun = JOB.replace(Some(job)).is_ok();
    if begun {
        ctx.start_timer(PAUSE, 0, slice);
    }
    begun
}

/// Begins to adopt all keys, if the module was loaded with `adopt yes`; when the server has loaded
/// its files.
pub(in crate::keyspace) fn begin_at_start(ctx: &Ctx) {
    if SETTINGS.with(|settings| settings.adopt) != Ok(Adopt::Yes) {
        return;
    }
    if ctx.flags().replica() {
        report::notice("a replica adopts no keys: its master does");
        return;
    }
    begin(ctx, None);
}

/// Ends what is being done, after the key in hand.
pub fn stop() {
    let _ = JOB.with(|job| {
        job.dbs.clear();
        job.progress.why = Some("it was stopped".into());
    });
}

/// How far it is.
pub fn progress() -> Progress {
    JOB.with(|job| job.progress.clone()).unwrap_or_default()
}

/// Adopts keys for a while, and sees to it that it goes on.
fn slice(ctx: &Ctx, _: usize) {
    let filling = ENGINE.with(|engine| engine.filling.is_some() || !engine.life.shows_keys());
    if filling != Ok(false) || spares_replicas() || ctx.flags().loading() {
        ctx.start_timer(WAIT, 0, slice);
        return;
    }
    if !ctx.flags().master() {
        stop();
    }
    let start = Instant::now();
    while start.elapsed() < SLICE {
        if !step(ctx) {
            return end(ctx);
        }
    }
    ctx.start_timer(PAUSE, 0, slice);
}

/// Adopts what one step of the walk meets. False if there is no more.
fn step(ctx: &Ctx) -> bool {
    let place = JOB.with(|job| {
        let db = *job.dbs.front()?;
        Some((db, job.cursor.clone(), job.pattern.clone()))
    });
    let Ok(Some((db, cursor, pattern))) = place else {
        return false;
    };
    ctx.select_db(db);
    let mut words = vec![cursor.as_slice(), b"COUNT", STEP];
    if let Some(pattern) = &pattern {
        words.extend([b"MATCH", pattern.as_slice()]);
    }
    let Some((cursor, names)) = ctx.scan_step(&words) else {
        let _ = JOB.with(|job| job.progress.why = Some("SCAN is not to be had".into()));
        return false;
    };
    let (mut adopted, mut refused, mut why) = (0, 0, None);
    for name in &names {
        match adopt_one(ctx, db, name) {
            Ok(true) => adopted += 1,
            Ok(false) => {}
            Err(error) => {
                refused += 1;
                why = Some(error.text("pm.adopt").into_owned());
            }
        }
    }
    let went_on = JOB.with(|job| {
        job.progress.looked_at += names.len() as u64;
        job.progress.adopted += adopted;
        job.progress.refused += refused;
        job.progress.why = why.or(job.progress.why.take());
        if cursor == b"0" {
            job.dbs.pop_front();
        }
        job.cursor = cursor;
    });
    went_on.is_ok()
}

/// Keys that plain names would not find in the pool stay where they are.
fn adopt_one(ctx: &Ctx, db: i32, name: &[u8]) -> Result<bool, CmdError> {
    let is_wanted = SETTINGS.with(|settings| {
        let scope = settings.unprefixed.as_ref();
        scope.is_none_or(|scope| scope.has_database(db) && scope.has_name(name))
    });
    match is_wanted {
        Ok(true) => adopt(ctx, OwnedString::new(name).arg()),
        _ => Ok(false),
    }
}

fn end(ctx: &Ctx) {
    let Ok((progress, started)) = JOB.with(|job| {
        job.progress.running = false;
        (job.progress.clone(), job.started)
    }) else {
        return;
    };
    let seconds = started.map_or(0.0, |started| started.elapsed().as_secs_f64());
    let why = progress
        .why
        .map(|why| format!(": {why}"))
        .unwrap_or_default();
    report::notice(&format!(
        "{} native keys have become PM keys in {seconds:.1} s, {} could not{why}",
        progress.adopted, progress.refused
    ));
    if progress.adopted > 0 && !matches!(ctx.call(c"BGSAVE", &[]), Some(Reply::Text(_))) {
        report::warn(
            "no RDB could be made now: make one with BGSAVE, or the next start loads native keys from the old one that have been deleted since",
        );
    }
}
