//! A full pool as a cache: PM keys are evicted for what is written, as the server's
//! `maxmemory-policy` says.
//!
//! The server evicts for its memory; this is the same for the pool. Keys are sampled as the server
//! does it: from each database some at random (`maxmemory-samples`), of which the best are kept
//! with the best of earlier samples, and the very best goes. The eviction is announced as the
//! server does it: DEL to the replicas, WATCH and tracking, the event `evicted`. It happens when a
//! command finds no room, just before that is tried again, and a few times a second if hardly any
//! room is left, so that EXEC and scripts find some: what goes within these is free only when they
//! have ended.

use super::{ENGINE, apply, dbs_with_keys};
use crate::limits::{self, Policy};
use crate::redis::{Class, Ctx, Key, Kind, MainCell, Mode, OwnedString, spares_replicas};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many keys go at least before the command is tried again.
const BATCH: usize = 8;
/// How long what they held is reclaimed at a time.
const RECLAIM_SLICE: Duration = Duration::from_millis(1);
/// Candidates that are kept from one sample to the next.
const KEPT: usize = 16;
/// How many random keys are drawn for each that is wanted, as some are native ones or never expire.
const DRAWS: usize = 20;
/// Keys that a step of a walk looks at, if none was drawn.
const STEP: &[u8] = b"1000";
/// The share of the pool below which keys are evicted ahead of need, and how long that may take
/// each time.
const SCARCE: u64 = 64;
const EARLY: Duration = Duration::from_millis(1);

/// Keys that were evicted since the start.
static EVICTED: AtomicU64 = AtomicU64::new(0);

/// A key that may go: the higher its score, the sooner.
#[derive(Debug)]
struct Candidate {
    score: u64,
    db: i32,
    name: Vec<u8>,
}

#[derive(Debug, Default)]
struct Sampled {
    /// Ascending by score.
    candidates: Vec<Candidate>,
    policy: Policy,
    /// Where the walk stands that looks for keys if none was drawn.
    walk: (i32, Vec<u8>),
}

static SAMPLED: MainCell<Sampled> = MainCell::empty();

/// How many keys were evicted since the start.
pub fn evicted() -> u64 {
    EVICTED.load(Ordering::Relaxed)
}

/// Evicts some keys, if the policy lets them go: as many as hold so many bytes, within `budget`.
/// What has gone gives its room back before more goes. False if nothing was gained.
pub(super) fn evict(ctx: &Ctx, bytes: u64, budget: Duration) -> bool {
    let start = Instant::now();
    let unused = || ENGINE.with(|engine| engine.store.pool.usage().unused());
    let reclaims = || ENGINE.with(|engine| engine.reclaim_gains(RECLAIM_SLICE)) == Ok(true);
    let Ok(before) = unused() else { return false };
    let mut is_gained = false;
    while may_evict(ctx) && (reclaims() || evict_some(ctx, BATCH) > 0) {
        is_gained = true;
        let gained = unused().map_or(0, |now| now.saturating_sub(before));
        if gained >= bytes || start.elapsed() >= budget {
            break;
        }
    }
    is_gained
}

/// Evicts some keys ahead of need, if there is hardly any room.
pub(super) fn evict_early(ctx: &Ctx) {
    let start = Instant::now();
    while is_scarce() && start.elapsed() < EARLY && may_evict(ctx) {
        if evict_some(ctx, BATCH) == 0 {
            return;
        }
    }
}

fn is_scarce() -> bool {
    let scarce = ENGINE.with(|engine| {
        let usage = engine.store.pool.usage();
        !engine.may_grow() && usage.unused() < usage.size / SCARCE
    });
    scarce == Ok(true)
}

/// Whether keys may go now. A replica's go with its master's.
pub(super) fn may_evict(ctx: &Ctx) -> bool {
    let waits = ENGINE.with(|engine| {
        let pool = &engine.store.pool;
        pool.in_group() || pool.failure().is_some() || !engine.life.shows_keys()
    });
    limits::policy() != Policy::Never
        && waits == Ok(false)
        && ctx.flags().master()
        && !ctx.flags().loading()
        && !spares_replicas()
}

