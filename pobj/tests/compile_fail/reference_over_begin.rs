//! A reference read from the pool does not live on while a transaction is open.
use pobj::{PPtr, Pool};

fn keep(pool: &mut Pool, word: PPtr<u64>) -> u64 {
    let value: &u64 = pool.get(word).unwrap();
    let mut tx = pool.begin();
    tx.set(word, 1).unwrap();
    *value
}

fn main() {}
