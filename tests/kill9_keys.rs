//! kill -9 amid the commands that any key understands, native ones and `PM.` ones, on PM keys and
//! native ones in several databases: what was acknowledged is there after the restart, and at most
//! some of what was sent after it, each command and each EXEC wholly.
//!
//! `PMEDIS_KILL_ROUNDS=n` runs so many rounds, `PMEDIS_SEED=n` other ones. `ci/stress-kill9` runs
//! many.

use fastrand::Rng;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use testkit::client::Client;
use testkit::env_number;
use testkit::script::{ask, crash, words};
use testkit::server::Setup;

const DBS: u8 = 3;
const KEYS: u8 = 6;
/// Keys expire after this, in milliseconds: the year 2100.
const FAR_AWAY: i64 = 4_102_444_800_000;
/// The most operations in flight.
const PIPELINE: usize = 24;

/// A key's database and number.
type Name = (u8, u8);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    PmString(u32),
    PmList(u32),
    /// A native string, which no crash leaves.
    Native,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    value: Value,
    expires: Option<i64>,
}

type State = BTreeMap<Name, Held>;

/// What an operation does. With `pm` it is the command with the prefix, to which native keys are
/// absent.
#[derive(Clone, Debug)]
enum Operation {
    Put(Name, Value),
    Delete {
        pm: bool,
        unlink: bool,
        db: u8,
        keys: Vec<u8>,
    },
    Expire {
        pm: bool,
        seconds: bool,
        name: Name,
        at: i64,
        condition: &'static str,
    },
    Persist {
        pm: bool,
        name: Name,
    },
    Rename {
        pm: bool,
        only_if_absent: bool,
        from: Name,
        to: u8,
    },
    Copy {
        pm: bool,
        replace: bool,
        from: Name,
        to: Name,
    },
    Move {
        from: Name,
        to: u8,
    },
    /// The payload of a PM string.
    Restore {
        replace: bool,
        name: Name,
        expires: Option<i64>,
    },
    SwapDb(u8, u8),
    FlushDb {
        pm: bool,
        asynchronous: bool,
        db: u8,
    },
    FlushAll {
        pm: bool,
        asynchronous: bool,
    },
    Group(Vec<Operation>),
}

use Operation::*;

impl Operation {
    fn any(rng: &mut Rng) -> Self {
        match rng.u8(..8) {
            0 => Group((0..rng.usize(2..6)).map(|_| Self::single(rng)).collect()),
            _ => Self::single(rng),
        }
    }

    fn single(rng: &mut Rng) -> Self {
        let (db, key) = (rng.u8(..DBS), rng.u8(..KEYS));
        let name = (db, key);
        let other_key = (key + rng.u8(1..KEYS)) % KEYS;
        let other_db = (db + rng.u8(1..DBS)) % DBS;
        let at = FAR_AWAY + 1000 * rng.i64(0..1_000_000);
        let (pm, flag) = (rng.bool(), rng.bool());
        match rng.u8(..100) {
            0..14 => Put(name, Value::PmString(rng.u32(..))),
            14..26 => Put(name, Value::PmList(rng.u32(..))),
            26..30 => Put(name, Value::Native),
            30..38 => Delete {
                pm,
                unlink: flag,
                db,
                keys: vec![key, other_key, rng.u8(..KEYS)],
            },
            38..50 => Expire {
                pm,
                seconds: flag,
                name,
                at: if rng.u8(..6) == 0 { 1000 } else { at },
                condition: ["", "NX", "XX"][rng.usize(..3)],
            },
            50..55 => Persist { pm, name },
            55..67 => Rename {
                pm,
                only_if_absent: flag,
                from: name,
                to: other_key,
            },
            67..79 => Copy {
                pm,
                replace: flag,
                from: name,
                to: (rng.u8(..DBS), other_key),
            },
            79..85 => Move {
                from: name,
                to: other_db,
            },
            85..93 => Restore {
                replace: flag,
                name,
                expires: rng.bool().then_some(at),
            },
            93..97 => SwapDb(db, other_db),
            97..99 => FlushDb {
                pm,
                asynchronous: flag,
                db,
            },
            _ => FlushAll {
                pm,
                asynchronous: flag,
            },
        }
    }

