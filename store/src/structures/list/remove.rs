//! Removal of elements by value.

use super::Side;
use super::child::Span;
use super::chunk::{CHUNK_MAX, Chunk, Room};
use super::entry::{ENTRY_MAX, Entries};
use super::handle::{ElementPlace, Form, List, Place};
use super::tree::Path;
use crate::structures::Root;
use pobj::{PPtr, Pool, Result, Tx};
use static_assertions::const_assert;

/// A chunk that a removal leaves below this joins a neighbour.
const SPARSE: usize = CHUNK_MAX / 4;
/// Joined chunks have at most this many bytes.
const JOINED_MAX: usize = CHUNK_MAX / 4 * 3;

const_assert!(ENTRY_MAX <= SPARSE);

/// Removes elements equal to `value`, from one end on, at most `limit`; how many were removed.
/// O(n).
///
/// # Errors
/// [`Damaged`, `Full`](crate::structures#errors).
pub fn remove(
    tx: &mut Tx<'_>,
    root: &mut Root,
    side: Side,
    value: &[u8],
    limit: u64,
) -> Result<u64> {
    tx.removes();
    let mut list = List::open(tx, *root)?;
    let (len, mut passed, mut removed) = (list.len(), 0, 0);
    while passed < len && removed < limit {
        list.step_if_dirty(tx)?;
        let index = match side {
            Side::Left => passed - removed,
            Side::Right => len - 1 - passed,
        };
        let found = list.find(tx, index)?;
        let seen = match side {
            Side::Left => found.chunk.count() - found.number as u64,
            Side::Right => found.number as u64 + 1,
        };
        passed += seen;
        let matches = matches(tx, &found, side, value, limit - removed)?;
        if !matches.is_empty() {
            removed += matches.len() as u64;
            list.remove_from(tx, found, &matches)?;
        }
    }
    if removed > 0 {
        list.close(tx, root)?;
    }
    Ok(removed)
}

/// An entry to be removed: where it begins in the chunk's entries, its length, its object.
struct Match {
    byte: usize,
    len: usize,
    object: Option<PPtr<u8>>,
}

/// The entries equal to `value` from the found one on, in the order of the chunk.
fn matches(
    pool: &Pool,
    found: &ElementPlace,
    side: Side,
    value: &[u8],
    limit: u64,
) -> Result<Vec<Match>> {
    let mut matches = Vec::new();
    let bytes = found.chunk.bytes(pool)?;
    let from = match (side, found.number) {
        (Side::Left, 0) => 0,
        (Side::Left, number) => found.chunk.cut(pool, number)?.byte,
        (Side::Right, number) => found.chunk.cut(pool, number + 1)?.byte,
    };
    let mut entries = Entries(match side {
        Side::Left => &bytes[from..],
        Side::Right => &bytes[..from],
    });
    loop {
        let entry = match side {
            Side::Left => entries.next(),
            Side::Right => entries.next_back(),
        };
        let Some(entry) = entry.transpose()? else {
            break;
        };
        if entry.value.equals(pool, value)? {
            let byte = match side {
                Side::Left => bytes.len() - entries.0.len() - entry.raw.len(),
                Side::Right => entries.0.len(),
            };
            matches.push(Match {
                byte,
                len: entry.raw.len(),
                object: entry.object(),
            });
            if matches.len() as u64 == limit {
                break;
            }
        }
    }
    if side == Side::Right {
        matches.reverse();
    }
    Ok(matches)
}

impl List {
    /// Removes entries from a chunk; one left sparse joins a neighbour in the tree.
    fn remove_from(
        &mut self,
        tx: &mut Tx<'_>,
        found: ElementPlace,
        matches: &[Match],
    ) -> Result<()> {
        let ElementPlace { place, chunk, .. } = found;
        let bytes = chunk.bytes(tx)?;
        let first = matches[0].byte;
        let mut kept = Vec::with_capacity(bytes.len() - first);
        for (nth, gone) in matches.iter().enumerate() {
            let next = matches.get(nth + 1).map_or(bytes.len(), |next| next.byte);
            kept.extend_from_slice(&bytes[gone.byte + gone.len..next]);
        }
        let count = usize::from(chunk.span.count) - matches.len();
        let used = first + kept.len();
        let all = (used < SPARSE).then(|| [&bytes[..first], &kept].concat());
        for object in matches.iter().filter_map(|gone| gone.object) {
            tx.free(object)?;
        }
        if let (Place::Leaf(path), Some(all)) = (&place, all) {
            if count == 0 {
                tx.free(chunk.at)?;
                return self.put_in_tree(tx, path, &[]);
            }
            if self.join(tx, path, chunk, &all, count)? {
                return Ok(());
            }
        }
        if !kept.is_empty() {
            tx.write(
                chunk.at.at(u64::from(chunk.span.start) + first as u64),
                &kept,
            )?;
        }
        let span = Span {
            end: chunk.span.start + used as u16,
            count: count as u16,
            ..chunk.span
        };
        self.put(tx, place, &[Chunk { span, ..chunk }])
    }

    /// Puts the entries of a sparse chunk and a neighbour's into a new one, if they fit.
    fn join(
        &mut self,
        tx: &mut Tx<'_>,
        path: &Path,
        chunk: Chunk,
        bytes: &[u8],
        count: usize,
    ) -> Result<bool> {
        let Form::Deep { tree, .. } = &mut self.form else {
            return Ok(false);
        };
        let [before, after] = tree.neighbours(tx, path)?;
        let fits = |neighbour: &Chunk| bytes.len() + neighbour.used() <= JOINED_MAX;
        let (neighbour, number, all) = match (before.filter(fits), after.filter(fits)) {
            (Some(before), _) => (
                before,
                path.number() - 1,
                [before.bytes(tx)?, bytes].concat(),
            ),
            (None, Some(after)) => (after, path.number(), [bytes, after.bytes(tx)?].concat()),
            (None, None) => return Ok(false),
        };
        let count = count + usize::from(neighbour.span.count);
        let joined = Chunk::build(tx, &all, count, CHUNK_MAX, Room::Even)?;
        tx.free(chunk.at)?;
        tx.free(neighbour.at)?;
        self.dirty = true;
        tree.replace(tx, path, number..number + 2, &[joined])?;
        Ok(true)
    }
}
