//! The running client's own database, where the server forgets it.
//!
//! Valkey 8.1 publishes keyspace events in the context of the running client: it selects the key's
//! database for it, and leaves it there. So with any module that listens, MOVE, COPY to another
//! database and DEBUG RELOAD change their client's database, with native keys or not. There, the
//! module restores it after each event of a key in another database.
//!
//! It knows the client's database from MOVE's first event, and otherwise from the command filter,
//! which sees commands before they run. The filter sees those of EXEC when they are queued, so what
//! they do to the database is kept.

use std::collections::{HashMap, VecDeque};
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::clients::{ClientId, client_info};
use super::{Arg, Ctx, FilterArgs, MainCell, Reply, server_flags};

/// A queued command that selects a database, or whose event may.
enum Step {
    Select(i32),
    /// The name, and the database where it is given.
    CopyTo(Vec<u8>, Option<i32>),
    Reload,
}

/// What is known of the commands that run.
#[derive(Default)]
struct Homes {
    /// Whose command the filter has seen last, scripts' own commands apart.
    client: ClientId,
    /// The database of that client, or of the script that it runs, if an event may concern another
    /// one.
    home: Option<i32>,
    /// Who runs a command in that database: that client, or its script.
    runs: ClientId,
    /// The database that the script has selected.
    scripts: Option<i32>,
    /// What clients have queued.
    queued: HashMap<ClientId, VecDeque<Step>>,
    /// What is left of the queue of the EXEC that runs.
    steps: VecDeque<Step>,
}

/// Whether the server needs all this.
static NEEDED: AtomicBool = AtomicBool::new(false);
static HOMES: MainCell<Homes> = MainCell::empty();

/// Begins to look after clients' databases, if the server needs it. While the module is being
/// loaded.
pub fn keep_homes(ctx: &Ctx) {
    let Some(Reply::Text(info)) = ctx.call(c"INFO", &[b"server"]) else {
        return;
    };
    if String::from_utf8_lossy(&info).contains("\nvalkey_version:8.1.") {
        let _ = HOMES.replace(Some(Homes::default()));
        NEEDED.store(true, Ordering::Relaxed);
    }
}

/// Looks at a command that is about to run.
#[inline]
pub fn follow_homes(name: &[u8], args: &FilterArgs<'_>) {
    if NEEDED.load(Ordering::Relaxed) {
        let _ = HOMES.with(|homes| homes.follow(name, args));
    }
}

/// After an event's handlers: puts the running client back.
#[inline]
pub(super) fn go_home(ctx: &Ctx, event: &CStr, key: Arg<'_>) {
    if !NEEDED.load(Ordering::Relaxed) {
        return;
    }
    let home =
        HOMES.with(|homes| homes.after(ctx.client(), ctx.db(), event.to_bytes(), key.bytes()));
    if let Ok(Some(home)) = home {
        ctx.select_db(home);
    }
}

impl Homes {
    fn follow(&mut self, name: &[u8], args: &FilterArgs<'_>) {
        let Some(client) = args.client() else { return };
        let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
        let word = |at| args.get(at).map(Arg::bytes);
        let flags = server_flags();
        if flags.in_multi_or_script() && !flags.script() {
            // EXEC's own commands do not come by, only what modules run within them.
            return;
        }
        if flags.script() {
            self.runs = client;
            if is(b"select") {
                self.scripts = word(1).and_then(number);
            } else if is(b"copy") {
                let callers = || client_info(self.client).map(|info| info.db);
                self.home = self.scripts.or_else(callers);
            }
            return;
        }
        (self.client, self.runs) = (client, client);
        (self.home, self.scripts) = (None, None);
        self.steps.clear();
        let reloads =
            || is(b"debug") && word(1).is_some_and(|what| what.eq_ignore_ascii_case(b"reload"));
        let step = match () {
            () if is(b"select") => word(1).and_then(number).map(Step::Select),
            () if is(b"copy") => word(2).map(|key| Step::CopyTo(key.to_vec(), target(args))),
            () if reloads() => Some(Step::Reload),
            () if is(b"exec") => {
                self.steps = self.queued.remove(&client).unwrap_or_default();
                if !self.steps.is_empty() {
                    self.home = client_info(client).map(|info| info.db);
                }
                return;
            }
            () if is(b"multi") || is(b"discard") || is(b"reset") => {
                self.queued.remove(&client);
                return;
            }
            () => None,
        };
        let (Some(step), Some(info)) = (step, client_info(client)) else {
            return;
        };
        if info.queues {
            // Clients that went without EXEC leave their steps.
            if self.queued.len() > 100 {
                self.queued
                    .retain(|&client, _| client_info(client).is_some());
            }
            self.queued.entry(client).or_default().push_back(step);
        } else {
            self.home = Some(info.db);
        }
    }

    /// The database that a client has to be put back to, after an event in database `db`.
    fn after(&mut self, client: ClientId, db: i32, event: &[u8], key: &[u8]) -> Option<i32> {
        if client != self.runs && client != self.client {
            return None;
        }
        match event {
            // The first event of MOVE, in the client's own database; the second one is in the
            // other.
            b"move_from" => {
                (self.home, self.runs) = (Some(db), client);
                None
            }
            b"copy_to" => {
                let is_it = |step: &Step| matches!(step, Step::CopyTo(to, there) if to == key && there.is_none_or(|there| there == db));
                self.skip_to(is_it, true);
                self.away(client, db)
            }
            b"loaded" => {
                self.skip_to(|step| matches!(step, Step::Reload), false);
                self.away(client, db)
            }
            b"move_to" => self.away(client, db),
            _ => None,
        }
    }

    fn away(&self, client: ClientId, db: i32) -> Option<i32> {
        self.home.filter(|&home| client == self.runs && home != db)
    }

    /// Runs through what EXEC has run before the step that is looked for, if that is there.
    fn skip_to(&mut self, is_it: impl Fn(&Step) -> bool, takes: bool) {
        let Some(at) = self.steps.iter().position(is_it) else {
            return;
        };
        for step in self.steps.drain(..at) {
            if let Step::Select(db) = step {
                self.home = Some(db);
            }
        }
        if takes {
            self.steps.pop_front();
        }
    }
}

/// The database that COPY names.
fn target(args: &FilterArgs<'_>) -> Option<i32> {
    let words: Vec<&[u8]> = (3..args.len())
        .filter_map(|at| args.get(at).map(Arg::bytes))
        .collect();
    let named = words
        .windows(2)
        .find(|pair| pair[0].eq_ignore_ascii_case(b"db"))?;
    number(named[1])
}

/// A database's number as SELECT takes it.
fn number(word: &[u8]) -> Option<i32> {
    std::str::from_utf8(word).ok()?.parse().ok()
}
