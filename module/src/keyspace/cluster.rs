//! In a cluster: keys whose hash slot is not this node's.
//!
//! Slots may have gone to another node, or to none, while the server was down. Such keys stay: in the
//! pool, and in the keyspace, where no client reaches them, until the slot comes back or the keys are
//! moved (CLUSTER GETKEYSINSLOT, MIGRATE). When Redis itself drops the keys of a slot that it loses, they
//! go from the pool as well.

use crate::redis::{Ctx, Level, Reply, log};

/// Hash slots of a cluster.
const SLOTS: usize = 16384;

/// Logs how many keys lie in slots of others. About 10 ms; nothing on a server that is not a cluster's
/// master.
pub(super) fn report_foreign_slots(ctx: &Ctx) {
    let flags = ctx.flags();
    if !flags.cluster() || !flags.master() {
        return;
    }
    let Some(own) = own_slots(ctx) else { return };
    let (mut slots, mut keys) = (0, 0);
    for slot in (0..SLOTS).filter(|&slot| !own[slot]) {
        let slot = slot.to_string();
        let count = ctx.call(c"CLUSTER", &[b"COUNTKEYSINSLOT", slot.as_bytes()]);
        if let Some(Reply::Integer(count @ 1..)) = count {
            slots += 1;
            keys += count;
        }
    }
    if keys > 0 {
        log(
            Level::Warning,
            &format!(
                "{keys} keys lie in {slots} hash slots that are not this node's; they stay, out of \
                 clients' reach, until it gets the slots or the keys are migrated"
            ),
        );
    }
}

/// Which slots this node serves; `None` if the server does not tell as expected.
fn own_slots(ctx: &Ctx) -> Option<Vec<bool>> {
    let Reply::Text(id) = ctx.call(c"CLUSTER", &[b"MYID"])? else {
        return None;
    };
    let Reply::Array(ranges) = ctx.call(c"CLUSTER", &[b"SLOTS"])? else {
        return None;
    };
    let mut own = vec![false; SLOTS];
    for range in &ranges {
        // First slot, last slot, the master (address, port, id, ...), its replicas.
        let Reply::Array(range) = range else {
            return None;
        };
        let [
            Reply::Integer(first),
            Reply::Integer(last),
            Reply::Array(master),
            ..,
        ] = &range[..]
        else {
            return None;
        };
        if matches!(master.get(2), Some(Reply::Text(of)) if *of == id) {
            let (first, last) = (usize::try_from(*first).ok()?, usize::try_from(*last).ok()?);
            own.get_mut(first..=last)?.fill(true);
        }
    }
    Some(own)
}
