//! The files of a pool: one, or the parts of a set that lies in a directory, to which others come
//! as it grows.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::extents::PAGE_BYTES;
use crate::trace::{self, Event};

/// How the description of a set begins.
const SIGNATURE: &str = "PMEMPOOLSET\n";

/// How a pool lies in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The address space of the set, as its description has it.
    reserved: String,
    /// Where in the pool the parts end.
    ends: Vec<usize>,
}

impl Parts {
    /// Those of a closed pool; `None` if it is a plain file.
    pub(crate) fn of(path: &Path) -> io::Result<Option<Parts>> {
        let Some((reserved, _)) = described(path)? else {
            return Ok(None);
        };
        let mut end = 0;
        let mut ends = Vec::new();
        for file in files(path)? {
            end += fs::metadata(file)?.len() as usize;
            ends.push(end);
        }
        Ok(Some(Parts { reserved, ends }))
    }

    /// The same with the parts that come to be in a trace.
    pub(crate) fn with_those_of(&self, trace: &[u8]) -> Parts {
        let mut all = self.clone();
        for (_, event) in trace::events(trace) {
            if let Event::Grown(pages) = event {
                all.ends.push(pages as usize * PAGE_BYTES);
            }
        }
        all
    }

    /// Bytes of all parts.
    pub(crate) fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The lengths of the parts that a pool of `len` bytes has.
    pub(crate) fn lens(&self, len: usize) -> impl Iterator<Item = usize> {
        let ends = self.ends.iter().take_while(move |&&end| end <= len);
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(ends).map(|(start, end)| end - start)
    }

    /// Writes the description of a set at `path`, and makes the directory of its parts.
    pub(crate) fn describe(&self, path: &Path) -> io::Result<PathBuf> {
        let mut directory = path.as_os_str().to_owned();
        directory.push(".parts");
        let directory = PathBuf::from(directory);
        fs::create_dir(&directory)?;
        let line = format!("{} {}\n", self.reserved, directory.display());
        fs::write(path, format!("{SIGNATURE}OPTION SINGLEHDR\n{line}"))?;
        Ok(directory)
    }
}

/// The name of a part, by its number.
pub(crate) fn part_name(number: usize) -> String {
    format!("{number:06}.pmem")
}

/// What the description at `path` says, if it is one: the address space, and the directory of the
/// parts.
fn described(path: &Path) -> io::Result<Option<(String, PathBuf)>> {
    let mut head = vec![0; SIGNATURE.len()];
    let mut file = fs::File::open(path)?;
    if io::Read::read_exact(&mut file, &mut head).is_err() || head != SIGNATURE.as_bytes() {
        return Ok(None);
    }
    let text = fs::read_to_string(path)?;
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let found = lines.find(|(_, path)| path.starts_with('/'));
    let (reserved, directory) =
        found.ok_or_else(|| io::Error::other("a set without a directory"))?;
    Ok(Some((reserved.to_owned(), directory.into())))
}

/// The files that the pool at `path` has, in order.
pub(crate) fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let Some((_, directory)) = described(path)? else {
        return Ok(vec![path.into()]);
    };
    let numbered = (0..).map(|number| directory.join(part_name(number)));
    Ok(numbered.take_while(|path| path.exists()).collect())
}

/// Removes a closed pool.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    if let Some((_, directory)) = described(path)? {
        fs::remove_dir_all(directory)?;
    }
    fs::remove_file(path)
}

/// All bytes of a closed pool.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let all: io::Result<Vec<_>> = files(path)?.iter().map(fs::read).collect();
    Ok(all?.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_described_and_read_again() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let path = place.path().join("pool");
        let parts = Parts {
            reserved: "64M".into(),
            ends: vec![4096, 12288],
        };
        let directory = parts.describe(&path).expect("it is writable");
        for (number, len) in parts.lens(12288).enumerate() {
            let bytes = vec![number as u8 + 1; len];
            fs::write(directory.join(part_name(number)), bytes).expect("it is writable");
        }
        assert_eq!(
            Parts::of(&path).expect("it is readable"),
            Some(parts.clone())
        );
        let bytes = read(&path).expect("it is readable");
        assert_eq!((bytes.len(), bytes[4095], bytes[4096]), (12288, 1, 2));
        assert_eq!(parts.lens(4096).collect::<Vec<_>>(), [4096]);
        let mut trace = Vec::new();
        Event::Grown(5).write(&mut trace);
        let later = parts.with_those_of(&trace);
        assert_eq!(
            later.lens(later.len()).collect::<Vec<_>>(),
            [4096, 8192, 8192]
        );
        remove(&path).expect("it is there");
        assert!(!directory.exists());
    }
}
