//! Master and replica under load, killed again and again (SIGKILL): after healing both have the
//! same keys, and every acknowledged change exactly once.
//!
//! `PMEDIS_REPLICATION_ROUNDS=n` sets the rounds (`ci/stress-replication`), `PMEDIS_SEED=n` the
//! seed.

use fastrand::Rng;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use testkit::counting::Counting;
use testkit::env_number;
use testkit::replication::{assert_same, info, wait_for, wait_in_sync};
use testkit::script::{ask, expect};
use testkit::server::{Server, Setup};

/// Clients that write at the same time.
const CLIENTS: usize = 3;

/// Who dies in a round.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Master,
    Replica,
    Both,
    /// The master, whose replica is promoted.
    MasterForGood,
}

struct Pair {
    master: Server,
    replica: Server,
    clients: Vec<Counting>,
    rng: Rng,
}

impl Pair {
    fn start(seed: u64) -> Pair {
        let mut rng = Rng::with_seed(seed);
        let server = |diskless: bool| {
            let by = if diskless { "yes" } else { "no" };
            let setup = Setup::pmedis("64m")
                .directive("repl-diskless-sync-delay 0")
                .directive(&format!("repl-diskless-sync {by}"))
                .keep_port();
            setup.start().unwrap()
        };
        let mut pair = Pair {
            master: server(rng.bool()),
            replica: server(rng.bool()),
            clients: (0..CLIENTS).map(Counting::new).collect(),
            rng,
        };
        pair.attach();
        pair
    }

    /// Makes the replica follow the master, also when it starts again.
    fn attach(&mut self) {
        let line = format!("replicaof 127.0.0.1 {}", self.master.address().port());
        self.master.configure("");
        self.replica.configure(&line);
        expect(&mut self.replica.client(), &line, "OK");
    }

    fn settle(&self) {
        wait_in_sync(&mut self.master.client(), &mut self.replica.client());
    }

    /// Writes for a while, and kills; the replica may be fast, slow, or saving.
    fn write_and_kill(&mut self, victim: Victim) {
        let ends = AtomicBool::new(false);
        let address = self.master.address();
        let waits = matches!(victim, Victim::MasterForGood);
        let (rng, master, replica) = (&mut self.rng, &mut self.master, &mut self.replica);
        let clients = &mut self.clients;
        thread::scope(|scope| {
            for client in clients {
                scope.spawn(|| client.run(address, waits, &ends));
            }
            for _ in 0..rng.u32(1..4) {
                thread::sleep(Duration::from_millis(rng.u64(1..80)));
                if rng.u8(..3) == 0 {
                    // An RDB that will be older than the pool.
                    ask(&mut master.client(), "BGSAVE");
                    ask(&mut replica.client(), "BGSAVE");
                }
            }
            if !matches!(victim, Victim::Replica) {
                master.kill9();
            }
            if matches!(victim, Victim::Replica | Victim::Both) {
                replica.kill9();
            }
            thread::sleep(Duration::from_millis(rng.u64(..30)));
            ends.store(true, Ordering::Relaxed);
        });
    }

    fn heal(&mut self, victim: Victim) {
        match victim {
            Victim::Replica => self.replica.restart().unwrap(),
            Victim::Master => self.master.restart().unwrap(),
            Victim::Both if self.rng.bool() => {
                self.master.restart().unwrap();
                self.replica.restart().unwrap();
            }
            Victim::Both => {
                self.replica.restart().unwrap();
                self.master.restart().unwrap();
            }
            Victim::MasterForGood => {
                expect(&mut self.replica.client(), "REPLICAOF NO ONE", "OK");
                std::mem::swap(&mut self.master, &mut self.replica);
                // The old master learns of it at its start, or later.
                if self.rng.bool() {
                    let port = self.master.address().port();
                    self.replica
                        .configure(&format!("replicaof 127.0.0.1 {port}"));
                }
                self.replica.restart().unwrap();
                if info(&mut self.replica.client(), "role") == "master" {
                    self.attach();
                }
                self.master.configure("");
            }
        }
    }

    fn round(&mut self) -> u64 {
        let victims = [
            Victim::Master,
            Victim::Replica,
            Victim::Both,
            Victim::MasterForGood,
        ];
        let victim = victims[self.rng.usize(..victims.len())];
        wait_for("the replica is online", || {
            info(&mut self.master.client(), "slave0").contains("state=online")
        });
        self.write_and_kill(victim);
        self.heal(victim);
        let settles = catch_unwind(AssertUnwindSafe(|| self.settle()));
        if let Err(panic) = settles {
            let (master, replica) = (self.master.log(), self.replica.log());
            eprintln!("after {victim:?}\nmaster:\n{master}\nreplica:\n{replica}");
            resume_unwind(panic);
        }
        let (mut master, mut replica) = (self.master.client(), self.replica.client());
        assert_same(&mut master, &mut replica);
        let judge = |client: &mut Counting| client.judge(|words| master.call(words));
        self.clients.iter_mut().map(judge).sum()
    }
}

#[test]
fn killed_masters_and_replicas_agree_and_count_each_change_once() {
    let rounds = env_number("PMEDIS_REPLICATION_ROUNDS", 6);
    let seed = env_number("PMEDIS_SEED", 8);
    println!("seed {seed}");
    let mut pair = Pair::start(seed);
    pair.settle();
    let mut changes = 0;
    for round in 0..rounds {
        let so_far = pair.round();
        assert!(so_far >= changes, "round {round}: changes are gone");
        changes = so_far;
    }
    assert!(changes > rounds, "hardly anything was written");
    println!("{rounds} rounds, {changes} changes, each there once");
}
