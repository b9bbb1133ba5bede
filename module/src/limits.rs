//! Limits that the server's configuration sets, kept up to date.

use crate::redis::{Ctx, Event, EventKind, Reply};
use std::sync::atomic::{AtomicU64, Ordering};

/// `proto-max-bulk-len` of a server that does not say otherwise.
static STRING_MAX: AtomicU64 = AtomicU64::new(512 << 20);

/// The longest string in bytes: `proto-max-bulk-len`.
pub fn string_max() -> u64 {
    STRING_MAX.load(Ordering::Relaxed)
}

/// Reads the limits, now and whenever the configuration changes. Only while the module is being
/// loaded.
pub fn watch(ctx: &Ctx) {
    read(ctx);
    ctx.subscribe(EventKind::Config, |ctx: &Ctx, _: Event| read(ctx));
}

fn read(ctx: &Ctx) {
    let reply = ctx.call(c"CONFIG", &[b"GET", b"proto-max-bulk-len"]);
    // A server whose CONFIG is renamed keeps the default.
    if let Some(Reply::Array(pair)) = reply
        && let Some(Reply::Text(text)) = pair.get(1)
        && let Some(max) = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
    {
        STRING_MAX.store(max, Ordering::Relaxed);
    }
}
