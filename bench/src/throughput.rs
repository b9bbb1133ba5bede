//! Interleaved rounds of `redis-benchmark` over all commands.
//!
//! A machine that others use too is not as fast in one minute as in the next. So each round runs
//! one command against all servers in turn, in an order that turns round from one round to the
//! next, and ratios are taken within a round. The processor time of the server's main thread is
//! counted as well: what others take of the processor is not in it. A single client shares one
//! processor with its server.

use crate::options::Options;
use crate::processors::Processors;
use crate::redis_benchmark::{self, Load, Sample};
use crate::summary::Spread;
use crate::target::{Config, Target};
use crate::workload::{Kind, Run, Workload};
use serde::{Deserialize, Serialize};
use std::io;

/// Most requests of one run.
const REQUESTS_MAX: u64 = 1_000_000;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// The command.
    pub workload: Workload,
    /// Connections.
    pub clients: u64,
    /// Requests sent at a time.
    pub pipeline: u64,
}

/// The figures of one command on one server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// The command.
    pub command: String,
    /// `read` or `write`.
    pub kind: String,
    /// Connections.
    pub clients: u64,
    /// Requests sent at a time.
    pub pipeline: u64,
    /// The server.
    pub config: String,
    /// Requests a run.
    pub requests: u64,
    /// Requests a second.
    pub rps: Spread,
    /// Requests a second, over those of native without persistence in the same round.
    pub ratio: Spread,
    /// Median latency in milliseconds.
    pub p50_ms: Spread,
    /// Latency that 99 of 100 requests stay below, in milliseconds.
    pub p99_ms: Spread,
    /// The worst latency, in milliseconds.
    pub max_ms: Spread,
    /// Processor time of the server's main thread, microseconds a request.
    pub cpu_us: Spread,
    /// Processor time of native without persistence, over this.
    pub cpu_ratio: Spread,
}

/// A run's sample and the processor time it took, in seconds a request.
type Measured = (Sample, f64);

/// Measures all cells; `progress` hears which share is done, and a line for each round.
///
/// # Errors
/// Those of the connections, of `redis-benchmark`, and errors in replies.
pub fn measure(
    cells: &[Cell],
    targets: &mut [Target],
    options: &Options,
    mut progress: impl FnMut(f64, &str),
) -> io::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut number = 0;
    let all = Processors::of(std::process::id())?;
    for (at, cell) in cells.iter().enumerate() {
        place(cell, targets, &all)?;
        let mut requests = Vec::new();
        for target in targets.iter_mut() {
            number += 1;
            requests.push(calibrate(cell, target, number, options)?);
        }
        let mut rounds: Vec<Vec<Measured>> = Vec::new();
        for round in 0..options.rounds {
            number += 1;
            let mut measured: Vec<Option<Measured>> = vec![None; targets.len()];
            let mut order: Vec<usize> = (0..targets.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for place in order {
                let run = Run {
                    number,
                    requests: requests[place],
                    keys: options.keys,
                };
                measured[place] = Some(run_once(cell, &mut targets[place], run)?);
            }
            let measured: Vec<Measured> = measured.into_iter().flatten().collect();
            let done = (at * options.rounds + round + 1) as f64;
            progress(
                done / (cells.len() * options.rounds) as f64,
                &line(
                    cell,
                    (at, cells.len()),
                    (round, options.rounds),
                    targets,
                    &measured,
                ),
            );
            rounds.push(measured);
        }
        figures.extend(summarise(cell, targets, &requests, &rounds));
    }
    Ok(figures)
}

/// Has a single client and its server take turns on one processor; more than one client has them
/// all.
fn place(cell: &Cell, targets: &mut [Target], all: &Processors) -> io::Result<()> {
    let processors = match cell.clients {
        1 => all.first(),
        _ => all.clone(),
    };
    for target in targets {
        processors.pin(target.server().pid())?;
    }
    // redis-benchmark inherits it.
    processors.pin(std::process::id())
}

