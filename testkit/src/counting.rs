//! Clients that count: each change adds one to something, so that what a server has tells whether a
//! change is there once, twice, or not at all.

use crate::client::Client;
use crate::resp::Value;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

/// A change, what it is counted in, and how that is read.
const COUNTERS: [(&str, &str); 5] = [
    ("PM.INCR {n}:n", "PM.GET {n}:n"),
    ("PM.RPUSH {n}:l %", "PM.LLEN {n}:l"),
    ("PM.ZINCRBY {n}:z 1 m", "PM.ZSCORE {n}:z m"),
    ("PM.HINCRBY {n}:h f 1", "PM.HGET {n}:h f"),
    ("PM.SADD {n}:s %", "PM.SCARD {n}:s"),
];

/// What a client knows of one of its counters.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Changes that must be there.
    acknowledged: u64,
    /// Changes that may be there.
    sent: u64,
}

/// A client with counters of its own.
#[derive(Debug)]
pub struct Counting {
    number: usize,
    counts: [Count; COUNTERS.len()],
}

impl Counting {
    /// A client; its keys lie in one hash slot, that of `{number}`.
    pub fn new(number: usize) -> Counting {
        Counting {
            number,
            counts: Default::default(),
        }
    }

    fn command(&self, template: &str, count: u64) -> String {
        template
            .replace("{n}", &format!("{{{}}}", self.number))
            .replace('%', &count.to_string())
    }

    /// Changes one counter after the other until the server is gone or `ends` is set. With `waits`,
    /// a change counts as acknowledged when a replica has it.
    ///
    /// # Panics
    /// If a reply is another one than counting gives.
    pub fn run(&mut self, address: SocketAddr, waits: bool, ends: &AtomicBool) {
        let Ok(mut client) = Client::connect(address) else {
            return;
        };
        let mut call = |words: &[&str]| client.try_call(words);
        while !ends.load(Ordering::Relaxed) && self.pass(&mut call, waits) {}
    }

    /// Changes each counter once; `false` if one of the calls did not come to its end, after which
    /// only [`judge`](Counting::judge) knows how far it came.
    ///
    /// # Panics
    /// If a reply is another one than counting gives.
    pub fn pass(
        &mut self,
        call: &mut impl FnMut(&[&str]) -> io::Result<Value>,
        waits: bool,
    ) -> bool {
        for (which, (change, _)) in COUNTERS.into_iter().enumerate() {
            let next = self.counts[which].sent + 1;
            let command = self.command(change, next);
            self.counts[which].sent = next;
            let words: Vec<&str> = command.split(' ').collect();
            let Ok(reply) = call(&words) else {
                return false;
            };
            let expected = if words[0] == "PM.SADD" { 1 } else { next };
            let text = crate::script::words(&reply);
            assert_eq!(text, expected.to_string(), "{command}");
            if waits {
                match call(&["WAIT", "1", "5000"]) {
                    Ok(replicas) if replicas.integer() >= Some(1) => {}
                    _ => return false,
                }
            }
            self.counts[which].acknowledged = next;
        }
        true
    }

    /// Compares what a server has with what is known; from then on, that is what is known.
    ///
    /// # Panics
    /// If a change that must be there is not, or one is there twice, or out of order.
    pub fn judge(&mut self, mut call: impl FnMut(&[&str]) -> Value) -> u64 {
        let mut ask = |command: &str| {
            let words: Vec<&str> = command.split(' ').collect();
            crate::script::words(&call(&words))
        };
        for (which, (_, read)) in COUNTERS.into_iter().enumerate() {
            let read = self.command(read, 0);
            let text = ask(&read);
            let found = match text.as_str() {
                "nil" => 0,
                text => text.parse().unwrap_or_else(|_| panic!("{read}: {text}")),
            };
            let Count { acknowledged, sent } = self.counts[which];
            assert!(
                (acknowledged..=sent).contains(&found),
                "{read}: {found}, but {acknowledged} were acknowledged and {sent} sent"
            );
            self.counts[which] = Count {
                acknowledged: found,
                sent: found,
            };
        }
        let list = self.command("PM.LRANGE {n}:l 0 -1", 0);
        let expected: Vec<String> = (1..=self.counts[1].sent).map(|n| n.to_string()).collect();
        assert_eq!(ask(&list), format!("[{}]", expected.join(" ")));
        self.counts.iter().map(|count| count.sent).sum()
    }
}
