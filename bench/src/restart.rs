//! Restarts: how long until the first right reply, what a key takes of memory, what clients see
//! meanwhile.

use crate::filling::{self, Filled};
use crate::summary::Spread;
use crate::target::{Config, Target};
use crate::workload::{Count, Data, Kind, Range, Run, Workload};
use serde::Serialize;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};
use testkit::client::Client;
use testkit::server::Setup;

/// How a server keeps its data over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// In the pool; it is killed, without a word.
    Pool,
    /// In an RDB file, written by SAVE.
    Rdb,
    /// In an AOF, as the commands were written.
    Aof,
}

impl FromStr for Keeper {
    type Err = String;

    fn from_str(name: &str) -> Result<Keeper, String> {
        match name {
            "pool" => Ok(Keeper::Pool),
            "rdb" => Ok(Keeper::Rdb),
            "aof" => Ok(Keeper::Aof),
            _ => Err(format!("{name} is none of pool, rdb and aof")),
        }
    }
}

/// What is measured.
pub struct Plan<'a> {
    /// How servers keep their data.
    pub keepers: &'a [Keeper],
    /// The size of the pool.
    pub pool: &'a str,
    /// How often each server starts.
    pub rounds: usize,
    /// How many clients work while the keyspace is filled; 0 for none.
    pub clients: u64,
    /// Runs between loading and measuring.
    pub when_loaded: &'a dyn Fn(),
}

/// The data to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// So many strings of 128 bytes.
    Strings(u64),
    /// So many hashes of so many fields, each a number.
    Hashes(u64, u64),
}

/// What one case took.
#[derive(Clone, Debug, Serialize)]
pub struct Restarted {
    /// The data.
    pub data: String,
    /// How it was kept.
    pub keeper: String,
    /// From the start of the process to the first right reply to a read, in seconds.
    pub seconds: Spread,
    /// How many times as long it takes with an RDB, if there is one.
    pub times_faster: Option<Spread>,
    /// Bytes of DRAM a key, as INFO counts them.
    pub dram_per_key: f64,
    /// Bytes of the pool, or of DRAM for native, for a byte of keys, fields and values.
    pub bytes_per_payload_byte: f64,
    /// What the filling of the keyspace was like, round by round.
    #[serde(skip)]
    pub filled: Vec<Filled>,
}

impl Kept {
    fn name(self) -> String {
        match self {
            Kept::Strings(count) => format!("{count} strings of 128 bytes"),
            Kept::Hashes(count, fields) => format!("{count} hashes of {fields} fields"),
        }
    }

    fn keys(self) -> u64 {
        match self {
            Kept::Strings(count) | Kept::Hashes(count, _) => count,
        }
    }

    /// Bytes of keys, fields and values.
    fn payload(self) -> u64 {
        match self {
            // key:000000000000 and 128 bytes.
            Kept::Strings(count) => count * (16 + 128),
            // hash:0000, and field:000000000000 with seven digits.
            Kept::Hashes(count, fields) => count * (9 + fields * (18 + 7)),
        }
    }

    pub(crate) fn load(self, server: &mut Target) -> io::Result<()> {
        let workload = |data| Workload {
            name: "load",
            kind: Kind::Read,
            words: "",
            range: Range::Keys,
            data,
        };
        let run = |number, keys| Run {
            number,
            requests: 0,
            keys,
        };
        match self {
            Kept::Strings(count) => workload(Data::Strings).prepare(server, run(0, count)),
            Kept::Hashes(count, fields) => {
                let hash = workload(Data::Counts("hash:{run}", Count::Keys));
                (0..count).try_for_each(|n| hash.prepare(server, run(1000 + n, fields)))
            }
        }
    }

    /// A read of the last key, and its reply.
    pub(crate) fn probe(self) -> (Vec<String>, Vec<u8>) {
        match self {
            Kept::Strings(count) => (
                vec!["GET".into(), format!("key:{:012}", count - 1)],
                vec![b'x'; 128],
            ),
            Kept::Hashes(count, fields) => (
                vec![
                    "HGET".into(),
                    format!("hash:{}", 999 + count),
                    format!("field:{:012}", fields - 1),
                ],
                (1_000_000 + fields - 1).to_string().into_bytes(),
            ),
        }
    }
}

