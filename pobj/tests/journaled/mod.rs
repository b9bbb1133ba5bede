//! What the tests of pools on a disk share: a pool that goes through steps, of which each can be
//! judged.

use crate::common::{DATA, LAYOUT};
use fastrand::Rng;
use pobj::{Durability, PPtr, Pool, PoolOptions};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub(crate) const POOL: u64 = 8 << 20;
pub(crate) const JOURNAL: u64 = 1 << 20;
/// Objects that hang from the user words.
const OBJECTS: usize = 24;
/// Where a step's number is.
const STEP: usize = 100;

/// A directory on tmpfs for a pool and its journal.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Place {
        let directory = tempfile::Builder::new()
            .prefix("pobj-disk-")
            .tempdir_in("/dev/shm");
        Place(directory.expect("tmpfs is mounted"))
    }

    pub(crate) fn directory(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn pool(&self) -> PathBuf {
        self.0.path().join("test.pool")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.0.path().join("test.pool.journal")
    }

    pub(crate) fn options(&self) -> PoolOptions {
        PoolOptions::new(self.pool(), &LAYOUT)
            .durability(Durability::Disk)
            .size(POOL)
            .journal(JOURNAL)
    }

    pub(crate) fn open(&self) -> Pool {
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
pub(crate) type State = [u64; OBJECTS];

/// Changes some objects in one transaction, or in a group of several.
pub(crate) fn step(pool: &mut Pool, state: &mut State, step: u64) {
    let mut rng = Rng::with_seed(step);
    let is_group = rng.u8(..4) == 0;
    if is_group {
        pool.begin_group();
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
        let new = tx.alloc(bytes.len() as u64, DATA).unwrap();
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
        pool.end_group().unwrap();
    }
}

/// The states after each step, from the one before the first.
pub(crate) fn states(steps: u64) -> Vec<State> {
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
pub(crate) fn judge(pool: &Pool, states: &[State]) -> Result<u64, String> {
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
    if pool.usage().used == bytes_used {
        Ok(step)
    } else {
        Err(format!(
            "{} bytes are in use, {bytes_used} are reachable",
            pool.usage().used
        ))
    }
}

/// Runs steps, without an end that is told to the pool.
pub(crate) fn run(place: &Place, steps: std::ops::RangeInclusive<u64>) -> State {
    let mut pool = place.open();
    let mut state = states(steps.start() - 1).pop().unwrap();
    for number in steps {
        step(&mut pool, &mut state, number);
    }
    state
}

/// The records in a journal's bytes, and what is left of older ones, in order: where they are, and
/// their positions.
pub(crate) fn records(journal: &[u8]) -> Vec<(usize, u64)> {
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
