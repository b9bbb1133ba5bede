//! One server, two sides: runs a sequence on both and says where they part.

use super::compare::{differing, same};
use super::exceptions;
use super::grammar::Compare;
use super::state::{self, Content};
use super::{DBS, Dialect, KEYS, PM_DB, Sequence, Side, Step};
use crate::client::Client;
use crate::env_number;
use crate::packaged::Packaged;
use crate::resp::{Quoted, Value};
use crate::server::{Refusal, Server, Setup};
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::mem::discriminant;
use std::time::Instant;

/// A difference between the two sides, or the end of the server.
#[derive(Clone, Debug)]
pub enum Mismatch {
    /// The replies differ: the native one and the other one.
    Reply(Value, Value),
    /// The keyspace events differ.
    Events(String),
    /// A key expires at another time.
    Expiry(String),
    /// Only one side's transaction was given up because of a watched key.
    Watch(String),
    /// A key's existence, type or content differs.
    State(String),
    /// The server is gone, or does not answer: how its log ends.
    Gone(String),
    /// What was there before the server was killed is not what is there after its restart.
    Restart(String),
}

impl Mismatch {
    /// Whether two mismatches are of one kind: a shrunk sequence should show the same failure.
    pub(crate) fn same_kind(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Reply(native, pm), Self::Reply(other_native, other_pm)) => {
                discriminant(native) == discriminant(other_native)
                    && discriminant(pm) == discriminant(other_pm)
            }
            _ => discriminant(self) == discriminant(other),
        }
    }
}

/// A mismatch and where it was found.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The index of the step after which the sides differed.
    pub step: usize,
    /// How.
    pub mismatch: Mismatch,
}

/// What became of a step that both sides agree on: what coverage counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A reply that is no error.
    Answer,
    /// An error.
    Error,
}

/// The connections of one side.
struct Connections {
    /// One for each of the side's databases; the first one runs the commands.
    dbs: [Client; DBS as usize],
    /// Watches the keys.
    watcher: Client,
}

/// A server with the connections of both sides.
pub struct Pair {
    server: Server,
    dialect: Dialect,
    native: Connections,
    pm: Connections,
    events: Client,
    /// By how much the sides' relative times may differ by now.
    slack_ms: i64,
    /// Database and name of keys that may hold a value of a type that has no `PM.` form.
    foreign: BTreeSet<(u8, Vec<u8>)>,
    /// Keys of another database are being put into the keyspace: nothing may ask for all of them.
    fills: bool,
    /// The last step has left the sides with different values, as the documentation says.
    parted: bool,
}

impl Pair {
    /// Starts the server.
    ///
    /// # Panics
    /// If it does not serve.
    pub fn new(setup: Setup, dialect: Dialect) -> Self {
        let classes = if Packaged::current().has(Some((8, 2)), None) {
            "EAmnoc"
        } else {
            "EAmn"
        };
        let events = format!("notify-keyspace-events {classes}");
        Self::start(setup.directive(&events), dialect)
    }

    /// The same, but of a server that was restarted and has keys of another database to be put into
    /// its keyspace. Without the event of new keys, for which a server would have them all there
    /// first.
    ///
    /// # Panics
    /// If it does not serve.
    pub fn while_filling(setup: Setup, dialect: Dialect) -> Self {
        let mut pair = Self::start(setup.directive("notify-keyspace-events EAm"), dialect);
        pair.fills = true;
        pair.begin_to_fill();
        pair
    }

    /// Puts keys into the other database, and restarts the server, which fills its keyspace with
    /// them then.
    ///
    /// # Panics
    /// If it does not serve.
    pub(crate) fn begin_to_fill(&mut self) {
        let mut client = self.server.client();
        client.call(&["SELECT", &OTHER_DB.to_string()]);
        let command = |n: u64| vec!["PM.SET".to_owned(), format!("key:{n}"), "v".into()];
        let commands: Vec<_> = (0..env_number("PMEDIS_OTHER_KEYS", OTHER_KEYS))
            .map(command)
            .collect();
        for batch in commands.chunks(1000) {
            for reply in client.pipeline(batch).expect("replies to PM.SET") {
                assert_eq!(reply, Value::Simple("OK".into()), "PM.SET");
            }
        }
        let restarted = self.server.restart();
        restarted.unwrap_or_else(|refusal| panic!("{refusal:?}"));
        self.connect();
    }

