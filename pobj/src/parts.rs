//! A closed pool's bytes, read across the files that it lies in.

use crate::error::{Result, damaged};
use crate::file::io_error;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// Parts behind the first one begin with a page of libpmemobj's, unless the set has single headers;
/// and end with their last whole page.
const PAGE: u64 = 4096;

/// The pool's bytes in the files of one replica, or in a plain file.
pub(crate) struct Image {
    parts: Vec<Part>,
}

/// A file, and where its bytes are in the pool.
struct Part {
    file: File,
    path: PathBuf,
    range: Range<u64>,
    /// Bytes of the file before them.
    skipped: u64,
}

impl Image {
    /// Opens a replica's files; `None` if one is no regular file.
    pub(crate) fn open(files: &[PathBuf], single_header: bool) -> Result<Option<Image>> {
        let (mut parts, mut end) = (Vec::new(), 0);
        for path in files {
            let file = File::open(path).map_err(|error| io_error(path, &error))?;
            let metadata = file.metadata().map_err(|error| io_error(path, &error))?;
            if !metadata.is_file() {
                return Ok(None);
            }
            let skipped = match end {
                0 => 0,
                _ if single_header => 0,
                _ => PAGE,
            };
            let len = (metadata.len() & !(PAGE - 1)).saturating_sub(skipped);
            let range = end..end + len;
            end = range.end;
            let path = path.clone();
            parts.push(Part {
                file,
                path,
                range,
                skipped,
            });
        }
        Ok(Some(Image { parts }))
    }

    /// The pool's bytes that the files have room for.
    pub(crate) fn len(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.range.end)
    }

    /// Reads bytes of the pool.
    pub(crate) fn read(&self, mut offset: u64, mut bytes: &mut [u8]) -> Result<()> {
        while !bytes.is_empty() {
            let part = self.parts.iter().find(|part| part.range.contains(&offset));
            let part = part.ok_or_else(|| damaged("a pointer out of a replica", offset))?;
            let len = (part.range.end - offset).min(bytes.len() as u64);
            let (now, later) = bytes.split_at_mut(len as usize);
            let at = offset - part.range.start + part.skipped;
            let read = part.file.read_exact_at(now, at);
            read.map_err(|error| io_error(&part.path, &error))?;
            (bytes, offset) = (later, offset + len);
        }
        Ok(())
    }

    /// The word at `offset`.
    pub(crate) fn word(&self, offset: u64) -> Result<u64> {
        let mut word = 0_u64;
        self.read(offset, bytemuck::bytes_of_mut(&mut word))?;
        Ok(word)
    }
}
