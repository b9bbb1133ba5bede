//! Ordinary disks: what a power cut leaves of files that a process writes with `pwrite` and syncs.
//!
//! 1. **Record.** [`record`] watches what this process does to the files of one directory: writes
//!    (and whether they are durable when they return, by `O_DSYNC`), syncs, and what the workload
//!    says it has told somebody.
//! 2. **Cut.** [`Recording::image`] makes the directory as a cut at some moment can leave it.
//! 3. **Copy.** [`Recording::copy`] makes it as a copy of the files that is made meanwhile can have
//!    it.
//!
//! # What is assumed of the disk
//!
//! * What was written before a sync of the file began is durable when the sync has returned; what
//!   was written through `O_DSYNC`, when the write has.
//! * Of any other write, each sector of 512 bytes may be there or not, independently of all others.
//!   A sector is never torn.
//! * A file that was made before a sync of it is there.

mod interpose;

use fastrand::Rng;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Bytes that are there as a whole, or not.
pub const SECTOR: u64 = 512;

/// Something that is done to a file.
#[derive(Clone, Debug)]
enum Operation {
    Write {
        file: PathBuf,
        at: u64,
        bytes: Vec<u8>,
        /// It is durable when it returns.
        durable: bool,
    },
    Sync {
        file: PathBuf,
    },
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// The operation of this number begins.
    Begins(usize),
    /// It has returned.
    Returned(usize),
    /// The workload has told somebody of its step of this number.
    Told(u64),
}

