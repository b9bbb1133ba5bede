//! Latency under a mixed load, while the server has something large to do beside it.
//!
//! Closed-loop clients send one command, wait for its reply, note how long it took, and send the
//! next. The commands of all types and both kinds come in turn, on random keys.

use crate::target::{Config, Target};
use hdrhistogram::Histogram;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use testkit::client::Client;
use testkit::resp::Value;
use testkit::server::Setup;

/// Commands sent at a time while a hash grows, or while keys are made.
const PIPELINE: usize = 16;
/// Keys that the load works on.
const KEYS: u64 = 100_000;
/// Fields of a hash that is deleted beside the load.
pub const LARGE: u64 = 100_000;
/// How long compaction may take to begin by itself.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often the end of a background task is asked for.
const PAUSE: Duration = Duration::from_millis(20);

/// What the server does beside the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Nothing, for so long.
    Nothing(Duration),
    /// A replica takes all data.
    FullSync,
    /// A hash grows to so many fields.
    Growth(u64),
    /// So many keys of another database are flushed, and their memory reclaimed.
    Reclaim(u64),
    /// So many hashes of another database, of [`LARGE`] fields each, are deleted one after the
    /// other.
    Deletion(u64),
    /// Every second of so many keys of another database was deleted: the room is gathered. Of
    /// pmedis only.
    Compaction(u64),
    /// The same of keys with values of 4 to 800 KB, of so many bytes.
    LargeCompaction(u64),
}

/// Latencies of one phase.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// In nanoseconds.
    pub histogram: Histogram<u64>,
    /// How long the phase took.
    pub took: Duration,
}

impl Beside {
    /// What the table calls it.
    pub fn name(self) -> String {
        match self {
            Beside::Nothing(_) => "mixed load alone".into(),
            Beside::FullSync => "while a full sync runs".into(),
            Beside::Growth(fields) => format!("while a hash grows to {fields} fields"),
            Beside::Reclaim(keys) => format!("while {keys} keys are flushed and reclaimed"),
            Beside::Deletion(hashes) => {
                format!("while {hashes} hashes of {LARGE} fields are deleted")
            }
            Beside::Compaction(keys) => {
                format!("while room is gathered that every second of {keys} keys has left")
            }
            Beside::LargeCompaction(bytes) => {
                let mebibytes = bytes >> 20;
                format!("while room is gathered that half of {mebibytes} MiB of large values left")
            }
        }
    }
}

/// Runs `clients` clients for the time of each phase, and tells `report` what it found.
///
/// # Errors
/// Those of the servers and connections; an error in a reply.
pub fn measure(
    config: Config,
    pool: &str,
    clients: u64,
    phases: &[Beside],
    mut report: impl FnMut(Beside, &Latencies),
) -> io::Result<()> {
    let setup = match config {
        Config::Pm => Setup::pmedis(pool),
        _ => Setup::native(),
    };
    let mut server = Target::launch(config, &setup.directive("repl-diskless-sync-delay 0"))?;
    for &phase in phases {
        let compacts = matches!(phase, Beside::Compaction(_) | Beside::LargeCompaction(_));
        if compacts && config != Config::Pm {
            continue;
        }
        prepare(&mut server, phase)?;
        let load = Load::start(&mut server, clients);
        let start = Instant::now();
        let done = beside(&mut server, phase, pool);
        let took = start.elapsed();
        let histogram = load.stop();
        done?;
        let histogram = histogram?;
        report(phase, &Latencies { histogram, took });
    }
    Ok(())
}

fn beside(server: &mut Target, phase: Beside, pool: &str) -> io::Result<()> {
    match phase {
        Beside::Nothing(time) => {
            thread::sleep(time);
            Ok(())
        }
        Beside::FullSync => full_sync(server, pool),
        Beside::Growth(fields) => {
            let words = |n: u64| {
                vec![
                    "HSET".to_owned(),
                    "growing".into(),
                    format!("field:{n:012}"),
                    n.to_string(),
                ]
            };
            let batch = PIPELINE as u64;
            (0..fields).step_by(batch as usize).try_for_each(|from| {
                let commands: Vec<_> = (from..(from + batch).min(fields)).map(words).collect();
                server.pipeline(&commands)
            })
        }
        Beside::Reclaim(_) => {
            server.call(&["SELECT", "1"])?;
            server.call(&["FLUSHDB", "ASYNC"])?;
            server.call(&["SELECT", "0"])?;
            wait_for_reclaiming(server)
        }
        Beside::Deletion(hashes) => {
            server.call(&["SELECT", "1"])?;
            for n in 0..hashes {
                server.call(&["DEL", &format!("large:{n}")])?;
                thread::sleep(PAUSE);
            }
            server.call(&["SELECT", "0"])?;
            wait_for_reclaiming(server)
        }
        Beside::Compaction(_) | Beside::LargeCompaction(_) => compaction(server),
    }
}

