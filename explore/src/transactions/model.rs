//! What a pool of objects and words must hold, and what it holds.

use std::collections::BTreeMap;

use pobj::{Cursor, Kind, PPtr, Pool};
use store::layout::{DATA, RECORD};

use crate::states::{Description, digest};

/// Bytes of an object before those that count: their number.
pub(super) const HEAD: usize = 8;
/// User words that the transactions change.
pub(super) const WORDS: usize = 4;

#[derive(Clone)]
pub(super) struct Object {
    pub kind: Kind,
    /// Those that count.
    pub bytes: Vec<u8>,
}

#[derive(Clone, Default)]
pub(super) struct Model {
    pub objects: BTreeMap<u64, Object>,
    pub words: [u64; WORDS],
    /// The object that was overwritten last.
    pub last_changed: u64,
}

impl Model {
    pub(super) fn total(&self) -> usize {
        self.objects.values().map(|object| object.bytes.len()).sum()
    }
}

pub(super) fn pointer(offset: u64) -> PPtr<u8> {
    PPtr::new(offset).expect("no object is at offset zero")
}

pub(super) fn line(offset: u64, kind: Kind, bytes: &[u8]) -> String {
    format!("{offset:#x} {kind:?} {}", digest(bytes))
}

/// The lines after those of the objects.
pub(super) fn totals(words: [u64; WORDS], used: u64) -> [String; 2] {
    [format!("words {words:x?}"), format!("used {used}")]
}

/// What a pool holds.
pub(super) fn describe(pool: &Pool) -> pobj::Result<Description> {
    let mut objects = BTreeMap::new();
    for kind in [DATA, RECORD] {
        let mut cursor = Cursor::default();
        while let Some((ptr, next)) = pool.next_object(kind, cursor) {
            let len = *pool.get(ptr.cast::<u64>())?;
            let bytes = pool.bytes(ptr.at(HEAD as u64), len)?;
            objects.insert(ptr.offset(), line(ptr.offset(), kind, bytes));
            cursor = next;
        }
    }
    let mut state: Description = objects.into_values().collect();
    let mut words = [0; WORDS];
    for (index, word) in words.iter_mut().enumerate() {
        *word = *pool.get(pool.user_word(index))?;
    }
    state.extend(totals(words, pool.usage().used));
    Ok(state)
}

pub(crate) fn read_model(pool: &Pool) -> pobj::Result<Model> {
    let mut model = Model::default();
    for kind in [DATA, RECORD] {
        let mut cursor = Cursor::default();
        while let Some((ptr, next)) = pool.next_object(kind, cursor) {
            let len = *pool.get(ptr.cast::<u64>())?;
            let bytes = pool.bytes(ptr.at(HEAD as u64), len)?.to_vec();
            model.objects.insert(ptr.offset(), Object { kind, bytes });
            cursor = next;
        }
    }
    for (index, word) in model.words.iter_mut().enumerate() {
        *word = *pool.get(pool.user_word(index))?;
    }
    Ok(model)
}
