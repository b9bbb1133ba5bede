//! What pools of values hold.

use pobj::{Cursor, Pool};
use store::layout::{DATA, RECORD};
use store::record::{self, Record, RecordPtr};
use store::structures;

use super::Structure;
use crate::states::Description;

/// A record of a pool.
pub(super) struct PoolRecord {
    pub record: RecordPtr,
    pub head: Record,
}

/// All records of a pool.
pub(super) fn records(pool: &Pool) -> pobj::Result<Vec<PoolRecord>> {
    let (mut records, mut cursor) = (Vec::new(), Cursor::default());
    while let Some((object, next)) = pool.next_object(RECORD, cursor) {
        let record = object.cast();
        record::verify(pool, record)?;
        let head = *record::get(pool, record)?;
        records.push(PoolRecord { record, head });
        cursor = next;
    }
    Ok(records)
}

/// What a pool of values holds: a line for each record, and the bytes in use. Values are checked
/// down to their last element; and if nothing waits for being reclaimed, every object of the pool
/// must be somebody's, and nobody else's.
pub(super) fn describe<S: Structure>(pool: &Pool) -> pobj::Result<Description> {
    let (mut state, mut owned, mut dead) = (Vec::new(), Owned::default(), 0);
    for PoolRecord { record, head } in records(pool)? {
        if head.created == 0 {
            state.push(format!("dead {:?}", head.root));
            dead += 1;
            continue;
        }
        let inline = record::inline(pool, record)?;
        owned.check(pool, &head, inline)?;
        let digest = S::read_digest(pool, head.root, inline)?;
        state.push(line::<S>(record::key(pool, record)?, digest));
    }
    state.push(format!("used {}", pool.usage().used));
    if dead == 0 {
        owned.must_be_all(pool)?;
    }
    state.sort();
    Ok(state)
}

/// The objects that values own.
#[derive(Default)]
pub struct Owned(Vec<u64>);

impl Owned {
    /// Checks a value and takes its objects.
    pub fn check(
        &mut self,
        pool: &Pool,
        head: &Record,
        inline: store::inline::Inline,
    ) -> pobj::Result<()> {
        structures::of(head.value_type()?).check(pool, head.root, inline, &mut |object| {
            self.add(object.offset());
        })
    }

    /// Takes an object.
    pub fn add(&mut self, object: u64) {
        self.0.push(object);
    }

    /// An error unless the pool's objects are these, each taken once.
    pub(crate) fn must_be_all(mut self, pool: &Pool) -> pobj::Result<()> {
        let (mut there, mut cursor) = (Vec::new(), Cursor::default());
        while let Some((object, next)) = pool.next_object(DATA, cursor) {
            there.push(object.offset());
            cursor = next;
        }
        self.0.sort_unstable();
        there.sort_unstable();
        if there == self.0 {
            return Ok(());
        }
        if let Some(twice) = self.0.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(pobj::Error::Damaged(format!(
                "{:#x} has two owners",
                twice[0]
            )));
        }
        let lacking = |these: &[u64], those: &[u64]| {
            let lacking = these.iter().filter(|object| !those.contains(object));
            lacking.take(3).copied().collect::<Vec<_>>()
        };
        Err(pobj::Error::Damaged(format!(
            "nobody's: {:x?}, missing: {:x?}",
            lacking(&there, &self.0),
            lacking(&self.0, &there),
        )))
    }
}

/// A line of a description.
pub(super) fn line<S: Structure>(key: &[u8], digest: u64) -> String {
    let key = String::from_utf8_lossy(key);
    format!("{key} {:?} {digest:016x}", S::TYPE)
}
