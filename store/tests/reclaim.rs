//! The sweep for flushed records: one that is damaged keeps none of the others.

use pobj::{Durability, Error};
use std::time::Duration;
use store::Store;
use store::expiry::KEY_NEVER;
use store::layout::pool_at;
use store::record::Record;
use store::structures::Root;
use store::structures::string::{self, Value};
use store::value::ValueType;

/// Keys, and every how many one is damaged.
const KEYS: usize = 2000;
const DAMAGED: usize = 40;

#[test]
fn a_damaged_record_keeps_no_other_from_being_reclaimed() {
    let dir = tempfile::Builder::new()
        .prefix("pmedis-reclaim-")
        .tempdir_in("/dev/shm")
        .expect("a directory on tmpfs");
    let options = pool_at(dir.path().join("pool")).durability(Durability::Process);
    let mut store = Store::open(&options.size(64 << 20), |_, _, _| Ok(())).unwrap();
    let before = store.pool.usage().unused();
    let mut records = Vec::new();
    for number in 0..KEYS {
        let bytes = vec![b'v'; 5000];
        let value = Value::of(&bytes);
        let name = format!("key:{number}");
        let record = store.make(
            ValueType::String,
            name.as_bytes(),
            0,
            value.inline_len(),
            KEY_NEVER,
            |tx, inline| {
                let mut root = Root::EMPTY;
                string::set(tx, &mut root, inline, value)?;
                Ok(root)
            },
        );
        records.push(record.unwrap());
    }
    let full = store.pool.usage().unused();
    assert!(before - full > KEYS as u64 * 5000, "{before}, then {full}");
    for &record in records.iter().step_by(DAMAGED) {
        let mut head: Record = *store.pool.get(record).unwrap();
        // The type of its value.
        bytemuck::bytes_of_mut(&mut head)[0] = 99;
        let mut tx = store.pool.begin();
        tx.set(record, head).unwrap();
        tx.commit().unwrap();
    }
    store.flush(None).unwrap();
    let mut damages = 0;
    while store.has_garbage() {
        if let Err(error) = store.reclaim(Duration::from_secs(1)) {
            assert!(matches!(error, Error::Damaged(_)), "{error}");
            damages += 1;
        }
    }
    assert!(damages > 0);
    // What is damaged is lost, with its value, and that is all.
    let lost = before.saturating_sub(store.pool.usage().unused());
    let most = (KEYS / DAMAGED) as u64 * (5000 + 2000) + (1 << 20);
    assert!(lost < most, "{lost} bytes are lost, at most {most} may be");
}
