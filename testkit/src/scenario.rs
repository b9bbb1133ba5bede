//! Scenarios of several clients, some of which wait, played twice on one server: natively in
//! database 0 and with the prefix in database 8. The transcripts must be equal.

use crate::client::Client;
use crate::resp::Value;
use crate::server::{Server, Setup};
use std::thread;
use std::time::{Duration, Instant};

/// One side of a scenario: its server, clients that may block, and what was seen.
pub struct Scenario<'s> {
    /// The server.
    pub server: &'s Server,
    /// What own commands begin with on this side.
    pub prefix: &'static str,
    /// The database of this side.
    pub db: &'static str,
    /// The commands that have a `PM.` form here; others are native on both sides.
    own: &'static [&'static str],
    /// Clients that were told to wait.
    pub clients: Vec<Client>,
    /// The client that does not wait.
    pub main: Client,
    /// How many clients wait.
    pub blocked: i64,
    /// The transcript.
    pub seen: Vec<String>,
}

impl<'s> Scenario<'s> {
    fn new(
        server: &'s Server,
        own: &'static [&'static str],
        prefix: &'static str,
        db: &'static str,
    ) -> Self {
        let mut scenario = Scenario {
            server,
            prefix,
            db,
            own,
            clients: Vec::new(),
            main: server.client(),
            blocked: 0,
            seen: Vec::new(),
        };
        scenario.main = scenario.connect();
        scenario
    }

    /// A new client of this side.
    pub fn connect(&self) -> Client {
        let mut client = self.server.client();
        assert_eq!(
            client.call(&["SELECT", self.db]),
            Value::Simple("OK".into())
        );
        client
    }

    /// The words of a command of this side.
    pub fn words(&self, command: &str) -> Vec<String> {
        let mut words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        if self.own.contains(&words[0].as_str()) {
            words[0].insert_str(0, self.prefix);
        }
        words
    }

    /// Shows a reply, with the prefix in error texts taken off.
    pub fn note(&mut self, what: &str, reply: &Value) {
        let text = format!("{reply:?}").replace("'pm.", "'");
        self.seen.push(format!("{what} -> {text}"));
    }

    /// Runs a command that replies at once.
    pub fn call(&mut self, command: &str) -> Value {
        let reply = self.main.call(&self.words(command));
        self.note(command, &reply);
        reply
    }

    /// Starts a command on a client of its own and waits until that client is blocked; its number.
    pub fn block(&mut self, command: &str) -> usize {
        self.block_after(&[], command)
    }

    /// The same after the client has sent other commands, whose replies may be errors.
    pub fn block_after(&mut self, first: &[&str], command: &str) -> usize {
        let mut client = self.connect();
        for command in first {
            client.call(&self.words(command));
        }
        client.queue(&self.words(command));
        client.send().unwrap();
        self.clients.push(client);
        self.blocked += 1;
        self.wait_blocked(self.blocked);
        self.clients.len() - 1
    }

    /// Waits until so many clients wait.
    pub fn wait_blocked(&mut self, count: i64) {
        let start = Instant::now();
        loop {
            let info = self.main.call(&["INFO", "clients"]);
            let text = String::from_utf8(info.bytes().unwrap().to_vec()).unwrap();
            if text.contains(&format!("blocked_clients:{count}\r\n")) {
                return;
            }
            assert!(
                start.elapsed() < Duration::from_secs(300),
                "never {count} blocked clients: {text}"
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Reads what a blocked client got.
    pub fn served(&mut self, client: usize) -> Value {
        let reply = self.clients[client].receive().unwrap();
        self.note(&format!("client {client}"), &reply);
        self.blocked -= 1;
        reply
    }

    /// The number under which the server knows a client that waits.
    pub fn id(&mut self, client: usize) -> String {
        // Clients that wait are asked through the list of all.
        let address = self.clients[client].local_address().to_string();
        let list = self.main.call(&["CLIENT", "LIST"]);
        let text = String::from_utf8(list.bytes().unwrap().to_vec()).unwrap();
        let line = text
            .lines()
            .find(|line| line.contains(&format!("addr={address} ")));
        let id = line.unwrap().split(' ').next().unwrap().strip_prefix("id=");
        id.unwrap().to_owned()
    }
}

/// Plays a scenario on both sides; `own` are the commands that have a `PM.` form in it.
///
/// # Panics
/// If the transcripts differ.
#[track_caller]
pub fn same(own: &'static [&'static str], play: fn(&mut Scenario<'_>)) {
    let server = Setup::pmedis("64m").start().unwrap();
    let transcript = |prefix, db| {
        let mut scenario = Scenario::new(&server, own, prefix, db);
        play(&mut scenario);
        assert_eq!(scenario.blocked, 0, "everybody has got an answer");
        scenario.seen
    };
    let native = transcript("", "0");
    let pm = transcript("PM.", "8");
    assert!(!native.is_empty());
    assert_eq!(pm, native);
}

/// The commands that a replica gets, until `end` comes by; the module's without their prefix.
pub fn stream(mut replica: Client, end: &str) -> Vec<String> {
    let mut commands = Vec::new();
    loop {
        let Value::Array(words) = replica.receive().unwrap() else {
            panic!("the stream is made of commands")
        };
        let words = words
            .iter()
            .map(|word| String::from_utf8_lossy(word.bytes().unwrap()).into_owned());
        let command = words.collect::<Vec<_>>().join(" ").to_uppercase();
        let command = command.replacen("PM.", "", 1);
        if command.ends_with(end) {
            return commands;
        }
        if !command.starts_with("PING") && !command.starts_with("SELECT") {
            commands.push(command);
        }
    }
}
