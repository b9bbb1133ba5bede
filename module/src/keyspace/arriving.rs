//! Keys of hash slots that are being imported: their fields do not expire here.
//!
//! Until the slots are this node's, the node that gives them decides what expires, and sends that.
//! What it sends comes later than it was done: a field whose time has come here may have got
//! another time there, or a new value, which would be lost if it went meanwhile. So to commands of
//! the import all fields are there, and the background leaves them, as on a replica.

use super::{ENGINE, Engine};
use crate::redis::Arg;
use std::sync::atomic::{AtomicBool, Ordering};

/// Slots are being imported.
static IMPORTS: AtomicBool = AtomicBool::new(false);
/// The key that a command has opened last lies in one of them.
static ARRIVES: AtomicBool = AtomicBool::new(false);

/// A command opens a key.
#[inline]
pub(super) fn note_key(name: Arg<'_>) {
    if IMPORTS.load(Ordering::Relaxed) {
        look_at_key(name);
    }
}

#[cold]
fn look_at_key(name: Arg<'_>) {
    let arrives = ENGINE.with(|engine| engine.is_arriving(name.bytes()));
    ARRIVES.store(arrives == Ok(true), Ordering::Relaxed);
}

/// Whether the key that a command has opened last lies in a slot that is being imported, so that
/// none of its fields expires. O(1), one load.
#[inline]
pub fn arrives() -> bool {
    ARRIVES.load(Ordering::Relaxed)
}

/// Whether any slots are being imported. O(1), one load.
pub fn slots_arrive() -> bool {
    IMPORTS.load(Ordering::Relaxed)
}

impl Engine {
    /// What slots come may have changed.
    pub(super) fn note_arrivals(&mut self) {
        let imports = self.arrivals.are_coming();
        IMPORTS.store(imports, Ordering::Relaxed);
        if !imports {
            ARRIVES.store(false, Ordering::Relaxed);
        }
    }

    /// Whether a key lies in a slot that is being imported and is not this node's yet.
    ///
    /// The pool's marks do not tell: one stays as it is while the server is down, or has become a
    /// replica, whatever becomes of the import.
    pub(super) fn is_arriving(&self, key: &[u8]) -> bool {
        self.arrivals.is_coming(store::slot::of(key))
    }
}