    /// Whether the server still has keys to be put into its keyspace.
    pub fn fills(&mut self) -> bool {
        let reply = self.native.watcher.call(&["PM.INFO", "filling"]);
        let text = String::from_utf8_lossy(reply.bytes().unwrap_or_default()).into_owned();
        text.contains("filling:1")
    }

    fn start(setup: Setup, dialect: Dialect) -> Self {
        let server = setup
            .start()
            .unwrap_or_else(|refusal| panic!("{refusal:?}"));
        let [native, pm] = [Side::Native, Side::Pm].map(|side| connect(&server, side));
        let events = subscribe(&server);
        Self {
            server,
            dialect,
            native,
            pm,
            events,
            slack_ms: 0,
            foreign: BTreeSet::new(),
            fills: false,
            parted: false,
        }
    }

    /// Runs a sequence on an empty keyspace, or what comes of it before the sides part. `count`
    /// hears of each step that they agree on.
    ///
    /// # Errors
    /// The first difference.
    pub fn run(
        &mut self,
        sequence: &Sequence,
        mut count: impl FnMut(&Step, Outcome),
    ) -> Result<(), Failure> {
        let failure = |step| move |mismatch| Failure { step, mismatch };
        self.reset(sequence.resp3).map_err(failure(0))?;
        let sent = |(_, step): &(usize, &Step)| !exceptions::is_answered_twice(step);
        for (index, step) in sequence.steps.iter().enumerate().filter(sent) {
            let outcome = self.step(step).map_err(failure(index))?;
            count(step, outcome);
            if self.parted {
                return Ok(());
            }
        }
        let last = sequence.steps.len().saturating_sub(1);
        self.compare_state().map_err(failure(last))?;
        self.compare_events().map_err(failure(last))
    }

    /// Kills the server and starts it again: everything that the module holds must be there again,
    /// and unchanged. To be called after [`run`](Self::run).
    ///
    /// # Errors
    /// What is missing or different.
    pub(crate) fn survive_kill9(&mut self) -> Result<(), Mismatch> {
        // Both readings in the protocol that a new connection speaks.
        self.connect();
        let before = self.pool_state().map_err(|error| self.gone(&error))?;
        self.server
            .restart()
            .map_err(|refusal| Mismatch::Gone(format!("{refusal:?}")))?;
        self.connect();
        let after = self.pool_state().map_err(|error| self.gone(&error))?;
        if before == after {
            return Ok(());
        }
        Err(Mismatch::Restart(format!(
            "before: {before:#?}\nafter: {after:#?}"
        )))
    }

    /// The keys in the pool, printed in a fixed order, with their expiry times.
    fn pool_state(&mut self) -> io::Result<Vec<String>> {
        let state = state::read(&mut self.pm.dbs, &self.dialect)?;
        let expiries = state::expiries(&mut self.pm.dbs[0])?;
        let in_pool = state.iter().filter(|content| content.in_pool);
        let held = in_pool.map(|content| {
            let expiry = expiries
                .iter()
                .find(|(key, _)| content.db == 0 && *key == content.key);
            format!("{content:?} expires {:?}", expiry.map(|(_, time)| time))
        });
        Ok(held.collect())
    }

    /// An empty keyspace and connections that speak the sequence's protocol. A server that died is
    /// started again, with a new pool.
    fn reset(&mut self, resp3: bool) -> Result<(), Mismatch> {
        if self.server.exited().is_some() || self.native.watcher.try_call(&["PING"]).is_err() {
            self.server.kill9();
            let pool = self.server.setup().pool();
            if pool.exists() {
                fs::remove_file(&pool).expect("the old pool can be removed");
            }
            let gone = |refusal: Refusal| Mismatch::Gone(format!("{refusal:?}"));
            self.server.restart().map_err(gone)?;
            self.connect();
            if self.fills {
                self.begin_to_fill();
            }
        }
        self.slack_ms = 0;
        self.foreign.clear();
        let reset = self.flush_and_greet(resp3);
        reset.map_err(|error| self.gone(&error))
    }

