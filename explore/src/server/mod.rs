//! A real `redis-server` with the module: random commands of all types, MULTI and scripts, sent
//! over connections, from the server's start-up on.
//!
//! The server runs with powercut's library preloaded, which records what happens to the pool and
//! when each reply leaves. After each command the driver looks at what is there: the keys in a copy
//! of the pool, and the server's own DEBUG DIGEST. A cut may lead to the state after the last
//! command whose reply has left, or to that after the one in flight, and to nothing between.
//!
//! Images are judged like those of [`keys`](crate::keys), by the store in a process of ours;
//! a share of them by a real server, whose start-up is recorded and cut in turn.

mod check;
mod commands;
mod connection;
mod driver;
mod program;
mod session;

pub use check::Check;
pub use commands::{Shape, Way};
pub use session::{Sent, Session};

use std::fs;
use std::path::Path;

use powercut::{Config, Recording, Report};

use crate::DIRECTORY;

/// Steps of a session that change something.
const CHANGES: usize = 24;
/// Of so many states one is given to a real server, and its start-up cut.
const STARTS_ONE_IN: u32 = 100;

/// Records the session of the seed and explores it. A seed sends the same commands again; what the
/// server does between them depends on the clock, so the trace of a session with violations is kept
/// with their images.
pub fn explore(config: &Config) -> Report {
    let config = Config {
        recoveries_one_in: STARTS_ONE_IN,
        ..config.clone()
    };
    let session = Session::record(config.seed, CHANGES, &[]);
    let report = explore_recording(&session, &session.recording, &config);
    if let (false, Some(directory)) = (report.violations.is_empty(), &config.keep) {
        let path = directory.join(format!("{}-server.trace", config.seed));
        fs::write(path, &session.recording.trace).expect("the directory is writable");
    }
    report
}

/// Explores what was recorded in a session, or a variant of it.
pub fn explore_recording(session: &Session, recording: &Recording, config: &Config) -> Report {
    let check = Check::new(session);
    powercut::explore(recording, &check, Path::new(DIRECTORY), config)
}
