//! What unit tests share.

use crate::layout::pool_at;
use pobj::{Durability, Pool};
use tempfile::TempDir;

/// An empty pool of so many bytes on tmpfs, and the directory that goes with it.
pub(crate) fn pool(size: u64) -> (TempDir, Pool) {
    let directory = tempfile::Builder::new()
        .prefix("store-")
        .tempdir_in("/dev/shm")
        .expect("a directory on tmpfs");
    let options = pool_at(directory.path().join("test.pool"));
    let options = options.durability(Durability::Process).size(size);
    let pool = Pool::open(&options).expect("the pool opens");
    (directory, pool)
}