    fn connect(&mut self) {
        [self.native, self.pm] = [Side::Native, Side::Pm].map(|side| connect(&self.server, side));
        self.events = subscribe(&self.server);
    }

    fn flush_and_greet(&mut self, resp3: bool) -> io::Result<()> {
        let protocol = if resp3 { "3" } else { "2" };
        for side in [&mut self.native, &mut self.pm] {
            for client in &mut side.dbs {
                client.try_call(&["HELLO", protocol])?;
            }
        }
        if self.fills {
            let sides = [&mut self.native, &mut self.pm];
            for client in sides.into_iter().flat_map(|side| &mut side.dbs) {
                client.try_call(&["FLUSHDB"])?;
            }
        } else {
            self.native.watcher.try_call(&["FLUSHALL"])?;
        }
        self.read_events()?;
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<Outcome, Mismatch> {
        let replies = self.call_both(step).map_err(|error| self.gone(&error))?;
        if step.spec.name == "SWAPDB" {
            self.note_swap();
        }
        self.parted = exceptions::spares_native_key(step, &replies.reply, &mut self.pm.dbs[0])
            .map_err(|error| self.gone(&error))?;
        if self.parted {
            return Ok(Outcome::Answer);
        }
        let [native, pm] = &replies.reply;
        let slack_ms = self.slack_ms + replies.elapsed_ms;
        if step.relative_time {
            self.slack_ms = self.slack_ms.max(replies.elapsed_ms);
        }
        if !same(native, pm, step.spec.compare, slack_ms, &self.dialect) {
            return Err(Mismatch::Reply(native.clone(), pm.clone()));
        }
        if let Some([native, pm]) = &replies.transaction
            && native != pm
        {
            return Err(Mismatch::Watch(differing(native, pm)));
        }
        self.parted = exceptions::keeps_changes(step, native);
        if self.parted {
            return Ok(Outcome::Error);
        }
        if step.check_expiry {
            self.compare_expiries()?;
        }
        if step.check_state {
            self.compare_state()?;
        }
        self.compare_events()?;
        Ok(if native.is_error() {
            Outcome::Error
        } else {
            Outcome::Answer
        })
    }

    fn call_both(&mut self, step: &Step) -> io::Result<Replies> {
        let watchers = [&mut self.native.watcher, &mut self.pm.watcher];
        let watch = || [vec![b"WATCH".to_vec()], KEYS.map(<[u8]>::to_vec).into()].concat();
        if step.check_watch {
            both(watchers, [watch(), watch()])?;
        }
        let dialect = self.dialect;
        let [native, pm] = [&mut self.native.dbs[0], &mut self.pm.dbs[0]];
        let commands = [
            step.command(Side::Native, &dialect, |key| dump(native, key))?,
            step.command(Side::Pm, &dialect, |key| dump(pm, key))?,
        ];
        let start = Instant::now();
        let reply = both([&mut self.native.dbs[0], &mut self.pm.dbs[0]], commands)?;
        // Both sides count whole milliseconds, so a difference of less than one may show as one.
        let elapsed_ms = i64::try_from(start.elapsed().as_millis()).expect("a short time") + 1;
        let mut transaction = None;
        if step.check_watch {
            transaction = Some([exec(&mut self.native.watcher)?, exec(&mut self.pm.watcher)?]);
        }
        Ok(Replies {
            reply,
            transaction,
            elapsed_ms,
        })
    }

    fn compare_expiries(&mut self) -> Result<(), Mismatch> {
        let native = state::expiries(&mut self.native.dbs[0]).map_err(|error| self.gone(&error))?;
        let pm = state::expiries(&mut self.pm.dbs[0]).map_err(|error| self.gone(&error))?;
        for ((key, native), (_, pm)) in native.into_iter().zip(pm) {
            let slack_ms = if native >= 0 && pm >= 0 {
                self.slack_ms
            } else {
                0
            };
            if native.abs_diff(pm) > slack_ms.unsigned_abs() {
                let text = format!("key {:?}: native {native}, PM {pm}", Quoted(key));
                return Err(Mismatch::Expiry(text));
            }
        }
        Ok(())
    }

    fn compare_state(&mut self) -> Result<(), Mismatch> {
        let read = state::read(&mut self.native.dbs, &self.dialect)
            .and_then(|native| Ok((native, state::read(&mut self.pm.dbs, &self.dialect)?)));
        let (native, pm) = read.map_err(|error| self.gone(&error))?;
        let keys = |state: &[Content]| -> Vec<_> {
            state
                .iter()
                .map(|content| (content.db, content.key, content.kind.clone()))
                .collect()
        };
        if keys(&native) != keys(&pm) {
            return Err(Mismatch::State(format!("native: {native:#?}\nPM: {pm:#?}")));
        }
        let differs = |(native, pm): &(&Content, &Content)| {
            !same(&native.value, &pm.value, native.compare, 0, &self.dialect)
        };
        match native.iter().zip(&pm).find(differs) {
            None => self.compare_sizes(),
            Some((native, pm)) => Err(Mismatch::State(format!(
                "key {:?} of database {}, {}",
                Quoted(native.key),
                native.db,
                differing(&native.value, &pm.value)
            ))),
        }
    }

    /// DBSIZE sees keys that are not of the pool of keys: the work of bent arguments.
    fn compare_sizes(&mut self) -> Result<(), Mismatch> {
        if self.fills {
            return Ok(());
        }
        for (native, pm) in self.native.dbs.iter_mut().zip(&mut self.pm.dbs) {
            let sizes = native
                .try_call(&["DBSIZE"])
                .and_then(|n| Ok((n, pm.try_call(&["DBSIZE"])?)));
            let (native, pm) = match sizes {
                Ok(sizes) => sizes,
                Err(error) => return Err(self.gone(&error)),
            };
            if !same(&native, &pm, Compare::Exact, 0, &self.dialect) {
                return Err(Mismatch::State(format!(
                    "DBSIZE, {}",
                    differing(&native, &pm)
                )));
            }
        }
        Ok(())
    }

    fn compare_events(&mut self) -> Result<(), Mismatch> {
        let events = self.read_events().map_err(|error| self.gone(&error))?;
        let of = |side: Side| -> Vec<Event> {
            let dbs = side.db(0)..side.db(DBS);
            let own = events.iter().filter(|event| dbs.contains(&event.db));
            own.map(|event| Event {
                db: event.db - side.db(0),
                ..event.clone()
            })
            .collect()
        };
        let (native, pm) = (of(Side::Native), of(Side::Pm));
        let agree = self.events_agree(&native, &pm);
        for event in &native {
            self.note_foreign(event);
        }
        if agree {
            return Ok(());
        }
        Err(Mismatch::Events(format!(
            "native: {native:?}\nPM:     {pm:?}"
        )))
    }

    /// Whether the events are the same, but for the event `new` where a PM value replaces another
    /// type's, and for `type_changed` where a native command puts one PM value in the place of
    /// another: for the server both are of one type, a module's.
    fn events_agree(&self, native: &[Event], pm: &[Event]) -> bool {
        let hidden = |at: usize, event: &Event| {
            let puts = |name: &str| ["restore", "rename_to", "copy_to"].contains(&name);
            let put = |before: &Event| puts(&before.name) && before.key == event.key;
            event.name == "type_changed" && native[..at].iter().any(put) && !pm.contains(event)
        };
        let told = native.iter().enumerate();
        let told = told.filter(|(at, event)| !hidden(*at, event));
        let mut native = told.map(|(_, event)| event).peekable();
        let agree = pm.iter().all(|event| {
            native.next_if_eq(&event).is_some()
                || event.name == "new" && self.foreign.contains(&(event.db, event.key.clone()))
        });
        agree && native.next().is_none()
    }

    /// Keeps account of the keys that may hold a value of a native type on both sides.
    fn note_foreign(&mut self, event: &Event) {
        let place = (event.db, event.key.clone());
        match event.name.as_str() {
            "xadd" => self.foreign.insert(place),
            "rename_to" | "copy_to" | "move_to" | "restore" if !self.foreign.is_empty() => {
                self.foreign.insert(place)
            }
            "set" | "del" => self.foreign.remove(&place),
            _ => false,
        };
    }

    /// After a swap, what is foreign in one database may be so in the other.
    fn note_swap(&mut self) {
        let places = self.foreign.iter();
        let swapped: Vec<_> = places
            .map(|(db, key)| (DBS - 1 - db, key.clone()))
            .collect();
        self.foreign.extend(swapped);
    }

    /// All events of the commands that have been answered: they were put before the reply to a
    /// PING that is sent now.
    fn read_events(&mut self) -> io::Result<Vec<Event>> {
        self.events.queue(&["PING"]);
        self.events.send()?;
        let mut events = Vec::new();
        loop {
            let message = self.events.receive()?;
            match Event::parse(&message) {
                Some(event) => events.push(event),
                None => return Ok(events),
            }
        }
    }

    /// The end of the server, by its own log if it left one.
    fn gone(&self, error: &io::Error) -> Mismatch {
        let log = self.server.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(60)..].join("\n");
        Mismatch::Gone(format!("{error}; the server's log ends:\n{tail}"))
    }
}

