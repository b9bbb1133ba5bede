//! The running client's own database, where the server forgets it.
//!
//! Valkey 8.1 publishes keyspace events in the context of the running client: it selects the key's
//! database for it, and leaves it there. So with any module that listens, MOVE, COPY to another
//! database and DEBUG RELOAD change their client's database, with native keys or not. There, the
//! module restores it after each event of a key in another database.
//!
//! It knows the client's database from MOVE's first event, and otherwise from the command filter,
//! which sees commands before they run. The filter sees those of EXEC when they are queued, so the
//! databases that they select are kept; how many of them have been selected when an event comes,
//! the server's own count of SELECT tells. A script is a client of its own, which begins in its
//! caller's database, and so is what this module calls a command with.

use std::collections::HashMap;
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};

use redis_module::raw as rm;

use super::clients::{ClientId, ClientInfo, client_info};
use super::{Arg, Ctx, FilterArgs, MainCell, Reply, api, called, server_flags};

/// What a client has queued.
#[derive(Default)]
struct Queue {
    /// What it selects, in order; `None` for a database that there is not.
    selects: Vec<Option<i32>>,
    /// Whether an event of its commands may concern another database.
    leaves: bool,
}

/// What is known of a connection, a script, or what a module calls a command with.
#[derive(Default)]
struct Client {
    /// Its database, if an event of the command that it runs may concern another one.
    home: Option<i32>,
    queue: Queue,
    /// What the EXEC that runs has yet to select.
    selects: Vec<Option<i32>>,
    /// How often SELECT had run before that, but for those that the filter has seen run.
    selected: i64,
}

/// The database that a script has selected.
struct Selected {
    db: i32,
    /// In EXEC, how many scripts had run before: the same number again means the same script.
    scripts: Option<i64>,
}

/// What is known of the commands that run.
#[derive(Default)]
struct Homes {
    /// How many databases there are.
    databases: i32,
    /// Whose command the filter has seen last: the caller of a script that runs.
    client: ClientId,
    /// Those of whom something is known.
    clients: HashMap<ClientId, Client>,
    /// When there are more, those that are gone are looked for.
    enough: usize,
    /// What scripts have selected since.
    scripts: HashMap<ClientId, Selected>,
    /// How often the filter has seen SELECT run, by scripts and outside of EXEC.
    selects_seen: i64,
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
        let homes = Homes {
            databases: (1..).find(|&db| !ctx.select_db(db)).unwrap_or(1),
            ..Homes::default()
        };
        ctx.select_db(0);
        let _ = HOMES.replace(Some(homes));
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
pub(super) fn go_home(ctx: &Ctx, event: &CStr) {
    if !NEEDED.load(Ordering::Relaxed) {
        return;
    }
    if let Ok(Some(home)) = HOMES.with(|homes| homes.after(ctx.client(), ctx.db(), event)) {
        ctx.select_db(home);
    }
}

impl Homes {
    fn follow(&mut self, name: &[u8], args: &FilterArgs<'_>) {
        let Some(client) = args.client() else { return };
        let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
        let word = |at| args.get(at).map(Arg::bytes);
        if called::database().is_some() {
            return;
        }
        // What SELECT counts as a call.
        let selects = || is(b"select") && args.len() == 2;
        let database = || {
            word(1)
                .and_then(number)
                .filter(|db| (0..self.databases).contains(db))
        };
        let flags = server_flags();
        if flags.script() {
            if selects() {
                if let Some(db) = database() {
                    let scripts = flags.in_multi().then(scripts_run);
                    self.scripts.insert(client, Selected { db, scripts });
                }
                self.selects_seen += 1;
            } else if is(b"copy") {
                self.known(client).home = self.database_of_script(client);
            }
            return;
        }
        if flags.in_multi() {
            // EXEC's own commands do not come by, only what modules run within them.
            return;
        }
        self.client = client;
        self.scripts.clear();
        if let Some(known) = self.clients.get_mut(&client) {
            (known.home, known.selected) = (None, 0);
            known.selects.clear();
            if known.queue.selects.is_empty() && !known.queue.leaves {
                self.clients.remove(&client);
            }
        }
        let reloads =
            || is(b"debug") && word(1).is_some_and(|what| what.eq_ignore_ascii_case(b"reload"));
        match () {
            () if selects() => {
                let db = database();
                if client_info(client).is_some_and(|info| info.queues) {
                    self.known(client).queue.selects.push(db);
                } else {
                    self.selects_seen += 1;
                }
            }
            () if is(b"copy") || reloads() => match client_info(client) {
                Some(ClientInfo { queues: true, .. }) => self.known(client).queue.leaves = true,
                Some(info) => self.known(client).home = Some(info.db),
                None => {}
            },
            () if is(b"exec") => {
                let Some(known) = self.clients.get_mut(&client) else {
                    return;
                };
                let queue = std::mem::take(&mut known.queue);
                if queue.leaves {
                    known.home = client_info(client).map(|info| info.db);
                    known.selects = queue.selects;
                    if !known.selects.is_empty() {
                        known.selected = selects_run() - self.selects_seen;
                    }
                }
            }
            () if is(b"multi") || is(b"discard") || is(b"reset") => {
                self.clients.remove(&client);
            }
            () => {}
        }
    }