/// What a phase needs before the load begins.
fn prepare(server: &mut Target, phase: Beside) -> io::Result<()> {
    match phase {
        Beside::Nothing(_) | Beside::FullSync | Beside::Growth(_) => Ok(()),
        Beside::Reclaim(keys) => make_keys(server, keys),
        Beside::Deletion(hashes) => {
            server.call(&["SELECT", "1"])?;
            for number in 0..hashes {
                let words = |n: u64| {
                    let words = [
                        "HSET",
                        &format!("large:{number}"),
                        &format!("field:{n:012}"),
                        "value",
                    ];
                    words.map(str::to_owned).to_vec()
                };
                in_pipelines(server, LARGE, words)?;
            }
            server.call(&["SELECT", "0"])?;
            Ok(())
        }
        Beside::Compaction(keys) => {
            make_keys(server, keys)?;
            server.call(&["SELECT", "1"])?;
            let words = |n: u64| ["DEL", &name(2 * n)].map(str::to_owned).to_vec();
            in_pipelines(server, keys / 2, words)?;
            server.call(&["SELECT", "0"])?;
            Ok(())
        }
        Beside::LargeCompaction(bytes) => {
            let keys = make_large_keys(server, bytes)?;
            server.call(&["SELECT", "1"])?;
            let words = |n: u64| ["DEL", &large_name(2 * n)].map(str::to_owned).to_vec();
            in_pipelines(server, keys / 2, words)?;
            server.call(&["SELECT", "0"])?;
            Ok(())
        }
    }
}

/// Waits until compaction has begun by itself, and has come to its end.
fn compaction(server: &mut Target) -> io::Result<()> {
    let start = Instant::now();
    let (mut moved, mut has_begun) = (u64::MAX, false);
    loop {
        let text = pm_info(server, "compaction")?;
        let field = |name: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_default().trim().to_owned()
        };
        let bytes: u64 = field("bytes_moved").parse().unwrap_or(0);
        if field("compaction") == "idle" && has_begun {
            return Ok(());
        }
        has_begun |= bytes > moved;
        moved = moved.min(bytes);
        if start.elapsed() > PATIENCE {
            return Err(io::Error::other(
                "compaction does not begin, or does not end",
            ));
        }
        thread::sleep(PAUSE);
    }
}

