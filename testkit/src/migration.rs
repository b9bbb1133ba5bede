//! Hash slots that move between nodes as newer servers do it: CLUSTER MIGRATION IMPORT (Redis 8.4
//! on), CLUSTER MIGRATESLOTS (Valkey 9.0 on).

use crate::client::Client;
use crate::cluster::wait_until_whole;
use crate::packaged::{Family, Packaged};
use crate::replication::wait_for;
use crate::resp::Value;
use crate::script::{ask, expect, words};
use crate::server::{Server, Setup};
use std::ops::RangeInclusive;

/// The servers that move slots so, and are tested.
pub const SERVERS: [&str; 2] = ["redis-8.6", "valkey-9.1"];

/// When a node counts as dead: later than any test takes to bring it back.
const TIMEOUT_MS: u32 = 30_000;

/// Slots, both ends included.
pub type Slots = RangeInclusive<u16>;

/// A node that belongs to no cluster yet.
fn node(packaged: &Packaged, setup: Setup) -> Server {
    let setup = setup
        .on(packaged)
        .directive("cluster-enabled yes")
        .directive(&format!("cluster-node-timeout {TIMEOUT_MS}"))
        .directive("cluster-allow-replica-migration no")
        .directive("repl-diskless-sync-delay 0")
        .keep_port();
    setup
        .start()
        .unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

/// A cluster of masters without replicas, which share all slots alike.
///
/// # Panics
/// If it does not come about.
pub fn cluster(packaged: &Packaged, masters: u16, pool: &str) -> Vec<Server> {
    cluster_of(packaged, (0..masters).map(|_| Setup::pmedis(pool)))
}

/// [`cluster`] of masters that are set up so.
///
/// # Panics
/// If it does not come about.
pub fn cluster_of(packaged: &Packaged, setups: impl Iterator<Item = Setup>) -> Vec<Server> {
    let nodes: Vec<Server> = setups.map(|setup| node(packaged, setup)).collect();
    let masters = nodes.len() as u16;
    for (number, node) in (0..).zip(&nodes) {
        let mut client = node.client();
        let slots = share(number, masters);
        let (first, last) = (slots.start(), slots.end());
        expect(
            &mut client,
            &format!("CLUSTER ADDSLOTSRANGE {first} {last}"),
            "OK",
        );
        let epoch = number + 1;
        expect(
            &mut client,
            &format!("CLUSTER SET-CONFIG-EPOCH {epoch}"),
            "OK",
        );
    }
    let mut first = nodes[0].client();
    for node in &nodes[1..] {
        let port = node.address().port();
        expect(&mut first, &format!("CLUSTER MEET 127.0.0.1 {port}"), "OK");
    }
    wait_until_whole(&nodes);
    nodes
}

/// The slots that one of several masters has at first.
pub fn share(number: u16, masters: u16) -> Slots {
    let at = |number: u16| (16384 * u32::from(number) / u32::from(masters)) as u16;
    at(number)..=at(number + 1) - 1
}

/// All but the last slots of the first of two masters, which has to keep some.
pub fn most() -> Slots {
    let slots = share(0, 2);
    *slots.start()..=slots.end() - 100
}

/// A tag whose hash slot is among these.
///
/// # Panics
/// If the server does not tell slots.
pub fn tag(client: &mut Client, slots: &Slots) -> String {
    let tags = (0..).map(|n| format!("{{{n}}}"));
    let lies_there = |tag: &String| {
        let slot = ask(client, &format!("CLUSTER KEYSLOT {tag}"));
        slots.contains(&slot.parse().expect("a slot"))
    };
    tags.into_iter().find(lies_there).expect("there are enough")
}

/// How a migration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    Active,
    /// The slots have moved.
    Done,
    /// They stay.
    Failed,
}

/// Has slots begin to move from one node to another.
///
/// # Panics
/// If they are refused.
pub fn begin(from: &Server, to: &Server, slots: &Slots) {
    let (first, last) = (slots.start(), slots.end());
    let reply = match to.setup().packaged().family {
        Family::Redis => ask(
            &mut to.client(),
            &format!("CLUSTER MIGRATION IMPORT {first} {last}"),
        ),
        Family::Valkey => {
            let id = ask(&mut to.client(), "CLUSTER MYID");
            ask(
                &mut from.client(),
                &format!("CLUSTER MIGRATESLOTS SLOTSRANGE {first} {last} NODE {id}"),
            )
        }
    };
    assert!(!reply.starts_with("(error)"), "{reply}");
}