    fn known(&mut self, client: ClientId) -> &mut Client {
        // Connections that are gone leave what is known of them, as scripts do.
        if self.clients.len() > self.enough {
            self.clients
                .retain(|&known, _| known == client || client_info(known).is_some());
            self.enough = 2 * self.clients.len() + 100;
        }
        self.clients.entry(client).or_default()
    }

    fn database_of_script(&self, script: ClientId) -> Option<i32> {
        let still = |selected: &&Selected| selected.scripts.is_none_or(|run| run == scripts_run());
        match self.scripts.get(&script).filter(still) {
            Some(selected) => Some(selected.db),
            None => client_info(self.client).map(|info| info.db),
        }
    }

    /// The database that a client has to be put back to, after an event in database `db`.
    fn after(&mut self, client: ClientId, db: i32, event: &CStr) -> Option<i32> {
        let home = match (event.to_bytes(), called::database()) {
            (b"copy_to" | b"move_to" | b"loaded", Some(home)) => home,
            // The first event of MOVE, in the client's own database; the second one is in the
            // other.
            (b"move_from", _) => {
                self.known(client).home = Some(db);
                return None;
            }
            (b"move_to", _) => self.clients.get(&client)?.home?,
            (b"copy_to" | b"loaded", _) => {
                let seen = self.selects_seen;
                self.clients.get_mut(&client)?.now_in(seen)?
            }
            _ => return None,
        };
        (home != db).then_some(home)
    }
}

impl Client {
    /// The database that it is in by now, when the filter has seen SELECT so often.
    fn now_in(&mut self, seen: i64) -> Option<i32> {
        if !self.selects.is_empty() {
            let run = selects_run() - seen - self.selected;
            let run = usize::try_from(run).unwrap_or(0).min(self.selects.len());
            if let Some(db) = self.selects.drain(..run).flatten().last() {
                self.home = Some(db);
            }
            self.selected += run as i64;
        }
        self.home
    }
}

/// A database's number as SELECT takes it.
fn number(word: &[u8]) -> Option<i32> {
    let db: i32 = std::str::from_utf8(word).ok()?.parse().ok()?;
    (db.to_string().as_bytes() == word).then_some(db)
}

/// How often SELECT has run. About 100 µs.
fn selects_run() -> i64 {
    runs_of(&[c"cmdstat_select"])
}

/// How many scripts have run, apart from one that runs. About 100 µs.
fn scripts_run() -> i64 {
    runs_of(&[
        c"cmdstat_eval",
        c"cmdstat_evalsha",
        c"cmdstat_eval_ro",
        c"cmdstat_evalsha_ro",
        c"cmdstat_fcall",
        c"cmdstat_fcall_ro",
    ])
}

/// How often the commands of these fields of INFO have run.
fn runs_of(fields: &[&CStr]) -> i64 {
    // SAFETY: no context is needed; each text, NULL if there is no such field, is read before the
    // section is freed, which happens once.
    unsafe {
        let info =
            api(rm::RedisModule_GetServerInfo)(std::ptr::null_mut(), c"commandstats".as_ptr());
        let runs = fields.iter().map(|field| {
            let text = api(rm::RedisModule_ServerInfoGetFieldC)(info, field.as_ptr());
            if text.is_null() {
                return 0;
            }
            let text = CStr::from_ptr(text).to_str().unwrap_or_default();
            let runs = text
                .strip_prefix("calls=")
                .and_then(|rest| rest.split(',').next());
            runs.and_then(|runs| runs.parse::<i64>().ok()).unwrap_or(0)
        });
        let runs = runs.sum();
        api(rm::RedisModule_FreeServerInfo)(std::ptr::null_mut(), info);
        runs
    }
}
