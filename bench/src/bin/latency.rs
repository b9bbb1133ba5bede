//! `ci/bench latency`: latencies under a mixed load, against native Redis.

use pmedis_bench::contender::Config;
use pmedis_bench::latency::{Beside, Latencies, measure};
use std::error;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
Latencies of closed-loop clients with a mix of commands, while the server does something large.

  ci/bench latency [options]

  --clients N    clients                                     (default: 8)
  --seconds S    of load alone                               (default: 20)
  --fields N     to which a hash grows beside the load       (default: 10000000)
  --keys N       that are flushed and reclaimed beside it    (default: 10000000)
  --pool SIZE    size of the pool                            (default: 6g)
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}\n\n{HELP}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn error::Error>> {
    use lexopt::prelude::*;
    let (mut clients, mut seconds) = (8, 20.0);
    let (mut fields, mut keys, mut pool) = (10_000_000, 10_000_000, "6g".to_owned());
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("clients") => clients = parser.value()?.parse()?,
            Long("seconds") => seconds = parser.value()?.parse()?,
            Long("fields") => fields = parser.value()?.parse()?,
            Long("keys") => keys = parser.value()?.parse()?,
            Long("pool") => pool = parser.value()?.string()?,
            Long("help") => {
                print!("{HELP}");
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let phases = [
        Beside::Nothing(Duration::from_secs_f64(seconds)),
        Beside::Growth(fields),
        Beside::FullSync,
        Beside::Reclaim(keys),
    ];
    println!("| | | commands | p50 | p99 | p99.9 | worst |");
    println!("|---|---|---|---|---|---|---|");
    for config in [Config::Pm, Config::Native] {
        let found = measure(config, &pool, clients, &phases)?;
        for (phase, Latencies { histogram, took }) in phases.iter().zip(found) {
            let at = |quantile| micros(histogram.value_at_quantile(quantile));
            println!(
                "| {} ({:.1} s) | {} | {} | {} | {} | {} | {} |",
                phase.name(),
                took.as_secs_f64(),
                config.name(),
                histogram.len(),
                at(0.5),
                at(0.99),
                at(0.999),
                micros(histogram.max())
            );
        }
    }
    Ok(())
}

fn micros(nanoseconds: u64) -> String {
    match nanoseconds as f64 / 1e3 {
        us if us < 1e3 => format!("{us:.0} µs"),
        us => format!("{:.1} ms", us / 1e3),
    }
}
