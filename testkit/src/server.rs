//! Real `redis-server` processes, with the module or without it.
//!
//! A [`Setup`] says what to start: directives of a `redis.conf`, the environment, a private
//! directory on tmpfs. [`Setup::start`] gives a serving [`Server`], or the [`Refusal`] of one that
//! did not want to. A server never outlives its test: it is killed when the `Server` is dropped,
//! and by the kernel when the *thread* that started it ends, so start servers on the test's own
//! thread.

use crate::client::Client;
use crate::packaged::{Packaged, target_directory};
use crate::ports::{free_port, kept_port};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fmt};
use tempfile::TempDir;

/// How long a server may take to serve, or to exit, before the test fails.
const DEADLINE: Duration = Duration::from_secs(300);

/// The name under which the module logs: its lines carry `<pmedis>`.
pub(crate) const MODULE_NAME: &str = "pmedis";

/// The variable that makes PMDK count every file as persistent memory, flushes included.
pub const FORCE_PMEM: &str = "PMEM_IS_PMEM_FORCE";

/// What to start. Cheap to clone; clones share the directory, which is removed with the last one.
#[derive(Clone, Debug)]
pub struct Setup {
    packaged: Packaged,
    dir: Arc<TempDir>,
    directives: Vec<String>,
    env: Vec<(String, String)>,
    wrapper: Vec<String>,
    arguments: Vec<String>,
    keeps_port: bool,
}

impl Setup {
    /// A vanilla server without persistence, in a new directory on tmpfs.
    ///
    /// # Panics
    /// If the directory cannot be made.
    pub fn native() -> Self {
        let home = if Path::new("/dev/shm").is_dir() {
            "/dev/shm".into()
        } else {
            env::temp_dir()
        };
        let dir = tempfile::Builder::new()
            .prefix("pmedis-test-")
            .tempdir_in(home);
        let setup = Self {
            packaged: Packaged::current().clone(),
            dir: Arc::new(dir.expect("a directory for the server")),
            directives: Vec::new(),
            env: Vec::new(),
            wrapper: Vec::new(),
            arguments: Vec::new(),
            keeps_port: false,
        };
        setup
            .directive("save \"\"")
            .directive("enable-debug-command local")
    }

    /// A server with the module, on a pool of `size` (`64m`, `1g`) in its own directory, where
    /// every file counts as persistent memory.
    ///
    /// # Panics
    /// If the module has not been built.
    pub fn pmedis(size: &str) -> Self {
        Self::pmedis_with(size, &[])
    }

    /// The same, with more arguments for the module. `PMEDIS_DURABILITY=disk` runs tests that do
    /// not choose with that.
    ///
    /// # Panics
    /// If the module has not been built.
    pub fn pmedis_with(size: &str, arguments: &[&str]) -> Self {
        let setup = Self::native().force_pmem();
        let pool = setup.pool().to_string_lossy().into_owned();
        let durability = std::env::var("PMEDIS_DURABILITY");
        let chosen = match &durability {
            Ok(how) if !arguments.contains(&"durability") => &["durability", how.as_str()][..],
            _ => &[],
        };
        setup.module(&[&["path", &pool, "size", size], chosen, arguments].concat())
    }

    /// Starts another server than the test run's.
    pub fn on(mut self, packaged: &Packaged) -> Self {
        self.packaged = packaged.clone();
        self
    }

    /// Which server it starts.
    pub fn packaged(&self) -> &Packaged {
        &self.packaged
    }

    /// Makes every file count as persistent memory for PMDK.
    pub fn force_pmem(self) -> Self {
        self.env(FORCE_PMEM, "1")
    }

    /// Loads the module with exactly these arguments.
    ///
    /// # Panics
    /// If the module has not been built.
    pub fn module(self, arguments: &[&str]) -> Self {
        let module = module_path();
        assert!(
            module.is_file(),
            "{} is absent: build it with `cargo build --release`, or say in PMEDIS_MODULE where it is",
            module.display()
        );
        let mut line = format!("loadmodule {}", quoted(&module.to_string_lossy()));
        for argument in arguments {
            line.push(' ');
            line.push_str(&quoted(argument));
        }
        self.directive(&line)
    }

