//! A process that opens images and judges them, one after the other.
//!
//! It is forked, so everything is loaded; it lives on from image to image, so opening one is all it
//! costs. If it dies or hangs, that is the verdict, and the next image gets a new one.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use crate::Progress;
use crate::interpose;
use crate::process::{self, Child};
use crate::recorder::Recorder;

/// How long a recovery with its checks may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(180);

/// Images after which a worker is replaced, so that what it leaks stays small.
const IMAGES_PER_WORKER: u32 = 2000;

/// How a pool comes back after a cut, and what must be true then.
pub trait Recovery {
    /// An open pool.
    type Pool;

    /// Opens the image on the normal path. Recorded, to be cut in turn: do nothing else here.
    fn recover(&self, image: &Path) -> Result<Self::Pool, String>;

    /// The same on an image whose recovery will be cut in turn: its trace is left in the file
    /// `trace`.
    fn recover_recorded(&self, image: &Path, trace: &Path) -> Result<Self::Pool, String> {
        let recorder = Recorder::new(image, trace).expect("the image can be recorded");
        interpose::observe(Some(Box::new(recorder)));
        let recovered = self.recover(image);
        drop(interpose::observe(None));
        recovered
    }

    /// Judges what came back, given how far the workload had come. Anything may be done to the
    /// image.
    fn check(&self, pool: Self::Pool, image: &Path, progress: Progress) -> Result<(), String>;
}

/// What is asked of the worker.
struct Request {
    progress: Progress,
    is_recorded: bool,
}

const REQUEST_BYTES: usize = 17;

impl Request {
    fn encode(&self) -> [u8; REQUEST_BYTES] {
        let mut bytes = [0; REQUEST_BYTES];
        bytes[..8].copy_from_slice(&(self.progress.acknowledged as u64).to_le_bytes());
        bytes[8..16].copy_from_slice(&(self.progress.begun as u64).to_le_bytes());
        bytes[16] = self.is_recorded.into();
        bytes
    }

    fn decode(bytes: &[u8; REQUEST_BYTES]) -> Request {
        let word =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes")) as usize;
        let progress = Progress {
            acknowledged: word(0),
            begun: word(8),
        };
        Request {
            progress,
            is_recorded: bytes[16] != 0,
        }
    }
}

/// The way to the process that judges the image at one path.
pub struct Worker<'a, R> {
    recovery: &'a R,
    image: PathBuf,
    trace: PathBuf,
    running: Option<Running>,
}

struct Running {
    child: Child,
    stream: UnixStream,
    images: u32,
}

impl<'a, R: Recovery> Worker<'a, R> {
    /// A worker for `image` that writes the traces of recoveries to `trace`.
    pub fn new(recovery: &'a R, image: PathBuf, trace: PathBuf) -> Self {
        Worker {
            recovery,
            image,
            trace,
            running: None,
        }
    }

    /// Judges what the image file holds now: an error says what is wrong with it.
    pub fn judge(&mut self, progress: Progress, is_recorded: bool) -> Result<(), String> {
        let mut running = self.running.take().unwrap_or_else(|| self.start());
        match ask(
            &mut running.stream,
            &Request {
                progress,
                is_recorded,
            },
        ) {
            Ok(verdict) => {
                running.images += 1;
                self.running = (running.images < IMAGES_PER_WORKER).then_some(running);
                verdict
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(format!(
                "the recovery {}",
                running.child.wait().expect_err("it gave no answer")
            )),
            Err(error) => Err(format!("no answer within {ANSWER_TIME_MAX:?}: {error}")),
        }
    }

    fn start(&self) -> Running {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        ours.set_read_timeout(Some(ANSWER_TIME_MAX))
            .expect("it is not zero");
        let child = process::fork(|| {
            // Otherwise this process would keep its own stream open, and never see its end.
            // SAFETY: the child never uses its copy of the parent's end.
            unsafe { libc::close(std::os::fd::AsRawFd::as_raw_fd(&ours)) };
            serve(self.recovery, &self.image, &self.trace, &theirs);
        });
        Running {
            child,
            stream: ours,
            images: 0,
        }
    }
}

fn ask(stream: &mut UnixStream, request: &Request) -> io::Result<Result<(), String>> {
    stream.write_all(&request.encode())?;
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let mut message = vec![0; u32::from_le_bytes(len) as usize];
    stream.read_exact(&mut message)?;
    let is_good = message.is_empty();
    Ok(if is_good {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&message).into_owned())
    })
}

/// Answers requests until the other end of the stream is closed.
fn serve<R: Recovery>(recovery: &R, image: &Path, trace: &Path, mut stream: &UnixStream) {
    panic::set_hook(Box::new(|info| *last_panic() = info.to_string()));
    let mut request = [0; REQUEST_BYTES];
    while stream.read_exact(&mut request).is_ok() {
        let request = Request::decode(&request);
        let verdict = catch_unwind(AssertUnwindSafe(|| judge(recovery, image, trace, &request)))
            .unwrap_or_else(|_| Err(std::mem::take(&mut *last_panic())));
        drop(interpose::observe(None));
        let message = verdict.err().unwrap_or_default();
        let len = (message.len() as u32).to_le_bytes();
        let mut answer = len.to_vec();
        answer.extend(message.as_bytes());
        stream
            .write_all(&answer)
            .expect("the explorer waits for the answer");
    }
}

fn judge<R: Recovery>(
    recovery: &R,
    image: &Path,
    trace: &Path,
    request: &Request,
) -> Result<(), String> {
    let recovered = if request.is_recorded {
        recovery.recover_recorded(image, trace)
    } else {
        recovery.recover(image)
    };
    recovery.check(recovered?, image, request.progress)
}

/// What the last panic of this process said and where.
fn last_panic() -> std::sync::MutexGuard<'static, String> {
    static LAST_PANIC: Mutex<String> = Mutex::new(String::new());
    LAST_PANIC
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}
