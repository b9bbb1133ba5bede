//! The file with what a cut left, which the recovery opens.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use memmap2::MmapMut;

use crate::LINE_BYTES;
use crate::extents::{self, PAGE_BYTES};
use crate::files::{Parts, part_name};
use crate::model::{Memory, Survivors};

/// An image, mapped.
pub(crate) struct Image {
    /// Its file, or those of its parts.
    files: Vec<ImageFile>,
    /// Where the parts lie, and how long they are.
    parts: Option<(PathBuf, Parts)>,
}

/// A file of an image.
struct ImageFile {
    file: File,
    map: MmapMut,
    /// Where in the pool it begins.
    start: usize,
}

impl ImageFile {
    /// Makes the file `path` with `len` bytes, which begin at `start` in the pool.
    fn create(path: &Path, start: usize, len: usize) -> io::Result<ImageFile> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        file.set_len(len as u64)?;
        // SAFETY: the file is ours; a worker also maps it, but only while we wait for its answer,
        // and only to read and write plain bytes.
        let map = unsafe { MmapMut::map_mut(&file)? };
        Ok(ImageFile { file, map, start })
    }

    fn end(&self) -> usize {
        self.start + self.map.len()
    }

    /// Whether it is still the file at `path`.
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let (own, there) = (self.file.metadata()?, fs::metadata(path));
        Ok(there.is_ok_and(|there| there.ino() == own.ino() && there.len() == own.len()))
    }

    /// Fills the file with what `durable` has in these pages and in those of its own.
    fn write(&mut self, durable: &[u8], used_pages: impl Iterator<Item = usize>) -> io::Result<()> {
        let range = self.start..self.end();
        let pages = |range: Range<usize>| range.step_by(PAGE_BYTES);
        let allocated = extents::allocated(&self.file)?.into_iter().flat_map(pages);
        let used = used_pages.filter(|start| range.contains(start));
        for start in allocated.chain(used.map(|start| start - range.start)) {
            let page = start..self.map.len().min(start + PAGE_BYTES);
            let right = &durable[range.start + page.start..range.start + page.end];
            if &self.map[page.clone()] != right {
                self.map[page].copy_from_slice(right);
            }
        }
        Ok(())
    }
}

impl Image {
    /// Makes the file `path` for images of `len` bytes; or of up to as many, in parts like these.
    pub(crate) fn create(path: &Path, len: usize, parts: Option<Parts>) -> io::Result<Image> {
        match parts {
            None => Ok(Image {
                files: vec![ImageFile::create(path, 0, len)?],
                parts: None,
            }),
            Some(parts) => Ok(Image {
                files: Vec::new(),
                parts: Some((parts.describe(path)?, parts)),
            }),
        }
    }

    /// Fills the image with what `memory` leaves if `survivors` survive. Costs a comparison of the
    /// pages that the files or the memory use; those that are right already are not written.
    pub(crate) fn write(&mut self, memory: &Memory, survivors: &Survivors) -> io::Result<()> {
        self.have_parts(memory.len())?;
        let end = self.files.last().map_or(0, ImageFile::end);
        assert_eq!(memory.len(), end, "an image has whole parts");
        for file in &mut self.files {
            file.write(memory.durable(), memory.used_pages())?;
        }
        for (line, contents) in survivors {
            let start = *line as usize * LINE_BYTES;
            let file = self.files.iter_mut().find(|file| start < file.end());
            let file = file.expect("no line lies behind the pool");
            let start = start - file.start;
            file.map[start..start + LINE_BYTES].copy_from_slice(contents);
        }
        Ok(())
    }

    /// Sees to it that there are the parts of a pool of `len` bytes and no others, whatever became
    /// of the last image.
    fn have_parts(&mut self, len: usize) -> io::Result<()> {
        let Some((directory, parts)) = &self.parts else {
            return Ok(());
        };
        let lens: Vec<usize> = parts.lens(len).collect();
        let path_of = |number: usize| directory.join(part_name(number));
        self.files.truncate(lens.len());
        let mut right = 0;
        while right < self.files.len() && self.files[right].is_at(&path_of(right))? {
            right += 1;
        }
        self.files.truncate(right);
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if !(0..right).any(|number| path_of(number) == path) {
                fs::remove_file(path)?;
            }
        }
        for (number, &len) in lens.iter().enumerate().skip(right) {
            let start = self.files.last().map_or(0, ImageFile::end);
            self.files
                .push(ImageFile::create(&path_of(number), start, len)?);
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
        let mut image = Image::create(&path, LEN, None).expect("it can be made");
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
            image.files[0].map[5 * PAGE_BYTES + 7] = round;
            image.files[0].map[3] = 9;
        }
    }

    #[test]
    fn an_image_has_as_many_parts_as_its_memory() {
        const PART: usize = 4 * PAGE_BYTES;
        let directory = tempfile::tempdir_in("/dev/shm").expect("tmpfs is mounted");
        // A set of one part, to which a second one comes.
        let recorded = directory.path().join("recorded");
        fs::create_dir(recorded.with_extension("parts")).expect("it is writable");
        let line = format!("1M {}", recorded.with_extension("parts").display());
        fs::write(
            &recorded,
            format!("PMEMPOOLSET\nOPTION SINGLEHDR\n{line}\n"),
        )
        .expect("it is writable");
        let first = recorded.with_extension("parts").join(part_name(0));
        fs::write(first, vec![0; PART]).expect("it is writable");
        let mut trace = Vec::new();
        let grown = Grown((2 * PART / PAGE_BYTES) as u32);
        grown.write(&mut trace);
        let parts = Parts::of(&recorded)
            .expect("it is readable")
            .expect("a set");
        let parts = parts.with_those_of(&trace);

        let path = directory.path().join("image");
        let mut image = Image::create(&path, 0, Some(parts.clone())).expect("it can be made");
        let before = Memory::growing(vec![1; PART], parts.len());
        let mut after = before.clone();
        let last = (2 * PART / LINE_BYTES - 1) as u32;
        for event in [grown, Store(last, [7; 64])] {
            after.apply(&event);
        }
        assert_ne!(
            before.fingerprint_after_cut(&vec![]),
            after.fingerprint_after_cut(&vec![])
        );
        let rounds = [
            (&before, vec![]),
            (&after, vec![]),
            (&after, vec![(last, [7; 64])]),
            (&before, vec![]),
        ];
        for (memory, survivors) in rounds {
            image
                .write(memory, &survivors)
                .expect("the files are writable");
            let found = crate::files::read(&path).expect("it is readable");
            let expected = memory.after_cut(&survivors);
            assert!(found == expected.durable()[..memory.len()]);
            // What a worker may do: make parts, remove them, change them.
            let parts = path.with_extension("parts");
            fs::write(parts.join(part_name(2)), [1]).expect("it is writable");
            fs::remove_file(parts.join(part_name(0))).expect("it is there");
        }
    }
}