/// How the last migration of a node stands, as the node sees it; `None` if it does not know of any.
pub fn state(node: &Server, client: &mut Client) -> Option<State> {
    let command = match node.setup().packaged().family {
        Family::Redis => "CLUSTER MIGRATION STATUS ALL",
        Family::Valkey => "CLUSTER GETSLOTMIGRATIONS",
    };
    let command: Vec<&str> = command.split(' ').collect();
    let jobs = client.call(&command);
    // The newest comes first; what goes on comes before what is over.
    let job = jobs.elements().expect("a list of migrations").first()?;
    let fields: Vec<String> = job.elements().expect("pairs").iter().map(words).collect();
    let state = fields.chunks(2).find(|pair| pair[0] == "state");
    Some(match state.expect("each has a state")[1].as_str() {
        "completed" | "success" => State::Done,
        "failed" | "canceled" | "cancelled" => State::Failed,
        _ => State::Active,
    })
}

/// Waits until both ends have done with the migration, and says how it ended at the target.
///
/// # Panics
/// If that takes too long.
pub fn wait_for_end(from: &Server, to: &Server) -> State {
    let mut outcome = State::Active;
    for node in [from, to] {
        let mut client = node.client();
        wait_for("the migration ends", || {
            outcome = state(node, &mut client).unwrap_or(State::Failed);
            outcome != State::Active
        });
    }
    outcome
}

/// Moves slots from one node to another.
///
/// # Panics
/// If they do not move.
pub fn migrate(from: &Server, to: &Server, slots: &Slots) {
    begin(from, to, slots);
    assert_eq!(wait_for_end(from, to), State::Done, "{}", to.log());
}

/// Has the target give a migration up.
///
/// # Panics
/// If there is none.
pub fn cancel(from: &Server, to: &Server) {
    let reply = match to.setup().packaged().family {
        Family::Redis => ask(&mut to.client(), "CLUSTER MIGRATION CANCEL ALL"),
        Family::Valkey => ask(&mut from.client(), "CLUSTER CANCELSLOTMIGRATIONS"),
    };
    assert!(!reply.starts_with("(error)"), "{reply}");
    assert_eq!(wait_for_end(from, to), State::Failed);
}

/// Keeps migrations between two nodes from their end, or no longer does: what the target has of the
/// keys then is all or nearly all, and not its own.
pub fn hold(from: &Server, on: bool) {
    match from.setup().packaged().family {
        // A pause after each key of the snapshot, in microseconds.
        Family::Redis => {
            let pause = if on { 20_000 } else { 0 };
            expect(
                &mut from.client(),
                &format!("CONFIG SET rdb-key-save-delay {pause}"),
                "OK",
            );
        }
        Family::Valkey => expect(
            &mut from.client(),
            &format!("DEBUG SLOTMIGRATION PREVENT-PAUSE {}", u8::from(on)),
            "OK",
        ),
    }
}

/// PM keys of a node, those of slots that it does not serve among them, as far as PM.DBSIZE tells.
pub fn pm_keys(client: &mut Client) -> u64 {
    let reply = client.call(&["PM.DBSIZE"]);
    reply
        .integer()
        .and_then(|n| n.try_into().ok())
        .expect("a number")
}

/// Bytes in use in a node's pool, once nothing waits for being reclaimed.
///
/// # Panics
/// If that takes too long.
pub fn used(client: &mut Client) -> u64 {
    let mut used = 0;
    wait_for("all memory is reclaimed", || {
        let reply = client.call(&["PM.INFO"]);
        let text = String::from_utf8_lossy(reply.bytes().expect("text")).into_owned();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.strip_prefix(':')?.parse::<u64>().ok())
        };
        used = field("used").expect("the field `used`");
        field("reclaim_values") == Some(0) && field("reclaim_sweeping") == Some(0)
    });
    used
}

/// Asks for a reply of a command whose last word is a key, of many keys in one go.
///
/// # Panics
/// If the connection breaks.
pub fn about(client: &mut Client, command: &[&str], keys: &[String]) -> Vec<Value> {
    let mut replies = Vec::with_capacity(keys.len());
    for keys in keys.chunks(200) {
        for key in keys {
            client.queue(&[command, &[key.as_str()]].concat());
        }
        client.send().expect("the node is there");
        replies.extend(keys.iter().map(|_| client.receive().expect("a reply")));
    }
    replies
}
