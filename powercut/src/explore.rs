//! The explorer: cuts a recording everywhere and has every outcome judged.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::cut;
use crate::image::Image;
use crate::model::{Memory, Survivors};
use crate::trace::{self, Event};
use crate::worker::Worker;
use crate::{LINE_BYTES, LineNumber, Progress, Recording, Recovery};

/// Where libpmemobj keeps run-time state in a pool: it never flushes that, and clears it when it
/// opens the pool.
pub const LIBPMEMOBJ_VOLATILE: Range<usize> = 0x1a00..0x2000;

/// How much to explore.
#[derive(Clone, Debug)]
pub struct Config {
    /// Decides all random choices; the same seed and recording give the same states.
    pub seed: u64,
    /// The fences of the workload at which it is cut, numbered from 0; its end counts as one.
    pub fences: Range<usize>,
    /// Bytes whose fate does not matter, as no recovery reads them: they never survive.
    pub volatile: Range<usize>,
    /// Outcomes tried for each cut of the workload; a cut with no more than that is exhausted.
    pub outcomes_per_cut: usize,
    /// Fences of a recovery at which it is cut: about so many, if it has more.
    pub cuts_per_recovery: usize,
    /// Outcomes tried for each cut of a recovery.
    pub outcomes_per_recovery_cut: usize,
    /// Of how many states one has its recovery cut as well; 0 for none.
    pub recoveries_one_in: u32,
    /// How many recoveries in a row may be cut.
    pub recovery_depth_max: u32,
    /// States after which the exploration ends.
    pub states_max: u64,
    /// Violations after which the exploration ends.
    pub violations_max: usize,
    /// Where to keep the images of violations, if anywhere.
    pub keep: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            seed: 0,
            fences: 0..usize::MAX,
            volatile: 0..0,
            outcomes_per_cut: 32,
            cuts_per_recovery: 16,
            outcomes_per_recovery_cut: 4,
            recoveries_one_in: 16,
            recovery_depth_max: 2,
            states_max: u64::MAX,
            violations_max: 1,
            keep: None,
        }
    }
}

/// A state that the recovery did not get right.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What is wrong.
    pub message: String,
    /// Where the workload's trace was cut: the number of fences before it.
    pub fence: usize,
    /// How far the workload had come.
    pub progress: Progress,
    /// How many recoveries were cut before this one.
    pub recovery_depth: u32,
    /// The lines that survived the last cut without being durable.
    pub survivors: Vec<LineNumber>,
    /// Lines that could have survived it.
    pub pending: Vec<LineNumber>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation {
            message,
            fence,
            progress,
            recovery_depth,
            survivors,
            pending,
        } = self;
        let Progress {
            acknowledged,
            begun,
        } = progress;
        writeln!(f, "{message}")?;
        writeln!(
            f,
            "  cut before fence {fence}: {acknowledged} steps acknowledged, {begun} begun"
        )?;
        if *recovery_depth > 0 {
            writeln!(f, "  and in recovery {recovery_depth}")?;
        }
        write!(f, "  lines that survived: {survivors:x?} of {pending:x?}")
    }
}

/// What an exploration has found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The seed of the (last) exploration.
    pub seed: u64,
    /// Cuts of the workload and of recoveries.
    pub cuts: u64,
    /// Cuts of which all outcomes were judged.
    pub exhausted_cuts: u64,
    /// Different states judged: bytes of the pool, and progress.
    pub states: u64,
    /// Recoveries that were cut.
    pub recoveries: u64,
    /// States that come from cutting a recovery.
    pub recovery_states: u64,
    /// What is wrong.
    pub violations: Vec<Violation>,
    /// How long it took.
    pub elapsed: Duration,
}

impl Report {
    /// Adds what another exploration has found.
    pub fn add(&mut self, other: Report) {
        self.seed = other.seed;
        self.cuts += other.cuts;
        self.exhausted_cuts += other.exhausted_cuts;
        self.states += other.states;
        self.recoveries += other.recoveries;
        self.recovery_states += other.recovery_states;
        self.violations.extend(other.violations);
        self.elapsed += other.elapsed;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.states as f64 / self.elapsed.as_secs_f64().max(1e-3);
        write!(
            f,
            "seed {}: {} states ({} of {} cut recoveries) from {} cuts ({} exhausted), \
             {} violations; {:.1} s, {rate:.0} states/s",
            self.seed,
            self.states,
            self.recovery_states,
            self.recoveries,
            self.cuts,
            self.exhausted_cuts,
            self.violations.len(),
            self.elapsed.as_secs_f64(),
        )?;
        self.violations
            .iter()
            .try_for_each(|violation| write!(f, "\n{violation}"))
    }
}

