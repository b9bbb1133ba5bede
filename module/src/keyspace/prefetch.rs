//! Prefetching what a command is about to read.
//!
//! The command filter sees a command some hundred nanoseconds before its handler looks its key up,
//! and the key is often the one that the command of that type before it looked at. So the bucket of
//! a hash's field, or of a member of a set or a sorted set, is prefetched in the filter, and the
//! entry when the key is opened: the processor loads both while Redis prepares the command. It is a
//! guess, on which nothing depends.

use super::{Engine, with_engine};
use crate::error::CmdError;
use crate::redis::{FilterArgs, stands_in};
use pobj::field;
use store::record::{Record, RecordPtr};
use store::structures::{self, table};
use store::value::ValueType;

/// What is known of the next look-up.
#[derive(Debug, Default)]
pub(crate) struct Prefetch {
    /// The hash, set or sorted set that a command looked at last.
    last: Option<(ValueType, RecordPtr)>,
    /// Commands whose second argument is looked up in a value of this type, by their names without
    /// a prefix.
    look_ups: Vec<(&'static str, ValueType)>,
    /// The bucket that the running command will read.
    bucket: Option<table::Prefetch>,
}

impl Prefetch {
    /// A command looks at `record`.
    #[inline]
    pub(super) fn note(&mut self, ty: ValueType, record: RecordPtr) {
        if !matches!(ty, ValueType::String | ValueType::List) {
            self.last = Some((ty, record));
        }
    }

    /// Whether a PM command of this name, or of a native name if these are `plain`, looks its
    /// second argument up in values of this type.
    ///
    /// Commands that change an element gain nothing: they spend their time on writing back what the
    /// one before has changed.
    #[inline]
    fn looks_up_in(&self, ty: ValueType, name: &[u8], plain: bool) -> bool {
        let name = match name {
            [_, _, b'.', name @ ..] => name,
            name if plain => name,
            _ => return false,
        };
        let mut look_ups = self.look_ups.iter();
        look_ups.any(|&(own, of)| of == ty && own.as_bytes().eq_ignore_ascii_case(name))
    }
}

/// Learns which commands look their second argument up in a value of which type.
pub fn learn_look_ups(
    look_ups: impl Iterator<Item = (&'static str, ValueType)>,
) -> Result<(), CmdError> {
    with_engine(|engine| {
        engine.prefetch.look_ups = look_ups.collect();
        Ok(())
    })
}

impl Engine {
    /// A command, whose name this is, will run.
    #[inline]
    pub(super) fn prefetch_bucket(&mut self, name: &[u8], args: &FilterArgs<'_>) {
        self.prefetch.bucket = None;
        if let Some((ty, record)) = self.prefetch.last
            && self.prefetch.looks_up_in(ty, name, stands_in())
            && let Some(root) = self.store.pool.peek(field!(record, Record, root))
            && let Some(table) = structures::table_to_prefetch(&self.store.pool, ty, root)
            && let Some(element) = args.get(2)
        {
            self.prefetch.bucket = table::prefetch_bucket(&self.store.pool, table, element.bytes());
        }
    }

    /// The record at `addr` will be looked at once the command has opened its other keys: its fixed
    /// part, the name, a short value.
    #[inline]
    pub(super) fn prefetch_record(&self, addr: usize) {
        const LINES: u64 = 3;
        const LINE: u64 = 64;
        if let Some(record) = self.record_at(addr) {
            self.store.pool.will_need(record, LINES * LINE);
            for line in 0..LINES {
                self.store.pool.prefetch::<u8>(record.at(line * LINE));
            }
        }
    }

    /// The command opens its key.
    #[inline]
    pub(super) fn prefetch_entry(&mut self) {
        if let Some(bucket) = self.prefetch.bucket.take() {
            let _ = bucket.prefetch_entry(&self.store.pool);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_ups_of_one_element_are_known_by_name() {
        let prefetch = Prefetch {
            look_ups: vec![("hget", ValueType::Hash), ("zscore", ValueType::ZSet)],
            ..Prefetch::default()
        };
        let looks_up = |ty, name: &[u8], plain| prefetch.looks_up_in(ty, name, plain);
        for name in [b"PM.HGET".as_slice(), b"pm.hget", b"Pm.hGet"] {
            assert!(looks_up(ValueType::Hash, name, false));
            assert!(!looks_up(ValueType::ZSet, name, false));
        }
        assert!(looks_up(ValueType::ZSet, b"PM.ZSCORE", false));
        for name in [b"PM.SET".as_slice(), b"HGET", b"PM.HGETALL", b"PM.H", b""] {
            assert!(!looks_up(ValueType::Hash, name, false));
        }
        assert!(looks_up(ValueType::Hash, b"HGET", true));
        assert!(!looks_up(ValueType::Hash, b"SET", true));
    }
}