    /// The commands that do it; the reply to the last one acknowledges it.
    fn commands(&self, payload: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let prefix = |pm: bool| if pm { "PM." } else { "" };
        let mode = |asynchronous: bool| if asynchronous { "ASYNC" } else { "SYNC" };
        let (db, line) = match self {
            Put((db, key), Value::PmString(n)) => (*db, format!("PM.SET {key} {n}")),
            Put((db, key), Value::PmList(n)) => {
                let push =
                    format!("redis.call('DEL','{key}');redis.call('PM.RPUSH','{key}',{n},'end')");
                (*db, format!("EVAL {push} 0"))
            }
            Put((db, key), Value::Native) => (*db, format!("SET {key} native")),
            Delete {
                pm,
                unlink,
                db,
                keys,
            } => {
                let verb = if *unlink { "UNLINK" } else { "DEL" };
                let keys: Vec<_> = keys.iter().map(u8::to_string).collect();
                (*db, format!("{}{verb} {}", prefix(*pm), keys.join(" ")))
            }
            Expire {
                pm,
                seconds,
                name: (db, key),
                at,
                condition,
            } => {
                let (verb, at) = if *seconds {
                    ("EXPIREAT", at / 1000)
                } else {
                    ("PEXPIREAT", *at)
                };
                (*db, format!("{}{verb} {key} {at} {condition}", prefix(*pm)))
            }
            Persist {
                pm,
                name: (db, key),
            } => (*db, format!("{}PERSIST {key}", prefix(*pm))),
            Rename {
                pm,
                only_if_absent,
                from: (db, key),
                to,
            } => {
                let nx = if *only_if_absent { "NX" } else { "" };
                (*db, format!("{}RENAME{nx} {key} {to}", prefix(*pm)))
            }
            Copy {
                pm,
                replace,
                from: (db, key),
                to: (to_db, to),
            } => {
                let replace = if *replace { "REPLACE" } else { "" };
                (
                    *db,
                    format!("{}COPY {key} {to} DB {to_db} {replace}", prefix(*pm)),
                )
            }
            Move {
                from: (db, key),
                to,
            } => (*db, format!("MOVE {key} {to}")),
            Restore {
                replace,
                name: (db, key),
                expires,
            } => {
                let replace = if *replace { "REPLACE" } else { "" };
                let expires = expires.unwrap_or(0);
                (
                    *db,
                    format!("RESTORE {key} {expires} PAYLOAD ABSTTL {replace}"),
                )
            }
            SwapDb(a, b) => (*a, format!("SWAPDB {a} {b}")),
            FlushDb {
                pm,
                asynchronous,
                db,
            } => (
                *db,
                format!("{}FLUSHDB {}", prefix(*pm), mode(*asynchronous)),
            ),
            FlushAll { pm, asynchronous } => (
                0,
                format!("{}FLUSHALL {}", prefix(*pm), mode(*asynchronous)),
            ),
            Group(parts) => {
                let mut commands = vec![vec![b"MULTI".to_vec()]];
                commands.extend(parts.iter().flat_map(|part| part.commands(payload)));
                commands.push(vec![b"EXEC".to_vec()]);
                return commands;
            }
        };
        let word = |word: &str| match word {
            "PAYLOAD" => payload.to_vec(),
            word => word.as_bytes().to_vec(),
        };
        let select = vec![b"SELECT".to_vec(), db.to_string().into_bytes()];
        vec![select, line.split_whitespace().map(word).collect()]
    }

