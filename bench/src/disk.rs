//! `durability disk` beside `appendfsync always`, on one disk.

use crate::filling;
use crate::options::Options;
use crate::redis_benchmark::{self, Load};
use crate::summary::Spread;
use crate::target::{Config, Target};
use crate::throughput::{self, Cell, Figure};
use crate::workload::{self, Data, Kind, Range, Run, Workload};
use hdrhistogram::Histogram;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The commands that are measured: each changes one key.
pub const COMMANDS: [&str; 6] = ["SET", "INCR", "LPUSH", "HSET", "SADD", "ZADD"];
/// Connections, and requests that are sent at a time.
pub const LOADS: [(u64, u64); 4] = [(1, 1), (32, 1), (32, 16), (200, 1)];

/// What is measured, and where.
pub struct Plan {
    /// A directory on the disk.
    pub disk: PathBuf,
    /// Keys, and elements of collections.
    pub keys: u64,
    /// Size of the pool.
    pub pool: String,
    /// Rounds of each measurement.
    pub rounds: usize,
    /// About how long one run takes, in seconds.
    pub seconds: f64,
}

/// Throughput of both servers, interleaved, under each load; ratios are to the AOF.
///
/// # Errors
/// Those of the servers and connections; an error in a reply.
pub fn throughput(plan: &Plan, mut progress: impl FnMut(&str)) -> io::Result<Vec<Figure>> {
    let start = |config| Target::start(config, &plan.pool, Some(&plan.disk));
    let mut targets = vec![start(Config::AofAlways)?, start(Config::PmDisk)?];
    let workloads = workload::main();
    let chosen = workloads
        .iter()
        .filter(|workload| COMMANDS.contains(&workload.name));
    let cells: Vec<Cell> = LOADS
        .iter()
        .flat_map(|&(clients, pipeline)| {
            chosen.clone().map(move |&workload| Cell {
                workload,
                clients,
                pipeline,
            })
        })
        .collect();
    let options = Options {
        disk: Some(plan.disk.clone()),
        rounds: plan.rounds,
        seconds: plan.seconds,
        keys: plan.keys,
        pool: plan.pool.clone(),
        ..Options::default()
    };
    throughput::measure(&cells, &mut targets, &options, |_, line| progress(line))
}

/// The geometric mean of ratios of the pool to the AOF under one load.
pub fn mean_ratio(figures: &[Figure], (clients, pipeline): (u64, u64)) -> f64 {
    let ratios: Vec<f64> = figures
        .iter()
        .filter(|figure| {
            figure.config == Config::PmDisk.name()
                && (figure.clients, figure.pipeline) == (clients, pipeline)
        })
        .map(|figure| figure.ratio.median.ln())
        .collect();
    (ratios.iter().sum::<f64>() / ratios.len().max(1) as f64).exp()
}

/// Strings for all keys.
fn strings() -> Workload {
    Workload {
        name: "SET",
        kind: Kind::Write,
        words: "SET key:__rand_int__ {data}",
        range: Range::Keys,
        data: Data::Strings,
    }
}

fn load(target: &mut Target, plan: &Plan) -> io::Result<()> {
    let run = Run {
        number: 0,
        requests: 0,
        keys: plan.keys,
    };
    strings().prepare(target, run)
}

/// Latencies of clients that read and write.
pub struct Checkpoints {
    /// Without a checkpoint, in nanoseconds.
    pub without: Histogram<u64>,
    /// While one checkpoint follows the other, in nanoseconds.
    pub with: Histogram<u64>,
    /// How many were complete.
    pub count: f64,
}

/// Latencies of `clients` that read and write, half of the commands each, at half of the speed that
/// they reach, without checkpoints and while they run.
///
/// # Errors
/// Those of the servers and connections.
pub fn checkpoints(plan: &Plan, clients: u64, time: Duration) -> io::Result<Checkpoints> {
    let mut measured = Vec::new();
    let (mut pace, mut count) = (None, 0.0);
    for journal in ["2g", "16m"] {
        let arguments = ["journal", journal];
        let disk = Some(plan.disk.as_path());
        let mut target = Target::start_with(Config::PmDisk, &plan.pool, disk, &arguments, &[])?;
        load(&mut target, plan)?;
        target.call(&["PM.POOL", "CHECKPOINT"])?;
        let wait = || {
            thread::sleep(time);
            Ok(())
        };
        let address = target.server().address();
        if pace.is_none() {
            let most = filling::run(address, plan.keys, clients, None, wait)?;
            pace = Some(most.len() as f64 / time.as_secs_f64() / 2.0);
            target.call(&["PM.POOL", "CHECKPOINT"])?;
        }
        let before = target.info("pmedis", "pmedis_checkpoints")?;
        measured.push(filling::run(address, plan.keys, clients, pace, wait)?);
        count = target.info("pmedis", "pmedis_checkpoints")? - before;
    }
    let with = measured.pop().unwrap_or_else(filling::histogram);
    let without = measured.pop().unwrap_or_else(filling::histogram);
    Ok(Checkpoints {
        without,
        with,
        count,
    })
}

