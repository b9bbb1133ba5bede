//! What pools of values hold, and what is done with one that has come back.

use fastrand::Rng;
use pobj::{Cursor, Kind, Pool};
use store::record::{self, Record, RecordPtr};
use store::structures;

use super::actor::{Actor, line, reclaim_some};
use super::{Structure, Values};
use crate::check::Recovered;
use crate::states::Description;

/// A record of a pool.
pub struct Found {
    pub record: RecordPtr,
    pub head: Record,
}

/// All records of a pool.
pub fn records(pool: &Pool) -> pobj::Result<Vec<Found>> {
    let (mut records, mut cursor) = (Vec::new(), Cursor::default());
    while let Some((object, next)) = pool.next_object(Kind::Record, cursor) {
        let record = object.cast();
        record::verify(pool, record)?;
        let head = *record::get(pool, record)?;
        records.push(Found { record, head });
        cursor = next;
    }
    Ok(records)
}

/// What a pool of values holds: a line for each record, and the bytes in use. Values are checked down to
/// their last element; and if nothing waits for being reclaimed, every object of the pool must be
/// somebody's, and nobody else's.
pub fn describe<S: Structure>(pool: &Pool) -> pobj::Result<Description> {
    let (mut state, mut owned, mut dead) = (Vec::new(), Owned::default(), 0);
    for Found { record, head } in records(pool)? {
        if head.birth == 0 {
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
        inline: record::Inline,
    ) -> pobj::Result<()> {
        structures::check(pool, head.value_type()?, head.root, inline, &mut |object| {
            self.add(object.offset());
        })
    }

    /// Takes an object.
    pub fn add(&mut self, object: u64) {
        self.0.push(object);
    }

    /// An error unless the pool's objects are these, each taken once.
    pub fn must_be_all(mut self, pool: &Pool) -> pobj::Result<()> {
        let (mut there, mut cursor) = (Vec::new(), Cursor::default());
        while let Some((object, next)) = pool.next_object(Kind::Data, cursor) {
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

impl<S: Structure> Recovered for Values<S> {
    type Opened = Pool;

    fn describe(opened: &Pool) -> pobj::Result<Description> {
        describe::<S>(opened)
    }

    fn work_on(opened: Pool, seed: u64, _: &Description) -> Result<Pool, String> {
        work_on::<S>(opened, seed).map_err(|error| error.to_string())
    }
}

/// Reclaims what is dead, goes on changing the values, and frees them.
fn work_on<S: Structure>(mut pool: Pool, seed: u64) -> pobj::Result<Pool> {
    for Found { record, head } in records(&pool)? {
        while head.birth == 0 && !reclaim_some(&mut pool, record, 16)? {}
    }
    describe::<S>(&pool)?;
    let mut actor = Actor::<S>::new(pool, Rng::with_seed(seed))?;
    for _ in 0..4 {
        actor.act()?;
    }
    actor.describe();
    actor.free_all()
}
