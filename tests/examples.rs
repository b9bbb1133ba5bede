//! The programs in `examples/`, which know nothing of the module: each runs beside a server whose
//! plain names mean PM keys, the server is killed (SIGKILL) in the midst of it and started again,
//! and the program finds all that it was told is there.
//!
//! What they need is fetched from the package registries, pinned, into the target directory, once.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{env, fs, thread};
use testkit::script::ask;
use testkit::server::{Server, Setup};

/// How long a program may be silent before the test fails.
const DEADLINE: Duration = Duration::from_secs(300);

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name)
}

/// A directory of the build's own.
fn built(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("examples")
        .join(name)
}

/// Runs a program that fetches or builds something; it must end well.
#[track_caller]
fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; see ci/install"));
    assert!(
        output.status.success(),
        "{command:?} fails. The examples need the package registries, once.\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Has `install` fill a directory, unless it has done so before for the same list of packages: for
/// one test at a time, as several need the same.
fn installed(name: &str, list: &str, install: impl FnOnce(&Path)) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (home, list) = (
        built(name),
        fs::read(example(list)).expect("a list of packages"),
    );
    let stamp = home.join("installed");
    if fs::read(&stamp).ok().as_deref() != Some(&list) {
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home).expect("a directory");
        install(&home);
        fs::write(&stamp, &list).expect("a stamp");
    }
    home
}

/// A Python that has what the examples need.
fn python() -> PathBuf {
    let home = installed("python", "requirements.txt", |home| {
        run(Command::new("python3").args(["-m", "venv"]).arg(home));
        let list = example("requirements.txt");
        run(Command::new(home.join("bin/python"))
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--requirement",
            ])
            .arg(list));
    });
    home.join("bin/python")
}

/// A copy of an example in JavaScript, beside what it needs.
fn javascript(name: &str) -> Command {
    let home = installed("node", "package.json", |home| {
        fs::copy(example("package.json"), home.join("package.json")).expect("a copy");
        run(Command::new("npm")
            .args([
                "install",
                "--no-package-lock",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
            ])
            .current_dir(home));
    });
    fs::copy(example(name), home.join(name)).expect("a copy");
    let mut command = Command::new("node");
    command.arg(home.join(name));
    command
}

/// A server whose plain names mean PM keys, on one port for good.
fn start(directives: &[&str]) -> Server {
    let setup = Setup::pmedis_with("64m", &["unprefixed", "yes"]).keep_port();
    let setup = directives
        .iter()
        .fold(setup, |setup, line| setup.directive(line));
    setup
        .start()
        .unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

/// Runs a program beside a server, which is killed and started again whenever the program prints
/// one of so many lines from the beginning of `marks`. Gives its last line. The program must end
/// well.
#[track_caller]
fn survives(
    mut command: Command,
    server: &mut Server,
    mut marks: impl FnMut(&str) -> bool,
    kills: usize,
) -> String {
    let url = format!("redis://{}", server.address());
    let child = command
        .env("REDIS_URL", url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = child
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; see ci/install"));
    let output = child.stdout.take().expect("a pipe");
    let mut errors = child.stderr.take().expect("a pipe");
    let complaints = thread::spawn(move || {
        let mut text = String::new();
        errors.read_to_string(&mut text).map(|_| text)
    });
    let (sender, lines) = channel();
    let reader = thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let (mut last, mut killed) = (String::new(), 0);
    let silent = loop {
        match lines.recv_timeout(DEADLINE) {
            Ok(line) => {
                if killed < kills && marks(&line) {
                    server.kill9();
                    server
                        .restart()
                        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
                    killed += 1;
                }
                last = line;
            }
            Err(RecvTimeoutError::Disconnected) => break false,
            Err(RecvTimeoutError::Timeout) => break true,
        }
    };
    if silent {
        child.kill().expect("the program can be killed");
    }
    let status = child.wait().expect("the program ends");
    reader.join().expect("its lines are read");
    let complaints = complaints
        .join()
        .expect("its errors are read")
        .expect("text");
    assert!(
        !silent,
        "silent after {last:?}\n{complaints}\n{}",
        server.log()
    );
    assert!(status.success(), "{status} after {last:?}\n{complaints}");
    assert_eq!(killed, kills, "the server was to be killed so often");
    last
}

/// The n-th line that begins so, for each n that is a multiple.
fn every(nth: usize, beginning: &str) -> impl FnMut(&str) -> bool {
    let mut seen: usize = 0;
    move |line: &str| {
        seen += usize::from(line.starts_with(beginning));
        line.starts_with(beginning) && seen.is_multiple_of(nth)
    }
}

/// The server is killed twenty times, or as often as `PMEDIS_KILLS` says.
#[test]
fn a_queue_loses_no_job() {
    let kills: usize =
        env::var("PMEDIS_KILLS").map_or(20, |kills| kills.parse().expect("a number"));
    let jobs = 20 * (kills + 2);
    let mut server = start(&[]);
    let mut command = javascript("queue.js");
    command.env("JOBS", jobs.to_string());
    let last = survives(command, &mut server, every(20, "done"), kills);
    assert!(
        last.starts_with(&format!("all {jobs} accepted jobs are done")),
        "{last}"
    );
    assert_eq!(ask(&mut server.client(), "PM.TYPE bull:mail:meta"), "hash");
}

#[test]
fn sessions_stay() {
    let mut server = start(&[]);
    let last = survives(javascript("sessions.js"), &mut server, every(80, "in"), 2);
    assert!(last.starts_with("all 200 sessions"), "{last}");
    assert_eq!(ask(&mut server.client(), "PM.DBSIZE"), "200");
}

#[test]
fn a_cache_gives_way_and_survives() {
    let mut server = start(&["maxmemory-policy allkeys-lru"]);
    let mut command = Command::new(python());
    command.arg(example("cache.py")).env("PAGES", "14000");
    let last = survives(command, &mut server, every(120, "shown"), 1);
    assert!(last.starts_with("the cache holds"), "{last}");
    let mut client = server.client();
    assert_eq!(ask(&mut client, "PM.DBSIZE"), ask(&mut client, "DBSIZE"));
}

#[test]
fn a_leaderboard_is_exact() {
    let manifest = example("leaderboard/Cargo.toml");
    run(Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(built("leaderboard")));
    let mut server = start(&[]);
    let command = Command::new(built("leaderboard/debug/leaderboard"));
    let last = survives(command, &mut server, every(4, "played"), 2);
    assert_eq!(last, "all 50 scores are as they were accepted");
    assert_eq!(ask(&mut server.client(), "PM.ZCARD board"), "50");
}

#[test]
fn a_rate_limit_holds() {
    let mut server = start(&[]);
    let mut command = Command::new("sh");
    command.arg(example("limiter.sh"));
    let last = survives(command, &mut server, every(20, "request"), 2);
    assert_eq!(last, "40 of 60 requests were let through");
    assert_eq!(ask(&mut server.client(), "PM.SCARD limit:anna"), "40");
}
