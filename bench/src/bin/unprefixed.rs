//! `ci/bench unprefixed`: plain names, with the setting `unprefixed`, beside prefixed ones.

use bench::machine::Machine;
use bench::options;
use bench::unprefixed::{Rates, instructions, nanoseconds_an_instruction, rates};
use clap::{Parser, ValueEnum};
use std::error::Error;
use std::process::ExitCode;

/// Compares the commands of redis-benchmark's default run under plain names, with the setting
/// `unprefixed`, with the same under prefixed ones.
#[derive(Parser)]
#[command(name = "ci/bench unprefixed")]
struct Options {
    /// What is measured.
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_enum)]
    #[arg(default_value = "rates,instructions")]
    parts: Vec<Part>,
    /// Requests of each command in each round.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    requests: u64,
    /// Rounds.
    #[arg(long, value_name = "N", value_parser = options::at_least_one, default_value = "7")]
    rounds: usize,
    /// Requests of each command of which instructions are counted, at each start.
    #[arg(long, value_name = "N", default_value_t = 700)]
    counted: u64,
    /// How often each server starts to have its instructions counted.
    #[arg(long, value_name = "N", value_parser = options::at_least_one, default_value = "7")]
    starts: usize,
    /// Size of the pools.
    #[arg(long, value_name = "SIZE", default_value = "256m")]
    pool: String,
}

/// A part of the comparison.
#[derive(Clone, Copy, ValueEnum)]
enum Part {
    /// Commands a second.
    Rates,
    /// Instructions a command, and what these take.
    Instructions,
}

fn main() -> ExitCode {
    options::run(run)
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let machine = Machine::look(None)?;
    println!("{}, load {}\n", machine.redis, machine.load);
    for part in options.parts {
        match part {
            Part::Rates => {
                let progress = |line: &str| eprintln!("{line}");
                let rates = rates(options.rounds, options.requests, &options.pool, progress)?;
                print_rates(&rates);
            }
            Part::Instructions => {
                let (starts, counted) = (options.starts, options.counted);
                let progress = |line: &str| eprintln!("{line}");
                let found = instructions(starts, counted, &options.pool, progress)?;
                let pace = nanoseconds_an_instruction(options.requests, counted, &options.pool)?;
                println!("| instructions | prefixed | plain | more | ns |\n|---|---|---|---|---|");
                for (name, pair) in found {
                    let more = pair.plain - pair.prefixed;
                    println!(
                        "| {name} | {:.0} | {:.0} | {more:+.0} | {:+.0} |",
                        pair.prefixed,
                        pair.plain,
                        more * pace
                    );
                }
                println!("\n{pace:.2} ns an instruction\n");
            }
        }
    }
    Ok(())
}

fn print_rates(rates: &Rates) {
    println!("| commands a second | prefixed | plain | ratio | by processor time |");
    println!("|---|---|---|---|---|");
    for rate in &rates.commands {
        let (ratio, processor) = (rate.ratio, rate.processor_ratio);
        println!(
            "| {} | {:.0} | {:.0} | {:.3} ({:.3}–{:.3}) | {:.3} ({:.3}–{:.3}) |",
            rate.name,
            rate.median.prefixed,
            rate.median.plain,
            ratio.median,
            ratio.q1,
            ratio.q3,
            processor.median,
            processor.q1,
            processor.q3
        );
    }
    let whole = rates.whole;
    println!(
        "| the whole run | | | {:.3} ({:.3}–{:.3}) | |\n",
        whole.median, whole.q1, whole.q3
    );
}
