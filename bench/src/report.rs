//! The results as CSV, JSON, Markdown and charts.

use crate::chart::{Chart, Panel};
use crate::machine::Machine;
use crate::target::Config;
use crate::throughput::Figure;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

/// Everything that was measured, and on what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The machine.
    pub machine: Machine,
    /// Rounds of each figure.
    pub rounds: usize,
    /// Keys, and elements of collections.
    pub keys: u64,
    /// The figures.
    pub figures: Vec<Figure>,
}

/// The file that holds everything.
const JSON: &str = "throughput.json";

impl Report {
    /// Writes `throughput.csv`, `throughput.json`, `throughput.md`, and the charts.
    ///
    /// # Errors
    /// Those of the files.
    pub fn save(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        fs::write(dir.join("throughput.csv"), self.csv()?)?;
        fs::write(dir.join(JSON), serde_json::to_string(self)?)?;
        fs::write(dir.join("throughput.md"), self.markdown())?;
        self.draw(dir)
    }

    /// Reads a report that was saved in a directory.
    ///
    /// # Errors
    /// Those of the file.
    pub fn load(dir: &Path) -> io::Result<Report> {
        Ok(serde_json::from_str(&fs::read_to_string(dir.join(JSON))?)?)
    }

    /// Draws the charts `throughput`, `latency` and `processor`.
    ///
    /// # Errors
    /// Those of the files.
    pub fn draw(&self, dir: &Path) -> io::Result<()> {
        let throughput = self.chart("Throughput", "requests a second", false, |f| f.rps.median);
        throughput.save(dir, "throughput")?;
        let title = "Latency that 99 of 100 requests stay below";
        let latency = self.chart(title, "ms", true, |f| f.p99_ms.median);
        latency.save(dir, "latency")?;
        let title = "Processor time of the server";
        let processor = self.chart(title, "µs a request", false, |f| f.cpu_us.median);
        processor.save(dir, "processor")
    }

