//! `ci/bench`: PM commands beside native ones, on this machine.

use bench::machine::Machine;
use bench::options::{self, Options};
use bench::report::{Report, thousands};
use bench::target::{Config, Target};
use bench::throughput::{self, Cell};
use bench::workload::{self, Workload};
use std::process::ExitCode;
use std::time::Instant;
use std::{error, io};

fn main() -> ExitCode {
    options::run(compare)
}

fn compare(mut options: Options) -> Result<(), Box<dyn error::Error>> {
    if options.redraw {
        return Ok(Report::load(&options.out)?.draw(&options.out)?);
    }
    let workloads = chosen(&options)?;
    let machine = Machine::look(options.disk.as_deref())?;
    match machine.fdatasyncs_per_second {
        Some(rate) => eprintln!("the disk: {} fdatasync/s", thousands(rate)),
        None => eprintln!("without --disk DIR there is no comparison with an AOF"),
    }
    let mut targets = start(&options)?;
    let mut cells = Vec::new();
    for &clients in &options.clients {
        for &pipeline in &options.pipelines {
            let sensible = |workload: &&Workload| pipeline == 1 || !workload.is_heavy();
            cells.extend(workloads.iter().filter(sensible).map(|&workload| Cell {
                workload,
                clients,
                pipeline,
            }));
        }
    }
    options.fit(cells.len(), targets.len());
    eprintln!(
        "{} measurements on {} servers, {} rounds of {:.2} s: about {:.0} minutes",
        cells.len(),
        targets.len(),
        options.rounds,
        options.seconds,
        options.duration(cells.len(), targets.len()) / 60.0
    );
    let began = Instant::now();
    let figures = throughput::measure(&cells, &mut targets, &options, |done, line| {
        let elapsed = began.elapsed().as_secs_f64();
        let left = elapsed * (1.0 - done) / done / 60.0;
        eprintln!("{elapsed:>5.0} s, {left:.0} min left: {line}");
    })?;
    let report = Report {
        machine,
        rounds: options.rounds,
        keys: options.keys,
        figures,
    };
    report.save(&options.out)?;
    println!("{}", report.markdown());
    eprintln!("results and plots are in {}", options.out.display());
    Ok(())
}

/// The commands that the command line asks for.
fn chosen(options: &Options) -> io::Result<Vec<Workload>> {
    let mut all = workload::main();
    if options.further || !options.commands.is_empty() {
        all.extend(workload::further());
    }
    if options.commands.is_empty() {
        return Ok(all);
    }
    let named = |name: &String| {
        let found = all.iter().find(|workload| workload.name == name);
        let names: Vec<_> = all.iter().map(|workload| workload.name).collect();
        found.copied().ok_or_else(|| {
            io::Error::other(format!(
                "there is no command {name:?}; there are {}",
                names.join(", ")
            ))
        })
    };
    options.commands.iter().map(named).collect()
}

fn start(options: &Options) -> io::Result<Vec<Target>> {
    let mut configs = vec![Config::Pm, Config::Native];
    if options.disk.is_some() {
        configs.extend([Config::AofAlways, Config::AofEverysec]);
    }
    let disk = options.disk.as_deref();
    let start = |config| Target::start(config, &options.pool, disk);
    configs.into_iter().map(start).collect()
}