/// What a disk, or a program that uses it, does wrong: to see that it is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Writes to files whose name ends so are not durable when they return.
    LateWrites(&'static str),
    /// Syncs of files whose name ends so do nothing.
    LostSyncs(&'static str),
    /// Writes to the first so many bytes of files whose name ends so are not durable when they
    /// return, but for the first so many writes there.
    LateHead(&'static str, u64, usize),
}

/// The life of a directory's files.
#[derive(Debug, Default)]
pub struct Recording {
    /// The files at the beginning.
    files: BTreeMap<PathBuf, Vec<u8>>,
    operations: Vec<Operation>,
    events: Vec<Event>,
}

/// Tells the recording, from within a workload, that somebody was told of the step `step`.
pub fn told(step: u64) {
    interpose::tell(|recording| recording.events.push(Event::Told(step)));
}

/// Runs `workload`, and records what it does to the files that are in `directory`, or that it makes
/// there.
///
/// # Errors
/// If the directory cannot be read.
///
/// # Panics
/// If another recording is under way in this process.
pub fn record(directory: &Path, workload: impl FnOnce()) -> io::Result<Recording> {
    let mut recording = Recording::default();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        recording.files.insert(path.clone(), fs::read(&path)?);
    }
    interpose::begin(directory, recording);
    workload();
    Ok(interpose::end())
}

impl Recording {
    /// How many moments there are at which the power can go.
    pub fn moments(&self) -> usize {
        self.events.len() + 1
    }

    /// The last step that somebody was told of before `moment`; 0 if none was.
    pub fn told_before(&self, moment: usize) -> u64 {
        let told = self.events[..moment]
            .iter()
            .rev()
            .find_map(|event| match event {
                Event::Told(step) => Some(*step),
                _ => None,
            });
        told.unwrap_or(0)
    }

    /// The first step that somebody was told of after `moment`, if one was.
    pub fn told_after(&self, moment: usize) -> Option<u64> {
        self.events[moment..].iter().find_map(|event| match event {
            Event::Told(step) => Some(*step),
            _ => None,
        })
    }

    /// Makes in `directory` what a cut at `moment` can leave, by the choices of `rng`. Files that
    /// are there and do not belong are removed.
    ///
    /// # Errors
    /// If the directory cannot be written.
    pub fn image(
        &self,
        moment: usize,
        fault: Fault,
        rng: &mut Rng,
        directory: &Path,
    ) -> io::Result<()> {
        let states = self.states(moment, fault);
        let mut files = self.files.clone();
        // All, nothing, and shares of what is in doubt, are the telling cases.
        let share = [0.0, 1.0, 0.5, 0.1, 0.9][rng.usize(..5)];
        let whole_writes = rng.bool();
        for (operation, state) in self.operations.iter().zip(states) {
            let Operation::Write {
                file, at, bytes, ..
            } = operation
            else {
                continue;
            };
            let content = match state {
                State::NotBegun => continue,
                _ => files.entry(file.clone()).or_default(),
            };
            let this_write = rng.f64() < share;
            put(content, *at, bytes, || match (state, whole_writes) {
                (State::Durable, _) => true,
                (_, true) => this_write,
                (_, false) => rng.f64() < share,
            });
        }
        write_files(&files, directory)
    }

    /// Makes in `directory` what somebody gets who copies the files in any order, each at a moment
    /// of its own, while the process goes on: between the two syncs that `moment` lies between, of
    /// whatever files. The first and the last moment that it can have been.
    ///
    /// # Errors
    /// If the directory cannot be written.
    pub fn copy(
        &self,
        moment: usize,
        rng: &mut Rng,
        directory: &Path,
    ) -> io::Result<(usize, usize)> {
        let syncs = |event: &Event| match event {
            Event::Returned(number) => match &self.operations[*number] {
                Operation::Write { durable, .. } => *durable,
                Operation::Sync { .. } => true,
            },
            Event::Begins(_) | Event::Told(_) => false,
        };
        let before = self.events[..moment].iter().rposition(syncs);
        let first = before.map_or(0, |sync| sync + 1);
        let after = self.events[moment..].iter().position(syncs);
        let last = after.map_or(self.events.len(), |sync| moment + sync);
        let mut states = BTreeMap::new();
        let mut files = self.files.clone();
        for (number, operation) in self.operations.iter().enumerate() {
            let Operation::Write {
                file, at, bytes, ..
            } = operation
            else {
                continue;
            };
            let states = states
                .entry(file)
                .or_insert_with(|| self.states(rng.usize(first..=last), Fault::None));
            match states[number] {
                State::NotBegun => {}
                State::InDoubt => {
                    put(files.entry(file.clone()).or_default(), *at, bytes, || {
                        rng.bool()
                    });
                }
                State::Returned | State::Durable => {
                    put(files.entry(file.clone()).or_default(), *at, bytes, || true);
                }
            }
        }
        write_files(&files, directory)?;
        Ok((first, last))
    }

    /// What can be said of each operation if the power goes at `moment`.
    fn states(&self, moment: usize, fault: Fault) -> Vec<State> {
        let ends_with = |file: &Path, suffix: &str| {
            let name = file.as_os_str().as_encoded_bytes();
            name.ends_with(suffix.as_bytes())
        };
        let mut states = vec![State::NotBegun; self.operations.len()];
        let mut heads = 0;
        // Writes that had returned when a sync that is under way began.
        let mut covered: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for event in &self.events[..moment] {
            match *event {
                Event::Begins(number) => {
                    states[number] = State::InDoubt;
                    if let Operation::Sync { file } = &self.operations[number] {
                        let lost = matches!(fault, Fault::LostSyncs(of) if ends_with(file, of));
                        let returned = (0..number).filter(|&write| {
                            let same = matches!(&self.operations[write],
                                Operation::Write { file: other, .. } if other == file);
                            !lost && same && states[write] == State::Returned
                        });
                        covered.insert(number, returned.collect());
                    }
                }
                Event::Returned(number) => {
                    states[number] = State::Returned;
                    match &self.operations[number] {
                        Operation::Write {
                            file, durable, at, ..
                        } => {
                            let late = match fault {
                                Fault::LateWrites(of) => ends_with(file, of),
                                Fault::LateHead(of, len, first)
                                    if *at < len && ends_with(file, of) =>
                                {
                                    heads += 1;
                                    heads > first
                                }
                                _ => false,
                            };
                            if *durable && !late {
                                states[number] = State::Durable;
                            }
                        }
                        Operation::Sync { .. } => {
                            for write in covered.remove(&number).unwrap_or_default() {
                                states[write] = State::Durable;
                            }
                        }
                    }
                }
                Event::Told(_) => {}
            }
        }
        states
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    NotBegun,
    InDoubt,
    /// It has returned; a sync may make it durable.
    Returned,
    Durable,
}

/// Writes those sectors of `bytes` to their places from `at` on that are there.
fn put(content: &mut Vec<u8>, at: u64, bytes: &[u8], mut is_there: impl FnMut() -> bool) {
    let mut from = 0;
    while from < bytes.len() {
        let start = at + from as u64;
        let len = (SECTOR - start % SECTOR).min((bytes.len() - from) as u64) as usize;
        if is_there() {
            let end = start as usize + len;
            if content.len() < end {
                content.resize(end, 0);
            }
            content[start as usize..end].copy_from_slice(&bytes[from..from + len]);
        }
        from += len;
    }
}

/// Makes a directory have these files, and no others.
fn write_files(files: &BTreeMap<PathBuf, Vec<u8>>, directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let belongs = |file: &PathBuf| file.file_name() == path.file_name();
        if !files.keys().any(belongs) {
            fs::remove_file(path)?;
        }
    }
    for (file, content) in files {
        let name = file.file_name().unwrap_or_default();
        // Without giving up the room of what is there: it is made again and again.
        let mut options = fs::OpenOptions::new();
        let options = options.write(true).create(true).truncate(false);
        let mut file = options.open(directory.join(name))?;
        file.set_len(content.len() as u64)?;
        file.write_all(content)?;
    }
    Ok(())
}
