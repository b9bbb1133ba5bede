//! Turns the calls of libpmem in this process into a trace of one pool's lines.
//!
//! The recorder maps the pool file a second time and keeps a copy of what it saw last; a difference
//! is a store. So it sees stores through any mapping of the file, also ones that are never flushed.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::extents::{self, PAGE_BYTES};
use crate::files::{self, Parts};
use crate::interpose::Observer;
use crate::trace::Event;
use crate::{LINE_BYTES, Line, LineNumber};

/// Records what happens to one pool.
pub struct Recorder {
    path: PathBuf,
    /// `None` until the pool's file exists.
    pool: Option<Pool>,
    trace: File,
    trace_bytes: u64,
    unwritten: Vec<u8>,
}

impl Recorder {
    /// Records what this process does to the pool `path` from now on, into the file `trace`.
    ///
    /// What the pool holds now is taken as durable. If there is none yet, it begins with zeros.
    pub fn new(path: &Path, trace: &Path) -> io::Result<Recorder> {
        let mut recorder = Recorder {
            path: path.to_owned(),
            pool: None,
            trace: File::create(trace)?,
            trace_bytes: 0,
            unwritten: Vec::new(),
        };
        if path.exists() {
            let view = View::open(path)?;
            let seen = view.read()?;
            recorder.pool = Some(Pool::new(view, seen));
        }
        Ok(recorder)
    }

    /// The pool, if its file exists and is mapped at `address`, and the offset in it.
    fn find(&mut self, address: usize) -> Option<(&mut Pool, usize)> {
        if self.pool.is_none() && self.path.exists() {
            let view = View::open(&self.path).expect("the pool can be mapped once more");
            let seen = vec![0; view.len()];
            self.pool = Some(Pool::new(view, seen));
        }
        let pool = self.pool.as_mut()?;
        let offset = pool.view.offset_of(address)?;
        Some((pool, offset))
    }

    /// Looks whether a part has come to the pool.
    fn look_for_parts(&mut self) {
        let Some(pool) = self.pool.as_mut() else {
            return;
        };
        if let Some(len) = pool.view.grow().expect("the pool can be looked at") {
            pool.seen.resize(len, 0);
            Event::Grown((len / PAGE_BYTES) as u32).write(&mut self.unwritten);
        }
    }

    fn write_out(&mut self) {
        self.trace
            .write_all(&self.unwritten)
            .expect("the trace can be written");
        self.trace_bytes += self.unwritten.len() as u64;
        self.unwritten.clear();
    }
}

impl Observer for Recorder {
    fn flush(&mut self, address: usize, len: usize) {
        self.look_for_parts();
        let mut unwritten = std::mem::take(&mut self.unwritten);
        if let Some((pool, offset)) = self.find(address) {
            pool.look(offset..offset + len, &mut unwritten);
            pool.flush(offset..offset + len, &mut unwritten);
        }
        self.unwritten = unwritten;
    }

    fn fence(&mut self) {
        self.look_for_parts();
        if let Some(pool) = &mut self.pool {
            pool.look_around(&mut self.unwritten);
        }
        Event::Fence.write(&mut self.unwritten);
        self.write_out();
    }

    fn sent(&mut self, port: u16, bytes: usize) {
        Event::Sent(port, bytes as u32).write(&mut self.unwritten);
        self.write_out();
    }

    fn position(&self) -> u64 {
        self.trace_bytes + self.unwritten.len() as u64
    }
}

impl Drop for Recorder {
    /// Adds what was stored and flushed since the last fence.
    fn drop(&mut self) {
        if let Some(pool) = &mut self.pool {
            pool.look_around(&mut self.unwritten);
        }
        self.write_out();
    }
}

/// A pool and what was seen of it.
struct Pool {
    view: View,
    seen: Vec<u8>,
    /// Lines stored to since they were last flushed.
    dirty: HashSet<LineNumber>,
}

impl Pool {
    fn new(view: View, seen: Vec<u8>) -> Pool {
        Pool {
            view,
            seen,
            dirty: HashSet::new(),
        }
    }

