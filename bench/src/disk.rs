//! `durability disk` beside `appendfsync always`, on one disk.

use crate::filling;
use crate::options::Options;
use crate::redis_benchmark::{self, Load};
use crate::restart::{Kept, first_reply};
use crate::summary::Spread;
use crate::target::{Config, Target};
use crate::throughput::{self, Cell, Figure};
use crate::workload::{self, Data, Kind, Range, Run, Workload};
use hdrhistogram::Histogram;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

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

/// Bytes that are written to the disk for as many random overwrites as there are keys, in the long
/// run: after as many of them, and of three times as many, the checkpoints and rewrites that come
/// meanwhile included. The device counts them, so what others write counts, too.
///
/// # Errors
/// Those of the server and connections; a file system that is on no device.
pub fn bytes_written(plan: &Plan, config: Config) -> io::Result<f64> {
    const TIMES: u64 = 3;
    let rewrites = ["auto-aof-rewrite-percentage 100"];
    let disk = Some(plan.disk.as_path());
    let mut target = match config {
        Config::PmDisk => Target::start(config, &plan.pool, disk)?,
        _ => Target::start_with(config, &plan.pool, disk, &[], &rewrites)?,
    };
    load(&mut target, plan)?;
    overwrite(&mut target, plan, 1, plan.keys)?;
    let before = written(&plan.disk)?;
    for number in 0..TIMES {
        overwrite(&mut target, plan, 2 + number, plan.keys)?;
    }
    settle(&mut target)?;
    Ok((written(&plan.disk)? - before) / TIMES as f64)
}

/// Sets random keys, so many times.
fn overwrite(target: &mut Target, plan: &Plan, number: u64, requests: u64) -> io::Result<()> {
    let run = Run {
        number,
        requests,
        keys: plan.keys,
    };
    let words = target.command(&strings().words(run));
    let load = Load {
        clients: 32,
        pipeline: 16,
        requests: requests.next_multiple_of(16),
        range: plan.keys,
    };
    redis_benchmark::run(target.port(), load, &words).map(drop)
}

