//! Operations of the engine measured in this process: flushes switched on, processor time, fences,
//! space.

use std::time::{Duration, Instant};

/// Runs per figure.
const RUNS: usize = 5;

/// One line of a table.
#[derive(Debug)]
pub struct Figure {
    /// The operation.
    pub name: String,
    /// Nanoseconds of processor time an operation, the median of several runs.
    pub nanoseconds: f64,
    /// Nanoseconds of the slowest operation that the kernel did not interrupt.
    pub worst: f64,
    /// Fences of the median operation.
    pub fences: u64,
    /// Fences an operation on average: new slab pages and larger steps included.
    pub mean_fences: f64,
    /// Cache lines flushed an operation, on average.
    pub lines: f64,
    /// The most fences that the median operation may take.
    pub budget: Option<u64>,
}

/// Starts the program again with `PMEM_IS_PMEM_FORCE=1`, unless it is set: libpmem reads its
/// switches when it is loaded, before `main`'s code could set them safely.
///
/// # Panics
/// If the program cannot be started.
pub fn relaunch_with_flushes() {
    if std::env::var_os("PMEM_IS_PMEM_FORCE").is_none() {
        let program = std::env::current_exe().expect("the path of this program");
        let status = std::process::Command::new(program)
            .args(std::env::args_os().skip(1))
            .env("PMEM_IS_PMEM_FORCE", "1")
            .status()
            .expect("this program starts");
        std::process::exit(status.code().unwrap_or(1));
    }
}

/// The time that this thread has had a processor: what else runs on the machine counts little.
pub fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split(' ').next().and_then(|time| time.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}

/// How often the kernel has taken the processor away from this thread.
fn involuntary_switches() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

/// Measures `operation` over each element of `items`.
///
/// # Errors
/// Those of the operation.
pub fn measure<E, T: Copy>(
    name: impl Into<String>,
    budget: Option<u64>,
    items: &[T],
    mut operation: impl FnMut(T) -> Result<(), E>,
) -> Result<Figure, E> {
    let mut times = Vec::with_capacity(RUNS);
    let mut fences = Vec::with_capacity(items.len());
    let counts = || powercut::interpose::counters().counts();
    let before = counts();
    let (mut last, mut worst, mut seen_switches) = (before.fences, 0.0, involuntary_switches());
    for part in items.chunks(items.len().div_ceil(RUNS)) {
        let start = processor_time();
        let mut previous = Instant::now();
        for &item in part {
            operation(item)?;
            let now = counts().fences;
            fences.push(now - last);
            last = now;
            let elapsed = previous.elapsed().as_nanos() as f64;
            if elapsed > worst {
                let switches = involuntary_switches();
                if std::mem::replace(&mut seen_switches, switches) == switches {
                    worst = elapsed;
                }
            }
            previous = Instant::now();
        }
        let elapsed = processor_time() - start;
        times.push(elapsed.as_nanos() as f64 / part.len() as f64);
    }
    let after = counts();
    times.sort_by(f64::total_cmp);
    fences.sort_unstable();
    let per = |count: u64| count as f64 / items.len() as f64;
    Ok(Figure {
        name: name.into(),
        nanoseconds: times[times.len() / 2],
        worst,
        fences: fences[fences.len() / 2],
        mean_fences: per(after.fences - before.fences),
        lines: per(after.lines - before.lines),
        budget,
    })
}

/// Figures as they come, and whether all keep their budgets.
#[derive(Debug, Default)]
pub struct Report {
    exceeded: bool,
}

impl Report {
    /// Begins a table.
    pub fn begin() -> Report {
        println!(
            "{:<34} {:>9} {:>10} {:>8} {:>8} {:>8} {:>8}",
            "operation", "ns", "worst us", "fences", "mean", "lines", "budget"
        );
        Report::default()
    }

    /// Prints a figure.
    pub fn add(&mut self, figure: &Figure) {
        let budget = figure
            .budget
            .map_or("-".to_owned(), |budget| format!("<= {budget}"));
        println!(
            "{:<34} {:>9.0} {:>10.1} {:>8} {:>8.2} {:>8.1} {budget:>8}",
            figure.name,
            figure.nanoseconds,
            figure.worst / 1000.0,
            figure.fences,
            figure.mean_fences,
            figure.lines,
        );
        self.exceeded |= figure.budget.is_some_and(|budget| figure.fences > budget);
    }

    /// Notes whether another budget is kept.
    pub fn require(&mut self, kept: bool) {
        self.exceeded |= !kept;
    }

    /// Ends the program with an error, if it was asked to `check` and a budget is exceeded.
    pub fn end(self) {
        if std::env::args().nth(1).as_deref() == Some("check") && self.exceeded {
            eprintln!("a budget is exceeded");
            std::process::exit(1);
        }
    }
}

/// A fixed permutation (xorshift), so that runs compare.
pub fn shuffle<T>(items: &mut [T]) {
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    for at in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        items.swap(at, (state % (at as u64 + 1)) as usize);
    }
}
