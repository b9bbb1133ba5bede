//! What clients see while Redis's keyspace is filled from the pool, after a restart.
//!
//! Clients send at a fixed pace, half of what the server can do when all keys are there. A command
//! whose turn has come while its client still waits counts from its turn on, so that a pause of the
//! server is not left out.

use crate::target::Target;
use hdrhistogram::Histogram;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use testkit::client::Client;
use testkit::resp::Value;

/// How often the end of the filling is looked for.
const PAUSE: Duration = Duration::from_millis(20);
/// How long the clients work when all keys are there.
const ALONE: Duration = Duration::from_secs(4);
/// Longest filling that is waited for.
const LIMIT: Duration = Duration::from_secs(600);

/// What one filling was like.
#[derive(Clone, Debug)]
pub struct Filled {
    /// Seconds until all keys were there, by the server's log, without any client.
    pub alone: f64,
    /// The same with the clients.
    pub under_load: f64,
    /// Commands a second that the clients sent.
    pub pace: f64,
    /// Latencies meanwhile, in nanoseconds.
    pub meanwhile: Histogram<u64>,
    /// Latencies at the same pace when all keys were there.
    pub afterwards: Histogram<u64>,
    /// Bytes of anonymous memory of the process when commands were served first.
    pub anonymous_at_first: f64,
    /// The same when all keys were there.
    pub anonymous_at_end: f64,
    /// DRAM that INFO counts when all keys were there.
    pub used_at_end: f64,
}

/// Fills twice after a kill, alone and with clients, which work on the strings `key:0` to
/// `key:<keys>`.
///
/// # Errors
/// Those of the server and its connections; an error in a reply.
pub fn measure(server: &mut Target, keys: u64, clients: u64) -> io::Result<Filled> {
    restart(server)?;
    let anonymous_at_first = anonymous(server)?;
    let alone = wait_until_filled(server)?;
    let anonymous_at_end = anonymous(server)?;
    server.reconnect()?;
    let used_at_end = server.info("memory", "used_memory")?;
    let address = server.server().address();
    let most = run(address, keys, clients, None, || {
        thread::sleep(ALONE);
        Ok(())
    })?;
    let pace = most.len() as f64 / ALONE.as_secs_f64() / 2.0;
    let afterwards = run(address, keys, clients, Some(pace), || {
        thread::sleep(ALONE);
        Ok(())
    })?;
    restart(server)?;
    let mut under_load = 0.0;
    let meanwhile = run(server.server().address(), keys, clients, Some(pace), || {
        under_load = wait_until_filled(server)?;
        Ok(())
    })?;
    Ok(Filled {
        alone,
        under_load,
        pace,
        meanwhile,
        afterwards,
        anonymous_at_first,
        anonymous_at_end,
        used_at_end,
    })
}

fn restart(server: &mut Target) -> io::Result<()> {
    server.server().kill9();
    let restarted = server.server().restart();
    restarted.map_err(|refusal| io::Error::other(format!("{refusal:?}")))
}

/// Seconds until all keys were there, as the log says: who asks is served, and holds the filling
/// up.
fn wait_until_filled(server: &mut Target) -> io::Result<f64> {
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        let log = server.server().log();
        let told = log.lines().find_map(|line| {
            let (_, rest) = line.split_once("are in the keyspace after ")?;
            rest.split(' ').next()?.parse().ok()
        });
        if let Some(seconds) = told {
            return Ok(seconds);
        }
        thread::sleep(PAUSE);
    }
    Err(io::Error::other("the keyspace is never filled"))
}

/// Bytes of memory of the server's process that no file stands behind.
fn anonymous(server: &mut Target) -> io::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", server.server().pid()))?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok());
    let missing = || io::Error::other("the kernel does not tell of anonymous memory");
    Ok(kilobytes.ok_or_else(missing)? * 1024.0)
}

/// Lets clients read and write strings until `meanwhile` is over, `pace` commands a second
/// altogether, or as fast as they can.
pub(crate) fn run(
    address: SocketAddr,
    keys: u64,
    clients: u64,
    pace: Option<f64>,
    meanwhile: impl FnOnce() -> io::Result<()>,
) -> io::Result<Histogram<u64>> {
    let stop = Arc::new(AtomicBool::new(false));
    let interval = pace.map(|pace| Duration::from_secs_f64(clients as f64 / pace));
    let client = |number| {
        let stop = stop.clone();
        thread::spawn(move || one(address, keys, number, clients, interval, &stop))
    };
    let threads: Vec<JoinHandle<_>> = (0..clients).map(client).collect();
    let done = meanwhile();
    stop.store(true, Ordering::Relaxed);
    let mut all = histogram();
    for thread in threads {
        let one = thread.join();
        let one = one.map_err(|_| io::Error::other("a client panicked"))??;
        all.add(one).map_err(io::Error::other)?;
    }
    done.map(|()| all)
}

pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("the bounds are in order")
}

/// One client of `clients`.
fn one(
    address: SocketAddr,
    keys: u64,
    number: u64,
    clients: u64,
    interval: Option<Duration>,
    stop: &AtomicBool,
) -> io::Result<Histogram<u64>> {
    let mut client = Client::connect(address)?;
    let (mut times, mut rng) = (histogram(), fastrand::Rng::with_seed(number));
    let value = "x".repeat(128);
    let begin = Instant::now();
    for turn in 0u32.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("key:{:012}", rng.u64(..keys));
        let words: &[&str] = match turn % 2 {
            0 => &["PM.GET", &key],
            _ => &["PM.SET", &key, &value],
        };
        let mut from = Instant::now();
        if let Some(interval) = interval {
            let share = interval.mul_f64(number as f64 / clients as f64);
            let due = begin + share + interval * turn;
            match due.checked_duration_since(from) {
                Some(early) => {
                    thread::sleep(early);
                    from = Instant::now();
                }
                None => from = due,
            }
        }
        let reply = client.try_call(words)?;
        times.saturating_record(from.elapsed().as_nanos() as u64);
        match reply {
            Value::Error(text) => return Err(io::Error::other(format!("{words:?}: {text}"))),
            Value::NullBulk | Value::Null => {
                return Err(io::Error::other(format!("{words:?}: the key is gone")));
            }
            _ => {}
        }
    }
    Ok(times)
}
