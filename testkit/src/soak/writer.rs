//! One client of a soak.

use super::change::{Change, name};
use super::model::{Held, KEYS, State};
use crate::client::Client;
use crate::resp::Value;
use fastrand::Rng;
use std::net::SocketAddr;
use std::time::Instant;

/// A client, what it has been told, and what it waits for.
#[derive(Debug)]
pub struct Writer {
    client: usize,
    rng: Rng,
    state: State,
    /// Sent, and not answered when the server died.
    in_flight: Option<Change>,
    /// Only what takes away, so many times more.
    taking_away: u32,
    acknowledged: u64,
    refused: u64,
}

impl Writer {
    /// A client without keys.
    pub fn new(client: usize, seed: u64) -> Self {
        Self {
            client,
            rng: Rng::with_seed(seed),
            state: State::new(),
            in_flight: None,
            taking_away: 0,
            acknowledged: 0,
            refused: 0,
        }
    }

    /// Changes that were acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Changes that were refused for want of room.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Keys it has.
    pub fn keys(&self) -> usize {
        self.state.len()
    }

    /// Changes its keys until `end`, or, without one, until the connection breaks.
    ///
    /// # Errors
    /// A reply that no change should get; a connection that breaks before `end`.
    pub fn write(&mut self, server: SocketAddr, end: Option<Instant>) -> Result<(), String> {
        let mut connection = match (Client::connect(server), end) {
            (Ok(connection), _) => connection,
            (Err(_), None) => return Ok(()),
            (Err(error), Some(_)) => return Err(format!("connecting: {error}")),
        };
        while end.is_none_or(|end| Instant::now() < end) {
            let takes_away = self.taking_away > 0;
            self.taking_away = self.taking_away.saturating_sub(1);
            let change = Change::random(&mut self.rng, &self.state, takes_away);
            let commands = change.commands(self.client);
            self.in_flight = Some(change.clone());
            let reply = commands
                .iter()
                .try_fold(Value::NullBulk, |_, words| connection.try_call(words));
            match (reply, end) {
                (Ok(reply), _) => self.answered(change, &reply)?,
                (Err(_), None) => return Ok(()),
                // A group without room for all of it: none of it is done, but what is native behind
                // the failure.
                (Err(error), Some(_)) if change.may_be_cut() => {
                    connection = Client::connect(server)
                        .map_err(|again| format!("{}: {error}, {again}", change.summary()))?;
                    let possible = outcomes(&change).split_off(1);
                    self.compare(&mut connection, &possible)?;
                    self.refused += 1;
                    self.taking_away = self.rng.u32(2..25);
                }
                (Err(error), Some(_)) => return Err(format!("{}: {error}", change.summary())),
            }
        }
        Ok(())
    }

    fn answered(&mut self, change: Change, reply: &Value) -> Result<(), String> {
        self.in_flight = None;
        let before = self.refused;
        match (&change, reply) {
            (Change::Group(parts), Value::Array(replies)) if parts.len() == replies.len() => {
                self.group_answered(parts, replies)?;
            }
            (Change::Group(_), other) => return Err(format!("{}: {other:?}", change.summary())),
            _ => self.part_answered(&change, reply)?,
        }
        if self.refused > before {
            self.taking_away = self.rng.u32(2..25);
        }
        Ok(())
    }

    /// A group is done, or refused as a whole before it has done anything, but for what is native.
    fn group_answered(&mut self, parts: &[Change], replies: &[Value]) -> Result<(), String> {
        let failed = replies.iter().position(Value::is_error);
        let grows = failed.is_none_or(|failed| !parts[failed].takes_away());
        for (nth, (part, reply)) in parts.iter().zip(replies).enumerate() {
            match (failed, reply) {
                (Some(failed), Value::Error(text))
                    if grows && nth >= failed && text.starts_with("OOM ") && !part.is_native() =>
                {
                    self.refused += 1;
                }
                (Some(failed), _) if nth < failed => {
                    let before = self.state.clone();
                    self.part_answered(part, reply)?;
                    if self.state != before {
                        let what = Change::Group(parts.to_vec()).summary();
                        return Err(format!("{what}: only a part is refused"));
                    }
                }
                _ => self.part_answered(part, reply)?,
            }
        }
        Ok(())
    }

    fn part_answered(&mut self, change: &Change, reply: &Value) -> Result<(), String> {
        match reply {
            Value::Error(text) if text.starts_with("OOM ") && !change.takes_away() => {
                self.refused += 1;
            }
            Value::Error(text) => return Err(format!("{}: {text}", change.summary())),
            _ => {
                change.apply(&mut self.state);
                self.acknowledged += 1;
            }
        }
        Ok(())
    }

    /// Compares what the server holds with what this client may expect, and goes on from there.
    ///
    /// # Errors
    /// The first key that does not fit.
    ///
    /// # Panics
    /// If the connection breaks.
    pub fn judge(&mut self, connection: &mut Client) -> Result<(), String> {
        let possible: Vec<Change> = self.in_flight.iter().flat_map(outcomes).collect();
        self.compare(connection, &possible)
    }

    /// The same, if the change in flight has come to nothing, or to one of these.
    fn compare(&mut self, connection: &mut Client, possible: &[Change]) -> Result<(), String> {
        let held: State = (0..KEYS)
            .map(|key| (key, Held::read(connection, &name(self.client, key), key)))
            .filter(|(_, held)| !held.is_empty())
            .collect();
        let in_flight = self.in_flight.take();
        if self.state == held {
            return Ok(());
        }
        for outcome in possible {
            let mut expected = self.state.clone();
            outcome.apply(&mut expected);
            if expected == held {
                self.state = held;
                return Ok(());
            }
        }
        let differs = (0..KEYS).find(|key| self.state.get(key) != held.get(key));
        let print = |held: Option<&Held>| held.map_or("nothing".to_owned(), Held::summary);
        Err(differs.map_or_else(String::new, |key| {
            format!(
                "client {}, key {key}: expected {}, found {}; in flight was {}",
                self.client,
                print(self.state.get(&key)),
                print(held.get(&key)),
                in_flight
                    .as_ref()
                    .map_or("nothing".to_owned(), Change::summary)
            )
        }))
    }
}

/// What a change may have become: wholly done; or, of a group that found no room, as much of what
/// is native behind the failure as was done when the server died.
fn outcomes(change: &Change) -> Vec<Change> {
    let mut outcomes = vec![change.clone()];
    if let Change::Group(parts) = change {
        for failed in (0..parts.len()).filter(|&nth| !parts[nth].takes_away()) {
            let single: Vec<Change> = parts[failed..]
                .iter()
                .flat_map(Change::native_steps)
                .collect();
            outcomes.extend((0..=single.len()).map(|done| Change::Group(single[..done].to_vec())));
        }
    }
    outcomes
}
