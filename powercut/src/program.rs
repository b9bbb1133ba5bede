//! Recording a program of its own, such as a server, with `libpowercut.so` preloaded.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Recording;
use crate::interpose::{POOL_VARIABLE, TRACE_VARIABLE};
use crate::recording::Step;

/// Records what programs do to one pool, from this process, which drives them.
pub struct ProgramRecorder {
    pool: PathBuf,
    trace: PathBuf,
    base: Option<Vec<u8>>,
    steps: Vec<Step>,
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
        let begun = self.position();
        let result = operation();
        self.steps.push(Step {
            begun,
            acknowledged: self.position(),
        });
        result
    }

    /// The end of the trace. It grows at fences, and what happens between them may be lost in a cut
    /// anyway, so it does not matter that this is a fence's position.
    fn position(&self) -> u64 {
        fs::metadata(&self.trace).map_or(0, |metadata| metadata.len())
    }

    /// The recording, after the program has ended, whichever way.
    pub fn finish(self) -> io::Result<Recording> {
        let base = match self.base {
            Some(base) => base,
            None => vec![0; fs::metadata(&self.pool)?.len() as usize],
        };
        Ok(Recording {
            base,
            trace: fs::read(&self.trace)?,
            steps: self.steps,
        })
    }
}
