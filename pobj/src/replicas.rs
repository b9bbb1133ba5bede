//! Replicas of a poolset: which of them has the latest changes.
//!
//! libpmemobj opens a set whose headers belong together, reads the first replica, and writes to all
//! of them, one after the other. Whether one has missed changes, because an old copy of it was put
//! back, neither it nor `pmempool check` nor `pmempool sync` looks at. So their log rings are
//! compared before it opens them, in the closed files.
//!
//! * After a power cut two replicas may differ by what the last fence did not reach: the last
//!   record, with what it has filled. The first replica decides whether that record counts. What
//!   the others may lack of it is written to them again ([`complete`]) before recovery goes on, so
//!   that the difference never grows.
//! * A replica that is further behind is stale, and the pool is refused, whichever replica it is:
//!   if it is the first one, opening it would give old data; if it is another one, it would seem
//!   intact until it is needed.
//!
//! A set on device DAX is passed over: its parts cannot be read as files.

use crate::error::{Error, Result, damaged};
use crate::file;
use crate::handle::Handle;
use crate::identity;
use crate::layout::{Areas, Header, LINE, LOG_AT, OLD_LOG_LEN, RECORD_MAX, RING_LEN, ROOT_SIZE};
use crate::log_record::{Fill, parse};
use crate::parts::Image;
use crate::set::Set;
use bytemuck::Zeroable;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// By how many records replicas may differ without one being stale.
const IN_DOUBT: u64 = 1;

/// What a replica's log says.
#[derive(Debug, Default, PartialEq, Eq)]
struct History {
    /// Where its root object and its ring are.
    places: [Range<u64>; 2],
    /// Checksums of the records that are in the ring, by number.
    records: BTreeMap<u64, u64>,
    /// What the last two of them have filled.
    fills: Vec<Fill>,
}

impl History {
    /// Reads the log of a pool that may have none yet.
    fn read(image: &Image, layout: &identity::Layout) -> Result<History> {
        let root = image.word(file::ROOT_OFFSET_AT as u64)?;
        let mut header = Header::zeroed();
        if root != 0 {
            image.read(root, bytemuck::bytes_of_mut(&mut header))?;
        }
        if header.magic != layout.magic {
            return Ok(History::default());
        }
        let areas = Areas::of(root, image.word(root + LOG_AT)?, OLD_LOG_LEN);
        let mut ring = vec![0; RING_LEN as usize];
        image.read(areas.ring, &mut ring)?;
        Ok(History {
            places: [root..root + ROOT_SIZE, areas.ring..areas.ring + RING_LEN],
            ..History::of_ring(&ring, header.seed[0])
        })
    }

    fn of_ring(ring: &[u8], seed: u64) -> History {
        let (mut records, mut fills) = (BTreeMap::new(), BTreeMap::new());
        for position in (0..ring.len()).step_by(LINE as usize) {
            let bytes = &ring[position..ring.len().min(position + RECORD_MAX)];
            if let Some((header, filled, _)) = parse(bytes, seed) {
                records.insert(header.seq, header.checksum);
                fills.insert(header.seq, filled);
            }
        }
        History {
            places: Default::default(),
            records,
            fills: fills.into_values().rev().take(2).flatten().collect(),
        }
    }

    /// The number of the last record.
    fn lsn(&self) -> u64 {
        self.records.last_key_value().map_or(0, |(&seq, _)| seq)
    }

    /// Whether both have changed since what they have in common.
    fn contradicts(&self, other: &History) -> bool {
        let common = self.lsn().min(other.lsn());
        match (self.records.get(&common), other.records.get(&common)) {
            (Some(ours), Some(theirs)) => ours != theirs,
            _ => false,
        }
    }
}

/// Compares the replicas of the closed set at `path`. Returns what [`complete`] is to write from
/// the first one to the others.
///
/// # Errors
/// `StaleReplica` and `DifferentReplicas`; `Locked` if somebody has the pool open; `Damaged` if a
/// log is not where it should be.
pub(crate) fn compare(
    path: &Path,
    layout: &identity::Layout,
    set: &Set,
) -> Result<Vec<Range<u64>>> {
    let replicas = set.files_by_replica()?;
    let firsts: Vec<&PathBuf> = replicas.iter().filter_map(|files| files.first()).collect();
    if firsts.len() < 2 {
        return Ok(Vec::new());
    }
    let mut histories = Vec::new();
    for (files, first) in replicas.iter().zip(&firsts) {
        let Some(image) = Image::open(files, set.has_single_headers())? else {
            return Ok(Vec::new());
        };
        let _locked = file::lock(first)?;
        histories.push(History::read(&image, layout)?);
    }
    judge(path, &firsts, &histories)?;
    let first = histories.swap_remove(0);
    let mut doubtful = first.places.to_vec();
    doubtful.extend(first.fills.iter().map(|fill| {
        let end = fill.offset.saturating_add(fill.len);
        fill.offset..end
    }));
    Ok(doubtful)
}

