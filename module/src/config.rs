//! The module's arguments: `loadmodule libpmedis.so path FILE [size SIZE] [durability HOW] [rdb WHAT]
//! [orphans HOW] [beside HOW] [copy HOW] [unprefixed SCOPE ...] [fill NUMBER]`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use pobj::{Durability, parse_size};
use thiserror::Error;

/// The settings the module was loaded with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The pool's file, or a poolset description.
    pub path: PathBuf,
    /// The size in bytes of a pool that has to be created; an existing one keeps its own.
    pub size: Option<u64>,
    /// What a committed write has to survive.
    pub durability: Durability,
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
    /// How many keys a second are put into the server's keyspace in the background after a start; as many as can be
    /// without a number. For tests.
    pub fill: Option<u64>,
}

/// Keys: all of them, or those of some databases, or of some names, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The databases' numbers; none stands for all.
    pub dbs: Vec<i32>,
    /// Patterns of keys' names; none stands for all names.
    pub patterns: Vec<Vec<u8>>,
}

impl Scope {
    /// What begins the value of a scope that is a database's number.
    const DATABASE: &[u8] = b"db=";

    /// Whether it is all keys.
    pub fn is_all(&self) -> bool {
        self.dbs.is_empty() && self.patterns.is_empty()
    }

    /// Whether keys of a database can be among them.
    pub fn has_database(&self, db: i32) -> bool {
        self.dbs.is_empty() || self.dbs.contains(&db)
    }

