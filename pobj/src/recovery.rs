//! Recovery: what a pool's log has of its last use is redone or undone, before anything else looks
//! at the pool.

use crate::error::{Error, Result};
use crate::found;
use crate::heap::{CHUNK_OBJECT, Heap};
use crate::identity::Layout;
use crate::layout::*;
use crate::log::ring::{Replay, Ring};
use crate::log::undo::Undo;
use crate::log_record::{Fill, writes};
use crate::medium::Medium;
use std::path::Path;

/// A pool that is as the last committed change has left it.
pub(crate) struct Recovered {
    pub header: Header,
    pub areas: Areas,
    /// Offset and bytes of the log object.
    pub log: u64,
    pub log_len: u64,
    pub ring: Ring,
    pub undo: Undo,
    /// Number of the last record that was found.
    pub lsn: u64,
    /// The older format that the pool had.
    pub old_format: Option<u32>,
}

/// Recovers the pool, of which nobody has read anything yet; makes it one of ours if it has
/// nothing, with this seed or a random one.
pub(crate) fn recover(
    medium: &mut Medium,
    heap: &mut Heap,
    path: &Path,
    layout: &Layout,
    chosen_seed: Option<[u64; 2]>,
    in_use: bool,
) -> Result<Recovered> {
    let root = heap.root(ROOT_SIZE)?;
    medium.bytes(root, ROOT_SIZE)?;
    let mut header: Header = *medium.get(root)?;
    if header.is_blank() {
        if heap.holds_data()? {
            return Err(Error::Damaged(
                "the root header is blank, but there is data".into(),
            ));
        }
        let seed = chosen_seed.map_or_else(random_seed, Ok)?;
        header = initialize(medium, heap, root, Header::new(layout.magic, seed))?;
    }
    check_header(&header, path, layout, in_use)?;
    header.format_version &= !JOURNALED;
    let log = medium.word(root + LOG_AT)?;
    let log_len = match medium.word(root + LOG_LEN_AT)? {
        0 => OLD_LOG_LEN,
        len => len.max(OLD_LOG_LEN),
    };
    medium.bytes(log, log_len)?;
    let areas = Areas::of(root, log, log_len);
    let seed = header.seed[0];

    let published = medium.word(areas.published())?;
    let found = Ring::recover(medium, &areas, seed, published)?;
    let is_old = header.format_version <= FORMAT_WITHOUT_EXTENTS;
    let mut undo = Undo::open(medium, &areas, seed, is_old)?;
    for replay in &found.replay {
        redo(medium, replay)?;
    }
    let mut ring = found.ring;
    let lsn = ring.lsn();
    if let Some(group) = found.open_group {
        undo.recover(medium, group)?;
        undo.roll_back(medium, 0)?;
    }
    ring.seal(medium)?;
    // What lies in further segments is not needed any more, and no table says that they are in use.
    undo.clear(medium)?;
    let old_format = is_old.then_some(header.format_version);
    if is_old {
        header.format_version = FORMAT_VERSION;
        let word = &bytemuck::bytes_of(&header)[VERSION_AT as usize..][..8];
        medium.store(root + VERSION_AT, word)?;
        medium.flush(root + VERSION_AT, 8)?;
        medium.fence();
    }
    Ok(Recovered {
        header,
        areas,
        log,
        log_len,
        ring,
        undo,
        lsn,
        old_format,
    })
}

/// Applies a record again; ranges that a later record filled afresh stay as they are.
fn redo(medium: &mut Medium, replay: &Replay) -> Result<()> {
    let overlaps = |fill: &Fill, offset: u64, len: u64| {
        fill.offset < offset + len && offset < fill.offset.saturating_add(fill.len)
    };
    for write in writes(&replay.writes) {
        let (offset, bytes) = write?;
        let len = bytes.len() as u64;
        if !replay
            .superseded
            .iter()
            .any(|fill| overlaps(fill, offset, len))
        {
            medium.store(offset, bytes)?;
            medium.flush(offset, len)?;
        }
    }
    Ok(())
}

/// Gives a new pool its log and, last, its header. Cut short, it is done again at the next open.
fn initialize(medium: &mut Medium, heap: &mut Heap, root: u64, header: Header) -> Result<Header> {
    if medium.word(root + LOG_AT)? == 0 {
        medium.store(root + LOG_LEN_AT, &CHUNK_OBJECT.to_le_bytes())?;
        medium.flush(root + LOG_LEN_AT, 8)?;
        let log = heap.reserve_chunk(type_num::LOG)?;
        let offset = log.offset();
        medium.stream(offset, &vec![0; CHUNK_OBJECT as usize])?;
        medium.fence();
        heap.publish(log, Some((root + LOG_AT, offset)))?;
    }
    let (magic, rest) = bytemuck::bytes_of(&header).split_at(size_of::<u64>());
    // The header lies on two lines, of which a power cut may keep the second alone.
    for (at, bytes) in [(size_of::<u64>() as u64, rest), (0, magic)] {
        medium.store(root + at, bytes)?;
        medium.flush(root + at, bytes.len() as u64)?;
        medium.fence();
    }
    Ok(header)
}

fn check_header(header: &Header, path: &Path, layout: &Layout, in_use: bool) -> Result<()> {
    if header.magic != layout.magic {
        return Err(Error::Damaged(format!(
            "{} has no {} root object",
            path.display(),
            layout.shown_name()
        )));
    }
    found::known_format(path, layout, header)?;
    // Somebody has had it since it was looked at: to be opened once more.
    if (header.format_version & JOURNALED != 0) != in_use {
        return Err(Error::Locked(path.into()));
    }
    if header.checksum != header.expected_checksum() || header.format_version == 0 {
        return Err(Error::Damaged(format!(
            "{}: the root header's checksum is wrong",
            path.display()
        )));
    }
    Ok(())
}
