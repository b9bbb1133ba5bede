//! `ci/bench disk`: pools on a disk beside `appendfsync always`.

use bench::disk::{self, COMMANDS, LOADS, Plan};
use bench::machine::Machine;
use bench::options;
use bench::target::Config;
use bench::throughput::Figure;
use clap::{Parser, ValueEnum};
use hdrhistogram::Histogram;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Compares pools with `durability disk` with Redis's own AOF with `appendfsync always`, on one
/// disk.
#[derive(Parser)]
#[command(name = "ci/bench disk")]
struct Options {
    /// A directory on the disk.
    #[arg(long, value_name = "DIR")]
    disk: PathBuf,
    /// What is measured.
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_enum)]
    #[arg(default_value = "throughput,checkpoints,bytes,memory,restart")]
    parts: Vec<Part>,
    /// Keys, and elements of collections.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    keys: u64,
    /// Size of the pools.
    #[arg(long, value_name = "SIZE", default_value = "2g")]
    pool: String,
    /// Memory that a pool of `memory` may take.
    #[arg(long, value_name = "SIZE", default_value = "48m")]
    limit: String,
    /// Strings that a restart of `restart` finds, in a pool of the size that `--home` gives.
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    kept: u64,
    /// Size of that pool.
    #[arg(long, value_name = "SIZE", default_value = "4g")]
    home: String,
    /// Rounds of each measurement.
    #[arg(long, value_name = "N", value_parser = options::at_least_one, default_value = "5")]
    rounds: usize,
    /// About how many seconds one run takes.
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    seconds: f64,
}

/// A part of the comparison.
#[derive(Clone, Copy, ValueEnum)]
enum Part {
    /// Commands a second.
    Throughput,
    /// Latencies beside checkpoints.
    Checkpoints,
    /// Bytes written.
    Bytes,
    /// A pool that is larger than the memory it may take.
    Memory,
    /// How soon a server serves again.
    Restart,
}

fn main() -> ExitCode {
    options::run(run)
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let plan = Plan {
        disk: disk::directory(&options.disk)?.into(),
        keys: options.keys.max(1000),
        pool: options.pool,
        rounds: options.rounds,
        seconds: options.seconds,
    };
    let machine = Machine::look(Some(&plan.disk))?;
    if let Some(rate) = machine.fdatasyncs_per_second {
        println!("The disk: {rate:.0} fdatasync/s.\n");
    }
    let (limit, kept, home) = (options.limit, options.kept, options.home);
    for part in options.parts {
        match part {
            Part::Throughput => {
                let figures = disk::throughput(&plan, |line| eprintln!("{line}"))?;
                print_throughput(&figures);
            }
            Part::Checkpoints => print_checkpoints(&plan)?,
            Part::Bytes => {
                let (own, aof) = (Config::PmDisk, Config::AofAlways);
                let own = disk::bytes_written(&plan, own)? / f64::from(1 << 20);
                let aof = disk::bytes_written(&plan, aof)? / f64::from(1 << 20);
                println!(
                    "Written to the disk for {} random overwrites: {own:.0} MiB, by the AOF with its rewrites {aof:.0} MiB.\n",
                    plan.keys
                );
            }
            Part::Memory => {
                for (scattered, where_they_are) in
                    [(false, "beside each other"), (true, "scattered")]
                {
                    let ratio = disk::larger_than_memory(&plan, &limit, scattered)?;
                    println!(
                        "With at most {limit} of changed pages in memory, and the keys of most accesses {where_they_are}: \
                         {:.2} ({:.2}–{:.2}) of the speed with all.\n",
                        ratio.median, ratio.q1, ratio.q3
                    );
                }
            }
            Part::Restart => {
                let found = disk::restarts(&plan, kept, &home, |line| eprintln!("{line}"))?;
                println!("| {kept} strings, the server was | first right reply after |\n|---|---|");
                for disk::Restart { name, seconds } in found {
                    println!(
                        "| {name} | {:.3} s ({:.3}–{:.3}) |",
                        seconds.median, seconds.min, seconds.max
                    );
                }
                println!();
            }
        }
    }
    Ok(())
}

fn print_throughput(figures: &[Figure]) {
    println!("| command | clients, pipeline | AOF, always | durability disk | ratio |");
    println!("|---|---|---|---|---|");
    for (clients, pipeline) in LOADS {
        for command in COMMANDS {
            let of = |config: Config| {
                figures.iter().find(|figure| {
                    figure.config == config.name()
                        && figure.command == command
                        && (figure.clients, figure.pipeline) == (clients, pipeline)
                })
            };
            if let (Some(aof), Some(own)) = (of(Config::AofAlways), of(Config::PmDisk)) {
                println!(
                    "| {command} | {clients}, {pipeline} | {:.0} | {:.0} | {:.2} ({:.2}–{:.2}) |",
                    aof.rps.median, own.rps.median, own.ratio.median, own.ratio.q1, own.ratio.q3
                );
            }
        }
        let mean = disk::mean_ratio(figures, (clients, pipeline));
        println!("| geometric mean | {clients}, {pipeline} | | | {mean:.2} |");
    }
    println!();
}

fn print_checkpoints(plan: &Plan) -> Result<(), Box<dyn Error>> {
    let found = disk::checkpoints(plan, 8, Duration::from_secs(10))?;
    println!("| | p50 | p99 | p99.9 | worst |\n|---|---|---|---|---|");
    let line = |name: &str, times: &Histogram<u64>| {
        let ms = |nanoseconds: u64| nanoseconds as f64 / 1e6;
        let at =
            [0.5, 0.99, 0.999].map(|part| format!("{:.2} ms", ms(times.value_at_quantile(part))));
        println!(
            "| {name} | {} | {:.2} ms |",
            at.join(" | "),
            ms(times.max())
        );
    };
    line("no checkpoint", &found.without);
    line(&format!("{} checkpoints", found.count), &found.with);
    println!();
    Ok(())
}
