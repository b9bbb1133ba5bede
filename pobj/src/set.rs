//! Poolsets: what a description says, and which files a set has.
//!
//! ```text
//! PMEMPOOLSET
//! OPTION SINGLEHDR
//! 64G /mnt/pmem0/pmedis.pool.parts
//! REPLICA
//! ...
//! ```
//!
//! A line is a part, a file with its size, or a *directory* with the address space that is reserved
//! for what lies in it: parts named `000000.pmem`, `000001.pmem`, …, one behind the other. Only a
//! set of directories grows, by one more part in each replica.

use crate::error::{Error, Result};
use crate::file::{self, POOL_MIN, directory_of, io_error, read_head, sync_directory};
use crate::zeros::is_zero_from;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How a description begins.
pub(crate) const SIGNATURE: &str = "PMEMPOOLSET";
/// How the name of a part in a directory ends.
const EXTENSION: &str = "pmem";
/// Sizes of parts that are made here, and of reservations, are multiples of this.
pub(crate) const UNIT: u64 = 2 << 20;
/// Bytes of a page: a part has whole ones, and libpmemobj's header takes one.
const PAGE: u64 = 4096;

/// A directory of parts.
#[derive(Debug, PartialEq, Eq)]
struct Directory {
    path: PathBuf,
    /// Bytes of address space.
    reserved: u64,
}

/// One copy of the pool.
#[derive(Debug, Default, PartialEq, Eq)]
struct Replica {
    parts: Vec<PathBuf>,
    directories: Vec<Directory>,
}

/// What a description says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Set {
    single_header: bool,
    replicas: Vec<Replica>,
}

/// A part in a directory.
pub(crate) struct Part {
    number: u64,
    pub path: PathBuf,
    pub len: u64,
}

impl Replica {
    /// The parts in its directories, by number, and how many each directory has.
    fn found(&self) -> Result<(Vec<Part>, Vec<usize>)> {
        let (mut parts, mut counts) = (Vec::new(), Vec::new());
        for directory in &self.directories {
            let before = parts.len();
            let entries = std::fs::read_dir(&directory.path);
            for entry in entries.map_err(|error| io_error(&directory.path, &error))? {
                let entry = entry.map_err(|error| io_error(&directory.path, &error))?;
                let path = entry.path();
                let Some(number) = number_of(&path) else {
                    continue;
                };
                let metadata = entry.metadata().map_err(|error| io_error(&path, &error))?;
                let len = metadata.len();
                parts.push(Part { number, path, len });
            }
            counts.push(parts.len() - before);
        }
        parts.sort_by_key(|part| part.number);
        Ok((parts, counts))
    }
}

/// The number in the name of a part.
fn number_of(path: &Path) -> Option<u64> {
    let is_part = path.extension().is_some_and(|end| end == EXTENSION);
    is_part.then(|| path.file_stem()?.to_str()?.parse().ok())?
}

impl Set {
    /// Reads the description at `path`.
    pub(crate) fn read(path: &Path) -> Result<Set> {
        let text = std::fs::read_to_string(path).map_err(|error| io_error(path, &error))?;
        Ok(Set::parse(&text, Path::is_dir))
    }

