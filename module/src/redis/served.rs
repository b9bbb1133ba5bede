//! Clients that were served after they had waited, and that the server has yet to let go: it does
//! so before the event loop sleeps. Until then they wait on to the server, and CLIENT UNBLOCK would
//! get them a second reply.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Their numbers.
static SERVED: Mutex<Vec<u64>> = Mutex::new(Vec::new());
/// Whether there are some.
static ANY: AtomicBool = AtomicBool::new(false);

fn served() -> MutexGuard<'static, Vec<u64>> {
    SERVED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client has been served.
pub(super) fn note_served(client: u64) {
    served().push(client);
    ANY.store(true, Ordering::Relaxed);
}

/// The server has let a client go, served or not.
pub(super) fn forget_served(client: u64) {
    let mut served = served();
    served.retain(|&one| one != client);
    ANY.store(!served.is_empty(), Ordering::Relaxed);
}

/// Whether there are such clients. O(1), one load.
#[inline]
pub(super) fn any_served() -> bool {
    ANY.load(Ordering::Relaxed)
}

/// Whether this is one.
pub(super) fn was_served(client: u64) -> bool {
    served().contains(&client)
}