    /// What it makes of the keys.
    fn apply(&self, state: &mut State) {
        let seen = |state: &State, pm: bool, name: &Name| {
            let held = state.get(name).copied();
            held.filter(|held| !(pm && held.value == Value::Native))
        };
        match self {
            Put(name, value) => {
                state.insert(
                    *name,
                    Held {
                        value: *value,
                        expires: None,
                    },
                );
            }
            Delete { pm, db, keys, .. } => {
                for key in keys {
                    if seen(state, *pm, &(*db, *key)).is_some() {
                        state.remove(&(*db, *key));
                    }
                }
            }
            Expire {
                pm,
                name,
                at,
                condition,
                ..
            } => {
                let Some(held) = seen(state, *pm, name) else {
                    return;
                };
                let met = match *condition {
                    "NX" => held.expires.is_none(),
                    "XX" => held.expires.is_some(),
                    _ => true,
                };
                if met && *at < FAR_AWAY {
                    state.remove(name);
                } else if met {
                    let expires = Some(*at);
                    state.insert(*name, Held { expires, ..held });
                }
            }
            Persist { pm, name } => {
                if let Some(held) = seen(state, *pm, name) {
                    state.insert(
                        *name,
                        Held {
                            expires: None,
                            ..held
                        },
                    );
                }
            }
            Rename {
                pm,
                only_if_absent,
                from,
                to,
            } => {
                let to = (from.0, *to);
                let Some(held) = seen(state, *pm, from) else {
                    return;
                };
                if !(*only_if_absent && state.contains_key(&to)) {
                    state.remove(from);
                    state.insert(to, held);
                }
            }
            Copy {
                pm,
                replace,
                from,
                to,
            } => {
                let Some(held) = seen(state, *pm, from) else {
                    return;
                };
                if *replace || !state.contains_key(to) {
                    state.insert(*to, held);
                }
            }
            Move { from, to } => {
                let to = (*to, from.1);
                if let (Some(held), false) = (state.get(from).copied(), state.contains_key(&to)) {
                    state.remove(from);
                    state.insert(to, held);
                }
            }
            Restore {
                replace,
                name,
                expires,
            } => {
                if *replace || !state.contains_key(name) {
                    let value = Value::PmString(0);
                    state.insert(
                        *name,
                        Held {
                            value,
                            expires: *expires,
                        },
                    );
                }
            }
            SwapDb(a, b) => {
                let swapped = |db| match db {
                    db if db == *a => *b,
                    db if db == *b => *a,
                    db => db,
                };
                let keys = std::mem::take(state).into_iter();
                *state = keys
                    .map(|((db, key), held)| ((swapped(db), key), held))
                    .collect();
            }
            FlushDb { pm, db, .. } => {
                state.retain(|name, held| name.0 != *db || *pm && held.value == Value::Native)
            }
            FlushAll { pm, .. } => state.retain(|_, held| *pm && held.value == Value::Native),
            Group(parts) => parts.iter().for_each(|part| part.apply(state)),
        }
    }
}

/// How many operations are acknowledged, at least, on an average of the rounds so far.
const WORK_MIN: u64 = 50;

/// Does operations until the server is gone; returns all that were sent at least in part, and how
/// many of them were acknowledged, which `work` counts, too.
fn write(
    address: SocketAddr,
    payload: &[u8],
    mut rng: Rng,
    work: &AtomicU64,
) -> (Vec<Operation>, usize) {
    let (mut sent, mut acknowledged) = (Vec::new(), 0);
    let Ok(mut connection) = Client::connect(address) else {
        return (sent, acknowledged);
    };
    loop {
        let mut replies = Vec::new();
        for _ in 0..rng.usize(1..=PIPELINE) {
            let operation = Operation::any(&mut rng);
            let commands = operation.commands(payload);
            commands
                .iter()
                .for_each(|command| connection.queue(command));
            replies.push(commands.len());
            sent.push(operation);
        }
        let broken = connection.send().is_err();
        for count in replies {
            for _ in 0..count {
                let Ok(reply) = connection.receive() else {
                    return (sent, acknowledged);
                };
                let reply = words(&reply);
                let expected = [
                    "(error) ERR no such key",
                    "(error) BUSYKEY Target key name already exists.",
                ];
                let unexpected = expected
                    .iter()
                    .fold(reply, |reply, known| reply.replace(known, ""));
                assert!(
                    !unexpected.contains("(error)"),
                    "{unexpected}: {:?}",
                    sent[acknowledged]
                );
            }
            acknowledged += 1;
            work.fetch_add(1, Ordering::Relaxed);
        }
        if broken {
            return (sent, acknowledged);
        }
    }
}