/// How many requests take about as long as a run should.
fn calibrate(cell: &Cell, target: &mut Target, number: u64, options: &Options) -> io::Result<u64> {
    let at_once = cell.clients * cell.pipeline;
    let requests = if cell.workload.is_heavy() {
        at_once
    } else {
        (2 * at_once).max(200)
    };
    let run = Run {
        number,
        requests,
        keys: options.keys,
    };
    let (sample, _) = run_once(cell, target, run)?;
    let wanted = (sample.rps * options.seconds) as u64;
    if wanted < 4 * at_once {
        return Ok(wanted.max(at_once));
    }
    // A first, short run is slower than a longer one will be.
    let run = Run {
        number: number + u64::MAX / 2,
        requests: (wanted / 4).min(REQUESTS_MAX),
        ..run
    };
    let (sample, _) = run_once(cell, target, run)?;
    Ok(((sample.rps * options.seconds) as u64).clamp(at_once, REQUESTS_MAX))
}

fn run_once(cell: &Cell, target: &mut Target, run: Run) -> io::Result<Measured> {
    // redis-benchmark sends whole pipelines. If they are more than was asked for, a line of its
    // progress that falls due at the very end finds no client and another number of replies, and it
    // aborts.
    let run = Run {
        requests: run.requests.next_multiple_of(cell.pipeline),
        ..run
    };
    cell.workload.prepare(target, run)?;
    let words = target.command(&cell.workload.words(run));
    let load = Load {
        clients: cell.clients,
        pipeline: cell.pipeline,
        requests: run.requests,
        range: cell.workload.range(run),
    };
    let before = target.counters()?;
    let sample = redis_benchmark::run(target.port(), load, &words)?;
    let after = target.counters()?;
    if after.errors > before.errors {
        let name = target.config.name();
        return Err(io::Error::other(format!(
            "{name} replies with errors to {}",
            words[0]
        )));
    }
    Ok((sample, (after.cpu - before.cpu) / run.requests as f64))
}

fn line(
    cell: &Cell,
    (at, cells): (usize, usize),
    (round, rounds): (usize, usize),
    targets: &[Target],
    measured: &[Measured],
) -> String {
    let each = targets
        .iter()
        .zip(measured)
        .map(|(target, (sample, _))| format!("{} {:.0}/s", target.config.name(), sample.rps));
    format!(
        "[{}/{cells}] {} c={} P={} round {}/{rounds}: {}",
        at + 1,
        cell.workload.name,
        cell.clients,
        cell.pipeline,
        round + 1,
        each.collect::<Vec<_>>().join(", ")
    )
}

fn summarise(
    cell: &Cell,
    targets: &[Target],
    requests: &[u64],
    rounds: &[Vec<Measured>],
) -> Vec<Figure> {
    let column = |place: usize, value: &dyn Fn(&Measured) -> f64| -> Vec<f64> {
        rounds.iter().map(|round| value(&round[place])).collect()
    };
    let native = targets.iter().position(|c| c.config == Config::Native);
    let base = native.unwrap_or(0);
    let (rps, cpu) = (|m: &Measured| m.0.rps, |m: &Measured| m.1 * 1e6);
    let figure = |(place, target): (usize, &Target)| Figure {
        command: cell.workload.name.to_owned(),
        kind: match cell.workload.kind {
            Kind::Read => "read".to_owned(),
            Kind::Write => "write".to_owned(),
        },
        clients: cell.clients,
        pipeline: cell.pipeline,
        config: target.config.name().to_owned(),
        requests: requests[place],
        rps: Spread::of(column(place, &rps)),
        ratio: Spread::of_ratios(&column(place, &rps), &column(base, &rps)),
        p50_ms: Spread::of(column(place, &|m| m.0.p50_ms)),
        p99_ms: Spread::of(column(place, &|m| m.0.p99_ms)),
        max_ms: Spread::of(column(place, &|m| m.0.max_ms)),
        cpu_us: Spread::of(column(place, &cpu)),
        cpu_ratio: Spread::of_ratios(&column(base, &cpu), &column(place, &cpu)),
    };
    targets.iter().enumerate().map(figure).collect()
}
