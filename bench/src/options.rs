//! The command lines.

use clap::Parser;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

/// Reads the command line, and runs a program with it.
pub fn run<O: Parser>(program: impl FnOnce(O) -> Result<(), Box<dyn Error>>) -> ExitCode {
    match program(O::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Seconds that a run takes besides its requests.
const RUN_OVERHEAD: f64 = 0.08;
/// Seconds for each of `--keys` that one server takes to get all data that stays.
const LOAD_PER_KEY: f64 = 15e-6;
/// The shortest run that says anything.
const SECONDS_MIN: f64 = 0.05;

/// Compares PM commands with native ones, on this machine, with redis-benchmark as the client.
#[derive(Clone, Debug, PartialEq, Parser)]
#[command(name = "ci/bench")]
pub struct Options {
    /// A small run of some minutes: few keys, one client count, short rounds.
    #[arg(long)]
    pub quick: bool,
    /// Also compares with `appendonly yes` (fsync always and everysec), files in this directory.
    #[arg(long, value_name = "DIR")]
    pub disk: Option<PathBuf>,
    /// Only these commands, by the names in the tables.
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub commands: Vec<String>,
    /// The structures' further commands, too.
    #[arg(long)]
    pub further: bool,
    /// Numbers of connections.
    #[arg(long, value_name = "N,N", value_delimiter = ',', value_parser = above_zero)]
    #[arg(default_value = "1,32,200", default_value_if("quick", "true", "32"))]
    pub clients: Vec<u64>,
    /// Requests sent at a time.
    #[arg(long, value_name = "N,N", value_delimiter = ',', value_parser = above_zero)]
    #[arg(default_value = "1,16")]
    pub pipelines: Vec<u64>,
    /// Rounds of each measurement.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    #[arg(default_value = "7", default_value_if("quick", "true", "3"))]
    pub rounds: usize,
    /// About how many seconds one run takes.
    #[arg(long, value_name = "S")]
    #[arg(default_value = "1", default_value_if("quick", "true", "0.25"))]
    pub seconds: f64,
    /// About how many minutes everything takes; the runs are as long as that leaves them.
    #[arg(long, value_name = "M")]
    pub minutes: Option<f64>,
    /// Keys, and elements of collections.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1000..))]
    #[arg(default_value = "1000000", default_value_if("quick", "true", "50000"))]
    pub keys: u64,
    /// Size of the pool.
    #[arg(long, value_name = "SIZE")]
    #[arg(default_value = "4g", default_value_if("quick", "true", "1g"))]
    pub pool: String,
    /// Where results and plots go.
    #[arg(long, value_name = "DIR", default_value = "bench-results")]
    pub out: PathBuf,
    /// Only draws the plots again, from the results in there.
    #[arg(long)]
    pub redraw: bool,
}

impl Default for Options {
    /// Those of a command line without any.
    fn default() -> Options {
        Options::parse_from(["ci/bench"])
    }
}

/// Reads a number of which there has to be one.
///
/// # Errors
/// What is wrong with the text.
pub fn above_zero(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("a number above zero is expected".to_owned()),
    }
}

/// [`above_zero`] of what is counted in memory.
///
/// # Errors
/// What is wrong with the text.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    above_zero(text).and_then(|number| usize::try_from(number).map_err(|error| error.to_string()))
}

impl Options {
    /// About how many seconds it takes to measure so many commands, each under one load, on so many
    /// servers.
    pub fn duration(&self, cells: usize, servers: usize) -> f64 {
        let (cells, servers, rounds) = (cells as f64, servers as f64, self.rounds as f64);
        // Filling what a run empties takes about half of the run's time; finding out how many
        // requests fit, about half a run.
        let run = 1.5 * self.seconds + RUN_OVERHEAD;
        let load = servers * self.keys as f64 * LOAD_PER_KEY;
        load + cells * servers * run * (rounds + 0.5)
    }

    /// Makes runs as long as `minutes` leaves them.
    pub fn fit(&mut self, cells: usize, servers: usize) {
        let Some(minutes) = self.minutes else { return };
        self.seconds = 0.0;
        let fixed = self.duration(cells, servers);
        self.seconds = 1.0;
        let second = self.duration(cells, servers) - fixed;
        self.seconds = ((minutes * 60.0 - fixed) / second).max(SECONDS_MIN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, clap::Error> {
        Options::try_parse_from(["ci/bench"].iter().chain(words))
    }

    #[test]
    fn options_are_read() {
        let options = parse(&["--clients", "1,8", "--quick", "--commands", "GET,MSET 10"]);
        let options = options.unwrap();
        assert_eq!((options.keys, options.rounds), (50_000, 3));
        assert_eq!(options.clients, [1, 8]);
        assert_eq!(options.commands, ["GET", "MSET 10"]);
    }

    #[test]
    fn without_options_everything_is_measured() {
        let options = Options::default();
        assert_eq!(options.clients, [1, 32, 200]);
        assert_eq!(options.pipelines, [1, 16]);
        assert_eq!((options.keys, options.rounds), (1_000_000, 7));
        assert!(options.commands.is_empty() && options.disk.is_none());
    }

    #[test]
    fn runs_fit_the_minutes() {
        let mut options = parse(&["--minutes", "20", "--rounds", "5"]).unwrap();
        options.fit(120, 4);
        assert!(options.seconds > 0.1);
        assert!((options.duration(120, 4) - 1200.0).abs() < 1.0);
    }

    #[test]
    fn mistakes_are_refused() {
        assert!(parse(&["--clients", "0"]).is_err());
        assert!(parse(&["--keys", "10"]).is_err());
        assert!(parse(&["--slow"]).is_err());
    }
}
