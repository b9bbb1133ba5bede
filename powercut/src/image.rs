//! The file with what a cut left, which the recovery opens.

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::MmapMut;

use crate::LINE_BYTES;
use crate::cut::Survivors;

const PAGE_BYTES: usize = 4096;

/// An image file, mapped.
pub struct Image {
    map: MmapMut,
}

impl Image {
    /// Makes the file `path` for images of `len` bytes.
    pub fn create(path: &Path, len: usize) -> io::Result<Image> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        file.set_len(len as u64)?;
        // SAFETY: the file is ours; a worker also maps it, but only while we wait for its answer, and
        // only to read and write plain bytes.
        let map = unsafe { MmapMut::map_mut(&file)? };
        Ok(Image { map })
    }

    /// Fills the file with `durable` and the survivors of a cut. Pages that are right already are not
    /// written, so this costs a comparison of the pool (1 ms for 8 MiB).
    pub fn write(&mut self, durable: &[u8], survivors: &Survivors) {
        assert_eq!(
            durable.len(),
            self.map.len(),
            "all images of a recording have the same size"
        );
        let pages = self
            .map
            .chunks_mut(PAGE_BYTES)
            .zip(durable.chunks(PAGE_BYTES));
        pages
            .filter(|(page, wanted)| page != wanted)
            .for_each(|(page, wanted)| {
                page.copy_from_slice(wanted);
            });
        for (line, contents) in survivors {
            let start = *line as usize * LINE_BYTES;
            self.map[start..start + LINE_BYTES].copy_from_slice(contents);
        }
    }
}