    fn csv(&self) -> io::Result<Vec<u8>> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        csv.write_record([
            "command",
            "kind",
            "clients",
            "pipeline",
            "config",
            "requests",
            "rps",
            "rps_q1",
            "rps_q3",
            "ratio",
            "ratio_q1",
            "ratio_q3",
            "p50_ms",
            "p99_ms",
            "max_ms",
            "cpu_us",
            "cpu_ratio",
        ])?;
        for f in &self.figures {
            let whole = [f.rps.median, f.rps.q1, f.rps.q3].map(|rate| format!("{rate:.0}"));
            let fine = [
                f.ratio.median,
                f.ratio.q1,
                f.ratio.q3,
                f.p50_ms.median,
                f.p99_ms.median,
                f.max_ms.median,
                f.cpu_us.median,
                f.cpu_ratio.median,
            ];
            let load = [f.clients, f.pipeline].map(|number| number.to_string());
            let head = [f.command.clone(), f.kind.to_string()]
                .into_iter()
                .chain(load);
            let middle = [f.config.clone(), f.requests.to_string()];
            let fine = fine.map(|figure| format!("{figure:.3}"));
            csv.write_record(head.chain(middle).chain(whole).chain(fine))?;
        }
        csv.into_inner().map_err(|error| error.into_error())
    }

    /// Each load once: clients and pipeline.
    fn loads(&self) -> Vec<(u64, u64)> {
        distinct(self.figures.iter().map(|f| (f.clients, f.pipeline)))
    }

    /// The loads that charts show: three at most, or they get too tall to be read.
    fn shown(&self) -> Vec<(u64, u64)> {
        let loads = self.loads();
        if loads.len() <= 3 {
            return loads;
        }
        let clients = distinct(loads.iter().map(|load| load.0));
        let pipelines = distinct(loads.iter().map(|load| load.1));
        let (middle, last) = (clients[clients.len() / 2], pipelines[pipelines.len() - 1]);
        let (one, some) = ((clients[0], pipelines[0]), (middle, pipelines[0]));
        distinct([one, some, (middle, last)].into_iter())
    }

    fn find(&self, command: &str, load: (u64, u64), config: &str) -> Option<&Figure> {
        self.figures.iter().find(|f| {
            (
                f.command.as_str(),
                (f.clients, f.pipeline),
                f.config.as_str(),
            ) == (command, load, config)
        })
    }

    /// A table for each load: requests a second of all, and pmedis over each of the others.
    pub fn markdown(&self) -> String {
        let configs = distinct(self.figures.iter().map(|f| f.config.as_str()));
        let commands = distinct(self.figures.iter().map(|f| f.command.as_str()));
        let pm = Config::Pm.name();
        let mut text = self.preface();
        for load in self.loads() {
            let _ = writeln!(text, "\n### {}\n", describe(load));
            let heads = configs.iter().map(|config| format!(" {config}/s |"));
            let _ = writeln!(
                text,
                "| command |{} pmedis : native (quartiles) | processor time |",
                heads.collect::<String>()
            );
            let _ = writeln!(text, "|---|{}---|---|", "---|".repeat(configs.len()));
            for command in &commands {
                let Some(figure) = self.find(command, load, pm) else {
                    continue;
                };
                let cells = configs.iter().map(|config| {
                    let figure = self.find(command, load, config);
                    figure.map_or(" |".into(), |f| format!(" {} |", thousands(f.rps.median)))
                });
                let cells: String = cells.collect();
                let (ratio, cpu) = (figure.ratio, figure.cpu_ratio.median);
                let _ = writeln!(
                    text,
                    "| {command} |{cells} **{:.2}** ({:.2}–{:.2}) | {cpu:.2} |",
                    ratio.median, ratio.q1, ratio.q3
                );
            }
        }
        text
    }

    fn preface(&self) -> String {
        let Machine {
            processor,
            processors,
            kernel,
            redis,
            load,
            fdatasyncs_per_second,
            ..
        } = &self.machine;
        let mut text = format!(
            "{processors} processors ({processor}), Linux {kernel}; {redis}; load average at the start {load}. \
             {} keys; medians of {} interleaved rounds. \"Processor time\" is native's over pmedis's, of the \
             server's main thread for a request.\n",
            thousands(self.keys as f64),
            self.rounds
        );
        if let Some(rate) = fdatasyncs_per_second {
            let _ = writeln!(
                text,
                "The AOFs' disk makes {} appends durable a second (fdatasync).",
                thousands(*rate)
            );
        }
        text
    }

    fn chart(
        &self,
        title: &str,
        unit: &str,
        logarithmic: bool,
        value: fn(&Figure) -> f64,
    ) -> Chart {
        let configs = distinct(self.figures.iter().map(|f| f.config.as_str()));
        let commands = distinct(self.figures.iter().map(|f| f.command.as_str()));
        let panel = |load: (u64, u64)| Panel {
            title: format!("{} ({unit})", describe(load)),
            logarithmic,
            groups: commands
                .iter()
                .map(|command| {
                    let bars = configs
                        .iter()
                        .map(|config| self.find(command, load, config).map(value));
                    ((*command).to_owned(), bars.collect())
                })
                .collect(),
        };
        Chart {
            title: format!("{title}, 128-byte values"),
            subtitle: format!(
                "redis-benchmark on {} processors (load average {} before), {} keys, medians of {} interleaved rounds",
                self.machine.processors,
                self.machine.load.split(' ').next().unwrap_or_default(),
                thousands(self.keys as f64),
                self.rounds
            ),
            series: configs
                .iter()
                .map(|config| legend(config).to_owned())
                .collect(),
            panels: self.shown().into_iter().map(panel).collect(),
        }
    }
}

fn describe((clients, pipeline): (u64, u64)) -> String {
    match clients {
        1 => format!("1 client, pipeline {pipeline}"),
        _ => format!("{clients} clients, pipeline {pipeline}"),
    }
}

fn legend(config: &str) -> &str {
    match config {
        "pmedis" => "PM.* (durable)",
        "native" => "native, not durable",
        "aof-always" => "AOF, fsync always",
        "aof-everysec" => "AOF, everysec",
        other => other,
    }
}

fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for item in items {
        if !found.contains(&item) {
            found.push(item);
        }
    }
    found
}

/// 1234567.8 as `1,234,568`.
pub fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(thousands(999.4), "999");
        assert_eq!(thousands(1_234_567.8), "1,234,568");
    }
}
