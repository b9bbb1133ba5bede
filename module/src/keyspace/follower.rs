//! A replica whose pool has no room for what its master sends.
//!
//! It must not go on: it would acknowledge an offset of the replication stream that its pool does
//! not have, and could be promoted with it. It cannot ask for a full sync either, which would only
//! fail again, as fast as the network allows. So the server ends, and its log says why.

use super::Engine;
use crate::redis::server_flags;
use std::time::Duration;

/// When memory is reclaimed before a change, rather than in the background.
struct Urgency {
    /// If less than this fraction of the pool is free.
    below: u64,
    /// How long at most.
    budget: Duration,
}

/// For clients, who can be told that the pool is full.
const SERVING: Urgency = Urgency {
    below: 8,
    budget: Duration::from_millis(2),
};

/// To follow a master, or to load a file, which cannot be told: what was there before goes first.
const FOLLOWING: Urgency = Urgency {
    below: 2,
    budget: Duration::from_secs(60),
};

/// True if nobody but the master changes keys here.
pub(super) fn follows() -> bool {
    let flags = server_flags();
    flags.replica() && flags.read_only()
}

impl Engine {
    /// Reclaims memory before a change, if little is left and there is some to reclaim.
    pub(super) fn make_room(&mut self) {
        let usage = self.store.pool.usage();
        let is_urgent =
            |urgency: &Urgency| usage.size.saturating_sub(usage.used) < usage.size / urgency.below;
        if !self.store.has_garbage() || !is_urgent(&FOLLOWING) {
            return;
        }
        if server_flags().loading() || follows() {
            self.reclaim(FOLLOWING.budget);
        } else if is_urgent(&SERVING) {
            self.reclaim(SERVING.budget);
        }
    }
}
