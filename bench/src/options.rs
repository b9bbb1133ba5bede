//! The command lines.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

/// A value that an option sets.
pub trait Setting {
    /// Sets it; false if the text does not say how.
    fn set(&mut self, text: &str) -> bool;
}

impl<T: FromStr> Setting for T {
    fn set(&mut self, text: &str) -> bool {
        text.parse().map(|value| *self = value).is_ok()
    }
}

/// Numbers above zero, with commas between.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbers(pub Vec<u64>);

impl FromStr for Numbers {
    type Err = lexopt::Error;

    fn from_str(list: &str) -> Result<Numbers, lexopt::Error> {
        numbers(list).map(Numbers)
    }
}

/// Reads options that each have a name and a value.
///
/// # Errors
/// An option that is not among them; a value that it cannot have.
pub fn read(
    mut parser: lexopt::Parser,
    settings: &mut [(&str, &mut dyn Setting)],
) -> Result<(), lexopt::Error> {
    while let Some(argument) = parser.next()? {
        let lexopt::Arg::Long(name) = argument else {
            return Err(argument.unexpected());
        };
        let mut places = settings.iter_mut();
        let Some((name, setting)) = places.find(|(known, _)| *known == name) else {
            return Err(argument.unexpected());
        };
        let text = lexopt::ValueExt::string(parser.value()?)?;
        if !setting.set(&text) {
            return Err(format!("--{name} cannot be {text}").into());
        }
    }
    Ok(())
}

/// Runs a program: prints its help if that is asked for, or with an error.
pub fn run(
    help: &str,
    program: impl FnOnce(lexopt::Parser) -> Result<(), Box<dyn Error>>,
) -> ExitCode {
    if std::env::args().any(|word| word == "--help" || word == "-h") {
        print!("{help}");
        return ExitCode::SUCCESS;
    }
    match program(lexopt::Parser::from_env()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}\n\n{help}");
            ExitCode::FAILURE
        }
    }
}

/// What `--help` prints.
pub const HELP: &str = "\
Compares PM commands with native ones, on this machine, with redis-benchmark as the client.

  ci/bench [options]

  --quick            a small run of some minutes: few keys, one client count, short rounds
  --disk DIR         also compares with appendonly yes (fsync always and everysec), files in DIR
  --commands A,B     only these commands, by the names in the tables
  --further          the structures' further commands, too
  --clients N,N      connections                         (default: 1,32,200)
  --pipelines N,N    requests sent at a time             (default: 1,16)
  --rounds N         rounds of each measurement          (default: 7)
  --seconds S        about how long one run takes        (default: 1)
  --minutes M        about how long everything takes; the runs are as long as that leaves them
  --keys N           keys, and elements of collections   (default: 1000000)
  --pool SIZE        size of the pool                    (default: 4g)
  --out DIR          where results and plots go          (default: bench-results)
  --redraw           only draws the plots again, from the results in there
";

/// Seconds that a run takes besides its requests.
const RUN_OVERHEAD: f64 = 0.08;
/// Seconds for each of `--keys` that one server takes to get all data that stays.
const LOAD_PER_KEY: f64 = 15e-6;
/// The shortest run that says anything.
const SECONDS_MIN: f64 = 0.05;

/// The settings of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Where AOFs are written; without it there are none.
    pub disk: Option<PathBuf>,
    /// Names of commands; empty for all.
    pub commands: Vec<String>,
    /// The further commands, too.
    pub further: bool,
    /// Numbers of connections.
    pub clients: Vec<u64>,
    /// Requests sent at a time.
    pub pipelines: Vec<u64>,
    /// Rounds of each measurement.
    pub rounds: usize,
    /// About how long one run takes.
    pub seconds: f64,
    /// About how long everything takes, instead of `seconds`.
    pub minutes: Option<f64>,
    /// Keys, and elements of collections.
    pub keys: u64,
    /// Size of the pool.
    pub pool: String,
    /// Where results go.
    pub out: PathBuf,
    /// Only draw the results that are there.
    pub redraw: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            disk: None,
            commands: Vec::new(),
            further: false,
            clients: vec![1, 32, 200],
            pipelines: vec![1, 16],
            rounds: 7,
            seconds: 1.0,
            minutes: None,
            keys: 1_000_000,
            pool: "4g".into(),
            out: "bench-results".into(),
            redraw: false,
        }
    }
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

    /// Reads the command line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(mut parser: lexopt::Parser) -> Result<Options, lexopt::Error> {
        use lexopt::prelude::*;
        let mut options = Options::default();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("quick") => {
                    options.clients = vec![32];
                    options.rounds = 3;
                    options.seconds = 0.25;
                    options.keys = 50_000;
                    options.pool = "1g".into();
                }
                Long("disk") => options.disk = Some(parser.value()?.into()),
                Long("commands") => {
                    let names = parser.value()?.string()?;
                    options.commands = names.split(',').map(str::to_owned).collect();
                }
                Long("further") => options.further = true,
                Long("clients") => options.clients = numbers(&parser.value()?.string()?)?,
                Long("pipelines") => options.pipelines = numbers(&parser.value()?.string()?)?,
                Long("rounds") => options.rounds = parser.value()?.parse::<usize>()?.max(1),
                Long("seconds") => options.seconds = parser.value()?.parse()?,
                Long("minutes") => options.minutes = Some(parser.value()?.parse()?),
                Long("keys") => options.keys = parser.value()?.parse::<u64>()?.max(1000),
                Long("pool") => options.pool = parser.value()?.string()?,
                Long("redraw") => options.redraw = true,
                Long("out") => options.out = parser.value()?.into(),
                other => return Err(other.unexpected()),
            }
        }
        Ok(options)
    }
}

fn numbers(list: &str) -> Result<Vec<u64>, lexopt::Error> {
    let number = |text: &str| match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(lexopt::Error::Custom(
            format!("not a number: {text}").into(),
        )),
    };
    list.split(',').map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options, lexopt::Error> {
        Options::parse(lexopt::Parser::from_args(words))
    }

    #[test]
    fn options_are_read() {
        let options = parse(&["--quick", "--clients", "1,8", "--commands", "GET,MSET 10"]);
        let options = options.unwrap();
        assert_eq!((options.keys, options.clients), (50_000, vec![1, 8]));
        assert_eq!(options.commands, ["GET", "MSET 10"]);
    }

    #[test]
    fn settings_are_read() {
        let (mut keys, mut pool) = (Numbers(vec![1]), "1g".to_owned());
        let mut with = |words: &[&str]| {
            let parser = lexopt::Parser::from_args(words);
            let done = read(parser, &mut [("keys", &mut keys), ("pool", &mut pool)]);
            (done.is_ok(), keys.0.clone(), pool.clone())
        };
        let read = with(&["--keys", "2,3", "--pool", "2g"]);
        assert_eq!(read, (true, vec![2, 3], "2g".to_owned()));
        assert!(!with(&["--keys", "x"]).0);
        assert!(!with(&["--size", "1"]).0);
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
        assert!(parse(&["--slow"]).is_err());
    }
}
