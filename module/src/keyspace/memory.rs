//! Memory that the pool's pages may take with `durability disk`: the setting that can change while
//! the server runs, and what is logged if the kernel does not keep to it.

use super::{Engine, apply};
use crate::SETTINGS;
use crate::report;

/// Has the limit of the settings count from here on.
pub(super) fn follow_settings() {
    if let Ok(limit) = SETTINGS.with(|settings| settings.memory_limit) {
        apply("a change of settings", |engine| {
            engine.store.pool.set_memory_limit(limit)
        });
    }
}

/// Whether the kernel takes changed pages back, as far as the log says.
#[derive(Default)]
pub(crate) struct Memory {
    refusal_is_logged: bool,
}

impl Engine {
    /// Logs when the kernel begins not to take pages back, and when it takes them again.
    pub(super) fn tell_of_memory(&mut self) {
        let refused = self.store.pool.not_given_back();
        if refused.is_some() == self.memory.refusal_is_logged {
            return;
        }
        self.memory.refusal_is_logged = refused.is_some();
        match refused {
            Some(why) => {
                report::failure("changed pages of the pool take more than memory-limit", why)
            }
            None => report::notice("changed pages of the pool are given back to the kernel again"),
        }
    }
}
