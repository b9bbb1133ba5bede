//! A large pool whose server is killed again and again while its keyspace is being filled. Clients
//! work on keys of the whole pool from the first moment on, and know of each key what it has to
//! hold.
//!
//! `PMEDIS_FILLING_KEYS=n` takes so many keys, `PMEDIS_KILL_ROUNDS=n` runs so many rounds,
//! `PMEDIS_SEED=n` other ones. `ci/stress-restart` runs many with two million keys.

use fastrand::Rng;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use testkit::client::Client;
use testkit::env_number;
use testkit::replication::wait_for;
use testkit::script::{ask, expect};
use testkit::server::Setup;

/// Clients, each with keys of its own.
const CLIENTS: u32 = 4;
/// Commands in one go when all keys are written, or read.
const BATCH: usize = 1000;
/// The longest time that a server lives in a round, if the machine is not busy.
const LIFE_MS: u64 = 300;
/// How many commands are done, at least, on an average of the rounds so far.
const WORK_MIN: u64 = 100;

/// The type of a key, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    String,
    Hash,
    List,
    ZSet,
}

impl Type {
    fn of(key: u32) -> Type {
        match key / CLIENTS % 8 {
            0 => Type::Hash,
            1 => Type::List,
            2 => Type::ZSet,
            _ => Type::String,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Type::String => "pm-string",
            Type::Hash => "pm-hash--",
            Type::List => "pm-list--",
            Type::ZSet => "pm-zset--",
        }
    }
}

/// A key's content: a number above zero in a value of its type; 0 for no key.
type Content = u32;

fn name(key: u32) -> String {
    format!("key:{key:08}")
}

/// The command that gives a key a content, whatever it held.
fn write(key: u32, content: Content, is_there: bool) -> Vec<String> {
    let (name, content) = (name(key), content.to_string());
    let words: [&str; 4] = match Type::of(key) {
        Type::String => return vec!["PM.SET".into(), name, content],
        Type::Hash => ["PM.HSET", &name, "field", &content],
        Type::List if is_there => ["PM.LSET", &name, "0", &content],
        Type::List => return vec!["PM.RPUSH".into(), name, content],
        Type::ZSet => ["PM.ZADD", &name, &content, "member"],
    };
    words.map(str::to_owned).to_vec()
}

/// The command that asks for the content, and its reply in words.
fn read(key: u32, content: Content) -> (Vec<String>, String) {
    let name = name(key);
    let words = match Type::of(key) {
        Type::String => vec!["PM.GET".into(), name],
        Type::Hash => vec!["PM.HGET".into(), name, "field".into()],
        Type::List => vec!["PM.LINDEX".into(), name, "0".into()],
        Type::ZSet => vec!["PM.ZSCORE".into(), name, "member".into()],
    };
    let reply = match content {
        0 => "nil".into(),
        content => content.to_string(),
    };
    (words, reply)
}

/// A client, and what it knows of its keys: those whose numbers, divided by the number of clients,
/// leave its own.
struct Worker {
    number: u32,
    contents: Vec<Content>,
    rng: Rng,
    /// Keys that the command in flight may have changed when the server died, with what they hold
    /// if it has.
    unsure: Vec<(u32, Content)>,
}

impl Worker {
    fn key(&self, at: usize) -> u32 {
        at as u32 * CLIENTS + self.number
    }

    fn content(&mut self, key: u32) -> &mut Content {
        &mut self.contents[(key / CLIENTS) as usize]
    }

    fn any_key(&mut self) -> u32 {
        let at = self.rng.usize(..self.contents.len());
        self.key(at)
    }

