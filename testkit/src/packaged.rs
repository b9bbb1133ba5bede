//! Which server a test runs: the system's, or one of those that `ci/servers` unpacks beside it.
//!
//! `PMEDIS_SERVER=valkey-9.1` has a whole test run use that one, its own tools included;
//! [`Setup::on`] has a single test use another, for servers of mixed versions. What servers differ
//! in is asked for by version.
//!
//! [`Setup::on`]: crate::server::Setup::on

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fmt, fs};

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Redis.
    Redis,
    /// Valkey, whose first version, 7.2, is Redis 7.2.
    Valkey,
}

/// A server's programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packaged {
    /// Where they are; `None` for the system's, which are found in PATH.
    programs: Option<PathBuf>,
    /// Whose it is.
    pub family: Family,
    /// Major, minor and patch level of its version.
    pub version: [u32; 3],
}

impl Packaged {
    /// The server that `PMEDIS_SERVER` names, else the system's.
    ///
    /// # Panics
    /// If there is no such server.
    pub fn current() -> &'static Packaged {
        static CURRENT: OnceLock<Packaged> = OnceLock::new();
        CURRENT.get_or_init(|| match env::var("PMEDIS_SERVER") {
            Ok(name) if !name.is_empty() => Self::named(&name),
            _ => Self::system(),
        })
    }

    /// The system's server.
    ///
    /// # Panics
    /// If there is none.
    pub fn system() -> Packaged {
        Self::asked(None)
    }

    /// The newest of the unpacked servers whose name begins so: `valkey-9.1`, `redis-8.0.6`.
    /// `system` is the system's.
    ///
    /// # Panics
    /// If there is no such server.
    pub fn named(name: &str) -> Packaged {
        if name == "system" {
            return Self::system();
        }
        let found = Self::unpacked().filter(|path| {
            let own = path.file_name().unwrap_or_default().to_string_lossy();
            own.starts_with(name)
        });
        let found = found.map(|path| Self::asked(Some(path.join("bin"))));
        found
            .max_by(|a, b| a.version.cmp(&b.version))
            .unwrap_or_else(|| {
                panic!(
                    "no {name} in {}: unpack it with `ci/servers {name}`",
                    cache().display()
                )
            })
    }

    /// The system's server and all that are unpacked.
    ///
    /// # Panics
    /// If one of them does not run.
    pub fn all() -> Vec<Packaged> {
        let mut all: Vec<_> = Self::unpacked()
            .map(|path| Self::asked(Some(path.join("bin"))))
            .collect();
        all.push(Self::system());
        all.sort_by_key(|server| (server.family == Family::Valkey, server.version));
        all
    }

    /// The directories of the unpacked servers; none if there is no cache.
    fn unpacked() -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(cache()).into_iter().flatten();
        let paths = entries.map(|entry| entry.expect("a readable cache of servers").path());
        paths.filter(|path| path.join("version").is_file())
    }

    /// Asks the programs in a directory what they are.
    fn asked(programs: Option<PathBuf>) -> Packaged {
        let program = in_directory(programs.as_deref(), "server");
        let output = Command::new(&program).arg("--version").output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let parsed = parse(&text);
        let (family, version) =
            parsed.unwrap_or_else(|| panic!("{} says {text:?}", program.display()));
        Packaged {
            programs,
            family,
            version,
        }
    }

    /// The path of one of its programs: `server`, `cli`, `benchmark`, `check-rdb`, `check-aof`,
    /// `sentinel`.
    pub fn program(&self, which: &str) -> PathBuf {
        in_directory(self.programs.as_deref(), which)
    }

    /// Whether it is of this family and not older than `major.minor`.
    pub fn is_at_least(&self, family: Family, major: u32, minor: u32) -> bool {
        self.family == family && self.version.cmp(&[major, minor, 0]) != Ordering::Less
    }

    /// Whether it is not older than the Redis, or else than the Valkey, of these versions. `None`:
    /// no version of that family has what is asked for.
    pub fn has(&self, redis: Option<(u32, u32)>, valkey: Option<(u32, u32)>) -> bool {
        let since = match self.family {
            Family::Redis => redis,
            Family::Valkey => valkey,
        };
        since.is_some_and(|(major, minor)| self.is_at_least(self.family, major, minor))
    }

    /// Whether it is Redis 7.0, the server whose behaviour all others are compared with.
    pub fn is_redis_7_0(&self) -> bool {
        self.family == Family::Redis && self.version[..2] == [7, 0]
    }
}

impl fmt::Display for Packaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            Family::Redis => "redis",
            Family::Valkey => "valkey",
        };
        let [major, minor, patch] = self.version;
        write!(f, "{family}-{major}.{minor}.{patch}")
    }
}

/// Where servers are unpacked: `PMEDIS_SERVERS`, or `servers` in the target directory that this
/// very test was built in.
fn cache() -> PathBuf {
    if let Some(path) = env::var_os("PMEDIS_SERVERS") {
        return path.into();
    }
    target_directory().join("servers")
}

fn in_directory(programs: Option<&Path>, which: &str) -> PathBuf {
    let name = format!("redis-{which}");
    match programs {
        Some(directory) => directory.join(name),
        None => name.into(),
    }
}

/// The family and version in what a server says of itself.
fn parse(text: &str) -> Option<(Family, [u32; 3])> {
    let family = match text.split(' ').next()? {
        "Redis" => Family::Redis,
        "Valkey" => Family::Valkey,
        _ => return None,
    };
    let version = text.split(' ').find_map(|word| word.strip_prefix("v="))?;
    let mut numbers = version.split('.').map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some((family, [next()?, next()?, next()?]))
}

/// The target directory that this very test was built in.
pub(crate) fn target_directory() -> PathBuf {
    let test = env::current_exe().expect("the path of the running test");
    // The test is <target>/<profile>/deps/<test>.
    let target = test.ancestors().nth(3);
    target
        .expect("a test runs from the target directory")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_of_themselves_is_understood() {
        let redis = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=0\n";
        assert_eq!(parse(redis), Some((Family::Redis, [7, 0, 15])));
        let valkey = "Valkey server v=9.1.2 sha=00000000:0 malloc=jemalloc-5.3.1 bits=64 build=0\n";
        assert_eq!(parse(valkey), Some((Family::Valkey, [9, 1, 2])));
        assert_eq!(parse("sh: not found"), None);
    }

    #[test]
    fn versions_are_asked_for_by_family() {
        let valkey = Packaged {
            programs: None,
            family: Family::Valkey,
            version: [8, 1, 1],
        };
        assert!(valkey.has(None, Some((8, 1))));
        assert!(valkey.has(Some((7, 2)), Some((8, 0))));
        assert!(!valkey.has(Some((7, 2)), None));
        assert!(!valkey.has(None, Some((9, 0))));
        assert!(!valkey.is_redis_7_0());
        assert_eq!(valkey.to_string(), "valkey-8.1.1");
    }
}