    /// Looks at everything that can have changed: what is allocated to the file.
    fn look_around(&mut self, trace: &mut Vec<u8>) {
        for range in self.view.allocated().expect("the files can be asked") {
            self.look(range, trace);
        }
    }

    /// Looks at the lines of a range and records what is new.
    fn look(&mut self, range: Range<usize>, trace: &mut Vec<u8>) {
        let lines = lines_of(range, self.seen.len());
        let bytes = lines.start * LINE_BYTES..lines.end * LINE_BYTES;
        // In runs of a page first, since most of a pool stays as it is.
        for start in bytes.clone().step_by(PAGE_BYTES) {
            let run = start..bytes.end.min(start + PAGE_BYTES);
            if *self.view.bytes(run.clone()) != self.seen[run.clone()] {
                run.step_by(LINE_BYTES)
                    .for_each(|start| self.look_at_line(start, trace));
            }
        }
    }

    fn look_at_line(&mut self, start: usize, trace: &mut Vec<u8>) {
        let seen = &mut self.seen[start..start + LINE_BYTES];
        let contents: Line = self
            .view
            .bytes(start..start + LINE_BYTES)
            .try_into()
            .expect("the length of a line");
        if *seen != contents {
            seen.copy_from_slice(&contents);
            let line = (start / LINE_BYTES) as LineNumber;
            self.dirty.insert(line);
            Event::Store(line, contents).write(trace);
        }
    }

    fn flush(&mut self, range: Range<usize>, trace: &mut Vec<u8>) {
        for line in lines_of(range, self.seen.len()) {
            let line = line as LineNumber;
            if self.dirty.remove(&line) {
                Event::Flush(line).write(trace);
            }
        }
    }
}

/// The numbers of the lines that a byte range of a pool of `len` bytes touches.
fn lines_of(range: Range<usize>, len: usize) -> Range<usize> {
    range.start.min(len) / LINE_BYTES..range.end.min(len).div_ceil(LINE_BYTES)
}

/// The pool's files, mapped once more to look at.
struct View {
    path: PathBuf,
    files: Vec<ViewFile>,
    /// Whether they are parts, which lie one behind the other in the process, and others may come.
    is_set: bool,
    mappings: Vec<Mapping>,
    /// How many unmappings there had been when `mappings` was made.
    unmappings: u64,
}

/// One of them.
struct ViewFile {
    map: Mmap,
    file: File,
    /// Where in the pool it begins.
    start: usize,
}

/// Where a part of the pool's first file is mapped in this process.
struct Mapping {
    addresses: Range<usize>,
    offset: usize,
}

impl ViewFile {
    fn open(path: &Path, start: usize) -> io::Result<ViewFile> {
        let file = File::open(path)?;
        // SAFETY: the file is not truncated while a workload runs on it. Others do write to it;
        // that happens in this process, which waits in a call of libpmem while the bytes are looked
        // at. A torn look at another thread's store costs precision, nothing else: they are plain
        // bytes.
        let map = unsafe { Mmap::map(&file)? };
        if !map.len().is_multiple_of(PAGE_BYTES) {
            return Err(io::Error::other("a pool has whole pages"));
        }
        Ok(ViewFile { map, file, start })
    }

    fn end(&self) -> usize {
        self.start + self.map.len()
    }
}

impl View {
    fn open(path: &Path) -> io::Result<View> {
        let mut view = View {
            path: path.to_owned(),
            files: Vec::new(),
            is_set: Parts::of(path)?.is_some(),
            mappings: vec![],
            unmappings: u64::MAX,
        };
        view.add_files()?;
        Ok(view)
    }

    fn add_files(&mut self) -> io::Result<()> {
        let known = self.files.len();
        for path in files::files(&self.path)?.into_iter().skip(known) {
            self.files.push(ViewFile::open(&path, self.len())?);
        }
        Ok(())
    }

    /// Takes parts in that have come; the pool's length since, if there are some.
    fn grow(&mut self) -> io::Result<Option<usize>> {
        let before = self.len();
        if self.is_set {
            self.add_files()?;
        }
        Ok(Some(self.len()).filter(|&len| len > before))
    }

    fn len(&self) -> usize {
        self.files.last().map_or(0, ViewFile::end)
    }

