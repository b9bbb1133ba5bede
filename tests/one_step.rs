//! A command that changes many elements of a sorted set does so wholly or not at all, wherever the
//! server is killed.
//!
//! `PMEDIS_KILL_ROUNDS=n` runs so many rounds, `PMEDIS_SEED=n` other ones.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use testkit::client::Client;
use testkit::env_number;
use testkit::resp::Value;
use testkit::script::{ask, crash};
use testkit::server::Setup;

/// Enough for a tree of several leaves, and for several steps of a transaction.
const LARGE: usize = 300;
/// Commands on their way at a time.
const PIPELINE: u64 = 8;
/// How many are answered, at least, on an average of the rounds so far.
const WORK_MIN: u64 = 20;

/// The `n`-th command on a sorted set of so many members, and how many it leaves; all members have
/// the same score at any time, that of the last ZADD.
fn command(key: &str, members: usize, n: u64) -> (Vec<String>, usize) {
    let member = |i: usize| format!("member:{i}");
    let mut words: Vec<String> = Vec::new();
    let left = match n % 5 {
        0 => {
            words.extend(["PM.ZADD".into(), key.into()]);
            words.extend((0..members).flat_map(|i| [n.to_string(), member(i)]));
            members
        }
        1 => {
            words.extend(["PM.ZREM".into(), key.into()]);
            words.extend((0..members / 3).map(member));
            members - members / 3
        }
        2 => {
            let last = (members / 4 - 1).to_string();
            words.extend(["PM.ZREMRANGEBYRANK", key, "0", &last].map(str::to_owned));
            members - members / 3 - members / 4
        }
        3 => {
            let count = (members / 10).to_string();
            words.extend(["PM.ZPOPMAX", key, &count].map(str::to_owned));
            members - members / 3 - members / 4 - members / 10
        }
        _ => {
            words.extend(["PM.ZREMRANGEBYSCORE", key, "-inf", "+inf"].map(str::to_owned));
            0
        }
    };
    (words, left)
}

/// What the sorted set looks like after so many commands.
fn state_after(done: u64, key: &str, members: usize) -> String {
    let Some(last) = done.checked_sub(1) else {
        return "0 [] []".to_owned();
    };
    match command(key, members, last).1 {
        0 => "0 [] []".to_owned(),
        left => {
            let score = last - last % 5;
            format!("{left} [{score}] [{score}]")
        }
    }
}

/// How many there are, and the scores of the first and the last one.
fn state(client: &mut Client, key: &str) -> String {
    let mut end = |command: &str| {
        let reply = client.call(&[command, key, "0", "0", "WITHSCORES"]);
        let score = reply.elements().and_then(|pair| pair.get(1).cloned());
        let score = score.map(|score| String::from_utf8_lossy(score.bytes().unwrap()).into_owned());
        format!("[{}]", score.unwrap_or_default())
    };
    let ends = [end("PM.ZRANGE"), end("PM.ZREVRANGE")].join(" ");
    format!("{} {ends}", ask(client, &format!("PM.ZCARD {key}")))
}

struct Writer {
    key: String,
    members: usize,
    sent: u64,
    acknowledged: u64,
}

impl Writer {
    /// Sends commands until the server is gone, and counts those that it has answered in `work`,
    /// too.
    fn write(&mut self, address: SocketAddr, work: &AtomicU64) {
        let Ok(mut connection) = Client::connect(address) else {
            return;
        };
        loop {
            for _ in 0..PIPELINE {
                connection.queue(&command(&self.key, self.members, self.sent).0);
                self.sent += 1;
            }
            let broken = connection.send().is_err();
            while self.acknowledged < self.sent {
                match connection.receive() {
                    Ok(Value::Error(text)) => panic!("{text}"),
                    Ok(_) => {
                        self.acknowledged += 1;
                        work.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(_) => return,
                }
            }
            if broken {
                return;
            }
        }
    }

    /// Finds the command after which the server died.
    fn judge(&mut self, client: &mut Client) {
        let found = state(client, &self.key);
        let done = (self.acknowledged..=self.sent)
            .find(|done| state_after(*done, &self.key, self.members) == found);
        let done = done.unwrap_or_else(|| {
            panic!(
                "{found} of {} after {} of {} commands",
                self.members, self.acknowledged, self.sent
            )
        });
        // What follows begins anew, so that the scores tell one round from the other.
        client.call(&["PM.DEL", &self.key]);
        self.sent = done.next_multiple_of(5);
        self.acknowledged = self.sent;
    }
}

#[test]
fn changes_of_many_elements_are_made_wholly_or_not_at_all() {
    let rounds = env_number("PMEDIS_KILL_ROUNDS", 15);
    let mut rng = fastrand::Rng::with_seed(env_number("PMEDIS_SEED", 1));
    let mut server = Setup::pmedis("64m").start().unwrap();
    let mut writers: Vec<Writer> = [LARGE, 30]
        .into_iter()
        .map(|members| Writer {
            key: format!("zset:{members}"),
            members,
            sent: 0,
            acknowledged: 0,
        })
        .collect();
    let work = AtomicU64::new(0);
    for round in 1..=rounds {
        let address = server.address();
        let life = Duration::from_micros(rng.u64(2_000..60_000));
        thread::scope(|scope| {
            for writer in &mut writers {
                scope.spawn(|| writer.write(address, &work));
            }
            server.live(life, &work, WORK_MIN * round);
            server.kill9();
        });
        let mut client = crash(&mut server);
        for writer in &mut writers {
            writer.judge(&mut client);
        }
    }
    let done = work.into_inner();
    assert!(
        done >= WORK_MIN * rounds,
        "only {done} commands in {rounds} rounds"
    );
}
