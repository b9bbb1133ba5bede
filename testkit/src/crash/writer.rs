//! One client: writes through a pipeline until the server dies, then judges what it finds.

use super::history::{Held, Key, Operation, State};
use crate::client::Client;
use crate::resp::{Quoted, Value};
use fastrand::Rng;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// The most operations in flight.
const PIPELINE_MAX: usize = 32;

/// A client, and how far it has come.
#[derive(Debug)]
pub struct Writer {
    client: u64,
    seed: u64,
    prefix: &'static str,
    /// The state after the first `done` operations, which the server is known to hold.
    state: State,
    done: u64,
    /// How many operations were acknowledged, and how many were sent at least in part.
    acknowledged: u64,
    sent: u64,
}

impl Writer {
    /// A client that has not done anything yet. `prefix` precedes the names of the type's own
    /// commands.
    pub fn new(client: u64, seed: u64, prefix: &'static str) -> Self {
        let state = State::default();
        Self {
            client,
            seed,
            prefix,
            state,
            done: 0,
            acknowledged: 0,
            sent: 0,
        }
    }

    /// How many operations the server has acknowledged, over all rounds.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// How many operations were sent and not acknowledged when the server died.
    pub fn in_flight(&self) -> u64 {
        self.sent - self.acknowledged
    }

    /// Writes until the connection breaks, and counts what was acknowledged in `work`, too.
    ///
    /// # Errors
    /// A reply that no operation should get, as text.
    pub fn write(&mut self, server: SocketAddr, work: &AtomicU64) -> Result<(), String> {
        let mut rng = Rng::with_seed(self.seed ^ self.done);
        let Ok(mut connection) = Client::connect(server) else {
            return Ok(());
        };
        loop {
            let batch = rng.usize(1..=PIPELINE_MAX);
            let commands: Vec<_> = (self.sent..)
                .take(batch)
                .map(|n| self.commands(n))
                .collect();
            commands
                .iter()
                .flatten()
                .for_each(|command| connection.queue(command));
            self.sent += batch as u64;
            // Whatever of it has reached the server may have been answered before it died.
            let broken = connection.send().is_err();
            for operation in &commands {
                match last_reply(&mut connection, operation.len()) {
                    Ok(reply) => check(&reply)
                        .map_err(|error| format!("operation {}: {error}", self.acknowledged))?,
                    Err(_) => return Ok(()),
                }
                self.acknowledged += 1;
                work.fetch_add(1, Ordering::Relaxed);
            }
            if broken {
                return Ok(());
            }
        }
    }

    /// Compares what the server holds with what this client may expect, and goes on from there.
    ///
    /// # Errors
    /// What does not fit, as text.
    ///
    /// # Panics
    /// If the connection breaks.
    pub fn judge(&mut self, connection: &mut Client) -> Result<(), String> {
        let held = self.read(connection);
        while self.done < self.acknowledged {
            self.advance();
        }
        let expected = self.state.clone();
        while self.state != held && self.done < self.sent {
            self.advance();
        }
        if self.state == held {
            self.acknowledged = self.done;
            self.sent = self.done;
            return Ok(());
        }
        let Self {
            client,
            seed,
            acknowledged,
            sent,
            ..
        } = self;
        Err(format!(
            "client {client}, seed {seed}: no state between operation {acknowledged} (acknowledged) \
             and {sent} (sent) is what the server holds.\n\
             Against the acknowledged state:\n{}Against the last one:\n{}",
            difference(&expected, &held),
            difference(&self.state, &held)
        ))
    }

    /// How many keys this client has.
    pub fn keys(&self) -> usize {
        self.state.keys.len()
    }

    fn commands(&self, n: u64) -> Vec<Vec<Vec<u8>>> {
        Operation::nth(self.seed, n).commands(self.client, self.prefix)
    }

    fn advance(&mut self) {
        self.state.apply(&Operation::nth(self.seed, self.done));
        self.done += 1;
    }

    fn read(&self, connection: &mut Client) -> State {
        let get = format!("{}GET", self.prefix).into_bytes();
        let questions: Vec<Vec<Vec<u8>>> = Key::all()
            .flat_map(|key| {
                [&get[..], b"PEXPIRETIME"].map(|c| vec![c.to_vec(), key.name(self.client)])
            })
            .collect();
        let answers = connection
            .pipeline(&questions)
            .expect("a restarted server answers");
        let mut state = State::default();
        for (key, answer) in Key::all().zip(answers.chunks_exact(2)) {
            match answer {
                [Value::Bulk(value), Value::Integer(time)] => {
                    let expires_ms = (*time >= 0).then_some(*time);
                    state.keys.insert(
                        key,
                        Held {
                            value: value.clone(),
                            expires_ms,
                        },
                    );
                }
                [Value::NullBulk, Value::Integer(-2)] => {}
                _ => panic!("GET and PEXPIRETIME of {key:?}: {answer:?}"),
            }
        }
        state
    }
}

/// The reply to the last of so many commands: the one that acknowledges an operation.
fn last_reply(connection: &mut Client, commands: usize) -> io::Result<Value> {
    for _ in 1..commands {
        connection.receive()?;
    }
    connection.receive()
}

/// An operation may fail for want of a key, and for no other reason.
fn check(reply: &Value) -> Result<(), String> {
    match reply {
        Value::Error(text) if text == "ERR no such key" => Ok(()),
        Value::Error(text) => Err(format!("the reply is {text:?}")),
        Value::Array(parts) => parts.iter().try_for_each(check),
        _ => Ok(()),
    }
}

fn difference(expected: &State, held: &State) -> String {
    let mut text = String::new();
    for key in Key::all() {
        let [expected, held] = [expected, held].map(|state| state.keys.get(&key));
        if expected != held {
            let print = |held: Option<&Held>| match held {
                Some(Held { value, expires_ms }) => {
                    format!("{:?} expires {expires_ms:?}", Quoted(value))
                }
                None => "nothing".to_owned(),
            };
            let (expected, held) = (print(expected), print(held));
            writeln!(text, "  {key:?}: expected {expected}, found {held}")
                .expect("a string takes all text");
        }
    }
    text
}