    /// Adds what one argument says to what those before it did.
    fn add(scope: Option<Scope>, value: &[u8]) -> Result<Option<Scope>, ConfigError> {
        let first = scope.is_none();
        let is = |word: &[u8]| value.eq_ignore_ascii_case(word);
        if is(b"no") || is(b"yes") {
            // They say all there is to say.
            return match first {
                true if is(b"yes") => Ok(Some(Scope::default())),
                true => Ok(None),
                false => Err(ConfigError::Twice("unprefixed")),
            };
        }
        let mut scope = scope.unwrap_or_default();
        if !first && scope.is_all() {
            return Err(ConfigError::Twice("unprefixed"));
        }
        match value.strip_prefix(Scope::DATABASE) {
            Some(number) => {
                let number = String::from_utf8_lossy(number).into_owned();
                let db = number.parse().ok().filter(|&db: &i32| db >= 0);
                scope.dbs.push(db.ok_or(ConfigError::Database(number))?);
            }
            None if value.is_empty() => return Err(ConfigError::EmptyPattern),
            None => scope.patterns.push(value.to_vec()),
        }
        Ok(Some(scope))
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

/// What to do about an RDB with values of PM keys that lies beside a pool which has, or had, keys, and which the
/// pool's server has not left there: the pool is the truth, so the values would not be loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beside {
    /// The server does not start.
    #[default]
    Refuse,
    /// It starts, and passes the values over.
    Ignore,
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

/// What is wrong with the arguments.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// No `path`.
    #[error(
        "no pool named: loadmodule libpmedis.so path <file> [size <size>] [durability <how>] \
         [rdb <what>] [orphans <how>] [beside <how>] [copy <how>] [unprefixed <scope>] \
         [fill <keys a second>]"
    )]
    NoPath,
    /// A word that is no argument's name.
    #[error(
        "unknown argument '{0}': expected path, size, durability, rdb, orphans, beside, copy, \
         unprefixed or fill"
    )]
    Unknown(String),
    /// The last argument's value is missing.
    #[error("argument '{0}' has no value")]
    NoValue(&'static str),
    /// An argument is given twice.
    #[error("argument '{0}' is given twice")]
    Twice(&'static str),
    /// The path is empty.
    #[error("argument 'path' is empty")]
    EmptyPath,
    /// The size is not one.
    #[error("argument 'size' is '{0}': expected bytes, or a number with k, m, g or t, as in 64m")]
    Size(String),
    /// The durability is not one.
    #[error("argument 'durability' is '{0}': expected pmem, msync or process")]
    Durability(String),
    /// The content of RDB files is not one.
    #[error("argument 'rdb' is '{0}': expected markers or full")]
    Rdb(String),
    /// The fate of orphans is not one.
    #[error("argument 'orphans' is '{0}': expected refuse or drop")]
    Orphans(String),
    /// The fate of an RDB beside the pool is not one.
    #[error("argument 'beside' is '{0}': expected refuse or ignore")]
    Beside(String),
    /// The fate of a copy is not one.
    #[error("argument 'copy' is '{0}': expected refuse or accept")]
    Copied(String),
    /// The number of a database is not one.
    #[error("argument 'unprefixed' is 'db={0}': expected the number of a database")]
    Database(String),
    /// The pattern of keys is empty.
    #[error("argument 'unprefixed' is empty: expected yes, no, db=<number> or a pattern of keys")]
    EmptyPattern,
    /// The number of keys a second is not one.
    #[error("argument 'fill' is '{0}': expected a number of keys a second")]
    Fill(String),
}

impl Config {
    /// Reads the arguments, which may come in any order, their names in any case.
    pub fn parse<'a>(args: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, ConfigError> {
        let (mut path, mut size, mut durability) = (None, None, None);
        let (mut rdb, mut orphans, mut beside, mut copy) = (None, None, None, None);
        let (mut unprefixed, mut fill) = (None, None);
        let mut args = args.into_iter();
        while let Some(name) = args.next() {
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            let mut value = |name, taken: bool| {
                if taken {
                    Err(ConfigError::Twice(name))
                } else {
                    args.next().ok_or(ConfigError::NoValue(name))
                }
            };
            match name.to_ascii_lowercase().as_slice() {
                b"path" => {
                    let value = value("path", path.is_some())?;
                    if value.is_empty() {
                        return Err(ConfigError::EmptyPath);
                    }
                    path = Some(PathBuf::from(OsStr::from_bytes(value)));
                }
                b"size" => {
                    let value = text(value("size", size.is_some())?);
                    size = Some(parse_size(&value).ok_or(ConfigError::Size(value))?);
                }
                b"durability" => {
                    let value = text(value("durability", durability.is_some())?);
                    durability =
                        Some(Durability::from_name(&value).ok_or(ConfigError::Durability(value))?);
                }
                b"rdb" => {
                    let value = text(value("rdb", rdb.is_some())?);
                    rdb = Some(match value.to_ascii_lowercase().as_str() {
                        "markers" => RdbContent::Markers,
                        "full" => RdbContent::Full,
                        _ => return Err(ConfigError::Rdb(value)),
                    });
                }
                b"orphans" => {
                    let value = text(value("orphans", orphans.is_some())?);
                    orphans = Some(match value.to_ascii_lowercase().as_str() {
                        "refuse" => Orphans::Refuse,
                        "drop" => Orphans::Drop,
                        _ => return Err(ConfigError::Orphans(value)),
                    });
                }
                b"beside" => {
                    let value = text(value("beside", beside.is_some())?);
                    beside = Some(match value.to_ascii_lowercase().as_str() {
                        "refuse" => Beside::Refuse,
                        "ignore" => Beside::Ignore,
                        _ => return Err(ConfigError::Beside(value)),
                    });
                }
                b"copy" => {
                    let value = text(value("copy", copy.is_some())?);
                    copy = Some(match value.to_ascii_lowercase().as_str() {
                        "refuse" => Copied::Refuse,
                        "accept" => Copied::Accept,
                        _ => return Err(ConfigError::Copied(value)),
                    });
                }
                b"unprefixed" => {
                    unprefixed = Scope::add(unprefixed, value("unprefixed", false)?)?;
                }
                b"fill" => {
                    let value = text(value("fill", fill.is_some())?);
                    fill = Some(value.parse().map_err(|_| ConfigError::Fill(value))?);
                }
                _ => return Err(ConfigError::Unknown(text(name))),
            }
        }
        Ok(Self {
            path: path.ok_or(ConfigError::NoPath)?,
            size,
            durability: durability.unwrap_or_default(),
            rdb: rdb.unwrap_or_default(),
            orphans: orphans.unwrap_or_default(),
            beside: beside.unwrap_or_default(),
            copy: copy.unwrap_or_default(),
            unprefixed,
            fill,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Config, ConfigError> {
        Config::parse(
            line.split(' ')
                .filter(|word| !word.is_empty())
                .map(str::as_bytes),
        )
    }

    #[test]
    fn order_and_case_do_not_matter() {
        let expected = Config {
            path: "/mnt/pmem0/Pool".into(),
            size: Some(64 << 20),
            durability: Durability::Process,
            rdb: RdbContent::Full,
            orphans: Orphans::Drop,
            beside: Beside::Ignore,
            copy: Copied::Accept,
            unprefixed: Some(Scope {
                dbs: vec![3],
                patterns: vec![b"user:*".to_vec()],
            }),
            fill: Some(7),
        };
        for line in [
            "path /mnt/pmem0/Pool size 64m durability process rdb full orphans drop beside ignore copy accept fill 7 unprefixed db=3 unprefixed user:*",
            "FILL 7 RDB Full DURABILITY Process Size 64M Orphans Drop Path /mnt/pmem0/Pool Copy Accept Beside Ignore UNPREFIXED db=3 unprefixed user:*",
            "size 67108864 orphans drop fill 7 path /mnt/pmem0/Pool copy accept rdb full durability process beside ignore unprefixed user:* unprefixed db=3",
        ] {
            assert_eq!(parse(line).as_ref(), Ok(&expected), "{line}");
        }
        let short = parse("path p").unwrap();
        assert_eq!((short.size, short.durability), (None, Durability::Pmem));
        assert_eq!(short.fill, None);
        assert_eq!(
            (short.rdb, short.orphans),
            (RdbContent::Markers, Orphans::Refuse)
        );
        assert_eq!((short.beside, short.copy), (Beside::Refuse, Copied::Refuse));
    }

    #[test]
    fn native_names_mean_pm_keys_of_a_scope() {
        let scope = |line: &str| parse(&format!("path p {line}")).unwrap().unprefixed;
        assert_eq!(scope(""), None);
        assert_eq!(scope("unprefixed No"), None);
        assert_eq!(scope("unprefixed Yes"), Some(Scope::default()));
        let some = scope("unprefixed db=0 unprefixed db=12 unprefixed a* unprefixed b*").unwrap();
        assert_eq!((some.dbs, some.patterns.len()), (vec![0, 12], 2));
        for (line, error) in [
            (
                "unprefixed yes unprefixed a*",
                ConfigError::Twice("unprefixed"),
            ),
            (
                "unprefixed a* unprefixed no",
                ConfigError::Twice("unprefixed"),
            ),
            (
                "unprefixed yes unprefixed yes",
                ConfigError::Twice("unprefixed"),
            ),
            ("unprefixed db=", ConfigError::Database(String::new())),
            ("unprefixed db=-1", ConfigError::Database("-1".into())),
            ("unprefixed db=a", ConfigError::Database("a".into())),
            ("unprefixed", ConfigError::NoValue("unprefixed")),
        ] {
            assert_eq!(parse(&format!("path p {line}")), Err(error), "{line}");
        }
        let empty = Config::parse([b"path".as_slice(), b"p", b"unprefixed", b""]);
        assert_eq!(empty, Err(ConfigError::EmptyPattern));
    }

    #[test]
    fn a_path_is_bytes_and_may_be_named_like_an_argument() {
        let config = Config::parse([b"path".as_slice(), b"\xff size"]).unwrap();
        assert_eq!(config.path.as_os_str().as_bytes(), b"\xff size");
        assert_eq!(parse("path size").unwrap().path, PathBuf::from("size"));
    }

    #[test]
    fn each_error_names_the_argument() {
        for (line, error, named) in [
            ("", ConfigError::NoPath, "path"),
            ("size 8m", ConfigError::NoPath, "path"),
            (
                "path p sise 8m",
                ConfigError::Unknown("sise".into()),
                "sise",
            ),
            ("path", ConfigError::NoValue("path"), "path"),
            ("path p size", ConfigError::NoValue("size"), "size"),
            ("path p path q", ConfigError::Twice("path"), "path"),
            ("path p size 8m SIZE 8m", ConfigError::Twice("size"), "size"),
            ("path p size 8x", ConfigError::Size("8x".into()), "8x"),
            ("path p size 0", ConfigError::Size("0".into()), "'size'"),
            (
                "path p durability disk",
                ConfigError::Durability("disk".into()),
                "disk",
            ),
            ("path p rdb half", ConfigError::Rdb("half".into()), "half"),
            (
                "path p fill -1",
                ConfigError::Fill("-1".into()),
                "keys a second",
            ),
            (
                "path p orphans keep",
                ConfigError::Orphans("keep".into()),
                "keep",
            ),
            ("path p beside me", ConfigError::Beside("me".into()), "me"),
            ("path p copy no", ConfigError::Copied("no".into()), "'no'"),
        ] {
            assert_eq!(parse(line), Err(error.clone()), "{line}");
            assert!(error.to_string().contains(named), "{error}");
        }
        assert_eq!(
            Config::parse([b"path".as_slice(), b""]),
            Err(ConfigError::EmptyPath)
        );
    }
}
