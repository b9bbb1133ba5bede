//! A server's life: what was sent to it, what it then had, and when it said so.

use std::fs;
use std::io;
use std::path::Path;

use pmedis_testkit::resp::Value;
use pmedis_testkit::server::Server;
use powercut::Recording;
use powercut::program::ProgramRecorder;

use super::commands::{Command, DB, Shape, Source, in_shape};
use super::connection::{Connection, command};
use super::program;
use crate::states::{Description, States};
use crate::{DIRECTORY, keys};

/// Commands that a server gets before the one that is recorded.
const COMMANDS_BEFORE: usize = 24;
/// Steps of a session at most.
const STEPS_MAX: usize = 120;
/// Connections of a session.
const CONNECTIONS: usize = 2;
/// Bytes of a reply that keeps a connection busy: a few of them are sent in one turn of the event loop.
const ECHO_BYTES: usize = 16 << 10;

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
    /// Records the session of a seed; it ends when so many steps have changed something.
    ///
    /// # Panics
    /// If the server does not do what servers do.
    pub fn record(seed: u64, changes: usize) -> Session {
        let directory = tempfile::tempdir_in(DIRECTORY).expect("tmpfs is mounted");
        let pool = directory.path().join("recorded.pool");
        crate::create_pool(&pool);
        let mut source = Source::new(seed);
        fill(&pool, &mut source).expect("the server answers");
        let mut session = Session {
            recording: Recording {
                base: vec![],
                trace: vec![],
                steps: vec![],
            },
            states: States::default(),
            digests: vec![],
            steps: vec![],
        };
        session.states.push(snapshot(&pool));

        let trace = directory.path().join("recorded.trace");
        let mut recorder = ProgramRecorder::new(&pool, &trace).expect("there is room");
        let mut server = program::start_recorded(&pool, &recorder)
            .unwrap_or_else(|refusal| panic!("{refusal:?}"));
        session
            .drive(&server, changes, &mut recorder, &mut source)
            .unwrap_or_else(|error| panic!("seed {seed}: {error}\n{}", server.log()));
        server.kill9();
        session.recording = recorder.finish().expect("the trace was written");
        session
    }

    fn drive(
        &mut self,
        server: &Server,
        changes: usize,
        recorder: &mut ProgramRecorder,
        source: &mut Source,
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
            let (shape, commands) = source.next(|key| dump(&mut observer, key));
            let connection = &mut connections[step % CONNECTIONS];
            let sent = in_shape(shape, &commands);
            match source.stalls() {
                true => tell_stalled(server, recorder, connection, &mut observer, &sent)?,
                false => recorder.conversation(|| {
                    connection.send(&sent)?;
                    connection.receive_last(sent.len())
                })?,
            }
            self.steps.push(text(shape, &commands));
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

/// Sends commands to a server that has something left to send on this connection. It gets them in the
/// same turn of its event loop in which it can go on sending.
fn tell_stalled(
    server: &Server,
    recorder: &mut ProgramRecorder,
    connection: &mut Connection,
    observer: &mut Connection,
    sent: &[Command],
) -> io::Result<()> {
    let echo = command(&["ECHO", &"x".repeat(ECHO_BYTES)]);
    let reply_bytes = (ECHO_BYTES + format!("${ECHO_BYTES}\r\n\r\n").len()) as u64;
    let mut owed = 0;
    let arrived = loop {
        // The first answer may be of the turn of the event loop that ends with sending.
        while !(has_unsent(observer, connection.port())?
            && has_unsent(observer, connection.port())?)
        {
            connection.send(std::slice::from_ref(&echo))?;
            owed += 1;
        }
        server.pause();
        let on_the_way = recorder.sent_to(connection.port())? - connection.told_next().before;
        if on_the_way < owed * reply_bytes {
            break on_the_way / reply_bytes;
        }
        // It has found room for it after all.
        server.resume();
    };
    for _ in 0..arrived {
        connection.receive()?;
    }
    recorder.conversation(|| {
        connection.send(sent)?;
        server.resume();
        connection.receive_last((owed - arrived) as usize + sent.len())
    })
}

/// Whether the server has something that the peer at this port does not take.
fn has_unsent(observer: &mut Connection, port: u16) -> io::Result<bool> {
    let clients = observer.call(&command(&["CLIENT", "LIST"]))?;
    let clients = String::from_utf8_lossy(clients.bytes().unwrap_or_default()).into_owned();
    let address = format!(":{port} ");
    let line = clients.lines().find(|line| line.contains(&address));
    let line = line.ok_or_else(|| io::Error::other("the server does not know us"))?;
    Ok(!(line.contains(" obl=0 ") && line.contains(" oll=0 ")))
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
pub fn digest(connection: &mut Connection) -> io::Result<String> {
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
fn text(shape: Shape, commands: &[Command]) -> String {
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
    format!("{shape:?}: {}", lines.join("; "))
}
