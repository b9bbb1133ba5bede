//! Explores what power cuts leave of pmedis's pools: workloads, what recovery must find, and the
//! mistakes that the exploration must notice.
//!
//! | file | what is cut |
//! |---|---|
//! | `transactions/` | random transactions of `pobj` |
//! | `creation.rs` | the creation of a pool |
//! | `keys/` | keys that come, change hands and go, with values of all types |
//! | `disk.rs` | the same in a pool with a journal, on an ordinary disk |
//! | `structures/` | random changes of values of each type |
//! | `server/` | a real `redis-server` with the module, from its start-up on |
//! | `damage/` | no power: pools are damaged |
//!
//! `forgotten.rs` has recordings with one mistake. Each has a workload and a recovery for
//! [`powercut`], most of them that of `check.rs`; `campaign.rs` runs them seed by seed.

pub mod campaign;
pub mod check;
mod closer;
pub mod creation;
pub mod damage;
pub mod disk;
pub mod duplicates;
pub mod forgotten;
mod heap;
pub mod keys;
pub mod server;
pub mod states;
pub mod structures;
pub mod transactions;

use pobj::CommitMode;
use std::path::Path;

/// Where pools and images are: on tmpfs, which costs no disk.
pub const DIRECTORY: &str = "/dev/shm";

/// Makes every file count as persistent memory. Call it first, before libpmemobj is loaded.
pub fn force_pmem() {
    // SAFETY: the callers are single-threaded programs at their beginning.
    unsafe { std::env::set_var("PMEM_IS_PMEM_FORCE", "1") };
}

/// The same, where libpmem's calls must be seen.
///
/// # Panics
/// If this executable does not stand in for libpmem: then nothing would be seen.
pub fn prepare_process() {
    force_pmem();
    let directory = tempfile::tempdir_in(DIRECTORY).expect("tmpfs is mounted");
    let before = powercut::interpose::counters().counts();
    create_pool(&directory.path().join("pool"));
    let after = powercut::interpose::counters().counts();
    assert!(
        after.fences > before.fences,
        "libpmemobj does not call this executable: it must be linked with -rdynamic"
    );
}

/// Sends what this process writes to stderr nowhere: complaints about damage are many.
fn silence_stderr() {
    let nowhere = std::fs::File::options().write(true).open("/dev/null");
    let nowhere = nowhere.expect("Linux has it");
    // SAFETY: both are open files of this process; whoever writes to stderr goes on doing so.
    unsafe {
        libc::dup2(
            std::os::fd::AsRawFd::as_raw_fd(&nowhere),
            libc::STDERR_FILENO,
        )
    };
}

/// Size of the pools: small, as each image is written and opened.
const POOL_BYTES: u64 = 12 << 20;

/// The pools' own random bytes: always the same, so that a seed gives the same states again.
const POOL_SEED: [u64; 2] = [0x706d, 0x6564];

/// Lanes of the pools: they have one user (see [`powercut::limit_lanes`]).
const LANES: u64 = 8;

/// When the commits of a workload of this seed are durable: half of the workloads defer that to the
/// end of each step.
fn commit_mode(seed: u64) -> CommitMode {
    if seed.is_multiple_of(2) {
        CommitMode::Deferred
    } else {
        CommitMode::Immediate
    }
}

/// Creates a pool in which the module has nothing yet, and leaves it closed.
///
/// # Panics
/// If it cannot be created.
pub(crate) fn create_empty_pool(path: &Path) {
    heap::create_empty(path);
    powercut::limit_lanes(path, LANES).expect("it is a pool");
}

/// Creates a pool with few lanes and leaves it closed.
///
/// # Panics
/// If it cannot be created.
pub(crate) fn create_pool(path: &Path) {
    let options = store::layout::pool_at(path)
        .size(POOL_BYTES)
        .seed(POOL_SEED);
    drop(pobj::Pool::open(&options).expect("the pool can be created"));
    powercut::limit_lanes(path, LANES).expect("it is a pool");
}
