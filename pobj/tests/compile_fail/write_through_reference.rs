//! There is no way to write through what the pool lends.
use pobj::{PPtr, Pool};

fn change(pool: &mut Pool, word: PPtr<u64>) {
    *pool.get(word).unwrap() = 1;
}

fn main() {}
