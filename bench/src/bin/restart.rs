//! `ci/bench restart`: time to the first reply after a restart, and memory, against native Redis.

use pmedis_bench::options::{self, Numbers};
use pmedis_bench::restart::{Kept, measure};
use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

const HELP: &str = "\
Restarts servers with data, and measures the time to the first right reply.

  ci/bench restart [options]

  --keys N,N     strings of 128 bytes                  (default: 1000000,10000000)
  --hashes N     hashes; 0 for none                    (default: 100)
  --fields N     fields of each hash                   (default: 100000)
  --rounds N     each case so often; the median counts (default: 3)
  --pool SIZE    size of the pool                      (default: 3g)

Everything is on tmpfs: ten million strings take 3 GiB for the pool, 4 GiB for native's files and 3 GiB for a server.
";

fn main() -> ExitCode {
    options::run(HELP, run)
}

fn run(parser: lexopt::Parser) -> Result<(), Box<dyn Error>> {
    let mut keys = Numbers(vec![1_000_000, 10_000_000]);
    let (mut hashes, mut fields) = (100, 100_000);
    let (mut rounds, mut pool) = (3_usize, "3g".to_owned());
    options::read(
        parser,
        &mut [
            ("keys", &mut keys),
            ("hashes", &mut hashes),
            ("fields", &mut fields),
            ("rounds", &mut rounds),
            ("pool", &mut pool),
        ],
    )?;
    let mut all: Vec<Kept> = keys.0.into_iter().map(Kept::Strings).collect();
    if hashes > 0 {
        all.push(Kept::Hashes(hashes, fields));
    }
    let began = Instant::now();
    println!(
        "| data | kept in | first reply after | times as fast as an RDB | DRAM a key | bytes a payload byte |"
    );
    println!("|---|---|---|---|---|---|");
    for kept in all {
        let found = measure(kept, &pool, rounds.max(1), |line| {
            eprintln!("{:>5.0} s {line}", began.elapsed().as_secs_f64());
        })?;
        for case in found {
            println!(
                "| {} | {} | {:.3} s ({:.3}–{:.3}) | {:.2} | {:.0} B | {:.2} |",
                case.data,
                case.keeper,
                case.seconds.median,
                case.seconds.min,
                case.seconds.max,
                case.times_faster.median,
                case.dram_per_key,
                case.bytes_per_payload_byte
            );
        }
    }
    Ok(())
}
