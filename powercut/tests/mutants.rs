//! Small persistent structures, written correctly and with one mistake each: the explorer passes
//! the former and finds the latter.
//!
//! They live in a plain file on tmpfs, a page long, and know nothing of libpmemobj.

use std::fs::{self, File};
use std::path::Path;

use memmap2::MmapMut;
use powercut::interpose::{pmem_drain, pmem_flush};
use powercut::trace::{self, Event};
use powercut::{Config, Progress, Recording, Recovery, Report, Steps, Workload, explore};

const POOL_BYTES: usize = 4096;
const LINE: usize = 64;
const SHM: &str = "/dev/shm";

/// A page of persistent memory.
struct Page(MmapMut);

impl Page {
    fn open(path: &Path) -> Page {
        let file = File::options()
            .read(true)
            .write(true)
            .open(path)
            .expect("the pool is there");
        // SAFETY: nobody else changes the file while this process works on it.
        Page(unsafe { MmapMut::map_mut(&file) }.expect("the pool can be mapped"))
    }

    fn get(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.0[offset..offset + 8].try_into().expect("8 bytes"))
    }

    fn set(&mut self, offset: usize, value: u64) {
        self.0[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
    }

    fn flush(&self, offset: usize, len: usize) {
        pmem_flush(self.0[offset..offset + len].as_ptr().cast(), len);
    }

    fn fence(&self) {
        pmem_drain();
    }

    fn persist(&self, offset: usize, len: usize) {
        self.flush(offset, len);
        self.fence();
    }
}

fn make_page(path: &Path) {
    fs::write(path, vec![0; POOL_BYTES]).expect("the pool can be made");
}

/// A log: the number of entries, and from the second line on the entries, a line each.
struct Log {
    mistake: Option<LogMistake>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum LogMistake {
    /// The entry is not flushed.
    FlushLeftOut,
    /// The number is stored before the entry.
    StoresSwapped,
    /// The number is published with the fence that makes the entry durable.
    PublishedBeforeDurable,
    /// The step is acknowledged before the number is durable.
    LastFenceLeftOut,
}

const ENTRIES: u64 = 6;

fn entry(n: u64) -> [u8; LINE] {
    [n as u8 + 1; LINE]
}

impl Log {
    fn append(&self, page: &mut Page, n: u64) {
        let store_entry = |page: &mut Page| {
            let at = LINE * (1 + n as usize);
            page.0[at..at + LINE].copy_from_slice(&entry(n));
            if self.mistake != Some(LogMistake::FlushLeftOut) {
                page.flush(at, LINE);
            }
        };
        let store_number = |page: &mut Page| {
            page.set(0, n + 1);
            page.flush(0, 8);
        };
        if self.mistake == Some(LogMistake::StoresSwapped) {
            store_number(page);
            page.fence();
            store_entry(page);
        } else {
            store_entry(page);
            if self.mistake != Some(LogMistake::PublishedBeforeDurable) {
                page.fence();
            }
            store_number(page);
        }
        if self.mistake != Some(LogMistake::LastFenceLeftOut) {
            page.fence();
        }
    }
}

impl Workload for Log {
    fn prepare(&self, pool: &Path) {
        make_page(pool);
    }

    fn run(&self, pool: &Path, steps: &mut Steps) {
        let mut page = Page::open(pool);
        (0..ENTRIES).for_each(|n| steps.step(|| self.append(&mut page, n)));
    }
}

impl Recovery for Log {
    type Pool = Page;

    fn recover(&self, image: &Path) -> Result<Page, String> {
        Ok(Page::open(image))
    }