    /// Bytes of one page.
    fn bytes(&self, range: Range<usize>) -> &[u8] {
        let file = self.files.iter().find(|file| range.start < file.end());
        let file = file.expect("it lies in the pool");
        &file.map[range.start - file.start..range.end - file.start]
    }

    /// What the files hold, read in a way that allocates nothing to them.
    fn read(&self) -> io::Result<Vec<u8>> {
        let all: io::Result<Vec<_>> = self
            .files
            .iter()
            .map(|it| extents::read(&it.file))
            .collect();
        Ok(all?.concat())
    }

    /// The ranges of the pool that are allocated to its files.
    fn allocated(&self) -> io::Result<Vec<Range<usize>>> {
        let mut all = Vec::new();
        for file in &self.files {
            let ranges = extents::allocated(&file.file)?.into_iter();
            all.extend(ranges.map(|range| range.start + file.start..range.end + file.start));
        }
        Ok(all)
    }

    /// The offset in the pool of what is mapped at `address`, if that is the pool.
    fn offset_of(&mut self, address: usize) -> Option<usize> {
        self.cached_offset_of(address).or_else(|| {
            self.unmappings = crate::interpose::unmappings();
            let first = &self.files.first()?.file;
            self.mappings = mappings_of(first).expect("/proc/self/maps can be read");
            self.cached_offset_of(address)
        })
    }

    fn cached_offset_of(&self, address: usize) -> Option<usize> {
        if self.unmappings != crate::interpose::unmappings() {
            return None;
        }
        let offset = |mapping: &Mapping| {
            Some(mapping.offset + address.checked_sub(mapping.addresses.start)?)
        };
        if self.is_set {
            // The parts are mapped one behind the other. The first one may be mapped elsewhere,
            // too, but not within them.
            let starts = self.mappings.iter().filter(|it| it.offset == 0);
            let below = starts.filter(|it| it.addresses.start <= address);
            let nearest = below.max_by_key(|it| it.addresses.start)?;
            return offset(nearest).filter(|&at| at < self.len());
        }
        let mut mappings = self.mappings.iter();
        mappings
            .find(|it| it.addresses.contains(&address))
            .and_then(offset)
    }
}

/// Where in this process `file` is mapped.
fn mappings_of(file: &File) -> io::Result<Vec<Mapping>> {
    let metadata = file.metadata()?;
    let (device, inode) = (metadata.dev(), metadata.ino());
    let device = format!("{:02x}:{:02x}", libc::major(device), libc::minor(device));
    let maps = fs::read_to_string("/proc/self/maps")?;
    Ok(maps
        .lines()
        .filter_map(|line| parse_mapping(line, &device, inode))
        .collect())
}

/// A line of `/proc/self/maps`, if it is about the file: addresses, permissions, offset, device,
/// inode.
fn parse_mapping(line: &str, device: &str, inode: u64) -> Option<Mapping> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let offset = fields.nth(1)?;
    if fields.next()? != device || fields.next()?.parse() != Ok(inode) {
        return None;
    }
    let number = |text| usize::from_str_radix(text, 16).ok();
    Some(Mapping {
        addresses: number(start)?..number(end)?,
        offset: number(offset)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_found_by_device_and_inode() {
        let line = "7f10a000-7f20a000 rw-s 00002000 00:1b 77   /dev/shm/my pool";
        let mapping = parse_mapping(line, "00:1b", 77).expect("it is the file");
        assert_eq!(
            (mapping.addresses, mapping.offset),
            (0x7f10a000..0x7f20a000, 0x2000)
        );
        assert!(parse_mapping(line, "00:1b", 78).is_none());
        assert!(parse_mapping(line, "00:1c", 77).is_none());
        assert!(parse_mapping("7f10a000-7f20a000 rw-p 00000000 00:00 0", "00:1b", 77).is_none());
    }

    #[test]
    fn a_range_touches_the_lines_it_shares_a_byte_with() {
        assert_eq!(lines_of(64..65, 4096), 1..2);
        assert_eq!(lines_of(63..65, 4096), 0..2);
        assert_eq!(lines_of(0..128, 4096), 0..2);
        assert_eq!(lines_of(4000..5000, 4096), 62..64);
    }
}
