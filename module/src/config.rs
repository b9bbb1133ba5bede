//! The module's settings: their values, which come from load arguments (`loadmodule libpmedis.so
//! path FILE ...`) and from the server's configuration (`pmedis.path FILE`), which has the last
//! word.
//!
//! | file | |
//! |---|---|
//! | `table.rs` | the table of settings: a new one is a row there, and a field here |
//! | `value.rs` | kinds of values |
//! | `scope.rs` | keys of which native names mean PM keys |
//! | `former.rs` | the arguments of PMedis, and values that are no more |

mod former;
mod scope;
mod table;
mod value;

use crate::SETTINGS;
use crate::redis::{ConfigEntry, Configs};
use crate::report;
use former::Former;
use pobj::{Durability, JOURNAL_MAX};
use std::path::PathBuf;
use thiserror::Error;
use value::Word;

pub use scope::Scope;
pub use table::{Changes, Setting, TABLE};

/// The settings in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The pool's file, or a poolset description; empty until it is given.
    pub path: PathBuf,
    /// The size in bytes of a pool that has to be created, and that an existing one grows to if it
    /// has less.
    pub size: Option<u64>,
    /// The size in bytes up to which the pool may grow while the server runs. A pool that has to be
    /// created is made so that it can.
    pub max_size: Option<u64>,
    /// What a committed write has to survive.
    pub durability: Durability,
    /// The size in bytes of the journal, with `durability disk`; without it, a share of the pool's.
    pub journal: Option<u64>,
    /// Bytes of memory that pages may take which the kernel cannot take back, with `durability
    /// disk`; without it, half of the machine's.
    pub memory_limit: Option<u64>,
    /// What the server's own RDB files hold of PM keys.
    pub rdb: RdbContent,
    /// What becomes of keys whose values are in another pool.
    pub orphans: Orphans,
    /// What becomes of an RDB with values beside a pool that has keys.
    pub beside: Beside,
    /// What becomes of a pool that was copied while it was in use.
    pub copy: Copied,
    /// Of which keys native names mean PM keys; `None`: of none.
    pub unprefixed: Option<Scope>,
    /// Whether native keys of files that are loaded at a start become PM keys.
    pub adopt: Adopt,
    /// Whether the module intercepts what the server sends.
    pub output_hook: OutputHook,
    /// Shares of the pool in use that the log tells of, in percent, ascending.
    pub alarms: Vec<u64>,
    /// How many keys a second are put into the server's keyspace in the background after a start;
    /// as many as can be without a number. For tests.
    pub fill: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            size: None,
            max_size: None,
            durability: Durability::default(),
            journal: None,
            memory_limit: None,
            rdb: RdbContent::default(),
            orphans: Orphans::default(),
            beside: Beside::default(),
            copy: Copied::default(),
            unprefixed: None,
            adopt: Adopt::default(),
            output_hook: OutputHook::default(),
            alarms: vec![80, 90, 95],
            fill: None,
        }
    }
}

/// What SAVE, BGSAVE, the save points and SHUTDOWN write of a PM key. What replicas and `redis-cli
/// --rdb` get is always full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RdbContent {
    /// That it is there: its value is in the pool.
    #[default]
    Markers,
    /// Its value too, so that the file is a backup.
    Full,
    /// A native key of the same value, for servers without the module; in full syncs, too, and
    /// under native names in the stream to replicas.
    Native,
}

impl Word for RdbContent {
    const ALL: &'static [(&'static str, Self)] = &[
        ("markers", RdbContent::Markers),
        ("full", RdbContent::Full),
        ("native", RdbContent::Native),
    ];
}

/// What to do about an RDB that has markers only, when the pool that has their values is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Orphans {
    /// The server does not start.
    #[default]
    Refuse,
    /// It starts without these keys.
    Drop,
}

impl Word for Orphans {
    const ALL: &'static [(&'static str, Self)] =
        &[("refuse", Orphans::Refuse), ("drop", Orphans::Drop)];
}

/// What to do about an RDB with values of PM keys that lies beside a pool which has, or had, keys,
/// and which the pool's server has not left there: the pool is the truth, so the values would not
/// be loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beside {
    /// The server does not start.
    #[default]
    Refuse,
    /// It starts, and passes the values over.
    Ignore,
}