/// Bytes that a server writes for as many random overwrites as there are keys.
///
/// # Errors
/// Those of the server and connections.
pub fn bytes_written(plan: &Plan, config: Config) -> io::Result<f64> {
    let rewrites = ["auto-aof-rewrite-percentage 100"];
    let disk = Some(plan.disk.as_path());
    let mut target = match config {
        Config::PmDisk => Target::start(config, &plan.pool, disk)?,
        _ => Target::start_with(config, &plan.pool, disk, &[], &rewrites)?,
    };
    load(&mut target, plan)?;
    settle(&mut target)?;
    let before = written(&mut target)?;
    let run = Run {
        number: 1,
        requests: plan.keys,
        keys: plan.keys,
    };
    let words = target.command(&strings().words(run));
    let load = Load {
        clients: 32,
        pipeline: 16,
        requests: plan.keys.next_multiple_of(16),
        range: plan.keys,
    };
    redis_benchmark::run(target.port(), load, &words)?;
    settle(&mut target)?;
    Ok(written(&mut target)? - before)
}

/// Has a server do what its writes have left to be done: a checkpoint, or a rewrite that runs.
fn settle(target: &mut Target) -> io::Result<()> {
    if target.config == Config::PmDisk {
        target.call(&["PM.POOL", "CHECKPOINT"])?;
        return Ok(());
    }
    while target.info("persistence", "aof_rewrite_in_progress")? > 0.0
        || target.info("persistence", "aof_rewrite_scheduled")? > 0.0
    {
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Bytes that the server's process has written so far, and the files that its children have.
fn written(target: &mut Target) -> io::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{}/io", target.server().pid()))?;
    let bytes = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "))
        .and_then(|number| number.trim().parse::<f64>().ok())
        .ok_or_else(|| io::Error::other("the kernel does not tell what is written"))?;
    match target.config {
        Config::PmDisk => Ok(bytes),
        _ => {
            let rewrites = target.info("persistence", "aof_rewrites")?;
            Ok(bytes + rewrites * target.info("persistence", "aof_base_size")?)
        }
    }
}

/// Throughput of a pool of which a part is in memory, over that of one that is there as a whole:
/// GET and SET in turn, 95 of 100 to a tenth of the keys.
///
/// # Errors
/// Those of the servers and connections.
pub fn larger_than_memory(plan: &Plan, limit: &str) -> io::Result<Spread> {
    let disk = Some(plan.disk.as_path());
    let arguments = ["memory-limit", limit];
    let mut limited = Target::start_with(Config::PmDisk, &plan.pool, disk, &arguments, &[])?;
    let mut whole = Target::start(Config::PmDisk, &plan.pool, disk)?;
    for target in [&mut limited, &mut whole] {
        load(target, plan)?;
        target.call(&["PM.POOL", "CHECKPOINT"])?;
    }
    let (mut few, mut all) = (Vec::new(), Vec::new());
    for round in 0..plan.rounds {
        let mut both = [(&mut limited, &mut few), (&mut whole, &mut all)];
        if round % 2 == 1 {
            both.reverse();
        }
        for (target, rates) in both {
            rates.push(skewed(target, plan)?);
        }
    }
    Ok(Spread::of_ratios(&few, &all))
}

/// Commands a second: of 20 runs, 19 go to the first tenth of the keys.
fn skewed(target: &mut Target, plan: &Plan) -> io::Result<f64> {
    let run = |range, requests| {
        let run = Run {
            number: 2,
            requests,
            keys: plan.keys,
        };
        let load = Load {
            clients: 32,
            pipeline: 1,
            requests,
            range,
        };
        (run, load)
    };
    let count = (plan.seconds * 20_000.0) as u64;
    let mut seconds = 0.0;
    for (range, share) in [(plan.keys / 10, 0.95), (plan.keys, 0.05)] {
        let requests = (count as f64 * share) as u64;
        for words in ["GET key:__rand_int__", "SET key:__rand_int__ {data}"] {
            let (run, load) = run(range, requests);
            let workload = Workload { words, ..strings() };
            let words = target.command(&workload.words(run));
            let sample = redis_benchmark::run(target.port(), load, &words)?;
            seconds += requests as f64 / sample.rps;
        }
    }
    Ok(2.0 * count as f64 / seconds)
}

/// The directory, if it is one on a disk.
///
/// # Errors
/// It is not.
pub fn directory(path: &Path) -> io::Result<&Path> {
    match path.is_dir() && !pobj::is_volatile(path) {
        true => Ok(path),
        false => Err(io::Error::other(format!(
            "{} is no directory on a disk: --disk DIR",
            path.display()
        ))),
    }
}
