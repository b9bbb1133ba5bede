//! Where the server is in its life, as far as the pool's keys are concerned.
//!
//! ```text
//! Starting ── loads into a new pool ──► TakingOver
//!    │ ▲─────────── has all of it ──────────┘
//!    │
//!  fills its keyspace
//!    ▼
//! Serving ─── loads, mostly of a full sync ──► Syncing ─── has all of it ──► Serving
//!    │
//!  DEBUG RELOAD comes
//!    ▼
//! ReloadAsked ─── empties the keyspace ──► Reloading ─── fills it again ──► Serving
//! ```

/// What the keyspace shows, and what a file that is loaded means to the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Life {
    /// No key of the pool is shown yet; the pool is the truth, and what files say of PM keys is
    /// passed over.
    #[default]
    Starting,
    /// As [`Life::Starting`], but the pool had no keys: it takes those of the file.
    TakingOver,
    /// The keyspace shows the pool's keys, or as many as were asked for while it is being filled.
    Serving,
    /// As [`Life::Serving`], and the pool takes the keys of what is loaded.
    Syncing,
    /// As [`Life::Serving`], and a command is about to empty the keyspace and to load a file; the
    /// pool keeps its keys.
    ReloadAsked,
    /// That command has emptied the keyspace, which shows no key of the pool until it is filled.
    Reloading,
}

impl Life {
    /// The keyspace shows the pool's keys, and commands of ours are served.
    #[inline]
    pub(crate) fn shows_keys(self) -> bool {
        matches!(self, Life::Serving | Life::Syncing | Life::ReloadAsked)
    }

    /// The pool takes the keys that are loaded.
    pub(super) fn takes_over(self) -> bool {
        matches!(self, Life::TakingOver | Life::Syncing)
    }

    /// A command empties the keyspace, and the pool keeps its keys.
    #[inline]
    pub(super) fn reloads(self) -> bool {
        matches!(self, Life::ReloadAsked | Life::Reloading)
    }

    /// The pool takes what is loaded from here on.
    pub(super) fn begin_take_over(&mut self) {
        *self = match *self {
            Life::Starting => Life::TakingOver,
            Life::Serving => Life::Syncing,
            other => other,
        };
    }

    /// The pool has all that it was to take, or all that will come.
    pub(super) fn end_take_over(&mut self) {
        *self = match *self {
            Life::TakingOver => Life::Starting,
            Life::Syncing => Life::Serving,
            other => other,
        };
    }

    /// A command comes that reloads, or one that does not.
    pub(super) fn ask_reload(&mut self, reloads: bool) {
        *self = match (*self, reloads) {
            (Life::Serving | Life::Syncing, true) => Life::ReloadAsked,
            (Life::ReloadAsked, false) => Life::Serving,
            (other, _) => other,
        };
    }

    /// The keyspace is being emptied, and is to be filled again.
    pub(super) fn hide(&mut self) {
        *self = Life::Reloading;
    }

    /// The command that reloads has ended.
    pub(super) fn end_reload(&mut self) {
        *self = match *self {
            Life::ReloadAsked => Life::Serving,
            Life::Reloading => Life::Starting,
            other => other,
        };
    }

    /// The pool was surveyed: its keys can be shown.
    pub(super) fn serve(&mut self) {
        *self = match *self {
            Life::TakingOver | Life::Syncing => Life::Syncing,
            _ => Life::Serving,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::Life;

    fn after(mut life: Life, change: impl FnOnce(&mut Life)) -> Life {
        change(&mut life);
        life
    }

    #[test]
    fn a_start_takes_over_or_not_and_serves() {
        let taking = after(Life::default(), Life::begin_take_over);
        assert!(taking.takes_over() && !taking.shows_keys());
        let taken = after(taking, Life::end_take_over);
        assert!(!taken.takes_over() && !taken.shows_keys());
        assert_eq!(after(taken, Life::serve), Life::Serving);
    }

    #[test]
    fn a_full_sync_is_taken_while_keys_are_shown() {
        let syncing = after(Life::Serving, Life::begin_take_over);
        assert!(syncing.takes_over() && syncing.shows_keys());
        assert_eq!(after(syncing, Life::end_take_over), Life::Serving);
        assert_eq!(after(Life::Starting, Life::end_take_over), Life::Starting);
    }

    #[test]
    fn a_reload_hides_the_keys_until_they_are_shown_again() {
        let asked = after(Life::Serving, |life| life.ask_reload(true));
        assert!(asked.reloads() && asked.shows_keys());
        assert_eq!(after(asked, |life| life.ask_reload(false)), Life::Serving);
        assert_eq!(after(asked, Life::end_reload), Life::Serving);
        let hidden = after(asked, Life::hide);
        assert!(hidden.reloads() && !hidden.shows_keys() && !hidden.takes_over());
        assert_eq!(after(hidden, Life::serve), Life::Serving);
        assert_eq!(after(hidden, Life::end_reload), Life::Starting);
        let starting = after(Life::Starting, |life| life.ask_reload(true));
        assert_eq!(starting, Life::Starting);
    }
}