impl Word for Beside {
    const ALL: &'static [(&'static str, Self)] =
        &[("refuse", Beside::Refuse), ("ignore", Beside::Ignore)];
}

/// What to do about a pool that is a copy, made while the original was in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Copied {
    /// The server does not start.
    #[default]
    Refuse,
    /// It starts, looks at every value, and tells of those that are damaged.
    Accept,
}

impl Word for Copied {
    const ALL: &'static [(&'static str, Self)] =
        &[("refuse", Copied::Refuse), ("accept", Copied::Accept)];
}

/// What becomes of native keys of an RDB or AOF that is loaded at a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Adopt {
    /// They stay native, until they are written under plain names.
    #[default]
    No,
    /// They become PM keys, in the background.
    Yes,
}

impl Word for Adopt {
    const ALL: &'static [(&'static str, Self)] = &[("no", Adopt::No), ("yes", Adopt::Yes)];
}

/// Whether the module intercepts what the server sends, so that what several commands have
/// committed becomes durable at once, before the first of their replies leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputHook {
    /// Where the server lets it.
    #[default]
    Yes,
    /// Nowhere: each command is durable when its handler ends.
    No,
}

impl Word for OutputHook {
    const ALL: &'static [(&'static str, Self)] =
        &[("yes", OutputHook::Yes), ("no", OutputHook::No)];
}

/// What is wrong with the settings.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// No `path`.
    #[error("no pool named: loadmodule libpmedis.so {}", table::usage())]
    NoPath,
    /// A word that is no argument's name.
    #[error("unknown argument '{0}': expected {names}", names = table::names())]
    Unknown(String),
    /// The last argument's value is missing.
    #[error("argument '{0}' has no value")]
    NoValue(String),
    /// An argument is given twice.
    #[error("argument '{0}' is given twice")]
    Twice(&'static str),
    /// The largest size is below the size.
    #[error("'max-size' is less than 'size'")]
    MaxBelowSize,
    /// No file can be as large as the journal.
    #[error("'journal' is more than a file can have: at most {JOURNAL_MAX}")]
    JournalTooLarge,
    /// A value is not one.
    #[error("argument '{name}' is '{given}': expected {expected}")]
    Value {
        /// The argument's name.
        name: &'static str,
        /// What was given.
        given: String,
        /// What it may be.
        expected: String,
    },
}

impl Config {
    /// Reads the load arguments, which may come in any order, their names in any case; `notice` is
    /// shown what the log has to say of them.
    pub fn parse<'a>(
        args: impl IntoIterator<Item = &'a [u8]>,
        mut notice: impl FnMut(&str),
    ) -> Result<Self, ConfigError> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (mut config, mut given) = (Config::default(), Vec::new());
        let mut args = args.into_iter().peekable();
        while let Some(name) = args.next() {
            let former = former::find(name);
            let setting = match former {
                Some(Former::IsNow(name)) => table::find(name.as_bytes()),
                Some(Former::IsGone) => None,
                None => Some(table::find(name).ok_or_else(|| ConfigError::Unknown(text(name)))?),
            };
            let value = args.next().ok_or_else(|| match setting {
                Some(setting) if former.is_none() => ConfigError::NoValue(setting.name.into()),
                _ => ConfigError::NoValue(text(name)),
            })?;
            // CONFIG REWRITE writes the words of the `loadmodule` line without their quotes, so
            // what was one word may come back as several.
            let mut value = value.to_vec();
            while let Some(more) = args.next_if(|more| goes_on(setting, &value, more)) {
                value.push(b' ');
                value.extend(more);
            }
            let Some(setting) = setting else {
                notice(&format!(
                    "argument '{}' is of PMedis's engine, and does nothing here",
                    text(name)
                ));
                continue;
            };
            if given.contains(&setting.name) && !setting.repeats {
                return Err(ConfigError::Twice(setting.name));
            }
            given.push(setting.name);
            let value = match former {
                Some(_) => {
                    notice(&format!(
                        "argument '{}' is PMedis's name of '{}'",
                        text(name),
                        setting.name
                    ));
                    former::number(&value)
                }
                None => value,
            };
            let value = match former::value(setting.name, &value) {
                Some(now) => {
                    notice(&now.to_string());
                    now.word.into()
                }
                None => value,
            };
            setting
                .add(&mut config, &value)
                .map_err(|expected| ConfigError::Value {
                    name: setting.name,
                    given: text(&value),
                    expected,
                })?;
        }
        Ok(config)
    }

    /// Looks at the settings together, when all are known.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.path.as_os_str().is_empty() {
            return Err(ConfigError::NoPath);
        }
        if self
            .max_size
            .is_some_and(|most| most < self.size.unwrap_or(0))
        {
            Err(ConfigError::MaxBelowSize)
        } else if self.journal.is_some_and(|bytes| bytes > JOURNAL_MAX) {
            Err(ConfigError::JournalTooLarge)
        } else {
            Ok(())
        }
    }
}