    /// Adds a line to the server's `redis.conf`.
    pub fn directive(mut self, line: &str) -> Self {
        self.directives.push(line.to_owned());
        self
    }

    /// Sets a variable in the server's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the server as the last argument of another program, `setpriv` for example, which
    /// must `exec` it.
    pub fn wrapped_in(mut self, program_and_arguments: &[&str]) -> Self {
        self.wrapper = program_and_arguments
            .iter()
            .map(|&word| word.to_owned())
            .collect();
        self
    }

    /// Adds an argument behind the name of the configuration file, `--sentinel` for example.
    pub fn argument(mut self, word: &str) -> Self {
        self.arguments.push(word.to_owned());
        self
    }

    /// Lets the server listen on the same port after each restart, for others to find it again:
    /// a [`kept_port`].
    pub fn keep_port(mut self) -> Self {
        self.keeps_port = true;
        self
    }

    /// The server's private directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where [`pmedis`](Self::pmedis) puts the pool.
    pub fn pool(&self) -> PathBuf {
        self.dir().join("pmedis.pool")
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Errors
    /// The server's [`Refusal`], if it exits instead.
    ///
    /// # Panics
    /// If it does neither before a deadline, or cannot be started at all.
    pub fn start(&self) -> Result<Server, Refusal> {
        let mut server = Server {
            setup: self.clone(),
            child: None,
            port: 0,
            configured: String::new(),
        };
        server.restart()?;
        Ok(server)
    }

    /// Starts a server that is expected to refuse, and returns how it did.
    ///
    /// # Panics
    /// If it serves.
    pub fn refusal(&self) -> Refusal {
        match self.start() {
            Err(refusal) => refusal,
            Ok(server) => panic!(
                "the server serves, but should have refused:\n{}",
                server.log()
            ),
        }
    }

    fn log_path(&self) -> PathBuf {
        self.dir().join("redis.log")
    }

    /// Starts the process, on the port it had if it keeps that, else on one that was free a moment
    /// ago.
    fn spawn(&self, last_port: u16) -> io::Result<(Child, u16)> {
        let port = match last_port {
            1.. if self.keeps_port => last_port,
            _ if self.keeps_port => kept_port()?,
            _ => free_port()?,
        };
        let config = self.dir().join("redis.conf");
        let dir = quoted(&self.dir().to_string_lossy());
        let mut text = format!("bind 127.0.0.1\nport {port}\ndir {dir}\n");
        for line in &self.directives {
            text.push_str(line);
            text.push('\n');
        }
        fs::write(&config, text)?;
        let log = File::create(self.log_path())?;
        let program = self.packaged.program("server");
        let mut words = self
            .wrapper
            .iter()
            .map(OsStr::new)
            .chain([program.as_os_str()]);
        let mut command = Command::new(words.next().expect("at least one word"));
        command
            .args(words)
            .arg(&config)
            .args(&self.arguments)
            .current_dir(self.dir());
        command
            .env_remove(FORCE_PMEM)
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        // SAFETY: between fork and exec the closure makes one prctl system call, which is
        // async-signal-safe, and touches no memory of the parent.
        unsafe {
            command.pre_exec(
                || match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                },
            );
        }
        Ok((command.spawn()?, port))
    }
}

/// Where the module is: `PMEDIS_MODULE`, or the release build in the target directory that this
/// very test was built in.
///
/// # Panics
/// If this is not a test in a target directory.
pub fn module_path() -> PathBuf {
    if let Some(path) = env::var_os("PMEDIS_MODULE") {
        return path.into();
    }
    target_directory().join("release/libpmedis.so")
}

/// A word as `redis.conf` wants it quoted.
fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A server that exited instead of serving.
pub struct Refusal {
    /// How the process ended.
    pub status: ExitStatus,
    /// All it wrote.
    pub log: String,
}

