//! `ci/bench disk`: pools on a disk beside `appendfsync always`.

use hdrhistogram::Histogram;
use pmedis_bench::disk::{self, COMMANDS, LOADS, Plan};
use pmedis_bench::machine::Machine;
use pmedis_bench::options;
use pmedis_bench::target::Config;
use pmedis_bench::throughput::Figure;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
Compares pools with `durability disk` with Redis's own AOF with `appendfsync always`, on one disk.

  ci/bench disk --disk DIR [options]

  --parts A,B    throughput, checkpoints, bytes, memory, restart  (default: all)
  --keys N       keys, and elements of collections       (default: 1000000)
  --pool SIZE    size of the pools                       (default: 2g)
  --limit SIZE   memory that a pool of `memory` may take (default: 48m)
  --kept N       strings that a restart of `restart` finds, in a pool of --home
                                                         (default: 10000000)
  --home SIZE    size of that pool                       (default: 4g)
  --rounds N     rounds of each measurement              (default: 5)
  --seconds S    about how long one run takes            (default: 1)
";

fn main() -> ExitCode {
    options::run(HELP, run)
}

fn run(parser: lexopt::Parser) -> Result<(), Box<dyn Error>> {
    let (mut directory, mut parts) = (
        String::new(),
        "throughput,checkpoints,bytes,memory,restart".to_owned(),
    );
    let (mut pool, mut limit) = ("2g".to_owned(), "48m".to_owned());
    let (mut keys, mut rounds, mut seconds) = (1_000_000_u64, 5_usize, 1.0_f64);
    let (mut kept, mut home) = (10_000_000_u64, "4g".to_owned());
    options::read(
        parser,
        &mut [
            ("disk", &mut directory),
            ("parts", &mut parts),
            ("pool", &mut pool),
            ("limit", &mut limit),
            ("keys", &mut keys),
            ("kept", &mut kept),
            ("home", &mut home),
            ("rounds", &mut rounds),
            ("seconds", &mut seconds),
        ],
    )?;
    let plan = Plan {
        disk: disk::directory(&PathBuf::from(directory))?.into(),
        keys: keys.max(1000),
        pool,
        rounds: rounds.max(1),
        seconds,
    };
    let machine = Machine::look(Some(&plan.disk))?;
    if let Some(rate) = machine.fdatasyncs_per_second {
        println!("The disk: {rate:.0} fdatasync/s.\n");
    }
    for part in parts.split(',') {
        match part {
            "throughput" => {
                let figures = disk::throughput(&plan, |line| eprintln!("{line}"))?;
                print_throughput(&figures);
            }
            "checkpoints" => print_checkpoints(&plan)?,
            "bytes" => {
                let (own, aof) = (Config::PmDisk, Config::AofAlways);
                let own = disk::bytes_written(&plan, own)? / f64::from(1 << 20);
                let aof = disk::bytes_written(&plan, aof)? / f64::from(1 << 20);
                println!(
                    "Written to the disk for {} random overwrites: {own:.0} MiB, by the AOF with its rewrites {aof:.0} MiB.\n",
                    plan.keys
                );
            }
            "memory" => {
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
            "restart" => {
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
            other => return Err(format!("there is no part {other:?}").into()),
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
