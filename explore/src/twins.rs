//! Two records of one key, as a crash between a copy and the end of its destination's old value leaves them.

use pmedis::keyspace::Engine;
use pobj::{Cursor, Durability, Kind, PoolOptions};
use std::path::Path;
use store::record::{self, RecordPtr};

/// Copies keys of database 0 in the pool at `path`, which is closed before and after: of each pair the value of the
/// first key to the second one, whose own value stays.
///
/// # Panics
/// If a key is not there, or the pool has no room.
pub fn copy(path: &Path, pairs: &[(&str, &str)]) {
    let options = PoolOptions::new(path).durability(Durability::Process);
    let mut engine = Engine::open(&options).expect("the pool opens");
    for (from, to) in pairs {
        let source = find(&engine, from.as_bytes()).expect("the key is there");
        let head = *record::get(&engine.pool, source).expect("a record");
        let ty = head.value_type().expect("a sound record");
        let copied = engine.copy(source, ty, to.as_bytes(), 0);
        copied.expect("the pool has room");
    }
}

fn find(engine: &Engine, name: &[u8]) -> Option<RecordPtr> {
    let mut cursor = Cursor::default();
    while let Some((record, next)) = engine.pool.next_object(Kind::Record, cursor) {
        let record: RecordPtr = record.cast();
        let is_live = record::get(&engine.pool, record).is_ok_and(|head| engine.dbs.is_live(head));
        if is_live && record::key(&engine.pool, record).is_ok_and(|key| key == name) {
            return Some(record);
        }
        cursor = next;
    }
    None
}
