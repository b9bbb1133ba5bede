//! Events of the server's latency monitor: `LATENCY LATEST`, `LATENCY HISTORY pm-check`.

use std::ffi::CStr;
use std::time::Instant;

use redis_module::raw as rm;

use super::{api, on_main_thread};

/// Work of the module while which nobody is served. The server hears of it when this is dropped,
/// and remembers what took as long as its `latency-monitor-threshold`.
pub struct Latency {
    event: &'static CStr,
    begun: Instant,
}

impl Latency {
    /// Begins an event of this name.
    pub fn of(event: &'static CStr) -> Latency {
        Latency {
            event,
            begun: Instant::now(),
        }
    }
}

impl Drop for Latency {
    fn drop(&mut self) {
        let millis = i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        if millis > 0 && on_main_thread() {
            // SAFETY: on the main thread, whose events these are; the name is a C string that the
            // server copies.
            unsafe { api(rm::RedisModule_LatencyAddSample)(self.event.as_ptr(), millis) };
        }
    }
}