struct Replies {
    reply: [Value; 2],
    transaction: Option<[Value; 2]>,
    elapsed_ms: i64,
}

/// One keyspace event.
#[derive(Clone, PartialEq, Eq)]
struct Event {
    db: u8,
    name: String,
    key: Vec<u8>,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:?}, db {})", self.name, Quoted(&self.key), self.db)
    }
}

impl Event {
    /// Reads a message of a pattern subscription; `None` for the reply to PING.
    fn parse(message: &Value) -> Option<Self> {
        let [kind, _, channel, key] = message.elements()? else {
            return None;
        };
        assert_eq!(kind.bytes(), Some(&b"pmessage"[..]), "{message:?}");
        let channel = String::from_utf8_lossy(channel.bytes()?).into_owned();
        let (db, name) = channel.strip_prefix("__keyevent@")?.split_once("__:")?;
        let db = db.parse().expect("the number of a database");
        Some(Self {
            db,
            name: name.to_owned(),
            key: key.bytes()?.to_vec(),
        })
    }
}

/// Runs a command on either connection; the server works on them one after the other, in any
/// order, which makes no difference as they use different databases.
fn both(clients: [&mut Client; 2], commands: [Vec<Vec<u8>>; 2]) -> io::Result<[Value; 2]> {
    let [native, pm] = clients;
    native.queue(&commands[0]);
    native.send()?;
    pm.queue(&commands[1]);
    pm.send()?;
    Ok([native.receive()?, pm.receive()?])
}

