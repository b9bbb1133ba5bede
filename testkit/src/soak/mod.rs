//! The soak: clients keep a pool between nearly full and full for as long as one likes, with
//! changes of all types and sizes, while the server is killed again and again and a replica
//! follows.
//!
//! Each client has keys of its own, a model of them, and one command in flight. A change is applied
//! to the model when it is acknowledged; one that is refused for want of room must have changed
//! nothing; the one in flight when the server dies may be there or not, wholly. What takes away
//! must never be refused.
//!
//! [`change`] makes the changes, [`model`] says what they do, [`writer`] is a client; this file
//! kills, restarts and compares.

pub mod change;
pub mod model;
pub mod writer;

use crate::client::Client;
use crate::replication::{assert_same, follow, info, wait_for, wait_in_sync};
use crate::script::expect;
use crate::server::{Server, Setup};
use fastrand::Rng;
use std::thread;
use std::time::{Duration, Instant};
use writer::Writer;

/// How long it may take to fill the pool.
const FULL_TIME_MAX: Duration = Duration::from_secs(300);

/// Clients that write at the same time.
const WRITERS: usize = 3;

/// How long, on what, and how often the server dies.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Size of the master's pool, as the module's argument has it.
    pub size: &'static str,
    /// Size of the replica's, which must not be too small for what the master's holds.
    pub replica_size: &'static str,
    /// Kills of the master.
    pub lives: u32,
    /// From start to kill.
    pub life: Duration,
    /// Which random numbers.
    pub seed: u64,
}

/// What a soak has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Changes acknowledged and found again.
    pub acknowledged: u64,
    /// Changes refused for want of room, of which nothing was found.
    pub refused: u64,
    /// Bytes that `PM.INFO` called used when the pool was fullest.
    pub used_max: u64,
}

/// Runs a soak and judges it.
///
/// # Errors
/// The first finding, with the seed and the server's log.
///
/// # Panics
/// If a server does not start or answer.
pub fn run(plan: Plan) -> Result<Tally, String> {
    let mut server = start(plan.size);
    let replica = start(plan.replica_size);
    let mut of_replica = replica.client();
    follow(&mut of_replica, &server);
    // The table of databases comes with the first key, and stays.
    expect(&mut server.client(), "PM.SET first key", "OK");
    expect(&mut server.client(), "FLUSHALL", "OK");
    let used_when_empty = settled_use(&mut server.client());

    let mut rng = Rng::with_seed(plan.seed);
    let mut writers: Vec<Writer> = (0..WRITERS).map(|n| Writer::new(n, rng.u64(..))).collect();
    let mut tally = Tally::default();
    let found = |server: &Server, what: String| {
        format!("seed {}: {what}\nThe log:\n{}", plan.seed, server.log())
    };
    for life in 1..=plan.lives {
        // On a busy machine it takes longer than a life until the pool is full for the first time.
        let start = Instant::now();
        loop {
            write_until(&server, &mut writers, Instant::now() + plan.life)
                .map_err(|what| found(&server, format!("life {life}: {what}")))?;
            let refused: u64 = writers.iter().map(Writer::refused).sum();
            if refused > 0 || start.elapsed() > FULL_TIME_MAX {
                break;
            }
        }
        tally.used_max = tally.used_max.max(pool_use(&mut server.client()));
        kill_while_writing(&mut server, &mut writers)
            .map_err(|what| found(&server, format!("life {life}: {what}")))?;
        server.restart().map_err(|refusal| format!("{refusal:?}"))?;
        judge(&mut server.client(), &mut writers)
            .map_err(|what| found(&server, format!("after life {life}: {what}")))?;
    }
    let mut client = server.client();
    wait_in_sync(&mut client, &mut of_replica);
    assert_same(&mut client, &mut of_replica);
    tally.acknowledged = writers.iter().map(Writer::acknowledged).sum();
    tally.refused = writers.iter().map(Writer::refused).sum();

    expect(&mut client, "FLUSHALL", "OK");
    let used = settled_use(&mut client);
    if used != used_when_empty {
        let what = format!("{used} bytes are used after FLUSHALL, {used_when_empty} before");
        return Err(found(&server, what));
    }
    Ok(tally)
}

fn start(size: &str) -> Server {
    let setup = Setup::pmedis(size)
        .directive("repl-diskless-sync-delay 0")
        .directive("client-output-buffer-limit replica 0 0 0")
        .keep_port();
    setup
        .start()
        .unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

/// All clients write until `end`, without harm.
fn write_until(server: &Server, writers: &mut [Writer], end: Instant) -> Result<(), String> {
    let address = server.address();
    thread::scope(|scope| {
        let threads: Vec<_> = writers
            .iter_mut()
            .map(|writer| scope.spawn(move || writer.write(address, Some(end))))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a writer"))
    })
}

/// The server dies while all clients write.
fn kill_while_writing(server: &mut Server, writers: &mut [Writer]) -> Result<(), String> {
    let address = server.address();
    let before: u64 = writers.iter().map(Writer::acknowledged).sum();
    thread::scope(|scope| {
        let threads: Vec<_> = writers
            .iter_mut()
            .map(|writer| scope.spawn(move || writer.write(address, None)))
            .collect();
        // Long enough that each has begun, whatever the machine does meanwhile; what was
        // acknowledged is judged all the same.
        thread::sleep(Duration::from_millis(50 + before % 100));
        let died = server.exited();
        server.kill9();
        let written = threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a writer"));
        match died {
            Some(status) => Err(format!("the server ended by itself: {status}")),
            None => written,
        }
    })
}

fn judge(client: &mut Client, writers: &mut [Writer]) -> Result<(), String> {
    for writer in writers.iter_mut() {
        writer.judge(client)?;
    }
    let keys: usize = writers.iter().map(Writer::keys).sum();
    match client.call(&["DBSIZE"]).integer() {
        Some(size) if usize::try_from(size) == Ok(keys) => Ok(()),
        size => Err(format!(
            "DBSIZE is {size:?}, but the clients have {keys} keys"
        )),
    }
}

/// Bytes that `PM.INFO` calls used.
fn pool_use(client: &mut Client) -> u64 {
    pool_field(client, "used")
}

/// The same, once nothing is left to be reclaimed.
fn settled_use(client: &mut Client) -> u64 {
    wait_for("memory is reclaimed", || {
        pool_field(client, "reclaim_values") == 0 && pool_field(client, "reclaim_sweeping") == 0
    });
    wait_for("no child saves", || {
        info(client, "rdb_bgsave_in_progress") == "0"
    });
    pool_use(client)
}

fn pool_field(client: &mut Client, field: &str) -> u64 {
    let text = client.call(&["PM.INFO"]);
    let text = String::from_utf8_lossy(text.bytes().expect("PM.INFO's text")).into_owned();
    let value = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(field)?.strip_prefix(':'));
    let value = value.unwrap_or_else(|| panic!("PM.INFO has no {field}: {text}"));
    value
        .trim()
        .parse()
        .unwrap_or_else(|_| panic!("{field}:{value}"))
}
