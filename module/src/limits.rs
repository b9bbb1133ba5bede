//! Limits that the server's configuration sets, kept up to date.

use crate::redis::{Ctx, Event, EventKind, Reply};
use std::sync::atomic::{AtomicU64, Ordering};

/// A number among the server's settings.
struct Limit {
    /// What CONFIG calls it.
    name: &'static str,
    value: AtomicU64,
}

impl Limit {
    /// A limit, and its value in a server that does not say otherwise.
    const fn new(name: &'static str, default: u64) -> Limit {
        Limit {
            name,
            value: AtomicU64::new(default),
        }
    }

    fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

static STRING_MAX: Limit = Limit::new("proto-max-bulk-len", 512 << 20);
static HLL_SPARSE_MAX: Limit = Limit::new("hll-sparse-max-bytes", 3000);

static LIMITS: [&Limit; 2] = [&STRING_MAX, &HLL_SPARSE_MAX];

/// The longest string in bytes: `proto-max-bulk-len`.
pub fn string_max() -> u64 {
    STRING_MAX.get()
}

/// The longest HyperLogLog in bytes that is sparse: `hll-sparse-max-bytes`.
pub fn hll_sparse_max() -> u64 {
    HLL_SPARSE_MAX.get()
}

/// Reads the limits, now and whenever the configuration changes. Only while the module is being
/// loaded.
pub fn watch(ctx: &Ctx) {
    read(ctx);
    ctx.subscribe(EventKind::Config, |ctx: &Ctx, _: Event| read(ctx));
}

fn read(ctx: &Ctx) {
    for limit in LIMITS {
        let reply = ctx.call(c"CONFIG", &[b"GET", limit.name.as_bytes()]);
        // A server whose CONFIG is renamed keeps the default.
        if let Some(Reply::Array(pair)) = reply
            && let Some(Reply::Text(text)) = pair.get(1)
            && let Some(value) = std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse().ok())
        {
            limit.value.store(value, Ordering::Relaxed);
        }
    }
}
