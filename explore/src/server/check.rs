//! What must be there after a cut, by the store and by a real server.

use std::io;
use std::path::Path;

use powercut::program::ProgramRecorder;
use powercut::{Progress, Recovery};

use super::commands::DB;
use super::connection::Connection;
use super::program;
use super::session::{Session, digest};
use crate::keys;

/// The way back, without a server or with one.
pub struct Check {
    keys: keys::Check,
    digests: Vec<String>,
    steps: Vec<String>,
}

impl Check {
    /// The check for a session.
    pub fn new(session: &Session) -> Check {
        Check {
            keys: keys::Check::new(session.states.clone()),
            digests: session.digests.clone(),
            steps: session.steps.clone(),
        }
    }

    /// What a server that was started said of its keys.
    fn check_digest(&self, found: &str, progress: Progress) -> Result<(), String> {
        let allowed =
            &self.digests[progress.acknowledged..=progress.begun.max(progress.acknowledged)];
        if allowed.iter().any(|digest| digest == found) {
            Ok(())
        } else {
            Err(format!("the server has {found}, not one of {allowed:?}"))
        }
    }

    fn with_step(&self, progress: Progress, verdict: Result<(), String>) -> Result<(), String> {
        let about = |nth: Option<usize>| nth.and_then(|nth| self.steps.get(nth));
        verdict.map_err(|message| {
            format!(
                "{message}\n  last step acknowledged: {:?}\n  in flight or next: {:?}",
                about(progress.acknowledged.checked_sub(1)),
                about(Some(progress.acknowledged)),
            )
        })
    }
}

/// What came back.
pub struct Back {
    keyspace: <keys::Check as Recovery>::Pool,
    /// The DEBUG DIGEST of a server that was there in between.
    digest: Option<String>,
}

impl Recovery for Check {
    type Pool = Back;

    fn recover(&self, image: &Path) -> Result<Back, String> {
        Ok(Back {
            keyspace: self.keys.recover(image)?,
            digest: None,
        })
    }

    fn recover_recorded(&self, image: &Path, trace: &Path) -> Result<Back, String> {
        let text = |error: io::Error| error.to_string();
        let recorder = ProgramRecorder::new(image, trace).map_err(text)?;
        let mut server =
            program::start_recorded(&recorder, &[]).map_err(|refusal| format!("{refusal:?}"))?;
        let asked = Connection::new(server.address(), DB).and_then(|mut it| digest(&mut it));
        let log = server.log();
        server.kill9();
        Ok(Back {
            digest: Some(asked.map_err(|error| format!("{error}\n{log}"))?),
            ..self.recover(image)?
        })
    }

    fn check(&self, back: Back, image: &Path, progress: Progress) -> Result<(), String> {
        let Back { keyspace, digest } = back;
        let verdict = digest
            .map_or(Ok(()), |digest| self.check_digest(&digest, progress))
            .and_then(|()| self.keys.check(keyspace, image, progress));
        self.with_step(progress, verdict)
    }
}
