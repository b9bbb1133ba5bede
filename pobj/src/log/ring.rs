//! The redo ring: where a batch becomes durable with one fence.
//!
//! Invariants
//! * Record `n` is written only after the fence of record `n - 1`; that fence also made the flushed
//!   writes of record `n - 2` durable. So after a power cut only the last two records can hold
//!   writes that are not in place, and only the last one can be in doubt.
//! * A record never overwrites the one before it (`RECORD_MAX` is far below half of `RING_LEN`).
//! * Sequence numbers have no gaps; recovery ends with a barrier above every number ever used.
//!
//! The last record counts if its checksum holds and the bytes it filled hash to what it says.
//! Otherwise it never happened. A record of format 1 may also have waited for libpmemobj to publish
//! what it allocated.

use crate::error::{Error, Result};
use crate::layout::{Areas, LINE, RECORD_MAX, RING_LEN};
use crate::log_record::*;
use crate::medium::Medium;
use bytemuck::Zeroable;
use static_assertions::const_assert;
use xxhash_rust::xxh3::Xxh3;

const_assert!(4 * RECORD_MAX as u64 <= RING_LEN);

/// What a commit adds to its writes.
#[derive(Default)]
pub(crate) struct Extras<'a> {
    pub fills: &'a [Fill],
    /// The hash of the filled bytes ([`Ring::hash`]), by which recovery knows that all of them are
    /// there. Without it a fence before the record must make them durable.
    pub fills_hash: Option<u64>,
}

/// The ring of an open pool.
pub(crate) struct Ring {
    start: u64,
    seed: u64,
    /// Number of the next record.
    next: u64,
    /// Position of the next record in the ring.
    tail: u64,
    /// Position and kind of the last record.
    last: Option<(u64, RecordKind)>,
}

/// What recovery found in the ring.
pub(crate) struct Found {
    pub ring: Ring,
    /// The group that was open, to be rolled back after the replay.
    pub open_group: Option<u64>,
    /// Encoded writes to redo, oldest first, with the fills of the record that follows them.
    pub replay: Vec<Replay>,
}

/// One record to redo.
pub(crate) struct Replay {
    pub writes: Vec<u8>,
    /// Ranges a later record filled afresh: writes into them are out of date.
    pub superseded: Vec<Fill>,
}

struct Valid {
    position: u64,
    header: RecordHeader,
    fills: Vec<Fill>,
    writes: Vec<u8>,
}

impl Ring {
    /// Number of the last record.
    pub(crate) fn lsn(&self) -> u64 {
        self.next - 1
    }

    /// True if `fills` and `writes` fit one record.
    pub(crate) fn fits(fills: usize, writes: &Writes) -> bool {
        fills <= FILLS_MAX && writes.record_len(fills) <= RECORD_MAX
    }

    /// The hash of filled bytes. To be taken before they are flushed: a load from a line that is on
    /// its way to the medium waits for it, some hundred nanoseconds.
    pub(crate) fn hash(&self, medium: &Medium, fills: &[Fill]) -> Result<u64> {
        hash_fills(medium, fills, self.seed)
    }

    /// Writes and flushes the next record, whose number is [`Ring::lsn`] then. It is durable after
    /// the next fence. The caller has checked [`Ring::fits`].
    pub(crate) fn append(
        &mut self,
        medium: &mut Medium,
        kind: RecordKind,
        extras: &Extras<'_>,
        writes: &mut Writes,
    ) -> Result<()> {
        let seq = self.next;
        if kind == RecordKind::Redo && medium.is_noted() {
            // The journal's record has what this one would bring back; a barrier before it tells
            // the number.
            medium.flush_dirty();
            self.last = Some((self.tail, kind));
            self.next += 1;
            return Ok(());
        }
        let len = writes.record_len(extras.fills.len()) as u64;
        debug_assert!(len <= RECORD_MAX as u64);
        let mut header = RecordHeader {
            seq,
            kind: kind as u8,
            ..RecordHeader::zeroed()
        };
        if let Some(hash) = extras.fills_hash {
            header.flags |= FILLS_HASHED;
            header.fills_hash = hash;
        }
        let position = if self.tail + len > RING_LEN {
            0
        } else {
            self.tail
        };
        let at = self.start + position;
        writes.with_record(header, extras.fills, self.seed, |record| {
            medium.stream_lines(at, record)
        })?;
        medium.flush_dirty();
        self.last = Some((position, kind));
        self.tail = (position + len).next_multiple_of(LINE);
        self.next += 1;
        Ok(())
    }

    /// Makes sure that nothing before this point is ever redone, for changes that bypass the ring
    /// (what libpmemobj does with its heap). At most two fences; none if the last record says so
    /// already.
    pub(crate) fn barrier(&mut self, medium: &mut Medium) -> Result<()> {
        if matches!(self.last, Some((_, RecordKind::Redo)) | None) {
            medium.fence();
            self.append(
                medium,
                RecordKind::Barrier,
                &Extras::default(),
                &mut Writes::default(),
            )?;
            medium.fence();
        }
        Ok(())
    }

