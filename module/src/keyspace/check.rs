//! PM.CHECK of all keys, a part at a time, so that clients can be served in between.
//!
//! A look at all keys is a walk over the pool's records. Records that move would be met twice or
//! not at all; so compaction does not continue its round by itself meanwhile, and if it was needed
//! for a command that found no room, the walk begins anew.

use super::{Engine, with_engine};
use crate::error::CmdError;
use crate::redis::Latency;
use crate::report;
use store::check::Walk;

/// Damaged keys that are named.
const NAMED_MAX: usize = 100;
/// So often a walk begins, at most.
const STARTS_MAX: u32 = 10;

/// What a look at all keys has found.
#[derive(Debug, Default)]
pub struct Report {
    /// Keys whose record and value are sound.
    pub sound: u64,
    /// Keys whose record or value is damaged.
    pub damaged: u64,
    /// The names of the first hundred of these; empty for one that cannot be read.
    pub names: Vec<Vec<u8>>,
}

/// A look at all keys that is under way.
#[derive(Debug)]
pub struct Look {
    walk: Walk,
    names: Vec<Vec<u8>>,
    /// Records that compaction had moved when the walk began.
    moved: u64,
    starts: u32,
}

impl Look {
    /// Begins one, which has to be [ended](Look::end).
    pub fn begin() -> Result<Look, CmdError> {
        with_engine(|engine| {
            engine.checks += 1;
            Ok(Look {
                walk: engine.store.begin_check(),
                names: Vec::new(),
                moved: engine.records_moved(),
                starts: 1,
            })
        })
    }

    /// Looks at keys until `is_enough` says so after one of them; whether it was the last.
    ///
    /// # Errors
    /// Records were moved again and again.
    pub fn go_on(&mut self, is_enough: impl FnMut() -> bool) -> Result<bool, CmdError> {
        with_engine(|engine| {
            if self.moved != engine.records_moved() {
                self.begin_anew(engine)?;
            }
            let names = &mut self.names;
            let tell = |name: &[u8], error: &pobj::Error| {
                if names.len() < NAMED_MAX {
                    if name.is_empty() {
                        report::failure("a look at all keys has found damage", error);
                    }
                    names.push(name.to_vec());
                }
            };
            Ok(engine.store.check_some(&mut self.walk, is_enough, tell))
        })
    }

    fn begin_anew(&mut self, engine: &Engine) -> Result<(), CmdError> {
        if self.starts == STARTS_MAX {
            return Err(CmdError::text_only(
                "ERR records were moved meanwhile, as commands found no room: try again",
            ));
        }
        self.starts += 1;
        self.names.clear();
        (self.walk, self.moved) = (engine.store.begin_check(), engine.records_moved());
        Ok(())
    }

    /// Ends it: what it has found.
    pub fn end(self) -> Result<Report, CmdError> {
        with_engine(|engine| {
            engine.checks = engine.checks.saturating_sub(1);
            Ok(())
        })?;
        Ok(Report {
            sound: self.walk.found.sound,
            damaged: self.walk.found.damaged,
            names: self.names,
        })
    }
}

/// Looks at all keys of the pool at once, while which nobody is served. O(pool).
pub fn check_all() -> Result<Report, CmdError> {
    let _latency = Latency::of(c"pm-check");
    let mut look = Look::begin()?;
    let done = look.go_on(|| false);
    let report = look.end()?;
    done.map(|_| report)
}

/// Looks at the value whose record is at `addr`, to its last element. O(n).
///
/// # Errors
/// What is damaged.
pub fn check_value(addr: usize) -> Result<(), CmdError> {
    let _latency = Latency::of(c"pm-check");
    with_engine(|engine| {
        let record = engine.record_at(addr).ok_or(super::key::LOADING)?;
        Ok(engine.store.check_value(record)?)
    })
}