/// The keys that the server has.
fn read(client: &mut Client) -> State {
    let mut state = State::new();
    for db in 0..DBS {
        ask(client, &format!("SELECT {db}"));
        for key in 0..KEYS {
            let value = match ask(client, &format!("TYPE {key}")).as_str() {
                "none" => continue,
                "pm-string" => Value::PmString(
                    ask(client, &format!("PM.GET {key}"))
                        .parse()
                        .expect("a number"),
                ),
                "pm-list--" => {
                    let list = ask(client, &format!("PM.LRANGE {key} 0 -1"));
                    let number = list
                        .strip_prefix('[')
                        .and_then(|list| list.strip_suffix(" end]"));
                    Value::PmList(
                        number
                            .expect("a number and an end")
                            .parse()
                            .expect("a number"),
                    )
                }
                other => panic!("a crash leaves {key} as {other}"),
            };
            let expires: i64 = ask(client, &format!("PEXPIRETIME {key}"))
                .parse()
                .expect("a time");
            let expires = (expires >= 0).then_some(expires);
            state.insert((db, key), Held { value, expires });
        }
        let keys = state.keys().filter(|name| name.0 == db).count().to_string();
        assert_eq!(ask(client, "DBSIZE"), keys, "other keys in database {db}");
    }
    state
}

/// What a crash leaves.
fn durable(state: &State) -> State {
    let keys = state.iter().filter(|(_, held)| held.value != Value::Native);
    keys.map(|(name, held)| (*name, *held)).collect()
}

#[test]
fn generic_commands_survive() {
    let rounds = env_number("PMEDIS_KILL_ROUNDS", 15);
    let seed = env_number("PMEDIS_SEED", 1);
    let mut rng = Rng::with_seed(seed);
    let mut server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    ask(&mut client, "PM.SET payload 0");
    let payload = client
        .call(&["DUMP", "payload"])
        .bytes()
        .expect("a payload")
        .to_vec();
    ask(&mut client, "DEL payload");
    let mut state = State::new();
    let work = AtomicU64::new(0);
    for round in 1..=rounds {
        let address = server.address();
        let life = Duration::from_micros(rng.u64(2_000..80_000));
        let (sent, acknowledged) = thread::scope(|scope| {
            let writer = scope.spawn(|| write(address, &payload, rng.fork(), &work));
            server.live(life, &work, WORK_MIN * round);
            server.kill9();
            writer.join().expect("no unexpected reply")
        });
        let found = read(&mut crash(&mut server));
        let mut candidates = vec![];
        for (n, operation) in std::iter::once(None)
            .chain(sent.iter().map(Some))
            .enumerate()
        {
            operation.inspect(|operation| operation.apply(&mut state));
            if n >= acknowledged {
                candidates.push(durable(&state));
            }
        }
        assert!(
            candidates.contains(&found),
            "seed {seed}, round {round}: {acknowledged} of {} operations acknowledged.\n\
             Found {found:#?}\nexpected at least {:#?}\nafter which came {:?}",
            sent.len(),
            candidates[0],
            &sent[acknowledged..]
        );
        state = found;
    }
    let total = work.into_inner();
    assert!(
        total >= WORK_MIN * rounds,
        "only {total} operations in {rounds} rounds"
    );
    println!("{total} operations");
}
