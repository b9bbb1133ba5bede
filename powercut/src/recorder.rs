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
    /// Records what this process does to the pool file `path` from now on, into the file `trace`.
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
            let seen = extents::read(&view.file)?;
            recorder.pool = Some(Pool::new(view, seen));
        }
        Ok(recorder)
    }

    /// The pool, if its file exists and is mapped at `address`, and the offset in it.
    fn find(&mut self, address: usize) -> Option<(&mut Pool, usize)> {
        if self.pool.is_none() && self.path.exists() {
            let view = View::open(&self.path).expect("the pool can be mapped once more");
            let seen = vec![0; view.bytes().len()];
            self.pool = Some(Pool::new(view, seen));
        }
        let pool = self.pool.as_mut()?;
        let offset = pool.view.offset_of(address)?;
        Some((pool, offset))
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
        let mut unwritten = std::mem::take(&mut self.unwritten);
        if let Some((pool, offset)) = self.find(address) {
            pool.look(offset..offset + len, &mut unwritten);
            pool.flush(offset..offset + len, &mut unwritten);
        }
        self.unwritten = unwritten;
    }

    fn fence(&mut self) {
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
        let allocated = extents::allocated(&self.view.file).expect("the file can be asked");
        for range in allocated {
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
            if self.view.bytes()[run.clone()] != self.seen[run.clone()] {
                run.step_by(LINE_BYTES)
                    .for_each(|start| self.look_at_line(start, trace));
            }
        }
    }

    fn look_at_line(&mut self, start: usize, trace: &mut Vec<u8>) {
        let seen = &mut self.seen[start..start + LINE_BYTES];
        let contents: Line = self.view.bytes()[start..start + LINE_BYTES]
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

/// The pool file, mapped once more to look at.
struct View {
    map: Mmap,
    file: File,
    mappings: Vec<Mapping>,
    /// How many unmappings there had been when `mappings` was made.
    unmappings: u64,
}

/// Where a part of the pool file is mapped in this process.
struct Mapping {
    addresses: Range<usize>,
    offset: usize,
}

impl View {
    fn open(path: &Path) -> io::Result<View> {
        let file = File::open(path)?;
        // SAFETY: the file is not truncated while a workload runs on it. Others do write to it;
        // that happens in this process, which waits in a call of libpmem while the bytes are looked
        // at. A torn look at another thread's store costs precision, nothing else: they are plain
        // bytes.
        let map = unsafe { Mmap::map(&file)? };
        if !map.len().is_multiple_of(PAGE_BYTES) {
            return Err(io::Error::other("a pool has whole pages"));
        }
        Ok(View {
            map,
            file,
            mappings: vec![],
            unmappings: u64::MAX,
        })
    }

    fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The offset in the file of what is mapped at `address`, if that is the pool.
    fn offset_of(&mut self, address: usize) -> Option<usize> {
        self.cached_offset_of(address).or_else(|| {
            self.unmappings = crate::interpose::unmappings();
            self.mappings = mappings_of(&self.file).expect("/proc/self/maps can be read");
            self.cached_offset_of(address)
        })
    }

    fn cached_offset_of(&self, address: usize) -> Option<usize> {
        if self.unmappings != crate::interpose::unmappings() {
            return None;
        }
        let mapping = self
            .mappings
            .iter()
            .find(|it| it.addresses.contains(&address))?;
        Some(mapping.offset + (address - mapping.addresses.start))
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
