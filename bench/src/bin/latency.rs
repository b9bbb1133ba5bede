//! `ci/bench latency`: latencies under a mixed load, against native Redis.

use pmedis_bench::latency::{Beside, measure};
use pmedis_bench::options;
use pmedis_bench::target::Config;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
Latencies of closed-loop clients with a mix of commands, while the server does something large.

  ci/bench latency [options]

  --clients N    clients                                     (default: 8)
  --seconds S    of load alone                               (default: 20)
  --fields N     to which a hash grows beside the load       (default: 10000000)
  --keys N       that are flushed and reclaimed beside it    (default: 10000000)
  --hashes N     of 100,000 fields that are deleted beside it (default: 20)
  --pool SIZE    size of the pool                            (default: 3g)

Everything is on tmpfs: two pools while a full sync runs, and two servers of 2 GiB.
";

fn main() -> ExitCode {
    options::run(HELP, run)
}

fn run(parser: lexopt::Parser) -> Result<(), Box<dyn Error>> {
    let (mut clients, mut seconds) = (8, 20.0);
    let mut hashes = 20;
    let (mut fields, mut keys, mut pool) = (10_000_000, 10_000_000, "3g".to_owned());
    options::read(
        parser,
        &mut [
            ("clients", &mut clients),
            ("seconds", &mut seconds),
            ("fields", &mut fields),
            ("keys", &mut keys),
            ("hashes", &mut hashes),
            ("pool", &mut pool),
        ],
    )?;
    let phases = [
        Beside::Nothing(Duration::from_secs_f64(seconds)),
        Beside::Growth(fields),
        Beside::FullSync,
        Beside::Reclaim(keys),
        Beside::Deletion(hashes),
        Beside::Compaction(keys),
    ];
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