    fn check(&self, page: Page, _: &Path, progress: Progress) -> Result<(), String> {
        let number = page.get(0);
        if !(progress.acknowledged..=progress.begun).contains(&(number as usize)) {
            return Err(format!("{number} entries after {progress:?}"));
        }
        match (0..number).find(|&n| page.0[LINE * (1 + n as usize)..][..LINE] != entry(n)) {
            Some(n) => Err(format!("entry {n} is wrong")),
            None => Ok(()),
        }
    }
}

/// A value of two lines that is replaced as a whole: a head with the number of the slot in use, a
/// bitmap of taken slots, and slots. A slot that is taken and not in use is given back by recovery.
struct Cell {
    mistake: Option<CellMistake>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum CellMistake {
    /// The old slot is given back while the head still refers to it.
    FreedBeforeUnlinked,
    /// The recovery gives back the slot in use for a moment.
    RecoveryFreesAll,
}

const HEAD: usize = 0;
const BITMAP: usize = LINE;
const REPLACEMENTS: u64 = 5;

fn slot(number: u64) -> usize {
    LINE * (2 + 2 * number as usize)
}

impl Cell {
    fn replace(&self, page: &mut Page, value: u64) {
        let (old, taken) = (page.get(HEAD), page.get(BITMAP));
        let new = u64::from(taken.trailing_ones());
        page.0[slot(new)..][..2 * LINE].fill(value as u8);
        page.flush(slot(new), 2 * LINE);
        page.set(BITMAP, taken | 1 << new);
        page.persist(BITMAP, 8);
        let link = |page: &mut Page| {
            page.set(HEAD, new);
            page.persist(HEAD, 8);
        };
        let free = |page: &mut Page| {
            page.set(BITMAP, 1 << new);
            page.persist(BITMAP, 8);
        };
        if self.mistake == Some(CellMistake::FreedBeforeUnlinked) {
            free(page);
            link(page);
        } else {
            link(page);
            free(page);
        }
        assert_ne!(old, new, "the old value is untouched");
    }
}

impl Workload for Cell {
    fn prepare(&self, pool: &Path) {
        make_page(pool);
        Page::open(pool).set(BITMAP, 1);
    }

    fn run(&self, pool: &Path, steps: &mut Steps) {
        let mut page = Page::open(pool);
        (1..=REPLACEMENTS).for_each(|n| steps.step(|| self.replace(&mut page, n)));
    }
}

impl Recovery for Cell {
    type Pool = Page;

    fn recover(&self, image: &Path) -> Result<Page, String> {
        let mut page = Page::open(image);
        let (used, taken) = (1 << page.get(HEAD), page.get(BITMAP));
        if taken & used == 0 {
            return Err("the slot in use is not taken".into());
        }
        if self.mistake == Some(CellMistake::RecoveryFreesAll) && taken != used {
            page.set(BITMAP, 0);
            page.persist(BITMAP, 8);
        }
        if taken != used {
            page.set(BITMAP, used);
            page.persist(BITMAP, 8);
        }
        Ok(page)
    }

    fn check(&self, page: Page, _: &Path, progress: Progress) -> Result<(), String> {
        let value = &page.0[slot(page.get(HEAD))..][..2 * LINE];
        let allowed = progress.acknowledged..=progress.begun;
        let is_whole = value.iter().all(|byte| *byte == value[0]);
        if is_whole && allowed.contains(&value[0].into()) {
            Ok(())
        } else {
            Err(format!("the value is {value:?} after {progress:?}"))
        }
    }
}

/// Misbehaves when more than two entries are there.
struct Misbehaving(fn());

impl Recovery for Misbehaving {
    type Pool = Page;

    fn recover(&self, image: &Path) -> Result<Page, String> {
        Ok(Page::open(image))
    }