impl Refusal {
    /// The messages of the module's warnings: what a user finds in the log as the cause.
    pub fn warnings(&self) -> Vec<&str> {
        let marker = format!("<{MODULE_NAME}> ");
        let warning = |line: &'_ str| {
            line.split_once(&marker)
                .is_some_and(|(head, _)| head.ends_with("# "))
        };
        let lines = self.log.lines().filter(|line| warning(line));
        lines
            .filter_map(|line| Some(line.split_once(&marker)?.1))
            .collect()
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server refused ({}):\n{}", self.status, self.log)
    }
}

/// A running (or stopped, but restartable) server. Dropping it kills the process.
#[derive(Debug)]
pub struct Server {
    setup: Setup,
    child: Option<Child>,
    port: u16,
    configured: String,
}

impl Server {
    /// What the server was started from.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Where the server listens; another address after each restart, unless [`Setup::keep_port`].
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// A new connection.
    ///
    /// # Panics
    /// If the server is not there.
    pub fn client(&self) -> Client {
        Client::connect(self.address())
            .unwrap_or_else(|error| panic!("no connection: {error}\n{}", self.log()))
    }

    /// What the process has written since its last start.
    pub fn log(&self) -> String {
        let log = fs::read(self.setup.log_path()).expect("the server's log");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The process, while it runs.
    ///
    /// # Panics
    /// If the server is stopped.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running server").id()
    }

    /// Kills the process and its children at once (SIGKILL), and waits until it is gone.
    pub fn kill9(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        if let Some(status) = child.try_wait().expect("the server can be waited for") {
            return Some(status);
        }
        signal_group(&child, libc::SIGKILL);
        Some(child.wait().expect("the server can be waited for"))
    }

    /// Waits for `life`, and on a busy machine longer: until `work`, which counts what clients have
    /// been told, has come to `least`, or the server has ended.
    pub fn live(&mut self, life: Duration, work: &AtomicU64, least: u64) {
        thread::sleep(life);
        wait_until(|| {
            let is_over = work.load(Ordering::Relaxed) >= least || self.exited().is_some();
            is_over.then_some(())
        });
    }

    /// Keeps the server from running (SIGSTOP) while `meanwhile` runs: what comes in that time, it
    /// finds all at once.
    ///
    /// # Panics
    /// If it is not running.
    pub fn frozen<T>(&mut self, meanwhile: impl FnOnce() -> T) -> T {
        let stat = format!("/proc/{}/stat", self.pid());
        let child = self.child.as_ref().expect("a running server");
        signal_group(child, libc::SIGSTOP);
        let stopped = wait_until(|| {
            let stat = fs::read_to_string(&stat).expect("the process is there");
            let (_, state) = stat.rsplit_once(") ").expect("a state behind the name");
            state.starts_with('T').then_some(())
        });
        assert!(stopped.is_some(), "the server does not stop");
        let result = meanwhile();
        signal_group(child, libc::SIGCONT);
        result
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Panics
    /// If it does not before a deadline.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        wait_until(|| self.exited())
            .unwrap_or_else(|| panic!("the server goes on:\n{}", self.log()))
    }

