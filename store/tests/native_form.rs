//! Values in the form that servers without the module have.

use pobj::Durability;
use std::collections::BTreeMap;
use store::Store;
use store::content::{Content, Item};
use store::expiry::{FIELD_NEVER, KEY_NEVER};
use store::layout::pool_at;
use store::rdb::{self, Dialect, Value};
use store::record;
use store::structures::limits::AllLimits;
use store::value::ValueType;

/// The latest time that Redis gives a field.
const LATEST: i64 = (1 << 46) - 1;

/// The type, and the expire times, of a hash whose fields have these times, once it is written.
fn written(dialect: Dialect, times: &[i64]) -> (u8, Vec<i64>) {
    let directory = tempfile::tempdir().unwrap();
    let options = pool_at(directory.path().join("pool"));
    let options = options.size(16 << 20).durability(Durability::Process);
    let mut store = Store::open(&options, |_, _, _| Ok(())).unwrap();
    let names = (0..times.len()).map(|n| format!("field {n:04}").into_bytes());
    let field = |(name, &time): (Vec<u8>, &i64)| Item::Field(name, b"v".to_vec(), time);
    let content = Content {
        ty: ValueType::Hash,
        elements: names.zip(times).map(field).collect(),
    };
    let made = store.make_from(b"h", 0, KEY_NEVER, AllLimits::DEFAULT, &content);
    let record = made.unwrap();
    let value = Value {
        pool: &store.pool,
        ty: ValueType::Hash,
        root: record::get(&store.pool, record).unwrap().root,
        inline: record::inline(&store.pool, record).unwrap(),
    };
    let payload = rdb::payload(&value, dialect, 1000).unwrap().unwrap();
    let (&ty, rest) = payload.split_first().unwrap();
    // The version and the checksum are behind it.
    let content = rdb::content(ty, &rest[..rest.len() - 10]).unwrap();
    let fields: BTreeMap<_, _> = (content.elements.iter())
        .map(|item| match item {
            Item::Field(name, _, time) => (name.to_vec(), *time),
            other => panic!("{other:?}"),
        })
        .collect();
    (ty, fields.into_values().collect())
}

/// A hash of 24 in which a time is far behind that is not loaded, and its server does not start.
#[test]
fn redis_gets_the_times_that_it_can_have() {
    let all = [FIELD_NEVER, 7, LATEST, LATEST + 1, i64::MAX - 1, -5];
    let there = [FIELD_NEVER, 7, LATEST, FIELD_NEVER, FIELD_NEVER, 1];
    assert_eq!(written(Dialect::Redis, &all), (24, there.to_vec()));
    // The earliest is told, too.
    let late = [LATEST + 9, LATEST];
    assert_eq!(
        written(Dialect::Redis, &late),
        (24, vec![FIELD_NEVER, LATEST])
    );
    let none = [LATEST + 1, FIELD_NEVER, i64::MAX - 1];
    assert_eq!(written(Dialect::Redis, &none), (4, vec![FIELD_NEVER; 3]));
    // In a table, too.
    let many = vec![LATEST + 1; 2000];
    assert_eq!(written(Dialect::Redis, &many), (4, vec![FIELD_NEVER; 2000]));
}

#[test]
fn valkey_gets_all_times() {
    let all = [FIELD_NEVER, 7, LATEST + 1, i64::MAX - 1, -1];
    let there = [FIELD_NEVER, 7, LATEST + 1, i64::MAX - 1, 1];
    assert_eq!(written(Dialect::Valkey, &all), (22, there.to_vec()));
}