    /// What `text` describes. Lines that are none of a set are left to libpmemobj, which names
    /// them.
    fn parse(text: &str, is_directory: impl Fn(&Path) -> bool) -> Set {
        let mut set = Set {
            single_header: false,
            replicas: vec![Replica::default()],
        };
        for line in text.lines().skip(1) {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("OPTION"), option) => {
                    let options = option.into_iter().chain(words);
                    set.single_header |= options.into_iter().any(|word| word == "SINGLEHDR");
                }
                // One on another machine has no files here.
                (Some("REPLICA"), None) => set.replicas.push(Replica::default()),
                (Some(size), Some(path)) => {
                    let (size, path) = (part_size(size), PathBuf::from(path));
                    let (Some(size), Some(replica)) = (size, set.replicas.last_mut()) else {
                        continue;
                    };
                    if is_directory(&path) {
                        replica.directories.push(Directory {
                            path,
                            reserved: size,
                        })
                    } else {
                        replica.parts.push(path)
                    }
                }
                _ => {}
            }
        }
        set
    }

    /// Paths of all parts and directories that the description names.
    pub(crate) fn named(&self) -> impl Iterator<Item = &Path> {
        self.replicas.iter().flat_map(|replica| {
            let directories = replica.directories.iter().map(|one| one.path.as_path());
            let parts = replica.parts.iter().map(PathBuf::as_path);
            parts.chain(directories)
        })
    }

    /// All files of the set, those of the first replica first.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        Ok(self.files_by_replica()?.concat())
    }

    /// The files of each replica, in the order of the pool's bytes.
    pub(crate) fn files_by_replica(&self) -> Result<Vec<Vec<PathBuf>>> {
        let files = |replica: &Replica| {
            let found = replica.found()?.0.into_iter().map(|part| part.path);
            Ok(replica.parts.iter().cloned().chain(found).collect())
        };
        self.replicas.iter().map(files).collect()
    }

    /// Whether only the first part of each replica has a header.
    pub(crate) fn has_single_headers(&self) -> bool {
        self.single_header
    }

    /// Whether the set can grow: it has nothing but directories.
    pub(crate) fn grows(&self) -> bool {
        let grows = |replica: &Replica| {
            replica.parts.is_empty() && replica.directories.iter().any(|one| one.reserved > 0)
        };
        self.single_header && self.replicas.iter().all(grows)
    }

    /// How large the pool can become: the address space that is reserved, in bytes.
    pub(crate) fn reserved(&self) -> u64 {
        let reserved = |replica: &Replica| {
            let all = replica.directories.iter().map(|one| one.reserved);
            all.fold(0, u64::saturating_add)
        };
        self.replicas.iter().map(reserved).min().unwrap_or(0)
    }

    /// Whether the description is the one that [`make`] writes for the pool at `path`.
    fn is_own(&self, path: &Path) -> bool {
        match self.replicas.as_slice() {
            [replica] if self.single_header && replica.parts.is_empty() => {
                let own = parts_directory(path).ok();
                matches!(replica.directories.as_slice(), [one] if Some(&one.path) == own.as_ref())
            }
            _ => false,
        }
    }

    /// Where libpmemobj, when it opens the set, sees its next part: the part's number, and whose
    /// turn it is of the directories. Both go up by one with each part. It fills the directories in
    /// turn, and finds its turn again by how many parts each of them has.
    pub(crate) fn next_place(&self) -> Result<(usize, usize)> {
        let Some(first) = self.replicas.first() else {
            return Ok((0, 0));
        };
        let (parts, counts) = first.found()?;
        let turn = counts.windows(2).filter(|two| two[0] > two[1]).count();
        Ok((parts.len(), turn))
    }

    /// The paths of the parts of this number: one for each replica.
    pub(crate) fn parts_at(&self, number: usize, turn: usize) -> Vec<PathBuf> {
        let name = part_name(number);
        let directories = self.replicas.iter().filter_map(|replica| {
            let count = replica.directories.len();
            replica.directories.get(turn % count.max(1))
        });
        directories.map(|one| one.path.join(&name)).collect()
    }

    /// Whether the set has no pool yet: every replica has no part, or only a first one in which
    /// nothing is. A creation that was cut short leaves that.
    pub(crate) fn is_blank(&self) -> Result<bool> {
        if !self.grows() {
            return Ok(false);
        }
        for replica in &self.replicas {
            match replica.found()?.0.as_slice() {
                [] => {}
                [only] if only.number == 0 && is_unused(&only.path)? => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Nothing, if each replica of a set that grows has a first part with a pool's header, and no
    /// gap in the numbers of its parts. `path` is the description's.
    ///
    /// # Errors
    /// `PartMissing` or `NotAPool`, with the part that is not there, or is not what it should be.
    pub(crate) fn require_parts(&self, path: &Path) -> Result<()> {
        for replica in self.replicas.iter().filter(|_| self.grows()) {
            let (parts, _) = replica.found()?;
            let numbers = parts.iter().map(|part| part.number);
            let gap = numbers.zip(0..).position(|(is, expected)| is != expected);
            if let Some(number) = gap.or(parts.is_empty().then_some(0)) {
                let directory = &replica.directories[number % replica.directories.len()];
                return Err(Error::PartMissing {
                    set: path.into(),
                    part: directory.path.join(part_name(number)),
                });
            }
            let first = &parts[0].path;
            if !has_header(first)? {
                return Err(Error::NotAPool(
                    first.clone(),
                    format!(
                        "it is the first part of a replica of the poolset {}, and has no libpmemobj header",
                        path.display()
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The parts that a growth has left that was cut short before the pool knew of them; `len` is
    /// the pool's length by its own word. The caller has it locked.
    ///
    /// # Errors
    /// `Damaged` if parts are missing in a replica, or if there is something in one that is behind
    /// the pool's end.
    pub(crate) fn unknown_parts(&self, path: &Path, len: u64) -> Result<Vec<PathBuf>> {
        let path = path.display();
        if len < POOL_MIN {
            let what = format!("{path}: the pool has {len} bytes, by its own word");
            return Err(Error::Damaged(what));
        }
        let mut unknown = Vec::new();
        for (nth, replica) in self.replicas.iter().enumerate() {
            let mut end = 0;
            for part in replica.found()?.0 {
                if end >= len {
                    unknown.push(part.path);
                    continue;
                }
                end += part.len & !(PAGE - 1);
            }
            if end < len {
                return Err(Error::Damaged(format!(
                    "{path}: its parts in replica {nth} have {end} bytes, the pool in them {len}: a part is missing, \
                     or cut off"
                )));
            }
        }
        for part in &unknown {
            if !is_zero_from(part, 0)? {
                return Err(Error::Damaged(format!(
                    "{path}: the pool has {len} bytes, by its own word; {} is behind them, and there is something in it: \
                     is the first part an older one?",
                    part.display()
                )));
            }
        }
        Ok(unknown)
    }
}

/// The name of a part.
fn part_name(number: usize) -> String {
    format!("{number:06}.{EXTENSION}")
}

/// Whether a file begins as libpmemobj's pools do.
fn has_header(path: &Path) -> Result<bool> {
    let file = File::open(path).map_err(|error| io_error(path, &error))?;
    Ok(read_head(path, &file)?.starts_with(file::SIGNATURE))
}

/// Whether a first part has nothing of a pool: only zeros, or only libpmemobj's header, which is
/// the first that it writes.
fn is_unused(path: &Path) -> Result<bool> {
    Ok(is_zero_from(path, PAGE)? && (has_header(path)? || is_zero_from(path, 0)?))
}

/// A size in a description: a number, with units as libpmemobj takes them.
fn part_size(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    if text == "AUTO" {
        return Some(0);
    }
    let number: u64 = number.parse().ok()?;
    let at = |units: &str| units.find(unit.chars().next()?).map(|at| at as u32 + 1);
    let scale = match unit {
        "" | "B" => 1,
        _ if unit.len() == 1 || unit.ends_with("iB") => 1024_u64.pow(at("KMGTP")?),
        _ if unit.ends_with('B') => 1000_u64.pow(at("kMGTP")?),
        _ => return None,
    };
    number.checked_mul(scale)
}

/// The directory of the parts of a growing pool at `path`, absolute, as a description must name it.
pub(crate) fn parts_directory(path: &Path) -> Result<PathBuf> {
    let mut name = std::path::absolute(path)
        .map_err(|error| io_error(path, &error))?
        .into_os_string();
    name.push(".parts");
    Ok(name.into())
}

/// Describes a pool at `path` that can grow to `most` bytes, where nothing is yet; its parts will
/// lie in the directory `path` with `.parts` at its end. A cut leaves nothing at `path`, or the
/// whole description.
///
/// # Errors
/// `NotAPool` if the directory has parts of a pool; `State` if the path cannot be written in a
/// description; `Io` and its like.
pub(crate) fn make(path: &Path, most: u64) -> Result<Set> {
    let directory = parts_directory(path)?;
    let text = directory.to_str().filter(|text| {
        let has_gap = text.contains(|c: char| c.is_whitespace());
        !has_gap
    });
    if text.is_none() {
        return Err(Error::State(format!(
            "{}: the path of a pool that grows is written into the description of a poolset, which takes no \
             spaces, and text only",
            path.display()
        )));
    }
    match std::fs::DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(io_error(&directory, &error));
        }
        _ => {}
    }
    let set = Set {
        single_header: true,
        replicas: vec![Replica {
            parts: Vec::new(),
            directories: vec![Directory {
                path: directory.clone(),
                reserved: most.next_multiple_of(UNIT),
            }],
        }],
    };
    if !set.is_blank()? {
        return Err(Error::NotAPool(
            directory,
            format!(
                "it has the parts of a pool, but their description, {}, is not there",
                path.display()
            ),
        ));
    }
    describe(path, &directory, most)?;
    Ok(set)
}

/// Removes what [`make`] has made at `path`, with the parts that have come to be since.
pub(crate) fn remove_made(path: &Path) -> Result<()> {
    let set = Set::read(path)?;
    std::fs::remove_file(path).map_err(|error| io_error(path, &error))?;
    for part in set.files()? {
        remove_part(&part)?;
    }
    let directory = parts_directory(path)?;
    std::fs::remove_dir(&directory).map_err(|error| io_error(&directory, &error))
}

/// Writes the description of a growing pool, whole or not at all.
fn describe(path: &Path, directory: &Path, most: u64) -> Result<()> {
    let most = most.next_multiple_of(UNIT);
    let text = format!(
        "{SIGNATURE}\nOPTION SINGLEHDR\n{most} {}\n",
        directory.display()
    );
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)
    })();
    written.map_err(|error| io_error(path, &error))?;
    sync_directory_of(path)
}

/// Reserves address space for a pool of `most` bytes, if the set at `path` is one that was made
/// here and has less. Its parts stay as they are. The caller has it locked.
pub(crate) fn reserve(path: &Path, set: &mut Set, most: u64) -> Result<()> {
    if !set.is_own(path) || most <= set.reserved() {
        return Ok(());
    }
    let directory = &mut set.replicas[0].directories[0];
    describe(path, &directory.path, most)?;
    directory.reserved = most.next_multiple_of(UNIT);
    Ok(())
}

/// Removes the parts of the set that `path` describes, which stays.
pub(crate) fn remove_parts(path: &Path) -> Result<()> {
    let files = Set::read(path)?.files()?;
    files.iter().try_for_each(|part| remove_part(part))
}

/// Makes the first part of a set that has no pool yet, of `size` bytes, in each replica. The caller
/// has the set locked, for whose description `path` is.
///
/// # Errors
/// `Locked` if somebody else was faster; `NoSpace`; `Io` and its like.
pub(crate) fn make_first_parts(path: &Path, set: &Set, size: u64) -> Result<()> {
    if !set.is_blank()? {
        return Err(Error::Locked(path.into()));
    }
    let size = size.max(POOL_MIN).next_multiple_of(UNIT);
    for part in set.files()? {
        remove_part(&part)?;
    }
    make_parts(&set.parts_at(0, 0), size.min(set.reserved()))
}

/// Makes files of `size` bytes, with all their blocks, durably: all of them, or none.
///
/// # Errors
/// `NoSpace`; `Io` and its like, also if one is there already, which stays.
pub(crate) fn make_parts(paths: &[PathBuf], size: u64) -> Result<()> {
    for (made, path) in paths.iter().enumerate() {
        if let Err(error) = make_part(path, size) {
            paths[..made]
                .iter()
                .try_for_each(|path| remove_part(path))?;
            return Err(error);
        }
    }
    Ok(())
}

fn make_part(path: &Path, size: u64) -> Result<()> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create_new(true).mode(0o600);
    let file = options.open(path).map_err(|error| io_error(path, &error))?;
    let made = (|| {
        allocate(&file, path, size)?;
        file.sync_all().map_err(|error| io_error(path, &error))?;
        sync_directory_of(path)
    })();
    made.or_else(|error| remove_part(path).and(Err(error)))
}

/// Has the file system give all blocks of the first `len` bytes of a file, which becomes as long if
/// it is shorter.
///
/// # Errors
/// `NoSpace`; `Io` and its like. The file may have become longer.
pub(crate) fn allocate(file: &File, path: &Path, len: u64) -> Result<()> {
    let bytes = libc::off_t::try_from(len).unwrap_or(libc::off_t::MAX);
    // SAFETY: an open file; what lies in it stays, blocks come to be where there are none.
    let errno = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, bytes) };
    match errno {
        0 => Ok(()),
        libc::ENOSPC | libc::EDQUOT | libc::EFBIG => Err(Error::NoSpace {
            what: "pool",
            path: path.into(),
            size: len,
            message: std::io::Error::from_raw_os_error(errno).to_string(),
        }),
        // A file system that allocates in its own way.
        libc::EINVAL | libc::EOPNOTSUPP => match file.metadata() {
            Ok(found) if found.len() >= len => Ok(()),
            _ => file.set_len(len).map_err(|error| io_error(path, &error)),
        },
        _ => Err(io_error(path, &std::io::Error::from_raw_os_error(errno))),
    }
}