    /// Ends recovery: everything replayed or rolled back is durable and is not done again.
    pub(crate) fn seal(&mut self, medium: &mut Medium) -> Result<()> {
        if self.next > 1 {
            medium.fence();
            self.append(
                medium,
                RecordKind::Barrier,
                &Extras::default(),
                &mut Writes::default(),
            )?;
            medium.fence();
        }
        Ok(())
    }

    /// Reads the ring of a pool that was just opened. `published` is the number of the last record
    /// whose large objects libpmemobj has published. Changes nothing.
    pub(crate) fn recover(
        medium: &Medium,
        areas: &Areas,
        seed: u64,
        published: u64,
    ) -> Result<Found> {
        let mut ring = Ring {
            start: areas.ring,
            seed,
            next: 1,
            tail: 0,
            last: None,
        };
        let mut newest: [Option<Valid>; 2] = [None, None];
        for position in (0..RING_LEN).step_by(LINE as usize) {
            if let Some(found) = ring.read(medium, position)? {
                let seq = found.header.seq;
                ring.next = ring.next.max(seq + 1);
                if newest[1].as_ref().is_none_or(|last| last.header.seq < seq) {
                    newest[0] = newest[1].replace(found);
                } else if newest[0]
                    .as_ref()
                    .is_none_or(|previous| previous.header.seq < seq)
                {
                    newest[0] = Some(found);
                }
            }
        }
        let [mut previous, mut last] = newest;
        if let Some(doubtful) = &last
            && !doubtful.counts(medium, seed, published)?
        {
            ring.tail = doubtful.position;
            last = previous.take();
        } else if let Some(end) = &last {
            let len = HEADER_LEN as u64 + u64::from(end.header.len);
            ring.tail = (end.position + len).next_multiple_of(LINE);
        }
        // The record before the last is redone only if it really is the one before.
        previous = previous.filter(|p| {
            last.as_ref()
                .is_some_and(|l| p.header.seq + 1 == l.header.seq)
        });

        let kind = |record: &Option<Valid>| record.as_ref().and_then(|r| r.header.kind());
        ring.last = last
            .as_ref()
            .and_then(|r| Some((r.position, r.header.kind()?)));
        let (kind_previous, kind_last) = (kind(&previous), kind(&last));
        let open_group = (kind_last == Some(RecordKind::GroupBegin))
            .then(|| last.as_ref().expect("it has a kind").header.seq);
        let mut replay = Vec::new();
        let superseded = last.as_ref().map(|r| r.fills.clone()).unwrap_or_default();
        // A publish begins with a drain, so what the record before it wrote is in place; and
        // libpmemobj may have its own metadata by now where that was, if the publish freed it.
        let published = last
            .as_ref()
            .is_some_and(|r| r.header.flags & PUBLISHES != 0);
        let redo_previous =
            !published && matches!(kind_last, Some(RecordKind::Redo | RecordKind::GroupBegin));
        if let (Some(RecordKind::Redo), true, Some(record)) =
            (kind_previous, redo_previous, previous)
        {
            replay.push(Replay {
                writes: record.writes,
                superseded,
            });
        }
        if let (Some(RecordKind::Redo), Some(record)) = (kind_last, last) {
            replay.push(Replay {
                writes: record.writes,
                superseded: Vec::new(),
            });
        }
        Ok(Found {
            ring,
            open_group,
            replay,
        })
    }

    /// The record at `position`, if its checksum holds.
    fn read(&self, medium: &Medium, position: u64) -> Result<Option<Valid>> {
        let room = (RING_LEN - position).min(RECORD_MAX as u64);
        let bytes = medium.bytes(self.start + position, room)?;
        let Some((header, fills, writes)) = parse(bytes, self.seed) else {
            return Ok(None);
        };
        Ok(Some(Valid {
            position,
            header,
            fills,
            writes: writes.to_vec(),
        }))
    }
}

impl Valid {
    /// Whether the commit this record stands for was complete.
    fn counts(&self, medium: &Medium, seed: u64, published: u64) -> Result<bool> {
        if self.header.flags & PUBLISHES != 0 && published < self.header.seq {
            return Ok(false);
        }
        if self.header.flags & FILLS_HASHED == 0 {
            return Ok(true);
        }
        match hash_fills(medium, &self.fills, seed) {
            Ok(hash) => Ok(hash == self.header.fills_hash),
            Err(Error::Damaged(_)) => Ok(false),
            Err(other) => Err(other),
        }
    }
}

fn hash_fills(medium: &Medium, fills: &[Fill], seed: u64) -> Result<u64> {
    if let [fill] = fills {
        let bytes = medium.bytes(fill.offset, fill.len)?;
        return Ok(xxhash_rust::xxh3::xxh3_64_with_seed(bytes, seed));
    }
    let mut hash = Xxh3::with_seed(seed);
    for fill in fills {
        hash.update(medium.bytes(fill.offset, fill.len)?);
    }
    Ok(hash.digest())
}
