//! Replies and events of the commands about fields that expire, step by step.
//!
//! `tests/data/field_expiry_*.txt` have commands, and what Redis 8.6 and Valkey 9.1 made of them:
//! the reply, and behind `!` the keyspace events. `PASS` lets the time of what expires a
//! millisecond later come. On a server that has the native commands, those run beside and are the
//! measure; on others, what was recorded is.

use testkit::client::Client;
use testkit::packaged::{Family, Packaged};
use testkit::replication::wait_for;
use testkit::resp::Value;
use testkit::script::{ask, expect, words};
use testkit::server::Setup;

/// Where the native commands run, and the others.
const DBS: [&str; 2] = ["0", "8"];
const REDIS: &str = include_str!("data/field_expiry_redis.txt");
const VALKEY: &str = include_str!("data/field_expiry_valkey.txt");

/// One side: commands in a database, and what its keys' events are.
struct Side {
    client: Client,
    events: Client,
    /// The channel that tells that all events of a command have come.
    done: String,
}

impl Side {
    fn new(connect: impl Fn() -> Client, db: &str) -> Side {
        let (mut client, mut events) = (connect(), connect());
        expect(&mut client, &format!("SELECT {db}"), "OK");
        let pattern = format!("__keyevent@{db}__:*");
        events.call(&["PSUBSCRIBE", pattern.as_str()]);
        let done = format!("all events of {db}");
        events.call(&["SUBSCRIBE", done.as_str()]);
        Side {
            client,
            events,
            done,
        }
    }

    /// The reply in words, a space and `!` before the events, if there are some.
    fn run(&mut self, command: &str) -> String {
        let mut told = ask(&mut self.client, command).replace("'pm.", "'");
        self.client.call(&["PUBLISH", &self.done, ""]);
        let mut events = String::new();
        loop {
            let message = self.events.receive().expect("a message");
            let parts = message.elements().expect("a message has parts");
            let text = |part: &Value| words(part);
            match parts {
                [_, channel, _] if text(channel) == self.done => break,
                [_, _, channel, _] => {
                    let channel = text(channel);
                    let (_, event) = channel.split_once(':').expect("an event's channel");
                    events.push_str(&format!(" {event}"));
                }
                other => panic!("{other:?}"),
            }
        }
        if !events.is_empty() {
            told.push_str(&format!(" !{events}"));
        }
        told
    }
}

/// What is told of a reply whose order is open: its words, sorted.
fn in_order(command: &str, told: &str) -> String {
    const UNORDERED: [&str; 4] = ["HGETALL", "HKEYS", "HVALS", "HSCAN"];
    if !UNORDERED.iter().any(|name| command.starts_with(name)) {
        return told.to_owned();
    }
    let words = told.split([' ', '[', ']']).filter(|word| !word.is_empty());
    let mut words: Vec<&str> = words.collect();
    words.sort_unstable();
    words.join(" ")
}

/// The command on the side of the module, whose hashes its own commands change.
fn prefixed(command: &str) -> String {
    if command.starts_with('H') {
        format!("PM.{command}")
    } else {
        command.to_owned()
    }
}

/// Waits until some milliseconds are over by the server's own clock.
fn pass(client: &mut Client) {
    let mut now = || {
        let time = client.call(&["TIME"]);
        let part = |at: usize| words(&time.elements().expect("TIME gives two numbers")[at]);
        let [seconds, micros] = [part(0), part(1)].map(|text| text.parse::<u64>().unwrap());
        seconds * 1000 + micros / 1000
    };
    let start = now();
    wait_for("time goes on", || now() > start + 5);
}

#[test]
fn fields_expire_step_by_step_as_they_do_natively() {
    let setup = Setup::pmedis("64m").directive("notify-keyspace-events AKE");
    let server = setup.start().unwrap();
    let [mut native, mut pm] = DBS.map(|db| Side::new(|| server.client(), db));
    expect(&mut pm.client, "DEBUG SET-ACTIVE-EXPIRE 0", "OK");
    let has_natives = Packaged::current().has(Some((7, 4)), Some((9, 0)));
    let recorded = match Packaged::current().family {
        Family::Redis => REDIS,
        Family::Valkey => VALKEY,
    };
    let mut steps = 0;
    for (number, line) in recorded.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line == "PASS" {
            pass(&mut pm.client);
            continue;
        }
        let (command, recorded) = line.split_once(" -> ").expect("a command and its reply");
        let told = pm.run(&prefixed(command));
        let wanted = if has_natives {
            native.run(command)
        } else {
            recorded.to_owned()
        };
        let [told, wanted] = [told, wanted].map(|told| in_order(command, &told));
        assert_eq!(told, wanted, "line {}: {command}", number + 1);
        steps += 1;
    }
    assert!(steps > 250, "{steps} steps");
}
