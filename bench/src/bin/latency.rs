//! `ci/bench latency`: latencies under a mixed load, against native Redis.

use bench::latency::{Beside, measure};
use bench::options;
use bench::target::Config;
use clap::{Parser, ValueEnum};
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

/// Latencies of closed-loop clients with a mix of commands, while the server does something large.
///
/// Everything is on tmpfs: two pools while a full sync runs, and two servers of 2 GiB.
#[derive(Parser)]
#[command(name = "ci/bench latency")]
struct Options {
    /// Clients.
    #[arg(long, value_name = "N", default_value_t = 8)]
    clients: u64,
    /// Seconds of load alone.
    #[arg(long, value_name = "S", default_value_t = 20.0)]
    seconds: f64,
    /// Fields to which a hash grows beside the load.
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    fields: u64,
    /// Keys that are flushed and reclaimed beside it.
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    keys: u64,
    /// Hashes of 100,000 fields that are deleted beside it.
    #[arg(long, value_name = "N", default_value_t = 20)]
    hashes: u64,
    /// Bytes of large values of which half is deleted and gathered beside it, in MiB.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    large: u64,
    /// What is measured, if not everything.
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_enum)]
    parts: Vec<Part>,
    /// Size of the pool.
    #[arg(long, value_name = "SIZE", default_value = "3g")]
    pool: String,
}

/// What the server does beside the load.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Alone,
    Growth,
    Sync,
    Reclaim,
    Deletion,
    Compaction,
    Large,
}

fn main() -> ExitCode {
    options::run(run)
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let Options {
        clients,
        seconds,
        fields,
        keys,
        hashes,
        large,
        parts,
        pool,
    } = options;
    let phases = [
        (
            Part::Alone,
            Beside::Nothing(Duration::from_secs_f64(seconds)),
        ),
        (Part::Growth, Beside::Growth(fields)),
        (Part::Sync, Beside::FullSync),
        (Part::Reclaim, Beside::Reclaim(keys)),
        (Part::Deletion, Beside::Deletion(hashes)),
        (Part::Compaction, Beside::Compaction(keys)),
        (Part::Large, Beside::LargeCompaction(large << 20)),
    ];
    let is_wanted = |part| parts.is_empty() || parts.contains(&part);
    let phases: Vec<_> = (phases.into_iter())
        .filter_map(|(part, beside)| is_wanted(part).then_some(beside))
        .collect();
    println!("| | | commands | p50 | p99 | p99.9 | worst |");
    println!("|---|---|---|---|---|---|---|");
    for config in [Config::Pm, Config::Native] {
        measure(config, &pool, clients, &phases, |phase, found| {
            let at = |quantile| micros(found.histogram.value_at_quantile(quantile));
            println!(
                "| {} ({:.1} s) | {} | {} | {} | {} | {} | {} |",
                phase.name(),
                found.took.as_secs_f64(),
                config.name(),
                found.histogram.len(),
                at(0.5),
                at(0.99),
                at(0.999),
                micros(found.histogram.max())
            );
        })?;
    }
    Ok(())
}

fn micros(nanoseconds: u64) -> String {
    match nanoseconds as f64 / 1e3 {
        us if us < 1e3 => format!("{us:.0} µs"),
        us => format!("{:.1} ms", us / 1e3),
    }
}
