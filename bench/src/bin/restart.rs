//! `ci/bench restart`: time to the first reply after a restart, and memory, against native Redis.

use pmedis_bench::filling::Filled;
use pmedis_bench::options::{self, Numbers};
use pmedis_bench::restart::{Keeper, Kept, Plan, measure};
use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Instant;

const HELP: &str = "\
Restarts servers with data, and measures the time to the first right reply, and what clients see until all keys are in the
keyspace.

  ci/bench restart [options]

  --keys N,N     strings of 128 bytes                  (default: 1000000,10000000)
  --hashes N     hashes; 0 for none                    (default: 100)
  --fields N     fields of each hash                   (default: 100000)
  --rounds N     each case so often; the median counts (default: 3)
  --pool SIZE    size of the pool                      (default: 3g)
  --kept A,B     servers: pool, rdb, aof               (default: pool,rdb,aof)
  --clients N    clients while the keyspace is filled, at half of what the server can do (default: 8; 0: without)
  --pause yes    waits for a line of input between loading and measuring (default: no)

Everything is on tmpfs: ten million strings take 3 GiB for the pool, 4 GiB for native's files and 3 GiB for a server.
";

fn main() -> ExitCode {
    options::run(HELP, run)
}

fn run(parser: lexopt::Parser) -> Result<(), Box<dyn Error>> {
    let mut keys = Numbers(vec![1_000_000, 10_000_000]);
    let (mut hashes, mut fields) = (100, 100_000);
    let (mut rounds, mut pool) = (3_usize, "3g".to_owned());
    let (mut kept, mut clients) = ("pool,rdb,aof".to_owned(), 8);
    let mut pause = "no".to_owned();
    options::read(
        parser,
        &mut [
            ("keys", &mut keys),
            ("hashes", &mut hashes),
            ("fields", &mut fields),
            ("rounds", &mut rounds),
            ("pool", &mut pool),
            ("kept", &mut kept),
            ("clients", &mut clients),
            ("pause", &mut pause),
        ],
    )?;
    let keepers = kept.split(',').map(str::parse);
    let keepers: Vec<Keeper> = keepers.collect::<Result<_, _>>()?;
    let mut all: Vec<Kept> = keys.0.into_iter().map(Kept::Strings).collect();
    if hashes > 0 {
        all.push(Kept::Hashes(hashes, fields));
    }
    let when_loaded = || {
        if pause == "yes" {
            let _ = io::stdin().read_line(&mut String::new());
        }
    };
    let plan = Plan {
        keepers: &keepers,
        pool: &pool,
        rounds: rounds.max(1),
        clients,
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