    /// Works until the connection breaks, or ends.
    fn work(&mut self, address: SocketAddr, ends: &AtomicBool, commands: &AtomicU64) {
        let mut client = loop {
            match Client::connect(address) {
                Ok(client) => break client,
                Err(_) if ends.load(Ordering::Relaxed) => return,
                Err(_) => thread::sleep(Duration::from_micros(300)),
            }
        };
        while self.settle(&mut client).is_ok() && self.step(&mut client).is_ok() {
            commands.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Finds out what became of the command that was in flight: all of its changes, or none.
    fn settle(&mut self, client: &mut Client) -> io::Result<()> {
        let Some(&(key, after)) = self.unsure.first() else {
            return Ok(());
        };
        let before = *self.content(key);
        let (words, done) = read(key, after);
        let reply = client.try_call(&words)?;
        let reply = testkit::script::words(&reply);
        let unsure = self.unsure.clone();
        if reply == done && before != after {
            for (key, after) in unsure {
                *self.content(key) = after;
            }
        }
        // What was found is what all of its keys hold.
        for (key, _) in self.unsure.clone() {
            let content = *self.content(key);
            self.check(client, key, content)?;
        }
        self.unsure.clear();
        Ok(())
    }

    fn check(&mut self, client: &mut Client, key: u32, content: Content) -> io::Result<()> {
        let (words, expected) = read(key, content);
        self.call(client, &words, &expected)
    }

    #[track_caller]
    fn call(&mut self, client: &mut Client, words: &[String], expected: &str) -> io::Result<()> {
        let reply = testkit::script::words(&client.try_call(words)?);
        assert_eq!(reply, expected, "{words:?}");
        Ok(())
    }

    /// Runs a command that changes keys.
    fn change(
        &mut self,
        client: &mut Client,
        words: &[String],
        expected: &str,
        changes: Vec<(u32, Content)>,
    ) -> io::Result<()> {
        self.unsure = changes;
        self.call(client, words, expected)?;
        for (key, content) in std::mem::take(&mut self.unsure) {
            *self.content(key) = content;
        }
        Ok(())
    }

    /// One command on some key.
    fn step(&mut self, client: &mut Client) -> io::Result<()> {
        let key = self.any_key();
        let content = *self.content(key);
        let words = |words: &[&str]| {
            words
                .iter()
                .map(|&word| word.to_owned())
                .collect::<Vec<_>>()
        };
        let (is_there, count) = (content > 0, u32::from(content > 0).to_string());
        let (key_name, ty) = (name(key), Type::of(key));
        match self.rng.u32(..10) {
            0..4 => self.check(client, key, content),
            4 | 5 => {
                let new = self.rng.u32(1..);
                let expected = match (ty, is_there) {
                    (Type::String, _) | (Type::List, true) => "OK",
                    (Type::List, false) => "1",
                    (Type::Hash | Type::ZSet, true) => "0",
                    (Type::Hash | Type::ZSet, false) => "1",
                };
                let command = write(key, new, is_there);
                self.change(client, &command, expected, vec![(key, new)])
            }
            6 => {
                let command = ["DEL", "UNLINK", "PM.DEL"][self.rng.usize(..3)];
                let command = words(&[command, &key_name]);
                self.change(client, &command, &count, vec![(key, 0)])
            }
            7 => {
                let ty = if is_there { ty.name() } else { "none" };
                self.call(client, &words(&["TYPE", &key_name]), ty)
            }
            8 => self.call(client, &words(&["EXISTS", &key_name]), &count),
            // Onto another key of the type.
            _ => {
                let step = 8 * CLIENTS;
                let to = if key >= step { key - step } else { key };
                if !is_there || to == key {
                    return self.call(client, &words(&["TOUCH", &key_name]), &count);
                }
                let to_name = name(to);
                let (command, expected, changes) = if self.rng.bool() {
                    (
                        words(&["RENAME", &key_name, &to_name]),
                        "OK",
                        vec![(key, 0), (to, content)],
                    )
                } else {
                    (
                        words(&["COPY", &key_name, &to_name, "REPLACE"]),
                        "1",
                        vec![(to, content)],
                    )
                };
                self.change(client, &command, expected, changes)
            }
        }
    }

    /// Reads all keys.
    fn check_all(&mut self, client: &mut Client) {
        self.settle(client).expect("the server serves");
        for from in (0..self.contents.len()).step_by(BATCH) {
            let to = (from + BATCH).min(self.contents.len());
            let (commands, expected): (Vec<_>, Vec<_>) = (from..to)
                .map(|at| read(self.key(at), self.contents[at]))
                .unzip();
            let replies = client.pipeline(&commands).unwrap();
            for ((reply, expected), command) in replies.iter().zip(expected).zip(commands) {
                let reply = testkit::script::words(reply);
                assert_eq!(reply, expected, "{command:?}");
            }
        }
    }
}

#[test]
fn every_reply_is_right_from_the_first_moment_on_and_kills_lose_nothing() {
    let keys = env_number("PMEDIS_FILLING_KEYS", 60_000) as u32;
    let rounds = env_number("PMEDIS_KILL_ROUNDS", 6);
    let seed = env_number("PMEDIS_SEED", 1);
    let mut rng = Rng::with_seed(seed);
    // Filling takes longer than any round, but for large pools, which are filled as fast as can be.
    let pace = ["fill", "20000"];
    let arguments: &[&str] = if keys < 1_000_000 { &pace } else { &[] };
    let size = format!("{}m", 64 + u64::from(keys) / 2000);
    let setup = Setup::pmedis_with(&size, arguments).keep_port();
    let mut server = setup.start().unwrap();
    let mut client = server.client();
    for from in (0..keys).step_by(BATCH) {
        let to = (from + BATCH as u32).min(keys);
        let commands: Vec<_> = (from..to).map(|key| write(key, key + 1, false)).collect();
        for reply in client.pipeline(&commands).unwrap() {
            assert!(!reply.is_error(), "{reply:?}");
        }
    }
    let worker = |number: u32| Worker {
        number,
        contents: (number..keys)
            .step_by(CLIENTS as usize)
            .map(|key| key + 1)
            .collect(),
        rng: Rng::with_seed(seed ^ u64::from(number) << 32),
        unsure: Vec::new(),
    };
    let mut workers: Vec<Worker> = (0..CLIENTS).map(worker).collect();
    server.kill9();
    let (address, mut in_the_midst) = (server.address(), 0);
    let commands = AtomicU64::new(0);
    for round in 1..=rounds {
        let ends = AtomicBool::new(false);
        thread::scope(|scope| {
            for worker in &mut workers {
                scope.spawn(|| worker.work(address, &ends, &commands));
            }
            let served = server.restart();
            let life = Duration::from_micros(rng.u64(..LIFE_MS * 1000));
            if served.is_ok() {
                server.live(life, &commands, WORK_MIN * round);
            }
            in_the_midst += u64::from(!server.log().contains("all keys of the pool are in"));
            server.kill9();
            ends.store(true, Ordering::Relaxed);
            served.unwrap_or_else(|refusal| panic!("seed {seed}: {refusal:?}"));
        });
    }
    let commands = commands.into_inner();
    println!("seed {seed}: {commands} commands, {in_the_midst} of {rounds} kills while filling");
    assert!(commands >= WORK_MIN * rounds, "the clients were idle");
    assert!(
        2 * in_the_midst > rounds,
        "{in_the_midst} kills while filling"
    );
    server.restart().unwrap();
    let mut client = server.client();
    for worker in &mut workers {
        worker.check_all(&mut client);
    }
    let there = |worker: &Worker| {
        worker
            .contents
            .iter()
            .filter(|&&content| content > 0)
            .count()
    };
    let there: usize = workers.iter().map(there).sum();
    expect(&mut client, "PM.DBSIZE", &there.to_string());
    wait_for("all keys are shown", || {
        ask(&mut client, "PM.READY") == "OK"
    });
    expect(&mut client, "DBSIZE", &there.to_string());
}