/// Loads the data into a server of each kind, then starts each of them again in turn; `progress`
/// hears a line for each start.
///
/// # Errors
/// Those of the servers and their connections.
pub fn measure(
    kept: Kept,
    plan: &Plan<'_>,
    mut progress: impl FnMut(&str),
) -> io::Result<Vec<Restarted>> {
    let cases = plan.keepers.iter();
    let cases = cases.map(|&keeper| Case::load(keeper, kept, plan.pool));
    let mut cases: Vec<Case> = cases.collect::<io::Result<_>>()?;
    progress(&format!("{}: loaded", kept.name()));
    (plan.when_loaded)();
    for round in 1..=plan.rounds {
        for case in &mut cases {
            let seconds = case.restart()?;
            case.seconds.push(seconds);
            let (name, keeper, rounds) = (kept.name(), case.keeper, plan.rounds);
            progress(&format!(
                "{name}, {keeper:?}, round {round}/{rounds}: {seconds:.3} s"
            ));
        }
    }
    if let (Kept::Strings(keys), 1..) = (kept, plan.clients) {
        let pools = cases.iter_mut();
        for case in pools.filter(|case| case.keeper == Keeper::Pool) {
            for round in 1..=plan.rounds {
                let filled = filling::measure(&mut case.server, keys, plan.clients)?;
                progress(&format!(
                    "{}, filling, round {round}/{}: {:.3} s alone, {:.3} s under load",
                    kept.name(),
                    plan.rounds,
                    filled.alone,
                    filled.under_load
                ));
                case.filled.push(filled);
            }
            case.server.server().kill9();
        }
    }
    let rdb = cases.iter().find(|case| case.keeper == Keeper::Rdb);
    let rdb = rdb.map(|case| case.seconds.clone());
    let restarted = |case: Case| Restarted {
        data: kept.name(),
        keeper: format!("{:?}", case.keeper),
        times_faster: rdb
            .as_ref()
            .map(|rdb| Spread::of_ratios(rdb, &case.seconds)),
        seconds: Spread::of(case.seconds),
        dram_per_key: case.dram / kept.keys() as f64,
        bytes_per_payload_byte: case.taken / kept.payload() as f64,
        filled: case.filled,
    };
    Ok(cases.into_iter().map(restarted).collect())
}

/// A server that is down, with its data kept.
struct Case {
    keeper: Keeper,
    server: Target,
    /// A read, and its reply when the data is back.
    probe: (Vec<String>, Vec<u8>),
    /// DRAM that the data took.
    dram: f64,
    /// Bytes of the pool, or of DRAM, that the data took.
    taken: f64,
    /// What each restart took.
    seconds: Vec<f64>,
    /// What each filling was like.
    filled: Vec<Filled>,
}

impl Case {
    fn load(keeper: Keeper, kept: Kept, pool: &str) -> io::Result<Case> {
        let (config, setup) = match keeper {
            Keeper::Pool => (Config::Pm, Setup::pmedis(pool)),
            Keeper::Rdb => (Config::Native, Setup::native()),
            Keeper::Aof => {
                let setup = Setup::native().directive("appendonly yes");
                let setup = setup.directive("appendfsync no");
                (
                    Config::Native,
                    setup.directive("auto-aof-rewrite-percentage 0"),
                )
            }
        };
        let mut server = Target::launch(config, &setup.keep_port())?;
        let memory = server.info("memory", "used_memory")?;
        let pool_before = pool_used(&mut server)?;
        kept.load(&mut server)?;
        let dram = server.info("memory", "used_memory")? - memory;
        let taken = match (pool_before, pool_used(&mut server)?) {
            (Some(before), Some(after)) => after - before,
            _ => dram,
        };
        if keeper == Keeper::Rdb {
            server.call(&["SAVE"])?;
        }
        let (words, expected) = kept.probe();
        let words = server.command(&words);
        server.server().kill9();
        Ok(Case {
            keeper,
            server,
            probe: (words, expected),
            dram,
            taken,
            seconds: Vec::new(),
            filled: Vec::new(),
        })
    }

    /// Starts the server and kills it again: how long the first right reply took, in seconds.
    fn restart(&mut self) -> io::Result<f64> {
        let address = self.server.server().address();
        let (words, expected) = self.probe.clone();
        let start = Instant::now();
        let waiting = thread::spawn(move || first_reply(address, &words, &expected, start));
        let restarted = self.server.server().restart();
        restarted.map_err(|refusal| io::Error::other(format!("{refusal:?}")))?;
        let waited = waiting
            .join()
            .map_err(|_| io::Error::other("the waiting thread panicked"))?;
        self.server.server().kill9();
        Ok(waited?.as_secs_f64())
    }
}

/// Asks until the reply is the expected one: how long after `start` it was.
pub(crate) fn first_reply(
    address: SocketAddr,
    words: &[String],
    expected: &[u8],
    start: Instant,
) -> io::Result<Duration> {
    const LIMIT: Duration = Duration::from_secs(600);
    while start.elapsed() < LIMIT {
        let reply = Client::connect(address).and_then(|mut client| client.try_call(words));
        if reply.is_ok_and(|reply| reply.bytes() == Some(expected)) {
            return Ok(start.elapsed());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err(io::Error::other("the data does not come back"))
}

/// Bytes used in the pool, if the server has one.
fn pool_used(server: &mut Target) -> io::Result<Option<f64>> {
    if server.config != Config::Pm {
        return Ok(None);
    }
    let reply = server.call(&["PM.INFO"])?;
    let text = String::from_utf8_lossy(reply.bytes().unwrap_or_default()).into_owned();
    let used = text.lines().find_map(|line| line.strip_prefix("used:"));
    let used = used.and_then(|used| used.trim().parse().ok());
    let missing = || io::Error::other("PM.INFO does not say how much is used");
    used.map(Some).ok_or_else(missing)
}
