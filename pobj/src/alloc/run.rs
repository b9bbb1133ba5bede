//! A run: adjacent granules of an extent that belong to one object or slab page.
//!
//! The word of a run stands in its extent's table, at the place of its first granule:
//!
//! ```text
//! bits  0–7   kind      1 the table itself, 2 slab page, from 3 on an object, plus the number of its kind
//! bits  8–39  granules  how many
//! bits 40–63  check     24 bits of XXH3-64 of the 40 bits before, seeded with the pool's seed and the run's offset
//! ```
//!
//! A granule without a word of its own is free, or inside a run: then its word is zero.

use crate::Kind;

/// Bytes of a granule; they are aligned in the pool.
pub(crate) const GRANULE: u64 = 4096;
/// Most granules of a run.
pub(crate) const RUN_MAX: u64 = u32::MAX as u64;

/// Bits of a word before its check.
const SAID_BITS: u32 = 40;
const SAID: u64 = (1 << SAID_BITS) - 1;

/// What the granules of a run hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RunKind {
    /// The head of an extent and its table.
    Table,
    /// A slab page.
    Page,
    /// An object of this kind, alone in its run.
    Object(Kind),
}

/// The number of the first kind of objects; plus the kind's own for the others.
const OBJECT: u8 = 3;

impl RunKind {
    fn byte(self) -> u8 {
        match self {
            RunKind::Table => 1,
            RunKind::Page => 2,
            RunKind::Object(kind) => OBJECT + kind.number(),
        }
    }

    fn from_byte(byte: u8) -> Option<RunKind> {
        match byte {
            0 => None,
            1 => Some(RunKind::Table),
            2 => Some(RunKind::Page),
            object => Kind::from_byte(object - OBJECT).map(RunKind::Object),
        }
    }

    /// What kind of object the run is, if it is one.
    pub(crate) fn object(self) -> Option<Kind> {
        match self {
            RunKind::Object(kind) => Some(kind),
            RunKind::Table | RunKind::Page => None,
        }
    }
}

/// Granules that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    /// Pool offset of the first granule.
    pub offset: u64,
    /// How many.
    pub granules: u64,
    /// What they hold.
    pub kind: RunKind,
}

impl Run {
    /// Bytes of the run.
    pub(crate) fn len(&self) -> u64 {
        self.granules * GRANULE
    }

    /// The word that tells of this run.
    pub(crate) fn word(&self, seed: u64) -> u64 {
        let said = self.said();
        said | check(said, self.offset, seed) << SAID_BITS
    }

    /// What a word says of this run, without its check.
    #[inline]
    fn said(&self) -> u64 {
        u64::from(self.kind.byte()) | self.granules << 8
    }

    /// Whether a word says this of the run that starts where the word stands. Its check, verified
    /// when the pool was opened, is not looked at.
    #[inline]
    pub(crate) fn is_said_by(&self, word: u64) -> bool {
        word & SAID == self.said()
    }

    /// The run at `offset` that `word` tells of; `None` if it is no word of a run there.
    pub(crate) fn of_word(word: u64, offset: u64, seed: u64) -> Option<Run> {
        let said = word & SAID;
        let run = Run {
            offset,
            granules: said >> 8,
            kind: RunKind::from_byte(said as u8)?,
        };
        (run.granules > 0 && word >> SAID_BITS == check(said, offset, seed)).then_some(run)
    }
}

fn check(said: u64, offset: u64, seed: u64) -> u64 {
    let seed = seed ^ offset.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    xxhash_rust::xxh3::xxh3_64_with_seed(&said.to_le_bytes(), seed) >> 40
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_belongs_to_its_run_and_place() {
        let run = Run {
            offset: 40 * GRANULE,
            granules: 77,
            kind: RunKind::Object(Kind::new(1)),
        };
        let word = run.word(5);
        assert!(run.is_said_by(word) && !run.is_said_by(0));
        assert_eq!(Run::of_word(word, run.offset, 5), Some(run));
        assert_eq!(Run::of_word(word, run.offset + GRANULE, 5), None);
        assert_eq!(Run::of_word(word, run.offset, 6), None);
        assert_eq!(Run::of_word(0, run.offset, 5), None);
        for bit in 0..64 {
            assert_eq!(Run::of_word(word ^ 1 << bit, run.offset, 5), None, "{bit}");
        }
    }
}
