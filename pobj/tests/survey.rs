//! A survey by several threads finds what a walk finds.

mod common;

use common::{DATA, RECORD};
use pobj::{Cursor, Kind, PPtr, Pool, Reader};
use std::collections::BTreeSet;

fn walked(pool: &Pool, kind: Kind) -> BTreeSet<u64> {
    let mut cursor = Cursor::default();
    let mut found = BTreeSet::new();
    while let Some((object, after)) = pool.next_object(kind, cursor) {
        found.insert(object.offset());
        cursor = after;
    }
    found
}

#[test]
fn each_object_is_shown_once_with_its_bytes() {
    let place = common::Place::new();
    let mut pool = place.open(128 << 20);
    let mut objects: Vec<PPtr<u8>> = Vec::new();
    for (number, size) in (0..20_000u64).zip([16, 48, 200, 8000].iter().cycle()) {
        let mut tx = pool.begin();
        let kind = if number % 3 == 0 { DATA } else { RECORD };
        let object = tx.alloc(*size, kind).expect("room");
        tx.fill(object, &[number, !number].map(u64::to_le_bytes).concat())
            .expect("a fill");
        tx.commit().expect("a commit");
        objects.push(object.ptr());
        // Large ones are not on pages, and freed ones are not shown.
        if number % 4000 == 1 {
            let mut tx = pool.begin();
            let large = tx.alloc(200_000, RECORD).expect("room");
            tx.fill(large, &[number, !number].map(u64::to_le_bytes).concat())
                .expect("a fill");
            tx.free(objects[number as usize - 1]).expect("a free");
            tx.commit().expect("a commit");
        }
    }
    for kind in [DATA, RECORD] {
        let expected = walked(&pool, kind);
        assert!(expected.len() > 1000, "{}", expected.len());
        for threads in [0, 1, 4] {
            let states = pool.survey(
                kind,
                threads,
                |found: &mut Vec<u64>, at: PPtr<[u64; 2]>, words: &[u64; 2], reader: Reader<'_>| {
                    assert_eq!(words[0], !words[1]);
                    assert_eq!(
                        reader.bytes(at.cast(), 8),
                        Some(&words[0].to_le_bytes()[..])
                    );
                    assert_eq!(reader.bytes(at.cast(), u64::MAX), None);
                    found.push(at.offset());
                },
            );
            let shown: Vec<u64> = states.concat();
            assert_eq!(shown.len(), expected.len(), "{threads} threads, {kind:?}");
            assert_eq!(shown.into_iter().collect::<BTreeSet<_>>(), expected);
        }
    }
}
