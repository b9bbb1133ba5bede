//! Recording a program of its own, such as a server, with `libpowercut.so` preloaded.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Recording;
use crate::preload::{POOL_VARIABLE, TRACE_VARIABLE};
use crate::recording::Step;
use crate::trace::{self, Event};

/// Records what programs do to one pool, from this process, which drives them.
pub struct ProgramRecorder {
    pool: PathBuf,
    trace: PathBuf,
    base: Option<Vec<u8>>,
    steps: Vec<Begun>,
}

/// A step, and what acknowledges it.
struct Begun {
    at: u64,
    acknowledged: Acknowledgement,
}

enum Acknowledgement {
    /// The end of the trace when it was known to the driver.
    Position(u64),
    /// The program has sent a byte of this number (from 0) to its peer at this port.
    Sent(Told),
}

/// What acknowledges a step: the first byte of its reply.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// The driver's port.
    pub port: u16,
    /// How many bytes the program had sent to that port before the reply.
    pub before: u64,
}

impl ProgramRecorder {
    /// For a program that will open the pool file `pool`, or create it if it is not there; the file
    /// `trace` is written meanwhile. Both should be on tmpfs.
    pub fn new(pool: &Path, trace: &Path) -> io::Result<ProgramRecorder> {
        let base = pool.exists().then(|| fs::read(pool)).transpose()?;
        Ok(ProgramRecorder {
            pool: pool.into(),
            trace: trace.into(),
            base,
            steps: vec![],
        })
    }

    /// The pool.
    pub fn pool(&self) -> &Path {
        &self.pool
    }

    /// The environment to start the program with; `library` is the path of `libpowercut.so`.
    ///
    /// libpmemobj must take the pool for persistent memory, or its flushes are not seen as such.
    pub fn environment(&self, library: &Path) -> [(&'static str, OsString); 4] {
        [
            ("LD_PRELOAD", library.into()),
            ("PMEM_IS_PMEM_FORCE", "1".into()),
            (POOL_VARIABLE, self.pool.clone().into()),
            (TRACE_VARIABLE, self.trace.clone().into()),
        ]
    }

    /// Has the program do an operation; when `operation` returns, the program has acknowledged it.
    pub fn step<T>(&mut self, operation: impl FnOnce() -> T) -> T {
        let at = self.position();
        let result = operation();
        self.steps.push(Begun {
            at,
            acknowledged: Acknowledgement::Position(self.position()),
        });
        result
    }

    /// Has the program do an operation that it tells of over a connection: it is acknowledged when
    /// the program sends the first byte of its reply, whether the driver has read that or not. What
    /// that byte is the operation says.
    ///
    /// # Errors
    /// Those of `operation`; there is no step then.
    pub fn conversation<E>(
        &mut self,
        operation: impl FnOnce() -> Result<Told, E>,
    ) -> Result<(), E> {
        let at = self.position();
        let acknowledged = Acknowledgement::Sent(operation()?);
        self.steps.push(Begun { at, acknowledged });
        Ok(())
    }

    /// How many bytes the program has sent to its peer at this port. Reads the whole trace.
    pub fn sent_to(&self, port: u16) -> io::Result<u64> {
        let trace = fs::read(&self.trace)?;
        Ok(sent(&trace, port).map(|(_, bytes)| bytes).sum())
    }

    /// The end of the trace. It grows at fences and when something is sent; what happens between
    /// may be lost in a cut anyway, so it does not matter that this is a fence's position.
    fn position(&self) -> u64 {
        fs::metadata(&self.trace).map_or(0, |metadata| metadata.len())
    }

    /// The recording, after the program has ended, whichever way.
    ///
    /// # Panics
    /// If the program never sent what acknowledges a step.
    pub fn finish(self) -> io::Result<Recording> {
        let base = match self.base {
            Some(base) => base,
            None => vec![0; fs::metadata(&self.pool)?.len() as usize],
        };
        let trace = fs::read(&self.trace)?;
        let mut steps: Vec<Step> = self
            .steps
            .iter()
            .map(|step| Step {
                begun: step.at,
                acknowledged: match step.acknowledged {
                    Acknowledgement::Position(position) => position,
                    Acknowledgement::Sent(told) => sent_at(&trace, told),
                },
            })
            .collect();
        // Whoever is told of a step knows that those before it were done.
        let mut next = u64::MAX;
        for step in steps.iter_mut().rev() {
            next = next.min(step.acknowledged);
            step.acknowledged = next;
        }
        Ok(Recording {
            base,
            parts: None,
            trace,
            steps,
        })
    }
}

/// What the program has sent to a port: where in the trace, and how many bytes.
fn sent(trace: &[u8], port: u16) -> impl Iterator<Item = (usize, u64)> {
    trace::events(trace).filter_map(move |(position, event)| match event {
        Event::Sent(to, bytes) if to == port => Some((position, bytes.into())),
        _ => None,
    })
}

/// Where in the trace the program sends a byte.
fn sent_at(trace: &[u8], told: Told) -> u64 {
    let mut before = 0;
    for (position, bytes) in sent(trace, told.port) {
        before += bytes;
        if before > told.before {
            return position as u64;
        }
    }
    panic!("the program has sent {before} bytes, and nothing of {told:?}");
}
