//! Two records of one key, as a crash between a copy and the end of its destination's old value
//! leaves them.

use pobj::{Cursor, Durability};
use std::path::Path;
use store::Store;
use store::layout::{RECORD, pool_at};
use store::record::{self, RecordPtr};

/// Copies keys of database 0 in the pool at `path`, which is closed before and after: of each pair
/// the value of the first key to the second one, whose own value stays.
///
/// # Panics
/// If a key is not there, or the pool has no room.
pub fn copy(path: &Path, pairs: &[(&str, &str)]) {
    let options = pool_at(path).durability(Durability::Process);
    let mut store = Store::open(&options, |_, _, _| Ok(())).expect("the pool opens");
    for (from, to) in pairs {
        let source = find(&store, from.as_bytes()).expect("the key is there");
        let copied = store.copy(source, to.as_bytes(), 0);
        copied.expect("the pool has room");
    }
}

fn find(store: &Store, name: &[u8]) -> Option<RecordPtr> {
    let mut cursor = Cursor::default();
    while let Some((record, next)) = store.pool.next_object(RECORD, cursor) {
        let record: RecordPtr = record.cast();
        let is_live = record::get(&store.pool, record).is_ok_and(|head| store.dbs.is_live(head));
        if is_live && record::key(&store.pool, record).is_ok_and(|key| key == name) {
            return Some(record);
        }
        cursor = next;
    }
    None
}