fn evict_some(ctx: &Ctx, count: usize) -> usize {
    let _home = ctx.keep_db();
    let mut sampled = match SAMPLED.replace(None) {
        Ok(sampled) => sampled.unwrap_or_default(),
        Err(_) => return 0,
    };
    let policy = limits::policy();
    if sampled.policy != policy {
        sampled.candidates.clear();
        sampled.policy = policy;
    }
    let gone = (0..count).take_while(|_| sampled.evict_one(ctx)).count();
    let _ = SAMPLED.replace(Some(sampled));
    apply("reclaiming", |engine| engine.reclaim(RECLAIM_SLICE));
    gone
}

impl Sampled {
    fn evict_one(&mut self, ctx: &Ctx) -> bool {
        let dbs = dbs_with_keys().unwrap_or_default();
        for &(db, _) in &dbs {
            if ctx.select_db(db) {
                self.sample(ctx, db);
            }
        }
        if self.candidates.is_empty() {
            self.walk_on(ctx, &dbs);
        }
        while let Some(best) = self.candidates.pop() {
            if ctx.select_db(best.db) && self.remove(ctx, &best) {
                return true;
            }
        }
        false
    }

    /// Draws some keys of the selected database.
    fn sample(&mut self, ctx: &Ctx, db: i32) {
        let mut left = limits::samples();
        for _ in 0..DRAWS * left {
            let Some(name) = ctx.random_key() else { return };
            left -= usize::from(self.consider(ctx, db, &name));
            if left == 0 {
                return;
            }
        }
    }

    /// Looks for keys one after the other, for a step, where those that may go are too rare to be
    /// drawn.
    fn walk_on(&mut self, ctx: &Ctx, dbs: &[(i32, u64)]) {
        let (mut db, mut cursor) = std::mem::take(&mut self.walk);
        if cursor.is_empty() || !dbs.iter().any(|&(other, _)| other == db) {
            let next = dbs.iter().find(|&&(other, _)| other > db).or(dbs.first());
            let Some(&(next, _)) = next else { return };
            (db, cursor) = (next, b"0".to_vec());
        }
        ctx.select_db(db);
        let Some((next, names)) = ctx.scan_step(&[&cursor, b"COUNT", STEP]) else {
            return;
        };
        for name in names {
            self.consider(ctx, db, &OwnedString::new(&name));
        }
        self.walk = (db, if next == b"0" { Vec::new() } else { next });
    }

    /// Whether a key may go; it is a candidate then, if it is good enough.
    fn consider(&mut self, ctx: &Ctx, db: i32, name: &OwnedString) -> bool {
        let key = ctx.open(name.arg(), Mode::Peek);
        let Some(score) = self.score(&key) else {
            return false;
        };
        let bytes = name.arg().bytes();
        let known = |other: &Candidate| other.db == db && other.name == bytes;
        if self.candidates.iter().any(known) {
            return true;
        }
        let at = self.candidates.partition_point(|other| other.score < score);
        self.candidates.insert(
            at,
            Candidate {
                score,
                db,
                name: bytes.to_vec(),
            },
        );
        if self.candidates.len() > KEPT {
            self.candidates.remove(0);
        }
        true
    }

    /// How soon a key is to go; `None` if never.
    fn score(&self, key: &Key<'_>) -> Option<u64> {
        let Kind::Pm(..) = key.kind() else {
            return None;
        };
        let expire_at = key.expire_at_ms();
        if self.policy.is_volatile() && expire_at.is_none() {
            return None;
        }
        Some(match self.policy {
            Policy::Never => return None,
            Policy::AllLru | Policy::VolatileLru => key.idle_ms().unwrap_or(0),
            Policy::AllLfu | Policy::VolatileLfu => {
                u64::from(u8::MAX) - key.frequency().unwrap_or(0)
            }
            Policy::AllRandom | Policy::VolatileRandom => fastrand::u64(..),
            Policy::VolatileTtl => u64::MAX - expire_at.unwrap_or(i64::MAX).max(0) as u64,
        })
    }

    /// Removes a candidate, if it is still one.
    fn remove(&self, ctx: &Ctx, candidate: &Candidate) -> bool {
        let name = OwnedString::new(&candidate.name);
        let mut key = ctx.open(name.arg(), Mode::Quiet);
        if self.score(&key).is_none() {
            return false;
        }
        ctx.replicate(limits::evicting_command(), &[name.arg()]);
        key.delete();
        key.signal_modified();
        drop(key);
        ctx.notify(Class::EVICTED, c"evicted", name.arg());
        EVICTED.fetch_add(1, Ordering::Relaxed);
        true
    }
}
