//! Every PM command on a key that is absent, of each type, expired, or native, with arguments of
//! many shapes, alone and in EXEC: the server goes on, and answers as to the native command.
//!
//! The differential campaigns look for what random sequences bring out; this goes over all that
//! there is once.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;
use testkit::client::Client;
use testkit::packaged::Packaged;
use testkit::resp::Value;
use testkit::script::ask;
use testkit::server::{Server, Setup};

/// What the key `k` holds: a command that makes it, `PM.` before it on that side.
const STATES: [(&str, &str); 7] = [
    ("absent", ""),
    ("string", "SET k 5"),
    ("list", "RPUSH k a"),
    ("hash", "HSET k a 5"),
    ("set", "SADD k a"),
    ("sorted set", "ZADD k 5 a"),
    ("expired", "SET k 5 PX 1"),
];

/// Arguments; there is one element in each value, so that nothing is left to chance.
const SHAPES: [&str; 18] = [
    "",
    "k",
    "k a",
    "k 1",
    "k 0 1",
    "k a 1",
    "k 1 a",
    "k a b",
    "k -inf +inf",
    "k - +",
    "k 1 0 a",
    "k BEFORE a b",
    "k k LEFT RIGHT",
    "1 k",
    "1 k LEFT",
    "0 1 k MIN",
    "k 2 1 k k",
    "AND k k absent",
];

/// Commands without a native one, those whose replies tell of the whole server or of how a value is
/// kept, and MOVE, as both sides would move to the same database.
const APART: [&str; 12] = [
    "adopt",
    "info",
    "defrag",
    "flushall",
    "flushdb",
    "keys",
    "scan",
    "randomkey",
    "dbsize",
    "object",
    "dump",
    "move",
];

/// Commands that take more here than natively on Redis 7.0, which refuses it before it queues the
/// command.
const TAKE_MORE: [&str; 2] = ["zrank", "zrevrank"];

/// Whether chance decides what the native command answers: Redis 7.0 keeps a set of one word in a
/// hash table, and whether a cursor that no call gave is before or after its element hangs on the
/// hash function's seed, which each server draws anew.
fn left_to_chance(command: &str, shape: &str, state: &str) -> bool {
    command == "sscan" && shape == "k 1" && state == "set"
}

/// The module's commands, without their prefix, that have a native one; and whether they block.
fn commands(client: &mut Client) -> Vec<(String, bool)> {
    let list = client.call(&["COMMAND", "LIST", "FILTERBY", "MODULE", "pmedis"]);
    let names = list.elements().expect("a list").iter().map(|name| {
        let name = String::from_utf8_lossy(name.bytes().expect("a name")).into_owned();
        name.strip_prefix("pm.").expect("the prefix").to_owned()
    });
    let mut known = Vec::new();
    for name in names.filter(|name| !APART.contains(&name.as_str())) {
        let info = client.call(&["COMMAND", "INFO", &name]);
        let Some(Value::Array(info)) = info.elements().and_then(|one| one.first()) else {
            continue;
        };
        let flags = format!("{:?}", info[2]);
        known.push((name, flags.contains("blocking")));
    }
    known.sort();
    known
}

/// A client of one side, which makes the key anew before each command.
struct Side {
    client: Client,
    prefix: &'static str,
}

impl Side {
    fn new(server: &Server, prefix: &'static str, db: u8, protocol: u8) -> Side {
        let mut client = server.client();
        let hello = client.call(&["HELLO", &protocol.to_string()]);
        assert!(!hello.is_error(), "{hello:?}");
        assert_eq!(ask(&mut client, &format!("SELECT {db}")), "OK");
        Side { client, prefix }
    }

    /// The reply to the command on a key in that state, in EXEC if it is to be.
    fn run(&mut self, state: &str, command: &str, shape: &str, in_exec: bool) -> String {
        self.client.queue(&["FLUSHDB"]);
        let mut replies = 1;
        if !state.is_empty() {
            let making = format!("{}{state}", self.prefix);
            self.client.queue(&making.split(' ').collect::<Vec<_>>());
            replies += 1;
        }
        self.client.send().expect("a connection");
        for _ in 0..replies {
            let reply = self.client.receive().expect("a reply");
            assert!(!reply.is_error(), "{state}: {reply:?}");
        }
        if state.contains(" PX ") {
            thread::sleep(Duration::from_millis(2));
        }
        let line = format!("{}{command} {shape}", self.prefix);
        let words: Vec<&str> = line.split_whitespace().collect();
        if in_exec {
            self.client.queue(&["MULTI"]);
        }
        self.client.queue(&words);
        if in_exec {
            self.client.queue(&["EXEC"]);
        }
        self.client.send().expect("a connection");
        let mut said = String::new();
        for _ in 0..if in_exec { 3 } else { 1 } {
            let reply = self.client.receive();
            let reply = reply.unwrap_or_else(|error| panic!("{line} ({state}): {error}"));
            said.push_str(&format!("{reply:?} "));
        }
        // Errors name the command that was called; COMMAND DOCS and others its name.
        said.replace("pm.", "").replace("PM.", "")
    }
}

#[test]
fn every_command_answers_as_its_native_one_on_keys_of_every_kind() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut control = server.client();
    assert_eq!(ask(&mut control, "DEBUG SET-ACTIVE-EXPIRE 0"), "OK");
    let commands = commands(&mut control);
    assert!(commands.len() > 130, "{}", commands.len());
    let is_7_0 = Packaged::current().is_redis_7_0();
    let (mut differ, mut seen) = (BTreeSet::new(), 0);
    for protocol in [2, 3] {
        let mut native = Side::new(&server, "", 0, protocol);
        let mut pm = Side::new(&server, "PM.", 8, protocol);
        for (command, blocks) in &commands {
            for (name, state) in STATES {
                // Each shape in one of the protocols, half of them in EXEC, and all that would
                // wait.
                let shapes = SHAPES.iter().enumerate();
                for (n, shape) in shapes.filter(|(n, _)| (n + usize::from(protocol)) % 2 == 0) {
                    if is_7_0 && left_to_chance(command, shape, name) {
                        continue;
                    }
                    let takes_more = is_7_0 && TAKE_MORE.contains(&command.as_str());
                    let in_exec = *blocks || n % 4 < 2 && !takes_more;
                    let expected = native.run(state, command, shape, in_exec);
                    let got = pm.run(state, command, shape, in_exec);
                    seen += 1;
                    if got != expected {
                        differ.insert(format!(
                            "{command} {shape} ({name}): native {expected}, PM {got}"
                        ));
                    }
                }
            }
        }
    }
    assert!(seen > 15_000, "{seen}");
    assert!(
        differ.is_empty(),
        "{} differ: {:#?}",
        differ.len(),
        differ.iter().take(60).collect::<Vec<_>>()
    );
}
