//! The file with what a cut left, which the recovery opens.

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::MmapMut;

use crate::LINE_BYTES;
use crate::extents::{self, PAGE_BYTES};
use crate::model::{Memory, Survivors};

/// An image file, mapped.
pub struct Image {
    file: File,
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
        // SAFETY: the file is ours; a worker also maps it, but only while we wait for its answer,
        // and only to read and write plain bytes.
        let map = unsafe { MmapMut::map_mut(&file)? };
        Ok(Image { file, map })
    }

    /// Fills the file with what `memory` leaves if `survivors` survive. Costs a comparison of the
    /// pages that the file or the memory uses; those that are right already are not written.
    pub fn write(&mut self, memory: &Memory, survivors: &Survivors) -> io::Result<()> {
        let durable = memory.durable();
        assert_eq!(
            durable.len(),
            self.map.len(),
            "all images of a recording have the same size"
        );
        let pages = |range: std::ops::Range<usize>| range.step_by(PAGE_BYTES);
        let allocated = extents::allocated(&self.file)?.into_iter().flat_map(pages);
        for start in allocated.chain(memory.used_pages()) {
            let page = start..durable.len().min(start + PAGE_BYTES);
            if self.map[page.clone()] != durable[page.clone()] {
                self.map[page.clone()].copy_from_slice(&durable[page]);
            }
        }
        for (line, contents) in survivors {
            let start = *line as usize * LINE_BYTES;
            self.map[start..start + LINE_BYTES].copy_from_slice(contents);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Event::*;

    const LEN: usize = 8 * PAGE_BYTES;

    #[test]
    fn whatever_was_done_to_the_image_the_next_one_is_right() {
        let directory = tempfile::tempdir_in("/dev/shm").expect("tmpfs is mounted");
        let path = directory.path().join("image");
        let mut image = Image::create(&path, LEN).expect("it can be made");
        let mut memory = Memory::new(vec![0; LEN]);
        let second_page = (PAGE_BYTES / LINE_BYTES) as u32;
        for event in [Store(0, [1; 64]), Flush(0), Fence, Store(1, [2; 64])] {
            memory.apply(&event);
        }
        for round in 1..4 {
            let survivors = match round {
                1 => vec![(1, [2; 64])],
                2 => vec![(second_page, [3; 64])],
                _ => vec![],
            };
            image
                .write(&memory, &survivors)
                .expect("the file is writable");
            let found = std::fs::read(&path).expect("it is readable");
            assert!(
                found == memory.after_cut(&survivors).durable(),
                "round {round}"
            );
            image.map[5 * PAGE_BYTES + 7] = round;
            image.map[3] = 9;
        }
    }
}
