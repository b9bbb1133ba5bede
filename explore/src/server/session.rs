//! A server's life: what was sent to it, what it then had, and when it said so.

use std::fs;
use std::io;
use std::path::Path;

use powercut::Recording;
use powercut::program::ProgramRecorder;
use testkit::resp::Value;
use testkit::server::Server;

use super::commands::{Command, DB, Shape, Source, Way, in_shape};
use super::connection::{Connection, command};
use super::driver::Driver;
use super::program;
use crate::states::{Description, States};
use crate::{DIRECTORY, keys};

/// Commands that a server gets before the one that is recorded.
const COMMANDS_BEFORE: usize = 24;
/// Steps of a session at most.
const STEPS_MAX: usize = 120;
/// One session of so many begins with a pool in which there is nothing yet.
const FRESH_ONE_IN: u64 = 8;
/// Connections of a session.
const CONNECTIONS: usize = 2;

/// A step: how it reaches the server, and commands that are acknowledged as one.
pub type Sent = (Way, Shape, Vec<Command>);

/// Gives the next step, if there is one more; the connection is one of an observer.
type Next<'a> = &'a mut dyn FnMut(&mut Connection) -> Option<Sent>;

/// A recorded session.
pub struct Session {
    /// What happened to the pool.
    pub recording: Recording,
    /// What was there at the beginning and after each step: the keys in the pool.
    pub states: States,
    /// The same as the server sees it: DEBUG DIGEST.
    pub digests: Vec<String>,
    /// What each step was.
    pub steps: Vec<String>,
}

impl Session {
    /// Records the session of a seed, on a server with these lines of configuration; it ends when
    /// so many steps have changed something.
    ///
    /// # Panics
    /// If the server does not do what servers do.
    pub fn record(seed: u64, changes: usize, lines: &[&str]) -> Session {
        let directory = tempfile::tempdir_in(DIRECTORY).expect("tmpfs is mounted");
        let pool = directory.path().join("recorded.pool");
        let mut source = Source::new(seed);
        if seed.is_multiple_of(FRESH_ONE_IN) {
            crate::create_empty_pool(&pool);
        } else {
            crate::create_pool(&pool);
            fill(&pool, &mut source).expect("the server answers");
        }
        Session::record_on(&pool, changes, lines, &mut |observer| {
            let (shape, commands) = source.next(|key| dump(observer, key));
            Some((source.way(), shape, commands))
        })
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"))
    }