/// Cuts `recording` at each fence and at its end, and has `recovery` judge the outcomes.
///
/// A cut between two fences needs no trial of its own: what it can leave, the cut at the second of
/// them can leave too, as no line becomes durable in between.
///
/// The images are in `directory`, which should be on tmpfs. Costs the opening of a pool for each
/// state and a few comparisons of its bytes.
///
/// # Panics
/// If a file cannot be written, or if this process has more than one thread.
pub fn explore(
    recording: &Recording,
    recovery: &impl Recovery,
    directory: &Path,
    config: &Config,
) -> Report {
    let begun = Instant::now();
    let files = tempfile::tempdir_in(directory).expect("the directory is writable");
    let (image, trace) = (
        files.path().join("image.pool"),
        files.path().join("image.trace"),
    );
    let parts = recording.parts.as_ref();
    let parts = parts.map(|parts| parts.with_those_of(&recording.trace));
    let mut explorer = Explorer {
        config,
        rng: Rng::with_seed(config.seed),
        image: Image::create(&image, recording.base.len(), parts.clone())
            .expect("an image can be made"),
        worker: Worker::new(recovery, image, trace.clone()),
        recovery_trace: trace,
        seen: HashSet::new(),
        fence: 0,
        report: Report {
            seed: config.seed,
            ..Report::default()
        },
    };
    explorer.cut_workload(recording);
    explorer.report.elapsed = begun.elapsed();
    explorer.report
}

struct Explorer<'a, R> {
    config: &'a Config,
    rng: Rng,
    image: Image,
    worker: Worker<'a, R>,
    recovery_trace: PathBuf,
    seen: HashSet<(u64, Progress)>,
    /// Fences of the workload before the current cut.
    fence: usize,
    report: Report,
}

impl<R: Recovery> Explorer<'_, R> {
    fn is_over(&self) -> bool {
        self.report.states >= self.config.states_max
            || self.report.violations.len() >= self.config.violations_max
    }

    fn cut_workload(&mut self, recording: &Recording) {
        let parts = recording.parts.as_ref();
        let len = parts.map_or(0, |parts| parts.with_those_of(&recording.trace).len());
        let mut memory = Memory::growing(recording.base.clone(), len);
        for (position, event) in trace::events(&recording.trace) {
            if event == Event::Fence {
                self.cut_here(&memory, recording.progress(position as u64));
                self.fence += 1;
            }
            self.apply(&mut memory, &event);
        }
        self.cut_here(&memory, recording.progress(recording.trace.len() as u64));
    }

    fn cut_here(&mut self, memory: &Memory, progress: Progress) {
        if self.config.fences.contains(&self.fence) {
            self.cut(memory, progress, 0);
        }
    }

    fn cut_recovery(&mut self, mut memory: Memory, progress: Progress, depth: u32) {
        let trace = fs::read(&self.recovery_trace).expect("the worker wrote a trace");
        let fences = trace::events(&trace).filter(|(_, event)| *event == Event::Fence);
        let fences = fences.count().max(1);
        for (_, event) in trace::events(&trace) {
            if event == Event::Fence && self.rng.usize(..fences) < self.config.cuts_per_recovery {
                self.cut(&memory, progress, depth);
            }
            self.apply(&mut memory, &event);
        }
        self.cut(&memory, progress, depth);
    }

    fn apply(&self, memory: &mut Memory, event: &Event) {
        let is_volatile = match event {
            Event::Store(line, _) => self
                .config
                .volatile
                .contains(&(*line as usize * LINE_BYTES)),
            _ => false,
        };
        if !is_volatile {
            memory.apply(event);
        }
    }

    /// Cuts the power now; `depth` is how many recoveries are being cut.
    fn cut(&mut self, memory: &Memory, progress: Progress, depth: u32) {
        if self.is_over() {
            return;
        }
        let count = match depth {
            0 => self.config.outcomes_per_cut,
            _ => self.config.outcomes_per_recovery_cut,
        };
        let (outcomes, all) = cut::outcomes(memory, count, &mut self.rng);
        self.report.cuts += 1;
        self.report.exhausted_cuts += u64::from(all);
        for survivors in outcomes {
            if self.is_over() {
                break;
            }
            if self
                .seen
                .insert((memory.fingerprint_after_cut(&survivors), progress))
            {
                self.judge(memory, survivors, progress, depth);
            }
        }
    }

    fn judge(&mut self, memory: &Memory, survivors: Survivors, progress: Progress, depth: u32) {
        self.report.states += 1;
        self.report.recovery_states += u64::from(depth > 0);
        self.image
            .write(memory, &survivors)
            .expect("the image can be written");
        let one_in = self.config.recoveries_one_in;
        let is_recorded =
            depth < self.config.recovery_depth_max && one_in > 0 && self.rng.u32(..one_in) == 0;
        match self.worker.judge(progress, is_recorded) {
            Ok(()) if is_recorded => {
                self.report.recoveries += 1;
                self.cut_recovery(memory.after_cut(&survivors), progress, depth + 1);
            }
            Ok(()) => {}
            Err(message) => {
                self.keep(memory, &survivors);
                self.report.violations.push(Violation {
                    message,
                    fence: self.fence,
                    progress,
                    recovery_depth: depth,
                    survivors: survivors.into_iter().map(|(line, _)| line).collect(),
                    pending: memory.pending().keys().copied().collect(),
                });
            }
        }
    }

    /// Keeps the image of a violation, as the cut left it.
    fn keep(&self, memory: &Memory, survivors: &Survivors) {
        if let Some(directory) = &self.config.keep {
            let name = format!("{}-{}.pool", self.config.seed, self.report.violations.len());
            let path = directory.join(name);
            fs::write(
                &path,
                &memory.after_cut(survivors).durable()[..memory.len()],
            )
            .unwrap_or_else(|error| panic!("cannot keep {}: {error}", path.display()));
        }
    }
}
