//! Connections that have asked for the data and not got all of it: replicas before a full sync, and
//! during it.
//!
//! A file for them has to carry values, and a module is not told what a file is for. But each such
//! connection has sent SYNC or PSYNC, over whatever channel the data then goes (the same
//! connection, or one of its own for the RDB), and a replica that has loaded the data confirms each
//! second what it has got (REPLCONF ACK). So a connection between the two is waiting. One that has
//! ended is not.

use super::clients::{ClientId, is_connected};
use super::{Ctx, FilterArgs, MainCell, Reply, replication};
use std::sync::atomic::{AtomicBool, Ordering};

/// Those that wait, as far as is known.
static WAITING: MainCell<Vec<ClientId>> = MainCell::empty();

/// SYNC or PSYNC is about to run.
pub fn sync_begins(args: &FilterArgs<'_>) {
    let Some(client) = args.client() else { return };
    change(|waiting| {
        waiting.retain(|&other| other != client && is_connected(other));
        waiting.push(client);
    });
}

/// REPLCONF is about to run.
pub fn sync_may_end(args: &FilterArgs<'_>) {
    let word = args.get(1).map(|word| word.bytes());
    if !word.is_some_and(|word| word.eq_ignore_ascii_case(b"ack")) {
        return;
    }
    if let Some(client) = args.client() {
        change(|waiting| waiting.retain(|&other| other != client));
    }
}

fn change(change: impl FnOnce(&mut Vec<ClientId>)) {
    // Busy it cannot be: nothing in here calls back.
    if WAITING.with(|_| ()).is_err() {
        let _ = WAITING.replace(Some(Vec::new()));
    }
    let _ = WAITING.with(change);
}

/// The server's setting by which what replicas get is sent as it is made, and is never a file here.
const DISKLESS: &str = "repl-diskless-sync";
static SYNCS_WITHOUT_DISK: AtomicBool = AtomicBool::new(true);

/// Whether what replicas get is sent as it is made, as [`learn_how_to_sync`] has learned. In doubt,
/// yes.
pub fn syncs_without_disk() -> bool {
    SYNCS_WITHOUT_DISK.load(Ordering::Relaxed)
}

/// Asks how replicas get the data; if `by_disk`, has a file be made of it from now on. Whether that
/// was another way before. Where the configuration may be asked for.
pub fn learn_how_to_sync(ctx: &Ctx, by_disk: bool) -> bool {
    let is_by_disk = ctx.setting(DISKLESS).is_some_and(|text| text == b"no");
    let changes = by_disk
        && !is_by_disk
        && matches!(
            ctx.call(c"CONFIG", &[b"SET", DISKLESS.as_bytes(), b"no"]),
            Some(Reply::Text(_))
        );
    SYNCS_WITHOUT_DISK.store(!is_by_disk && !changes, Ordering::Relaxed);
    changes
}

/// Whether somebody waits for the data, be it what is about to be written. In doubt, yes.
pub fn somebody_syncs(ctx: &Ctx) -> bool {
    let waits = WAITING.with(|waiting| waiting.iter().any(|&client| is_connected(client)));
    // Redis 7.0 does not say whose commands they are, but names each replica, and what it waits
    // for.
    waits == Ok(true) || replication::replica_waits(ctx)
}
