//! Many sequences of one table, one after the other, and the report of the one that fails.

use super::generate;
use super::grammar::Table;
use super::pair::{Failure, Mismatch, Outcome, Pair};
use super::shrink::shrink;
use super::{Dialect, Sequence};
use crate::env_number;
use crate::server::Setup;
use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::time::Instant;

/// After how many sequences the server is killed, to see that the pool holds what was visible.
const RESTART_EVERY: u64 = 50;

/// What to run.
#[derive(Debug)]
pub struct Campaign {
    /// The type under test.
    pub table: &'static Table,
    /// How the sides differ.
    pub dialect: Dialect,
    /// The seed of the first sequence; the others follow by counting.
    pub first_seed: u64,
    /// How many sequences to run.
    pub sequences: u64,
    /// Whether to kill the server now and then, and to see that all keys are back after it.
    pub restarts: bool,
    /// Whether the server's keyspace is to be filled meanwhile, after a restart, with keys of
    /// another database that nobody asks for: the setup has to see to it that they do not come by
    /// themselves (`fill 0`).
    pub while_filling: bool,
}

/// What a campaign has run: for each command how many replies were answers and how many errors.
#[derive(Debug, Default)]
pub struct Coverage {
    /// Command name to answers and errors.
    pub commands: BTreeMap<&'static str, [u64; 2]>,
    /// Sequences that ended the filling of the keyspace, so that it was begun again.
    pub fillings_ended: u64,
}

impl Coverage {
    /// The commands that never gave an answer, or never an error: the table does not test them.
    pub fn gaps(&self, table: &Table) -> Vec<String> {
        let mut gaps = Vec::new();
        for spec in table.here() {
            let [answers, errors] = self.commands.get(spec.name).copied().unwrap_or_default();
            if answers == 0 {
                gaps.push(format!("{} was never answered", spec.name));
            }
            if errors == 0 && spec.prefixed {
                gaps.push(format!("{} never failed", spec.name));
            }
        }
        gaps
    }
}

/// Runs `sequences` of a table on a pool with the module, and panics with the report of the first
/// that differs. The environment can ask for others: `PMEDIS_SEED=n` replays one sequence,
/// `PMEDIS_SEQUENCES=n` runs so many of them; both together, so many from that one on.
///
/// # Panics
/// Also if the table has a command that was never answered or never failed in a run of full length.
#[track_caller]
pub fn agrees(table: &'static Table, sequences: u64) {
    let replayed = env::var_os("PMEDIS_SEED").is_some();
    let campaign = Campaign {
        table,
        dialect: Dialect::PM,
        first_seed: env_number("PMEDIS_SEED", 1),
        sequences: env_number("PMEDIS_SEQUENCES", if replayed { 1 } else { sequences }),
        restarts: true,
        while_filling: false,
    };
    let coverage = campaign
        .run(Setup::pmedis("512m"))
        .unwrap_or_else(|report| panic!("{report}"));
    if campaign.sequences >= sequences {
        assert_eq!(coverage.gaps(table), [""; 0], "{coverage:?}");
    }
}

impl Campaign {
    /// Runs all sequences.
    ///
    /// # Errors
    /// The report of the first one that tells the sides apart: shrunk, with its seed.
    pub fn run(&self, setup: Setup) -> Result<Coverage, String> {
        let start = Instant::now();
        let mut coverage = Coverage::default();
        let mut pair = if self.while_filling {
            Pair::while_filling(setup, self.dialect)
        } else {
            Pair::new(setup, self.dialect)
        };
        for seed in self.first_seed..self.first_seed + self.sequences {
            let sequence = generate::sequence(self.table, seed);
            let count = |step: &super::Step, outcome| {
                let counts = coverage.commands.entry(step.spec.name).or_default();
                counts[usize::from(outcome == Outcome::Error)] += 1;
            };
            if let Err(failure) = pair.run(&sequence, count) {
                return Err(self.report(&mut pair, sequence, failure));
            }
            if self.while_filling && !pair.fills() {
                coverage.fillings_ended += 1;
                pair.begin_to_fill();
            }
            if self.restarts && (self.sequences == 1 || seed % RESTART_EVERY == 0) {
                pair.survive_kill9().map_err(|mismatch| {
                    let step = sequence.steps.len() - 1;
                    self.print(&sequence, sequence.steps.len(), &Failure { step, mismatch })
                })?;
            }
        }
        let steps: u64 = coverage.commands.values().flatten().sum();
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{}: {} sequences, {steps} commands agree, {:.0} commands a second",
            self.table.name,
            self.sequences,
            steps as f64 / seconds
        );
        Ok(coverage)
    }

    /// Shrinks a failing sequence and prints it.
    fn report(&self, pair: &mut Pair, sequence: Sequence, failure: Failure) -> String {
        let len = sequence.steps.len();
        let command = sequence.steps[failure.step].spec.name;
        let mut last = None;
        let shrunk = shrink(sequence.clone(), |smaller| {
            match pair.run(smaller, |_, _| ()) {
                Err(found) => {
                    let same = found.mismatch.same_kind(&failure.mismatch)
                        && smaller
                            .steps
                            .get(found.step)
                            .is_some_and(|step| step.spec.name == command);
                    if same {
                        last = Some(found);
                    }
                    same
                }
                Ok(()) => false,
            }
        });
        match last {
            Some(failure) => self.print(&shrunk, len, &failure),
            None => self.print(&sequence, len, &failure),
        }
    }

    fn print(&self, sequence: &Sequence, len: usize, failure: &Failure) -> String {
        let Sequence { seed, resp3, steps } = sequence;
        let protocol = if *resp3 { "RESP3" } else { "RESP2" };
        let mut text = format!(
            "table {}, seed {seed}, {protocol}: {} of {len} commands show a difference\n",
            self.table.name,
            steps.len()
        );
        for (index, step) in steps.iter().enumerate() {
            let mark = if index == failure.step { '>' } else { ' ' };
            writeln!(text, "{mark} {step:?}").expect("a string takes all text");
        }
        let (what, how) = match failure.mismatch.clone() {
            Mismatch::Reply(native, pm) => {
                ("replies", format!("native: {native:?}\nPM:     {pm:?}"))
            }
            Mismatch::Events(how) => ("keyspace events", how),
            Mismatch::Expiry(how) => ("expiry times", how),
            Mismatch::Watch(how) => ("EXEC after WATCH of all keys", how),
            Mismatch::State(how) => ("state", how),
            Mismatch::Gone(how) => ("server gone", how),
            Mismatch::Restart(how) => ("state after kill -9 and restart", how),
        };
        let name = self.table.name;
        write!(
            text,
            "{what}:\n{how}\nreplay: PMEDIS_SEED={seed} cargo test --test differential_{name}"
        )
        .expect("a string takes all text");
        text
    }
}