/// Waits for a rewrite, or a checkpoint, that is under way.
fn settle(target: &mut Target) -> io::Result<()> {
    let busy: &[(&str, &str)] = match target.config {
        Config::PmDisk => &[("pmedis", "pmedis_checkpointing")],
        _ => &[
            ("persistence", "aof_rewrite_in_progress"),
            ("persistence", "aof_rewrite_scheduled"),
        ],
    };
    for (section, field) in busy {
        while target.info(section, field)? > 0.0 {
            thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(())
}

/// Bytes that were written to the device of a directory, once nothing of its file system waits to
/// be.
fn written(directory: &Path) -> io::Result<f64> {
    const SECTOR: f64 = 512.0;
    let directory = fs::File::open(directory)?;
    // SAFETY: an open directory; no memory is passed.
    if unsafe { libc::syncfs(directory.as_raw_fd()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let device = directory.metadata()?.dev();
    let (major, minor) = (libc::major(device), libc::minor(device));
    let counters = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"))?;
    let sectors = counters.split_whitespace().nth(6);
    let sectors = sectors.and_then(|number| number.parse::<f64>().ok());
    let untold = || io::Error::other("the kernel does not tell what is written");
    Ok(sectors.ok_or_else(untold)? * SECTOR)
}

/// Throughput of a pool of which a part is in memory, over that of one that is there as a whole:
/// GET and SET in turn, 95 of 100 to a tenth of the keys. These were made one after the other, and
/// lie beside each other in the pool; or, if `scattered`, all were made in random order, so that
/// nearly each page has some.
///
/// # Errors
/// Those of the servers and connections.
pub fn larger_than_memory(plan: &Plan, limit: &str, scattered: bool) -> io::Result<Spread> {
    let disk = Some(plan.disk.as_path());
    let arguments = ["memory-limit", limit];
    let mut limited = Target::start_with(Config::PmDisk, &plan.pool, disk, &arguments, &[])?;
    let mut whole = Target::start(Config::PmDisk, &plan.pool, disk)?;
    for target in [&mut limited, &mut whole] {
        if scattered {
            // Nineteen of twenty, and the rest after them.
            overwrite(target, plan, 1, 3 * plan.keys)?;
        }
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

/// How long a server takes that starts on a pool that is there.
pub struct Restart {
    /// How the server before it has ended, and whether the files are in the page cache.
    pub name: &'static str,
    /// From the start of the process to the first right reply to a read, in seconds.
    pub seconds: Spread,
}

/// Restarts on a pool with so many strings of 128 bytes: after a shutdown, and after a kill, with
/// files that are in the page cache, and with files that are not.
///
/// # Errors
/// Those of the server and connections.
pub fn restarts(
    plan: &Plan,
    keys: u64,
    pool: &str,
    mut progress: impl FnMut(&str),
) -> io::Result<Vec<Restart>> {
    let kept = Kept::Strings(keys);
    let mut target = Target::start(Config::PmDisk, pool, Some(&plan.disk))?;
    let plan = Plan {
        keys,
        disk: plan.disk.clone(),
        pool: pool.to_owned(),
        ..*plan
    };
    kept.load(&mut target)?;
    progress(&format!("{keys} strings are loaded"));
    let (words, expected) = kept.probe();
    let words = target.command(&words);
    let cases = [
        ("shut down, warm", false, false),
        ("shut down, cold", false, true),
        ("killed, warm", true, false),
        ("killed, cold", true, true),
    ];
    let mut found = Vec::new();
    for (name, is_killed, is_cold) in cases {
        let mut seconds = Vec::new();
        for _ in 0..plan.rounds {
            if is_killed {
                use_journal(&mut target, &plan)?;
                target.server().kill9();
            } else {
                target.call(&["PM.POOL", "CHECKPOINT"])?;
                target.server().stop();
            }
            if is_cold {
                forget(target.files())?;
            }
            let start = Instant::now();
            let (address, words) = (target.server().address(), words.clone());
            let expected = expected.clone();
            let waits = thread::spawn(move || first_reply(address, &words, &expected, start));
            let restarted = target.server().restart();
            restarted.map_err(|refusal| io::Error::other(format!("{refusal:?}")))?;
            let waited = waits
                .join()
                .map_err(|_| io::Error::other("the waiting thread panicked"))?;
            seconds.push(waited?.as_secs_f64());
            target.reconnect()?;
            while target.info("pmedis", "pmedis_filling")? > 0.0 {
                thread::sleep(Duration::from_millis(100));
            }
            progress(&format!("{name}: {:.3} s", seconds[seconds.len() - 1]));
        }
        let seconds = Spread::of(seconds);
        found.push(Restart { name, seconds });
    }
    Ok(found)
}

/// Writes until a checkpoint is near.
fn use_journal(target: &mut Target, plan: &Plan) -> io::Result<()> {
    let size = target.info("pmedis", "pmedis_journal_size")?;
    while target.info("pmedis", "pmedis_journal_used")? < 0.5 * size {
        overwrite(target, plan, 3, 20_000)?;
    }
    Ok(())
}

/// Takes the files of a directory out of the page cache.
fn forget(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let file = fs::File::open(entry?.path())?;
        file.sync_all()?;
        // SAFETY: an open file; no memory is passed.
        let error =
            unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
    }
    Ok(())
}

/// The directory, if it is one on a disk.
///
/// # Errors
/// It is not.
pub fn directory(path: &Path) -> io::Result<&Path> {
    if path.is_dir() && !pobj::is_volatile(path) {
        Ok(path)
    } else {
        Err(io::Error::other(format!(
            "{} is no directory on a disk: --disk DIR",
            path.display()
        )))
    }
}