    /// Asks the server to stop (SIGTERM) and waits until it has.
    ///
    /// # Panics
    /// If it is not running, or does not stop before a deadline.
    pub fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running server");
        signal_group(&child, libc::SIGTERM);
        match wait_until(|| child.try_wait().expect("the server can be waited for")) {
            Some(status) => status,
            None => {
                self.child = Some(child);
                panic!("the server does not stop:\n{}", self.log());
            }
        }
    }

    /// Stops the process where it is (SIGSTOP), until [`resume`](Self::resume); returns when it
    /// stands.
    ///
    /// # Panics
    /// If it is not running.
    pub fn pause(&self) {
        let child = self.child.as_ref().expect("a running server");
        signal_group(child, libc::SIGSTOP);
        // SAFETY: any bytes are a valid `siginfo_t`, and the call writes to nothing else. It leaves
        // the child to be waited for, whatever has become of it.
        let (failed, how) = unsafe {
            let mut info = std::mem::zeroed::<libc::siginfo_t>();
            let which = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT;
            let failed = libc::waitid(libc::P_PID, child.id(), &mut info, which);
            (failed, info.si_code)
        };
        assert_eq!(failed, 0, "waiting: {}", io::Error::last_os_error());
        assert_eq!(
            how,
            libc::CLD_STOPPED,
            "the server has died:\n{}",
            self.log()
        );
    }

    /// Has a stopped process go on (SIGCONT).
    ///
    /// # Panics
    /// If it is not running.
    pub fn resume(&self) {
        let child = self.child.as_ref().expect("a running server");
        signal_group(child, libc::SIGCONT);
    }

    /// Whether the process has ended by itself, and how.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child
            .as_mut()?
            .try_wait()
            .expect("the server can be waited for")
    }

    /// Adds a line to the configuration from the next start on, in place of the one that this
    /// method has added before.
    pub fn configure(&mut self, line: &str) {
        self.configured = line.to_owned();
    }

    /// Starts the same server again, in the same directory; kills it first if it still runs.
    ///
    /// # Errors
    /// The server's [`Refusal`], if it exits instead of serving.
    ///
    /// # Panics
    /// If it does neither before a deadline, or cannot be started at all.
    pub fn restart(&mut self) -> Result<(), Refusal> {
        let is_first = self.port == 0;
        loop {
            self.spawn();
            let served = wait_until(|| match self.exited() {
                Some(status) => Some(Err(status)),
                None => answers(self.address(), self.pid()).then_some(Ok(())),
            });
            match served {
                Some(Ok(())) => return Ok(()),
                Some(Err(status)) => {
                    self.child = None;
                    let log = self.log();
                    if !log.contains("Address already in use") {
                        return Err(Refusal { status, log });
                    }
                    if is_first {
                        // Nobody knows that port: it is not kept.
                        self.port = 0;
                    }
                }
                None => panic!("the server neither serves nor exits:\n{}", self.log()),
            }
        }
    }

    /// Starts the server again and kills it after `delay`, wherever its start-up has got to.
    pub fn restart_and_kill9(&mut self, delay: Duration) {
        self.spawn();
        thread::sleep(delay);
        self.kill9();
    }

    fn spawn(&mut self) {
        self.kill9();
        let setup = self.setup.clone().directive(&self.configured);
        let (child, port) = setup.spawn(self.port).expect("redis-server can be started");
        self.child = Some(child);
        self.port = port;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// Sends `signal` to the server and to the children it has forked.
fn signal_group(child: &Child, signal: i32) {
    let group = i32::try_from(child.id()).expect("a process id fits pid_t");
    // SAFETY: kill takes no pointers. The group is the one that `spawn` made for this child, who
    // has not been waited for, so its id cannot have been given to another process.
    let sent = unsafe { libc::kill(-group, signal) };
    assert_eq!(
        sent,
        0,
        "signalling the server: {}",
        io::Error::last_os_error()
    );
}

/// Whether the process `pid` is the one that listens at `address`, and answers PING with PONG
/// rather than with an error while it still loads.
fn answers(address: SocketAddr, pid: u32) -> bool {
    let asked = Client::connect(address).and_then(|mut client| {
        let pong = client.try_call(&["PING"])?;
        let info = client.try_call(&["INFO", "server"])?;
        let info = String::from_utf8_lossy(info.bytes().unwrap_or_default()).into_owned();
        Ok(pong.bytes() == Some(b"PONG") && info.contains(&format!("process_id:{pid}\r\n")))
    });
    asked.unwrap_or_else(|error| {
        use ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, UnexpectedEof,
        };
        let is_down = matches!(
            error.kind(),
            BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset | UnexpectedEof
        );
        assert!(is_down, "PING: {error}");
        false
    })
}

/// Asks `probe` again and again, less and less often, until it has an answer or the deadline is
/// over.
fn wait_until<T>(mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(500);
    while start.elapsed() < DEADLINE {
        if let Some(answer) = probe() {
            return Some(answer);
        }
        thread::sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_millis(50));
    }
    None
}