    /// Records a session of these steps on a pool in which there is nothing yet, on a server with
    /// these lines of configuration.
    ///
    /// # Panics
    /// If the server does not do what servers do, or there are more steps than a session may have.
    pub fn record_steps(steps: &[Sent], lines: &[&str]) -> Session {
        assert!(steps.len() <= STEPS_MAX, "{} steps", steps.len());
        let directory = tempfile::tempdir_in(DIRECTORY).expect("tmpfs is mounted");
        let pool = directory.path().join("recorded.pool");
        crate::create_empty_pool(&pool);
        let mut steps = steps.iter().cloned();
        Session::record_on(&pool, usize::MAX, lines, &mut |_| steps.next())
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Records a session on a pool: `next` gives each step, and may ask the observer.
    fn record_on(
        pool: &Path,
        changes: usize,
        lines: &[&str],
        next: Next<'_>,
    ) -> io::Result<Session> {
        let mut session = Session {
            recording: Recording {
                base: vec![],
                parts: None,
                trace: vec![],
                steps: vec![],
            },
            states: States::default(),
            digests: vec![],
            steps: vec![],
        };
        session.states.push(snapshot(pool));

        let trace = pool.with_extension("trace");
        let mut recorder = ProgramRecorder::new(pool, &trace).expect("there is room");
        let mut server = program::start_recorded(&recorder, lines)
            .unwrap_or_else(|refusal| panic!("{refusal:?}"));
        session
            .drive(&server, changes, &mut recorder, next)
            .map_err(|error| io::Error::other(format!("{error}\n{}", server.log())))?;
        server.kill9();
        session.recording = recorder.finish().expect("the trace was written");
        Ok(session)
    }

    fn drive(
        &mut self,
        server: &Server,
        changes: usize,
        recorder: &mut ProgramRecorder,
        next: Next<'_>,
    ) -> io::Result<()> {
        let mut observer = Connection::new(server.address(), DB)?;
        let mut connections = (0..CONNECTIONS)
            .map(|_| Connection::new(server.address(), DB))
            .collect::<io::Result<Vec<_>>>()?;
        for connection in &mut connections {
            freeze_expiry(connection)?;
        }
        self.digests.push(digest(&mut observer)?);
        let mut changed = 0;
        for step in 0..STEPS_MAX {
            let Some((way, shape, commands)) = next(&mut observer) else {
                break;
            };
            let mut driver = Driver {
                server,
                recorder,
                connection: &mut connections[step % CONNECTIONS],
                observer: &mut observer,
            };
            driver.tell(way, &in_shape(shape, &commands))?;
            self.steps.push(text(way, shape, &commands));
            let state = snapshot_of_running(server, recorder.pool());
            changed += usize::from(self.states.last() != Some(&state));
            self.states.push(state);
            self.digests.push(digest(&mut observer)?);
            if changed == changes {
                break;
            }
        }
        Ok(())
    }
}

/// Fills a new pool, with a server that is killed then.
fn fill(pool: &Path, source: &mut Source) -> io::Result<()> {
    let mut server = program::start(pool).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let mut connection = Connection::new(server.address(), DB)?;
    let mut observer = Connection::new(server.address(), DB)?;
    freeze_expiry(&mut connection)?;
    for _ in 0..COMMANDS_BEFORE {
        let words = source.command(&mut |key: &[u8]| dump(&mut observer, key));
        connection.call(&words)?;
    }
    server.kill9();
    Ok(())
}

/// Keys expire when they are accessed, that is in a step.
fn freeze_expiry(connection: &mut Connection) -> io::Result<()> {
    connection
        .call(&command(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]))
        .map(drop)
}

fn dump(connection: &mut Connection, key: &[u8]) -> Vec<u8> {
    let words: Command = vec![b"DUMP".to_vec(), key.to_vec()];
    match connection.call(&words).expect("the server answers") {
        Value::Bulk(bytes) => bytes,
        _ => vec![],
    }
}

/// What the server says its keys are, as a number.
pub(super) fn digest(connection: &mut Connection) -> io::Result<String> {
    match connection.call(&command(&["DEBUG", "DIGEST"]))? {
        Value::Simple(text) => Ok(text),
        other => Err(io::Error::other(format!("DEBUG DIGEST: {other:?}"))),
    }
}

/// The keys in a pool that a server uses; the server is stopped meanwhile.
fn snapshot_of_running(server: &Server, pool: &Path) -> Description {
    server.pause();
    let description = snapshot(pool);
    server.resume();
    description
}

/// The keys in a pool, which is left as it is.
fn snapshot(pool: &Path) -> Description {
    let copy = pool.with_extension("copy");
    fs::copy(pool, &copy).expect("there is room");
    let description = keys::describe(&copy).expect("the pool is sound");
    fs::remove_file(&copy).expect("it is there");
    description
}

/// A step in short.
fn text(way: Way, shape: Shape, commands: &[Command]) -> String {
    const WORDS_MAX: usize = 8;
    const BYTES_MAX: usize = 40;
    let word = |bytes: &Vec<u8>| {
        let shown = &bytes[..bytes.len().min(BYTES_MAX)];
        shown.escape_ascii().to_string()
    };
    let line = |words: &Command| {
        let shown = words.iter().take(WORDS_MAX).map(word);
        let more = words.len().saturating_sub(WORDS_MAX);
        let shown = shown.collect::<Vec<_>>().join(" ");
        match more {
            0 => shown,
            _ => format!("{shown} and {more} more"),
        }
    };
    let lines: Vec<_> = commands.iter().map(line).collect();
    format!("{way:?} {shape:?}: {}", lines.join("; "))
}
