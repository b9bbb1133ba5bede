//! The servers that are compared, each a process of its own.

use std::io;
use std::path::Path;
use tempfile::TempDir;
use testkit::client::Client;
use testkit::resp::Value;
use testkit::server::{Server, Setup};

/// What kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Config {
    /// `PM.*` commands on a pool on tmpfs that counts as persistent memory: flushes and fences.
    Pm,
    /// `PM.*` commands on a pool on a disk, with a journal: `durability disk`.
    PmDisk,
    /// Native commands, no persistence.
    Native,
    /// Native commands, `appendfsync always`.
    AofAlways,
    /// Native commands, `appendfsync everysec`.
    AofEverysec,
}

impl Config {
    /// Its name in the results.
    pub fn name(self) -> &'static str {
        match self {
            Config::Pm => "pmedis",
            Config::PmDisk => "pmedis-disk",
            Config::Native => "native",
            Config::AofAlways => "aof-always",
            Config::AofEverysec => "aof-everysec",
        }
    }
}

/// A running server and a connection to it.
pub struct Target {
    /// What it is.
    pub config: Config,
    server: Server,
    client: Client,
    /// Where its AOF, or its pool, is if on a disk; removed with the target.
    place: Option<TempDir>,
}

/// What a server has counted since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counters {
    /// Seconds of processor time of its main thread.
    pub cpu: f64,
    /// Those of them that are the server's own, not the kernel's.
    pub user: f64,
    /// Replies that were errors.
    pub errors: f64,
}

impl Target {
    /// Starts a server: a pool of size `pool` for pmedis, files in a new directory under `disk` for
    /// an AOF, and for a pool with a journal.
    ///
    /// # Errors
    /// If the directory cannot be made, or the server refuses to start.
    pub fn start(config: Config, pool: &str, disk: Option<&Path>) -> io::Result<Target> {
        Target::start_with(config, pool, disk, &[], &[])
    }

    /// [`Target::start`], with more arguments of the module, for pmedis, and lines of
    /// configuration.
    ///
    /// # Errors
    /// As for that.
    pub fn start_with(
        config: Config,
        pool: &str,
        disk: Option<&Path>,
        arguments: &[&str],
        directives: &[&str],
    ) -> io::Result<Target> {
        let place = match config {
            Config::AofAlways | Config::AofEverysec | Config::PmDisk => {
                let missing = || io::Error::other("this needs a directory on a disk");
                let mut builder = tempfile::Builder::new();
                let dir = builder.prefix("bench-");
                Some(dir.tempdir_in(disk.ok_or_else(missing)?)?)
            }
            Config::Pm | Config::Native => None,
        };
        let dir = place.as_ref().map_or(Path::new(""), TempDir::path);
        let aof = |policy| {
            Setup::native()
                .directive(&format!("dir \"{}\"", dir.display()))
                .directive("appendonly yes")
                .directive(&format!("appendfsync {policy}"))
                // A rewrite in the middle of a run would be measured too.
                .directive("auto-aof-rewrite-percentage 0")
        };
        let setup = match config {
            Config::Pm => Setup::pmedis_with(pool, arguments),
            Config::PmDisk => {
                let path = dir.join("pool").display().to_string();
                let own = ["path", &path, "size", pool, "durability", "disk"];
                let setup = Setup::native().keep_port();
                setup.module(&[&own, arguments].concat())
            }
            Config::Native => Setup::native(),
            Config::AofAlways => aof("always"),
            Config::AofEverysec => aof("everysec"),
        };
        let with = |setup: Setup, line: &&str| setup.directive(line);
        let setup = directives.iter().fold(setup, with);
        let mut target = Target::launch(config, &setup)?;
        target.place = place;
        Ok(target)
    }

    /// Starts a server as `setup` says.
    ///
    /// # Errors
    /// If it refuses to start.
    pub(crate) fn launch(config: Config, setup: &Setup) -> io::Result<Target> {
        let refused = |refusal| io::Error::other(format!("{refusal:?}"));
        let server = setup.start().map_err(refused)?;
        let client = server.client();
        Ok(Target {
            config,
            server,
            client,
            place: None,
        })
    }

    /// The server's process.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Connects to the server as it is now, after a restart.
    ///
    /// # Errors
    /// If it is not there.
    pub(crate) fn reconnect(&mut self) -> io::Result<()> {
        self.client = Client::connect(self.server.address())?;
        Ok(())
    }

    /// The directory on a disk where its AOF, or its pool, is; its own otherwise.
    pub fn files(&self) -> &Path {
        match &self.place {
            Some(place) => place.path(),
            None => self.server.setup().dir(),
        }
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.server.address().port()
    }

    /// A native command's words as this server has the command.
    pub fn command<S: AsRef<str>>(&self, words: &[S]) -> Vec<String> {
        let prefix = match self.config {
            Config::Pm | Config::PmDisk => "PM.",
            Config::Native | Config::AofAlways | Config::AofEverysec => "",
        };
        let words = words.iter().enumerate();
        let word = |(at, word): (usize, &S)| match at {
            0 => format!("{prefix}{}", word.as_ref()),
            _ => word.as_ref().to_owned(),
        };
        words.map(word).collect()
    }

    /// Calls a command as it stands, without a prefix.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn call(&mut self, words: &[&str]) -> io::Result<Value> {
        self.client.try_call(words)
    }

    /// Calls a native command's counterpart that replies with an integer.
    ///
    /// # Errors
    /// Those of the connection; another reply.
    pub fn integer(&mut self, words: &[&str]) -> io::Result<i64> {
        let words = self.command(words);
        match self.client.try_call(&words)? {
            Value::Integer(n) => Ok(n),
            other => Err(io::Error::other(format!("{words:?}: {other:?}"))),
        }
    }

    /// Calls counterparts of native commands, in one go.
    ///
    /// # Errors
    /// Those of the connection; an error in a reply.
    pub fn pipeline<S: AsRef<str>>(&mut self, commands: &[Vec<S>]) -> io::Result<()> {
        let commands: Vec<Vec<String>> = commands.iter().map(|words| self.command(words)).collect();
        for reply in self.client.pipeline(&commands)? {
            if let Value::Error(text) = reply {
                return Err(io::Error::other(text));
            }
        }
        Ok(())
    }

    /// A field of INFO.
    ///
    /// # Errors
    /// Those of the connection; no such field.
    pub fn info(&mut self, section: &str, field: &str) -> io::Result<f64> {
        let reply = self.client.try_call(&["INFO", section])?;
        let text = String::from_utf8_lossy(reply.bytes().unwrap_or_default()).into_owned();
        let mut values = text
            .lines()
            .filter_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let value = values.next().and_then(|value| value.trim().parse().ok());
        value.ok_or_else(|| io::Error::other(format!("INFO {section} has no {field}")))
    }

    /// What the server has counted.
    ///
    /// # Errors
    /// As for [`Target::info`].
    pub fn counters(&mut self) -> io::Result<Counters> {
        let user = self.info("cpu", "used_cpu_user_main_thread")?;
        let system = self.info("cpu", "used_cpu_sys_main_thread")?;
        Ok(Counters {
            cpu: user + system,
            user,
            errors: self.info("stats", "total_error_replies")?,
        })
    }
}