/// Refuses replicas that are not of one state.
fn judge(path: &Path, firsts: &[&PathBuf], histories: &[History]) -> Result<()> {
    let all = || firsts.iter().zip(histories);
    let newest = all().rev().max_by_key(|(_, history)| history.lsn());
    let (newest, latest) = newest.expect("there are replicas");
    for (file, history) in all() {
        if history.lsn() + IN_DOUBT < latest.lsn() {
            return Err(Error::StaleReplica {
                set: path.into(),
                stale: file.to_path_buf(),
                lsn: history.lsn(),
                newest: newest.to_path_buf(),
                newest_lsn: latest.lsn(),
            });
        }
        if history.contradicts(latest) {
            return Err(Error::DifferentReplicas {
                set: path.into(),
                replicas: [file.to_path_buf(), newest.to_path_buf()],
            });
        }
    }
    Ok(())
}

/// Has libpmemobj, which has just opened the pool, write parts of the first replica to the others,
/// durably.
///
/// # Errors
/// `Damaged` if one is not in the pool.
pub(crate) fn complete(handle: &Handle, doubtful: &[Range<u64>]) -> Result<()> {
    for range in doubtful.iter().filter(|range| !range.is_empty()) {
        if range.end > handle.len() {
            return Err(damaged("a record's fill out of the pool", range.start));
        }
        let at = handle.pop.as_ptr().cast::<u8>();
        let at = at.wrapping_add(range.start as usize);
        let len = (range.end - range.start) as usize;
        // SAFETY: the pool is open, nobody else uses it yet, and the range lies in it; to persist
        // it changes no byte of the first replica.
        unsafe { (handle.lib).pmemobj_persist(handle.pop.as_ptr(), at.cast(), len) };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(records: &[(u64, u64)]) -> History {
        History {
            records: records.iter().copied().collect(),
            ..History::default()
        }
    }

    fn verdict(histories: &[History]) -> Result<()> {
        let files: Vec<PathBuf> = (0..histories.len())
            .map(|number| PathBuf::from(format!("/part{number}")))
            .collect();
        judge(
            Path::new("/set"),
            &files.iter().collect::<Vec<_>>(),
            histories,
        )
    }

    #[test]
    fn what_a_power_cut_leaves_is_not_stale() {
        let long = || history(&[(7, 70), (8, 80), (9, 90)]);
        let short = || history(&[(6, 60), (7, 70), (8, 80)]);
        verdict(&[long(), long()]).unwrap();
        verdict(&[long(), short()]).unwrap();
        verdict(&[short(), long()]).unwrap();
        verdict(&[History::default(), History::default()]).unwrap();
    }

    #[test]
    fn the_stale_replica_is_named_whichever_it_is() {
        let new = || history(&[(8, 80), (9, 90)]);
        let old = || history(&[(6, 60), (7, 70)]);
        for (histories, name) in [
            ([new(), old(), new()], "/part1"),
            ([old(), new(), new()], "/part0"),
            ([new(), new(), History::default()], "/part2"),
        ] {
            match verdict(&histories) {
                Err(Error::StaleReplica { stale, newest, .. }) => {
                    assert_eq!(stale, Path::new(name));
                    assert_ne!(newest, stale);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn replicas_that_went_different_ways_are_told() {
        let one = history(&[(8, 80), (9, 90)]);
        for other in [
            history(&[(8, 80), (9, 91)]),
            history(&[(8, 81)]),
            history(&[(9, 91), (10, 100)]),
        ] {
            let found = verdict(&[history(&[(8, 80), (9, 90)]), other]);
            assert!(
                matches!(found, Err(Error::DifferentReplicas { .. })),
                "{found:?}"
            );
        }
        assert!(!one.contradicts(&one));
    }
}
