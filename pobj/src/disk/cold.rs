//! Pages that are not in memory: whether reads wait for the disk, so that it is worth telling the
//! kernel what will be read next.
//!
//! Reading ahead takes a system call for each value, some microseconds; that is more than reading
//! one that is in memory, and far less than a read of the disk. So it is done only if reads have
//! waited for the disk recently, as the kernel counts it.

use std::time::{Duration, Instant};

/// For so long after a read has waited, others are expected to.
const AFTER: Duration = Duration::from_secs(1);

/// Whether reads of this thread wait for the disk.
#[derive(Debug, Default)]
pub(super) struct Cold {
    /// How often they have, when last looked at.
    waits: u64,
    until: Option<Instant>,
}

impl Cold {
    /// Of the calling thread, from now on.
    pub(super) fn new() -> Cold {
        Cold {
            waits: waits(),
            until: None,
        }
    }

    /// Looks whether reads have waited since the last look.
    pub(super) fn look(&mut self) {
        let waits = waits();
        if std::mem::replace(&mut self.waits, waits) != waits {
            self.until = Some(Instant::now() + AFTER);
        } else if self.until.is_some_and(|until| until < Instant::now()) {
            self.until = None;
        }
    }

    /// True if reads wait, as far as is known.
    #[inline]
    pub(super) fn waits(&self) -> bool {
        self.until.is_some()
    }
}

/// How often this thread has waited for a page to be read.
fn waits() -> u64 {
    // SAFETY: any bit pattern is such a value, and the call fills the one that it is given.
    let (failed, usage) = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        let failed = libc::getrusage(libc::RUSAGE_THREAD, &mut usage) != 0;
        (failed, usage)
    };
    if failed {
        0
    } else {
        u64::try_from(usage.ru_majflt).unwrap_or(0)
    }
}
