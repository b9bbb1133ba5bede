//! State of the module that lives on Redis's main thread.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

/// The main thread's id; 0 until the module is loaded.
static MAIN_THREAD: AtomicU64 = AtomicU64::new(0);

fn this_thread() -> u64 {
    // SAFETY: pthread_self has no preconditions.
    unsafe { libc::pthread_self() }
}

/// Declares the calling thread to be Redis's main thread.
pub(super) fn claim_main_thread() {
    MAIN_THREAD.store(this_thread(), Ordering::Relaxed);
}

/// Whether the caller runs on Redis's main thread. A fork child's only thread counts as such.
#[inline]
pub fn on_main_thread() -> bool {
    MAIN_THREAD.load(Ordering::Relaxed) == this_thread()
}

/// Why a [`MainCell`] did not give access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The caller is not on the main thread.
    OtherThread,
    /// The value is in use further up the stack: Redis called back into the module.
    Busy,
    /// No value is there yet, or not any more.
    Empty,
}

/// A value for a `static` that only the main thread reaches, and only one borrower at a time.
///
/// Redis calls back from within its own functions: `ModuleTypeSetValue` and `DeleteKey` run the
/// type's `unlink` and `free`, `NotifyKeyspaceEvent` runs subscribers. A borrow must therefore not
/// be held across such calls, or the callback finds the cell [`Refused::Busy`].
#[derive(Debug)]
pub struct MainCell<T>(RefCell<Option<T>>);

// SAFETY: each access first checks that it is on the one main thread, so the value and the
// RefCell's counter are never touched by two threads. A static is never dropped.
unsafe impl<T> Sync for MainCell<T> {}

impl<T> MainCell<T> {
    /// An empty cell.
    pub const fn empty() -> Self {
        Self(RefCell::new(None))
    }

    /// Puts a value in and returns the one that was there.
    pub fn replace(&self, value: Option<T>) -> Result<Option<T>, Refused> {
        self.slot(|slot| Ok(std::mem::replace(slot, value)))
    }

    /// Runs `f` with the value.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Result<R, Refused> {
        self.slot(|slot| slot.as_mut().map(f).ok_or(Refused::Empty))
    }

    #[inline]
    fn slot<R>(&self, f: impl FnOnce(&mut Option<T>) -> Result<R, Refused>) -> Result<R, Refused> {
        if !on_main_thread() {
            return Err(Refused::OtherThread);
        }
        let mut slot = self.0.try_borrow_mut().map_err(|_| Refused::Busy)?;
        f(&mut slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_one_borrower() {
        static CELL: MainCell<u32> = MainCell::empty();
        claim_main_thread();
        assert_eq!(CELL.with(|n| *n), Err(Refused::Empty));
        assert_eq!(CELL.replace(Some(1)), Ok(None));
        assert_eq!(
            CELL.with(|n| (*n, CELL.with(|n| *n))),
            Ok((1, Err(Refused::Busy)))
        );
        let elsewhere = std::thread::spawn(|| (on_main_thread(), CELL.with(|n| *n)));
        assert_eq!(
            elsewhere.join().unwrap(),
            (false, Err(Refused::OtherThread))
        );
        let panicked = std::panic::catch_unwind(|| CELL.with(|_| panic!("in a handler")));
        assert!(panicked.is_err());
        assert_eq!(CELL.with(|n| *n), Ok(1), "a panic releases the borrow");
    }
}