/// The payload of a key; nothing, which no command takes for one, if it is absent.
fn dump(client: &mut Client, key: &[u8]) -> io::Result<Vec<u8>> {
    let payload = client.try_call(&[b"DUMP", key])?;
    Ok(payload.bytes().unwrap_or_default().to_vec())
}

/// Ends the watcher's transaction: an empty array if no watched key has changed.
fn exec(watcher: &mut Client) -> io::Result<Value> {
    watcher.queue(&["MULTI"]);
    watcher.try_call(&["EXEC"])?;
    watcher.receive()
}

fn connect(server: &Server, side: Side) -> Connections {
    let select = |n: u8| {
        let mut client = server.client();
        let reply = client.call(&["SELECT", &side.db(n).to_string()]);
        assert_eq!(reply, Value::Simple("OK".into()), "SELECT");
        client
    };
    Connections {
        dbs: std::array::from_fn(|n| select(n as u8)),
        watcher: select(0),
    }
}

fn subscribe(server: &Server) -> Client {
    let mut client = server.client();
    let off = client.call(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
    assert_eq!(off, Value::Simple("OK".into()), "DEBUG SET-ACTIVE-EXPIRE");
    let reply = client.call(&["PSUBSCRIBE", "__keyevent@*"]);
    assert_eq!(
        reply.elements().map(<[Value]>::len),
        Some(3),
        "PSUBSCRIBE: {reply:?}"
    );
    client
}

/// The database whose keys come into the keyspace while the sides are compared, and how many there
/// are unless `PMEDIS_OTHER_KEYS` says so.
const OTHER_DB: u8 = 15;
const OTHER_KEYS: u64 = 500;
const _: () = assert!(PM_DB + DBS <= OTHER_DB, "it is no side's");
const _: () = assert!(PM_DB >= DBS, "the sides' databases overlap");
const _: () = assert!(DBS == 2, "a swap is of the only two databases");