fn wait_for_reclaiming(server: &mut Target) -> io::Result<()> {
    while reclaims(server)? {
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn name(n: u64) -> String {
    format!("key:{n:012}")
}

/// Sends `count` commands, many at a time.
fn in_pipelines(
    server: &mut Target,
    count: u64,
    words: impl Fn(u64) -> Vec<String>,
) -> io::Result<()> {
    let step = 64 * PIPELINE as u64;
    (0..count).step_by(step as usize).try_for_each(|from| {
        let commands: Vec<_> = (from..(from + step).min(count)).map(&words).collect();
        server.pipeline(&commands)
    })
}

fn make_keys(server: &mut Target, keys: u64) -> io::Result<()> {
    server.call(&["SELECT", "1"])?;
    let words = |n: u64| vec!["SET".to_owned(), name(n), "x".repeat(16)];
    in_pipelines(server, keys, words)?;
    server.call(&["SELECT", "0"])?;
    Ok(())
}

fn large_name(n: u64) -> String {
    format!("large:{n:09}")
}

/// Writes values of 4 to 800 KB, small ones as often as large ones, until they are so many bytes:
/// how many keys that takes.
fn make_large_keys(server: &mut Target, bytes: u64) -> io::Result<u64> {
    server.call(&["SELECT", "1"])?;
    let mut random = fastrand::Rng::with_seed(bytes);
    let (mut keys, mut written) = (0, 0);
    while written < bytes {
        let size = 4e3 * 200_f64.powf(random.f64());
        let words = ["SET", &large_name(keys), &"x".repeat(size as usize)];
        server.pipeline(&[words.map(str::to_owned).to_vec()])?;
        (keys, written) = (keys + 1, written + size as u64);
    }
    server.call(&["SELECT", "0"])?;
    Ok(keys)
}

/// True while memory of flushed keys is still to be given back.
fn reclaims(server: &mut Target) -> io::Result<bool> {
    if server.config != Config::Pm {
        return Ok(server.info("memory", "lazyfree_pending_objects")? > 0.0);
    }
    let text = pm_info(server, "reclaim")?;
    let mut counts = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(_, count)| count.trim().to_owned());
    Ok(counts.any(|count| count != "0" && count != "no"))
}

/// A section of PM.INFO.
fn pm_info(server: &mut Target, section: &str) -> io::Result<String> {
    let reply = server.call(&["PM.INFO", section])?;
    Ok(String::from_utf8_lossy(reply.bytes().unwrap_or_default()).into_owned())
}

fn full_sync(server: &mut Target, pool: &str) -> io::Result<()> {
    let setup = match server.config {
        Config::Pm => Setup::pmedis(pool),
        _ => Setup::native(),
    };
    let port = server.port();
    let setup = setup.directive(&format!("replicaof 127.0.0.1 {port}"));
    let mut replica = Target::launch(Config::Native, &setup)?;
    loop {
        let reply = replica.call(&["INFO", "replication"])?;
        let text = String::from_utf8_lossy(reply.bytes().unwrap_or_default()).into_owned();
        if text.contains("master_link_status:up") {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
}

/// The clients at work.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<io::Result<Histogram<u64>>>>,
}

impl Load {
    fn start(server: &mut Target, clients: u64) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let address = server.server().address();
        let prefix = server.command(&[""]).concat();
        let client = |number| {
            let (stop, prefix) = (stop.clone(), prefix.clone());
            thread::spawn(move || closed_loop(address, &prefix, number, &stop))
        };
        Load {
            clients: (0..clients).map(client).collect(),
            stop,
        }
    }

    fn stop(self) -> io::Result<Histogram<u64>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = histogram();
        for client in self.clients {
            let one = client
                .join()
                .map_err(|_| io::Error::other("a client panicked"))??;
            all.add(one).map_err(io::Error::other)?;
        }
        Ok(all)
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("the bounds are in order")
}

fn closed_loop(
    address: SocketAddr,
    prefix: &str,
    number: u64,
    stop: &AtomicBool,
) -> io::Result<Histogram<u64>> {
    let mut client = Client::connect(address)?;
    let mut times = histogram();
    let data = "x".repeat(128);
    let mut random = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(number + 1);
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        turn += 1;
        let (key, n) = (format!("{:06}", random % KEYS), random % 1000);
        let mut words = mixed(turn, &key, n, &data);
        words[0].insert_str(0, prefix);
        let start = Instant::now();
        let reply = client.try_call(&words)?;
        times.saturating_record(start.elapsed().as_nanos() as u64);
        if let Value::Error(text) = reply {
            return Err(io::Error::other(format!("{words:?}: {text}")));
        }
    }
    Ok(times)
}

/// One command of the mix: two reads for two writes, over the five types.
fn mixed(turn: u64, key: &str, n: u64, data: &str) -> Vec<String> {
    let words = match turn % 12 {
        0 | 6 => format!("SET key:{key} {data}"),
        1 | 7 => format!("GET key:{key}"),
        2 => format!("INCR counter:{key}"),
        3 => format!("LRANGE list:{n} 0 9"),
        4 => format!("LPUSH list:{n} {data}"),
        5 => format!("HGET hash:{n} field:{key}"),
        8 => format!("HSET hash:{n} field:{key} {data}"),
        9 => format!("SISMEMBER set:{n} {key}"),
        10 => format!("SADD set:{n} {key}"),
        _ => format!("ZADD zset:{n} {n} {key}"),
    };
    words.split(' ').map(str::to_owned).collect()
}