/// Whether a word belongs to the value before it: of a list of percentages, or of `8 << 30`.
fn goes_on(setting: Option<&Setting>, value: &[u8], word: &[u8]) -> bool {
    let is_list = setting.is_some_and(|setting| setting.name == "alarms");
    is_list && word.iter().all(u8::is_ascii_digit) || word == b"<<" || value.ends_with(b"<<")
}

/// The settings as the server's configuration reaches them.
pub struct InServer;

impl Configs for InServer {
    fn show(at: usize) -> Vec<u8> {
        let show = |config: &mut Config| TABLE.get(at).map(|setting| setting.show(config));
        SETTINGS.with(show).ok().flatten().unwrap_or_default()
    }

    fn change(at: usize, text: &[u8]) -> Result<(), String> {
        let former = former::value(TABLE[at].name, text);
        if let Some(now) = &former {
            report::notice(&now.to_string());
        }
        let text = former.map_or(text, |now| now.word.as_bytes());
        let change = |config: &mut Config| TABLE[at].read(config, text);
        let changed = SETTINGS.with(change);
        changed
            .map_err(|refused| format!("the settings cannot be reached: {refused:?}"))?
            .map_err(|expected| format!("expected {expected}"))
    }
}

/// What the server's configuration is told of the settings. Their defaults there are what the load
/// arguments say: so CONFIG REWRITE writes down what differs from these.
pub fn entries(config: &mut Config) -> Vec<ConfigEntry> {
    let entry = |setting: &Setting| ConfigEntry {
        name: setting.name,
        default: setting.show(config),
        at_run_time: setting.changes == Changes::AtRunTime,
    };
    TABLE.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    fn words(line: &str) -> impl Iterator<Item = &[u8]> {
        line.split(' ')
            .filter(|word| !word.is_empty())
            .map(str::as_bytes)
    }

    fn parse(line: &str) -> Result<Config, ConfigError> {
        let config = Config::parse(words(line), |line| panic!("a notice: {line}"))?;
        config.check()?;
        Ok(config)
    }

    #[test]
    fn order_and_case_do_not_matter() {
        let expected = Config {
            path: "/mnt/pmem0/Pool".into(),
            size: Some(64 << 20),
            max_size: Some(1 << 30),
            durability: Durability::Process,
            rdb: RdbContent::Full,
            orphans: Orphans::Drop,
            beside: Beside::Ignore,
            copy: Copied::Accept,
            adopt: Adopt::Yes,
            output_hook: OutputHook::No,
            unprefixed: Some(Scope {
                dbs: vec![3],
                patterns: vec![b"user:*".to_vec()],
            }),
            alarms: vec![70, 99],
            journal: Some(16 << 20),
            memory_limit: Some(2 << 30),
            fill: Some(7),
        };
        for line in [
            "path /mnt/pmem0/Pool size 64m max-size 1g durability process rdb full orphans drop beside ignore copy accept fill 7 journal 16m memory-limit 2g adopt yes output-hook no alarms 70,99 unprefixed db=3 unprefixed user:*",
            "FILL 7 MAX-SIZE 1GB RDB Full DURABILITY Process Size 64M Orphans Drop Path /mnt/pmem0/Pool Copy Accept Beside Ignore Alarms 70,99 Journal 16M Memory-Limit 2G ADOPT Yes OUTPUT-HOOK No UNPREFIXED db=3 unprefixed user:*",
            "journal 16m memory-limit 2048m alarms 70,99 size 67108864 max-size 1024m orphans drop fill 7 path /mnt/pmem0/Pool copy accept rdb full durability process beside ignore adopt yes unprefixed user:* output-hook no unprefixed db=3",
        ] {
            assert_eq!(parse(line).as_ref(), Ok(&expected), "{line}");
        }
        let short = parse("path /p").unwrap();
        let expected = Config {
            path: "/p".into(),
            ..Config::default()
        };
        assert_eq!(short, expected);
    }

    #[test]
    fn values_that_have_lost_their_quotes_are_put_together() {
        let config = parse("alarms 70 85 95 size 64m path /p").unwrap();
        assert_eq!(config.alarms, [70, 85, 95]);
        let former = words("pmem_file_size 64 << 20 hash_bucket_num 1 << 27 pmem_path /p");
        let config = Config::parse(former, |_| ()).unwrap();
        assert_eq!(config.size, Some(64 << 20));
        assert_eq!(config.path.as_os_str(), "/p");
        assert!(parse("path /p size 64m <<").is_err());
    }

    #[test]
    fn a_path_is_bytes_and_may_be_named_like_an_argument() {
        let config = Config::parse([b"path".as_slice(), b"/\xff size"], |_| ()).unwrap();
        assert_eq!(config.path.as_os_str(), OsStr::from_bytes(b"/\xff size"));
        let named = parse("path size").unwrap().path;
        assert_eq!(named, std::env::current_dir().unwrap().join("size"));
    }

    #[test]
    fn each_error_names_the_argument() {
        for (line, named) in [
            ("", "loadmodule libpmedis.so path FILE [size SIZE]"),
            ("size 8m", "path FILE"),
            (
                "path p sise 8m",
                "unknown argument 'sise': expected path, size",
            ),
            ("path", "argument 'path' has no value"),
            ("path p SIZE", "argument 'size' has no value"),
            ("pmem_path", "argument 'pmem_path' has no value"),
            ("path p path q", "argument 'path' is given twice"),
            ("path p size 8m SIZE 8m", "argument 'size' is given twice"),
            (
                "path p size 8x",
                "argument 'size' is '8x': expected bytes, or",
            ),
            (
                "path p max-size x",
                "argument 'max-size' is 'x': expected bytes",
            ),
            (
                "path p size 8m max-size 7m",
                "'max-size' is less than 'size'",
            ),
            (
                "path p journal 18446744073709551615",
                "'journal' is more than a file can have",
            ),
            ("path p size 0", "argument 'size' is '0'"),
            (
                "path p durability disc",
                "'disc': expected auto, pmem, disk or process",
            ),
            (
                "path p rdb half",
                "'half': expected markers, full or native",
            ),
            ("path p fill -1", "'-1': expected a number of keys a second"),
            ("path p orphans keep", "'keep': expected refuse or drop"),
            ("path p beside me", "'me': expected refuse or ignore"),
            ("path p copy no", "'no': expected refuse or accept"),
            ("path p unprefixed", "argument 'unprefixed' has no value"),
            (
                "path p unprefixed yes unprefixed a*",
                "'a*': expected yes or no once",
            ),
            ("path p alarms 90,80", "'90,80': expected percentages"),
        ] {
            let error = parse(line).expect_err(line).to_string();
            assert!(error.contains(named), "{line}: {error}");
        }
        let empty = Config::parse([b"path".as_slice(), b""], |_| ()).unwrap();
        assert_eq!(empty.check(), Err(ConfigError::NoPath));
    }

    #[test]
    fn arguments_of_pmedis_are_understood_with_a_notice() {
        let line = [
            "pmem_path",
            "/pmem/pmedis",
            "max_write_threads",
            "8",
            "pmem_file_size",
            "8 << 30",
            "populate_pmem_space",
            "1",
            "pmem_block_size",
            "64",
            "pmem_segment_blocks",
            "2 << 20",
            "hash_bucket_num",
            "1 << 27",
            "num_buckets_per_slot",
            "1",
            "durability",
            "process",
        ];
        let mut notices = Vec::new();
        let config = Config::parse(line.map(str::as_bytes), |line| {
            notices.push(line.to_owned())
        });
        let expected = Config {
            path: "/pmem/pmedis".into(),
            size: Some(8 << 30),
            durability: Durability::Process,
            ..Config::default()
        };
        assert_eq!(config, Ok(expected));
        assert_eq!(notices.len(), 8);
        assert_eq!(
            notices[0],
            "argument 'pmem_path' is PMedis's name of 'path'"
        );
        let twice = Config::parse(words("path /p pmem_path /q"), |_| ());
        assert_eq!(twice, Err(ConfigError::Twice("path")));
    }
}
