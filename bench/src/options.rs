//! The command line.

use std::path::PathBuf;

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
  --keys N           keys, and elements of collections   (default: 1000000)
  --pool SIZE        size of the pool                    (default: 4g)
  --out DIR          where results and plots go          (default: bench-results)
  --redraw           only draws the plots again, from the results in there
";

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
            keys: 1_000_000,
            pool: "4g".into(),
            out: "bench-results".into(),
            redraw: false,
        }
    }
}

impl Options {
    /// Reads the command line; `None` if help was asked for.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(mut parser: lexopt::Parser) -> Result<Option<Options>, lexopt::Error> {
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
                Long("keys") => options.keys = parser.value()?.parse::<u64>()?.max(1000),
                Long("pool") => options.pool = parser.value()?.string()?,
                Long("redraw") => options.redraw = true,
                Long("out") => options.out = parser.value()?.into(),
                Long("help") | Short('h') => return Ok(None),
                other => return Err(other.unexpected()),
            }
        }
        Ok(Some(options))
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

    fn parse(words: &[&str]) -> Result<Option<Options>, lexopt::Error> {
        Options::parse(lexopt::Parser::from_args(words))
    }

    #[test]
    fn options_are_read() {
        let options = parse(&["--quick", "--clients", "1,8", "--commands", "GET,MSET 10"]);
        let options = options.unwrap().unwrap();
        assert_eq!((options.keys, options.clients), (50_000, vec![1, 8]));
        assert_eq!(options.commands, ["GET", "MSET 10"]);
        assert_eq!(parse(&["--help"]).unwrap(), None);
    }

    #[test]
    fn mistakes_are_refused() {
        assert!(parse(&["--clients", "0"]).is_err());
        assert!(parse(&["--slow"]).is_err());
    }
}
