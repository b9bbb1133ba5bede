//! `ci/bench restart`: time to the first reply after a restart, and memory, against native Redis.

use pmedis_bench::restart::{Keeper, Kept, Restarted, measure};
use std::error;
use std::process::ExitCode;

const HELP: &str = "\
Restarts servers with data, and measures the time to the first right reply.

  ci/bench restart [options]

  --keys N       strings of 128 bytes                  (default: 1000000)
  --hashes N     hashes                                (default: 100)
  --fields N     fields of each hash                   (default: 100000)
  --rounds N     each case so often; the median counts (default: 3)
  --pool SIZE    size of the pool                      (default: 4g)
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
    let (mut keys, mut hashes, mut fields) = (1_000_000, 100, 100_000);
    let (mut rounds, mut pool) = (3, "4g".to_owned());
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("keys") => keys = parser.value()?.parse()?,
            Long("hashes") => hashes = parser.value()?.parse()?,
            Long("fields") => fields = parser.value()?.parse()?,
            Long("rounds") => rounds = parser.value()?.parse()?,
            Long("pool") => pool = parser.value()?.string()?,
            Long("help") => {
                print!("{HELP}");
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    println!("| data | kept in | first reply after | DRAM a key | bytes a payload byte |");
    println!("|---|---|---|---|---|");
    for kept in [Kept::Strings(keys), Kept::Hashes(hashes, fields)] {
        for keeper in [Keeper::Pool, Keeper::Rdb, Keeper::Aof] {
            let cases = (0..rounds.max(1)).map(|_| measure(keeper, kept, &pool));
            let mut cases: Vec<Restarted> = cases.collect::<Result<_, _>>()?;
            cases.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
            let Restarted {
                data,
                keeper,
                seconds,
                dram_per_key,
                bytes_per_payload_byte,
            } = &cases[cases.len() / 2];
            println!(
                "| {data} | {keeper} | {seconds:.3} s | {dram_per_key:.0} B | {bytes_per_payload_byte:.2} |"
            );
        }
    }
    Ok(())
}