    fn check(&self, page: Page, _: &Path, _: Progress) -> Result<(), String> {
        if page.get(0) > 2 {
            self.0();
        }
        Ok(())
    }
}

fn config() -> Config {
    Config {
        seed: 1,
        outcomes_per_cut: 1000,
        recoveries_one_in: 1,
        ..Config::default()
    }
}

fn recording(workload: &impl Workload) -> Recording {
    let directory = tempfile::tempdir_in(SHM).expect("tmpfs is mounted");
    Recording::of(workload, directory.path())
}

fn explored(subject: &(impl Workload + Recovery)) -> Report {
    explore(&recording(subject), subject, Path::new(SHM), &config())
}

fn assert_found(what: &str, report: &Report) {
    println!("{what}: {report}");
    assert!(
        !report.violations.is_empty(),
        "{what} is not found: {report}"
    );
}

fn correct_structures_pass() {
    let log = explored(&Log { mistake: None });
    println!("log: {log}");
    assert!(log.violations.is_empty(), "{log}");
    assert_eq!(log.cuts, log.exhausted_cuts, "{log}");
    // Before the entry's fence: 2^8 - 1 outcomes other than the one before it; before the number's:
    // 1.
    assert!(log.states >= ENTRIES * (255 + 1), "{log}");

    let cell = explored(&Cell { mistake: None });
    println!("cell: {cell}");
    assert!(cell.violations.is_empty(), "{cell}");
    assert!(cell.recovery_states > 0, "{cell}");
}

fn mistakes_of_the_log_are_found() {
    use LogMistake::*;
    for mistake in [
        FlushLeftOut,
        StoresSwapped,
        PublishedBeforeDurable,
        LastFenceLeftOut,
    ] {
        let report = explored(&Log {
            mistake: Some(mistake),
        });
        assert_found(&format!("{mistake:?}"), &report);
        assert_eq!(report.violations[0].recovery_depth, 0);
    }
}

fn mistakes_of_the_cell_are_found() {
    let report = explored(&Cell {
        mistake: Some(CellMistake::FreedBeforeUnlinked),
    });
    assert_found("FreedBeforeUnlinked", &report);
    let report = explored(&Cell {
        mistake: Some(CellMistake::RecoveryFreesAll),
    });
    assert_found("RecoveryFreesAll", &report);
    assert_eq!(
        report.violations[0].recovery_depth, 1,
        "only a cut of the recovery shows it"
    );
}

fn each_flush_and_each_fence_counts() {
    let log = Log { mistake: None };
    let recorded = recording(&log);
    type Which = fn(&Event) -> bool;
    let kinds: [(&str, Which); 2] = [
        ("flush", |event| matches!(event, Event::Flush(_))),
        ("fence", |event| *event == Event::Fence),
    ];
    for (kind, which) in kinds {
        let count = trace::events(&recorded.trace)
            .filter(|(_, event)| which(event))
            .count();
        assert_eq!(count as u64, 2 * ENTRIES, "an entry and a number, {kind}");
        for n in 0..count {
            let broken = recorded.without(n, which).expect("there are that many");
            let report = explore(&broken, &log, Path::new(SHM), &config());
            assert!(
                !report.violations.is_empty(),
                "{kind} {n} is not missed: {report}"
            );
        }
    }
}

fn a_recovery_that_dies_or_panics_is_a_violation() {
    let recorded = recording(&Log { mistake: None });
    let message_of = |misbehaviour| {
        let recovery = Misbehaving(misbehaviour);
        let mut report = explore(&recorded, &recovery, Path::new(SHM), &config());
        report.violations.pop().expect("it is found").message
    };
    let message = message_of(|| std::process::abort());
    assert_eq!(message, "the recovery died of signal 6");
    let message = message_of(|| panic!("no more than two"));
    assert!(message.contains("no more than two"), "{message}");
}

fn a_seed_explores_the_same_states_again() {
    let recorded = recording(&Log { mistake: None });
    let log = Log { mistake: None };
    let explored = |seed| {
        let config = Config {
            seed,
            outcomes_per_cut: 9,
            ..config()
        };
        let report = explore(&recorded, &log, Path::new(SHM), &config);
        (report.states, report.cuts, report.recovery_states)
    };
    assert_eq!(explored(5), explored(5));
}

fn main() {
    correct_structures_pass();
    mistakes_of_the_log_are_found();
    mistakes_of_the_cell_are_found();
    each_flush_and_each_fence_counts();
    a_recovery_that_dies_or_panics_is_a_violation();
    a_seed_explores_the_same_states_again();
}