/// Removes a part that has nothing, durably, if it is there.
pub(crate) fn remove_part(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io_error(path, &error)),
        _ => sync_directory_of(path),
    }
}

/// Makes durable which files the directory of `path` has.
fn sync_directory_of(path: &Path) -> Result<()> {
    sync_directory(path).map_err(|error| io_error(directory_of(path), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_read_as_libpmemobj_reads_them() {
        let text = "PMEMPOOLSET\nOPTION SINGLEHDR\n# a comment\n100G /a/dir\n50GB /b/dir\nREPLICA\n1T /c/dir\n";
        let set = Set::parse(text, |path| path.ends_with("dir"));
        assert!(set.grows());
        assert_eq!(set.reserved(), (100 << 30) + 50_000_000_000);
        let named: Vec<_> = set.named().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(named, ["/a/dir", "/b/dir", "/c/dir"]);
        assert_eq!(
            set.parts_at(3, 1),
            ["/b/dir/000003.pmem", "/c/dir/000003.pmem"].map(PathBuf::from)
        );

        let files = Set::parse("PMEMPOOLSET\n16M /a/first\nAUTO /dev/dax0.0\n", |_| false);
        assert!(!files.grows());
        assert_eq!(files.named().count(), 2);
        let headers = Set::parse("PMEMPOOLSET\n1G /a/dir\n", |_| true);
        assert!(
            !headers.grows(),
            "libpmemobj extends sets with one header only"
        );
    }

    #[test]
    fn sizes_have_the_units_of_descriptions() {
        for (text, bytes) in [
            ("8388608", 8 << 20),
            ("3B", 3),
            ("2K", 2048),
            ("2KiB", 2048),
            ("2kB", 2000),
            ("5MB", 5_000_000),
            ("1G", 1 << 30),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(part_size(text), Some(bytes), "{text}");
        }
        for text in ["", "G", "1X", "1GX", "/path"] {
            assert_eq!(part_size(text), None, "{text}");
        }
    }

    #[test]
    fn only_files_named_by_a_number_are_parts() {
        assert_eq!(number_of(Path::new("/d/000012.pmem")), Some(12));
        assert_eq!(number_of(Path::new("/d/000012.pool")), None);
        assert_eq!(number_of(Path::new("/d/notes.pmem")), None);
    }
}
