//! libpmemobj's own metadata, verified before libpmemobj follows it.
//!
//! libpmemobj trusts its media: an offset in a log, a size of zero in a list of chunks, or a bit in
//! a bitmap that is not what it was make it write outside its objects, loop for ever, or end the
//! process. So everything of that kind is looked at first, in the closed files, and contradictions
//! refuse the pool.
//!
//! | file | what is verified |
//! |---|---|
//! | `view.rs` | nothing: the file's words as they will be once libpmemobj has redone its logs |
//! | `lanes.rs` | the logs of each lane: lengths, kinds of entries, targets, chains |
//! | `chunks.rs` | zones, chunks, runs, bitmaps, object headers, the root object |
//!
//! A pool that a power cut left is sound in this sense: torn logs fail their checksums, whole ones
//! are taken into account, and everything else changes only through them.
//!
//! Cost: 3 MiB of logs, 512 KiB for 16 GiB of pool, and a line for each slab page and large object;
//! the walk that follows the opening reads those as well. Of a poolset, the first replica is
//! verified: libpmemobj reads no other. One on device DAX is not, as its parts cannot be read as
//! files.

mod chunks;
mod lanes;
mod view;

use crate::error::{Error, Result};
use crate::file;
use crate::parts::Image;
use crate::set::Set;
use std::path::{Path, PathBuf};
use view::View;

/// Where libpmemobj's descriptor has its words.
mod descriptor {
    pub(crate) const LANES_OFFSET: u64 = 4096 + 1024;
    pub(super) const LANES: u64 = LANES_OFFSET + 8;
    pub(crate) const HEAP_OFFSET: u64 = LANES_OFFSET + 16;
    pub(crate) const ROOT_OFFSET: u64 = 4096 + 2048;
    pub(super) const ROOT_SIZE: u64 = ROOT_OFFSET + 16;
    pub(crate) const HEAP_SIZE: u64 = ROOT_OFFSET + 32;
}

/// Verifies the pool in the file at `path`, which nobody has open.
///
/// # Errors
/// `Damaged` with what is wrong and where; `Locked` if somebody has the pool open.
pub(crate) fn verify(path: &Path) -> Result<()> {
    verify_files(&[path.into()], true)
}

/// Verifies the pool in a poolset that nobody has open. A first part without libpmemobj's header is
/// left to libpmemobj, which names it.
///
/// # Errors
/// As those of [`verify`].
pub(crate) fn verify_set(set: &Set) -> Result<()> {
    match set.files_by_replica()?.first() {
        Some(files) => verify_files(files, set.has_single_headers()),
        None => Ok(()),
    }
}

fn verify_files(files: &[PathBuf], single_header: bool) -> Result<()> {
    let Some(image) = Image::open(files, single_header)? else {
        return Ok(());
    };
    if image.word(0)?.to_le_bytes() != *file::SIGNATURE {
        return Ok(());
    }
    let _locked = file::lock(&files[0])?;
    let mut view = View::new(image)?;
    let extensions = lanes::verify(&mut view)?;
    chunks::verify(&view, &extensions)
}

/// What is wrong with libpmemobj's metadata.
fn damaged(what: &str, offset: u64) -> Error {
    crate::error::damaged(&format!("libpmemobj's metadata: {what}"), offset)
}
