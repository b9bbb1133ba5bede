//! What a commit survives, and from when on; and how libpmem is told.

use crate::error::{Error, Result};
use pmdk_bindings::Libpmemobj;
use std::ffi::CStr;
use std::fmt;
use std::sync::OnceLock;

/// What a committed change survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Durability {
    /// Power loss, by what the file is on: [`Durability::Pmem`] on persistent memory,
    /// [`Durability::Disk`] elsewhere. [`Pool::durability`](crate::Pool::durability) tells which.
    #[default]
    Auto,
    /// Power loss, by flush and fence on real persistent memory (a DAX file system). A file that is
    /// not persistent memory is refused, unless `PMEM_IS_PMEM_FORCE=1` is in the environment.
    Pmem,
    /// Power loss on any file system, by a journal beside the pool's file: see `disk`.
    Disk,
    /// A crash or kill of the process, not of the machine. No flush at all.
    Process,
}

/// From when on a commit is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CommitMode {
    /// When [`Tx::commit`](crate::Tx::commit) returns.
    #[default]
    Immediate,
    /// Later: its fence is left to the next access of the pool, by when the processor has mostly
    /// done what a fence waits for; its record, with a journal, to [`Pool::sync`]. Whoever
    /// acknowledges a change calls that before.
    ///
    /// [`Pool::sync`]: crate::Pool::sync
    Deferred,
}

impl Durability {
    /// The word used in settings and messages.
    pub fn name(self) -> &'static str {
        match self {
            Durability::Auto => "auto",
            Durability::Pmem => "pmem",
            Durability::Disk => "disk",
            Durability::Process => "process",
        }
    }

    /// The durability called `name`, in any case.
    pub fn from_name(name: &str) -> Option<Durability> {
        [
            Durability::Auto,
            Durability::Pmem,
            Durability::Disk,
            Durability::Process,
        ]
        .into_iter()
        .find(|durability| durability.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// True if the environment makes every file count as persistent memory (PMDK's own switch).
pub fn is_forced() -> bool {
    std::env::var_os("PMEM_IS_PMEM_FORCE").is_some_and(|value| value == "1")
}

/// Loads libpmemobj for this durability, which is not `Auto` any more. The first call of the
/// process decides: libpmem reads its switches once.
pub(crate) fn load(durability: Durability) -> Result<&'static Libpmemobj> {
    static CHOSEN: OnceLock<Durability> = OnceLock::new();
    let chosen = *CHOSEN.get_or_init(|| {
        match durability {
            Durability::Auto | Durability::Pmem => {}
            Durability::Disk | Durability::Process => {
                set(c"PMEM_IS_PMEM_FORCE", c"1");
                set(c"PMEM_NO_FLUSH", c"1");
            }
        }
        durability
    });
    if chosen != durability {
        return Err(Error::Library(format!(
            "this process already uses durability {chosen}"
        )));
    }
    pmdk_bindings::load().map_err(|error| Error::Library(error.to_string()))
}

fn set(name: &CStr, value: &CStr) {
    // SAFETY: both are terminated strings, which setenv copies. It races only with threads that use
    // the environment at this moment; a server loads its modules before it has any that do.
    unsafe { libc::setenv(name.as_ptr(), value.as_ptr(), 1) };
}
