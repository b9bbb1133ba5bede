//! The logs of libpmemobj's lanes.
//!
//! ```text
//! lane    0  internal redo log: 64 bytes of header, 192 of entries
//!       256  external redo log: 64, 640
//!       960  undo log: 64, 2,048
//! log     0  8  checksum of header and entries, Fletcher's
//!         8  8  next      offset of the log's extension, 0 for none
//!        16  8  capacity  bytes of entries
//!        24  8  generation
//!        32  8  flags
//!        64     entries
//! entry   0  8  what to do in the top 3 bits (0 set, 1 and, 2 or), and the offset of a word
//!         8  8  operand
//! ```
//!
//! libpmemobj follows the chain of extensions and steps over the entries of every log, whether the
//! checksum holds or not. `pobj` makes no libpmemobj transactions, so no undo log has entries.

use super::view::View;
use super::{damaged, descriptor};
use crate::error::Result;

const LANE_LEN: u64 = 3072;
const HEADER_WORDS: u64 = 8;
/// Offset in a lane, and most bytes of entries, of the redo logs and of the undo log.
const REDO: [(u64, u64); 2] = [(0, 192), (256, 640)];
const UNDO: (u64, u64) = (960, 2048);
/// Extensions that one log may have; ours need one or two.
const EXTENSIONS_MAX: usize = 4096;

/// Verifies all lanes, and lays what whole redo logs are going to write over `view`. The offsets of
/// the logs' extensions, which must be objects of the heap.
pub(super) fn verify(view: &mut View) -> Result<Vec<u64>> {
    let (start, count) = (
        view.word(descriptor::LANES_OFFSET)?,
        view.word(descriptor::LANES)?,
    );
    let end = count
        .checked_mul(LANE_LEN)
        .and_then(|len| start.checked_add(len));
    if count == 0 || end.is_none_or(|end| end > view.heap.start) {
        return Err(damaged("the lanes' place", descriptor::LANES_OFFSET));
    }
    let mut extensions = Vec::new();
    let mut entries = Vec::new();
    let words = view.words(start, count * LANE_LEN / 8)?;
    for (nth, lane) in words.chunks((LANE_LEN / 8) as usize).enumerate() {
        let offset = start + nth as u64 * LANE_LEN;
        for (at, room) in REDO {
            let log = Log::of(view, &lane[(at / 8) as usize..], offset + at, room)?;
            if log.is_whole()? {
                entries.extend(log.entries(true)?);
            }
            extensions.extend(log.extensions);
        }
        let (at, room) = UNDO;
        let undo = Log::of(view, &lane[(at / 8) as usize..], offset + at, room)?;
        if undo.first.first().is_some_and(|&word| word != 0) {
            return Err(damaged("an undo log with entries", undo.offset));
        }
        extensions.extend(undo.extensions);
    }
    entries
        .into_iter()
        .try_for_each(|entry| apply(view, entry))?;
    Ok(extensions)
}

/// An entry of a redo log: what to do, where, with what.
type Entry = (u64, u64, u64);
const SET: u64 = 0;
const AND: u64 = 1;
const OR: u64 = 2;

fn apply(view: &mut View, (operation, offset, operand): Entry) -> Result<()> {
    let word = match operation {
        SET => operand,
        AND => view.word(offset)? & operand,
        _ => view.word(offset)? | operand,
    };
    view.write(offset, word)
}

struct Log<'a> {
    offset: u64,
    /// Header and entries.
    all: &'a [u64],
    /// Entries in the lane itself.
    first: &'a [u64],
    extensions: Vec<u64>,
    /// Entries in the extensions.
    further: Vec<u64>,
}

impl<'a> Log<'a> {
    /// The log whose header is at the start of `words`, with room for `room` bytes of entries.
    fn of(view: &View, words: &'a [u64], offset: u64, room: u64) -> Result<Log<'a>> {
        let (next, capacity, flags) = (words[1], words[2], words[4]);
        if capacity > room || !capacity.is_multiple_of(8) || flags != 0 {
            return Err(damaged("a log's header", offset));
        }
        let mut log = Log {
            offset,
            all: words,
            first: &words[HEADER_WORDS as usize..(HEADER_WORDS + capacity / 8) as usize],
            extensions: Vec::new(),
            further: Vec::new(),
        };
        log.follow(view, next)?;
        // Stepping over the entries must come to an end, whatever the checksum says.
        log.entries(false)?;
        Ok(log)
    }

    fn follow(&mut self, view: &View, mut next: u64) -> Result<()> {
        while next != 0 {
            let at = next.next_multiple_of(64);
            let is_inside = view.heap.contains(&next) && view.heap.contains(&at);
            if !is_inside || self.extensions.len() == EXTENSIONS_MAX {
                return Err(damaged("a log's extension", self.offset));
            }
            let header = view.words(at, HEADER_WORDS)?;
            let capacity = header[2];
            let end = capacity.checked_add(at + HEADER_WORDS * 8);
            if capacity % 64 != 0 || end.is_none_or(|end| end > view.heap.end) || header[4] != 0 {
                return Err(damaged("a log's extension", at));
            }
            self.further
                .extend(view.words(at + HEADER_WORDS * 8, capacity / 8)?);
            self.extensions.push(next);
            next = header[1];
        }
        Ok(())
    }

    /// The entries, up to the first that is not one; those of the extensions only if `all`.
    fn entries(&self, all: bool) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let further = if all { &self.further[..] } else { &[] };
        for part in [self.first, further] {
            for pair in part.chunks(2) {
                if pair[0] == 0 {
                    return Ok(entries);
                }
                let (operation, offset) = (pair[0] >> 61, pair[0] & !(7 << 61));
                let Some(&operand) = pair.get(1).filter(|_| operation <= OR) else {
                    return Err(damaged("an entry of a log", self.offset));
                };
                entries.push((operation, offset, operand));
            }
        }
        Ok(entries)
    }

    /// Whether the log was written whole, so that libpmemobj is going to redo it.
    fn is_whole(&self) -> Result<bool> {
        let words = 2 * self.entries(false)?.len();
        let summed = &self.all[1..HEADER_WORDS as usize + words];
        Ok(words > 0 && checksum(summed) == self.all[0])
    }
}

/// Fletcher's checksum of 64 bits over a zero word and `words`.
fn checksum(words: &[u64]) -> u64 {
    let halves = words
        .iter()
        .flat_map(|&word| [word as u32, (word >> 32) as u32]);
    let (low, high) = halves.fold((0_u32, 0_u32), |(low, high), half| {
        let low = low.wrapping_add(half);
        (low, high.wrapping_add(low))
    });
    u64::from(high) << 32 | u64::from(low)
}
