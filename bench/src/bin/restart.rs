//! `ci/bench restart`: time to the first reply after a restart, and memory, against native Redis.

use bench::filling::Filled;
use bench::options;
use bench::restart::{Keeper, Kept, Plan, measure};
use clap::Parser;
use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Instant;

/// Restarts servers with data, and measures the time to the first right reply, and what clients see
/// until all keys are in the keyspace.
///
/// Everything is on tmpfs: ten million strings take 3 GiB for the pool, 4 GiB for native's files
/// and 3 GiB for a server.
#[derive(Parser)]
#[command(name = "ci/bench restart")]
struct Options {
    /// Strings of 128 bytes.
    #[arg(long, value_name = "N,N", value_delimiter = ',', value_parser = options::above_zero)]
    #[arg(default_value = "1000000,10000000")]
    keys: Vec<u64>,
    /// Hashes; 0 for none.
    #[arg(long, value_name = "N", default_value_t = 100)]
    hashes: u64,
    /// Fields of each hash.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    fields: u64,
    /// Each case so often; the median counts.
    #[arg(long, value_name = "N", value_parser = options::at_least_one, default_value = "3")]
    rounds: usize,
    /// Size of the pool.
    #[arg(long, value_name = "SIZE", default_value = "3g")]
    pool: String,
    /// Servers: pool, rdb, aof.
    #[arg(
        long,
        value_name = "A,B",
        value_delimiter = ',',
        default_value = "pool,rdb,aof"
    )]
    kept: Vec<Keeper>,
    /// Clients while the keyspace is filled, at half of what the server can do; 0: without.
    #[arg(long, value_name = "N", default_value_t = 8)]
    clients: u64,
    /// Waits for a line of input between loading and measuring.
    #[arg(long)]
    pause: bool,
}

fn main() -> ExitCode {
    options::run(run)
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let mut all: Vec<Kept> = options.keys.into_iter().map(Kept::Strings).collect();
    if options.hashes > 0 {
        all.push(Kept::Hashes(options.hashes, options.fields));
    }
    let when_loaded = || {
        if options.pause {
            let _ = io::stdin().read_line(&mut String::new());
        }
    };
    let plan = Plan {
        keepers: &options.kept,
        pool: &options.pool,
        rounds: options.rounds,
        clients: options.clients,
        when_loaded: &when_loaded,
    };
    let began = Instant::now();
    let mut fillings = Vec::new();
    println!(
        "| data | kept in | first reply after | times as fast as an RDB | DRAM a key | bytes a payload byte |"
    );
    println!("|---|---|---|---|---|---|");
    for kept in all {
        let found = measure(kept, &plan, |line| {
            eprintln!("{:>5.0} s {line}", began.elapsed().as_secs_f64());
        })?;
        for case in found {
            let times = case.times_faster;
            println!(
                "| {} | {} | {:.3} s ({:.3}–{:.3}) | {} | {:.0} B | {:.2} |",
                case.data,
                case.keeper,
                case.seconds.median,
                case.seconds.min,
                case.seconds.max,
                times.map_or("–".into(), |times| format!("{:.2}", times.median)),
                case.dram_per_key,
                case.bytes_per_payload_byte
            );
            fillings.extend(
                case.filled
                    .into_iter()
                    .map(|filled| (case.data.clone(), filled)),
            );
        }
    }
    if !fillings.is_empty() {
        println!(
            "\n| data | all keys after | under load | commands a second | p50, p99, p99.9, worst meanwhile | afterwards \
             | memory at first, at the end | INFO at the end |"
        );
        println!("|---|---|---|---|---|---|---|---|");
    }
    for (data, filled) in &fillings {
        print_filling(data, filled);
    }
    Ok(())
}

fn print_filling(data: &str, filled: &Filled) {
    let times = |times: &hdrhistogram::Histogram<u64>| {
        let ms = |nanoseconds: u64| format!("{:.2}", nanoseconds as f64 / 1e6);
        let at = [0.5, 0.99, 0.999].map(|part| ms(times.value_at_quantile(part)));
        format!("{}, {} ms", at.join(", "), ms(times.max()))
    };
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    println!(
        "| {data} | {:.2} s | {:.2} s | {:.0} | {} | {} | {:.0}, {:.0} MiB | {:.0} MiB |",
        filled.alone,
        filled.under_load,
        filled.pace,
        times(&filled.meanwhile),
        times(&filled.afterwards),
        mib(filled.anonymous_at_first),
        mib(filled.anonymous_at_end),
        mib(filled.used_at_end)
    );
}
