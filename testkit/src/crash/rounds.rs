//! Kill, restart, judge, and again, on one server and one pool.

use super::writer::Writer;
use crate::server::{Server, Setup};
use fastrand::Rng;
use std::process::Command;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::{Duration, Instant};

/// The number of clients that write at the same time.
const WRITERS: u64 = 4;

/// The longest time a server lives in a round, if the machine is not busy.
const LIFE_MAX_MS: u64 = 200;
/// How many operations are acknowledged, at least, on an average of the rounds so far.
const WORK_MIN: u64 = 101;

/// A server whose clients remember what they were told.
pub struct Rounds {
    server: Server,
    writers: Vec<Writer>,
    rng: Rng,
    /// Operations that were acknowledged, and how many there have to be before the next kill.
    work: AtomicU64,
    work_min: u64,
    /// Whether the pool is to be checked with `pmempool`.
    check_pool: bool,
}

/// What the rounds have done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Rounds completed.
    pub rounds: u64,
    /// Operations that were acknowledged and found again.
    pub acknowledged: u64,
    /// Operations that were in flight when the server died.
    pub in_flight: u64,
}

impl Rounds {
    /// Starts a server that offers the commands under `prefix`.
    ///
    /// # Panics
    /// If it does not serve.
    pub fn new(setup: &Setup, prefix: &'static str, seed: u64) -> Self {
        let server = setup
            .start()
            .unwrap_or_else(|refusal| panic!("{refusal:?}"));
        let mut rng = Rng::with_seed(seed);
        let writers = (0..WRITERS)
            .map(|n| Writer::new(n, rng.u64(..), prefix))
            .collect();
        Self {
            server,
            writers,
            rng,
            work: AtomicU64::new(0),
            work_min: 0,
            // Without its journal, a pool is not whole until it is closed.
            check_pool: setup.pool().exists()
                && !setup.pool().with_extension("pool.journal").exists(),
        }
    }

    /// Runs so many rounds.
    ///
    /// # Errors
    /// The first violation of durability, with the server's log.
    pub fn run(&mut self, rounds: u64) -> Result<Tally, String> {
        let start = Instant::now();
        let mut tally = Tally::default();
        for round in 1..=rounds {
            let (acknowledged, in_flight) = self
                .round()
                .map_err(|e| format!("round {round}: {e}\nThe log:\n{}", self.server.log()))?;
            tally.rounds += 1;
            tally.acknowledged += acknowledged;
            tally.in_flight += in_flight;
        }
        println!("{tally:?} in {:.1} s", start.elapsed().as_secs_f64());
        Ok(tally)
    }

    fn round(&mut self) -> Result<(u64, u64), String> {
        let before: u64 = self.writers.iter().map(Writer::acknowledged).sum();
        self.write_until_killed()?;
        let after: u64 = self.writers.iter().map(Writer::acknowledged).sum();
        let in_flight = self.writers.iter().map(Writer::in_flight).sum();
        self.check_pool()?;
        if self.rng.u8(..4) == 0 {
            let delay = Duration::from_micros(self.rng.u64(..50_000));
            self.server.restart_and_kill9(delay);
        }
        self.restart_and_judge()?;
        if self.rng.u8(..4) == 0 {
            let status = self.server.stop();
            if !status.success() {
                return Err(format!("an orderly shutdown ended with {status}"));
            }
            self.check_pool()?;
            self.restart_and_judge()?;
        }
        Ok((after - before, in_flight))
    }

    /// All clients write; the server dies within [`LIFE_MAX_MS`], or as soon as they have done
    /// something.
    fn write_until_killed(&mut self) -> Result<(), String> {
        let address = self.server.address();
        let life = Duration::from_micros(self.rng.u64(1_000..LIFE_MAX_MS * 1000));
        self.work_min += WORK_MIN;
        let Self {
            server,
            writers,
            work,
            work_min,
            ..
        } = self;
        thread::scope(|scope| {
            let threads: Vec<_> = writers
                .iter_mut()
                .map(|writer| scope.spawn(|| writer.write(address, work)))
                .collect();
            server.live(life, work, *work_min);
            let died = server.exited();
            server.kill9();
            let written = threads
                .into_iter()
                .try_for_each(|t| t.join().expect("a writer"));
            match died {
                Some(status) => Err(format!("the server ended by itself: {status}")),
                None => written,
            }
        })
    }

    fn restart_and_judge(&mut self) -> Result<(), String> {
        self.server
            .restart()
            .map_err(|refusal| format!("{refusal:?}"))?;
        let mut client = self.server.client();
        for writer in &mut self.writers {
            writer.judge(&mut client)?;
        }
        let keys: usize = self.writers.iter().map(Writer::keys).sum();
        match client.call(&["DBSIZE"]).integer() {
            Some(size) if usize::try_from(size) == Ok(keys) => Ok(()),
            size => Err(format!(
                "DBSIZE is {size:?}, but the clients have {keys} keys"
            )),
        }
    }

    /// Asks PMDK whether it finds the pool consistent. The server must be stopped.
    fn check_pool(&self) -> Result<(), String> {
        if !self.check_pool {
            return Ok(());
        }
        let checked = Command::new("pmempool")
            .args(["check", "--verbose"])
            .arg(self.server.setup().pool())
            .output();
        let checked = checked.map_err(|error| format!("pmempool: {error}"))?;
        let text = String::from_utf8_lossy(&checked.stdout);
        if checked.status.success() && text.trim_end().ends_with(": consistent") {
            return Ok(());
        }
        Err(format!(
            "pmempool check: {text}{}",
            String::from_utf8_lossy(&checked.stderr)
        ))
    }
}
