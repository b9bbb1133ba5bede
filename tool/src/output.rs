//! Where what a command makes goes: to the standard output, or to a file that is there only when it
//! is whole.

use crate::Failure;
use std::ffi::CString;
use std::fmt::Display;
use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process;
use store::layout::LAYOUT;

/// The standard output, or a new file under another name, which gets its own at the end.
pub(crate) enum Output {
    /// The standard output.
    Standard(io::Stdout),
    /// What is there, and is no plain file.
    There(File),
    /// A file.
    File(NewFile),
}

/// A file that has its name only when it is whole. If it is dropped before, it goes.
pub(crate) struct NewFile {
    file: File,
    place: Place,
}

/// A name beside that of a file that is being made.
pub(crate) struct Place {
    path: PathBuf,
    beside: PathBuf,
    whole: bool,
}

impl Place {
    /// The place of the file `path`, with a name beside it that no other run has.
    ///
    /// # Errors
    /// If it names no file in a directory.
    pub(crate) fn of(path: &Path) -> io::Result<Place> {
        let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let mut beside = name.to_owned();
        // In a container, every run can have the same process id.
        let random = RandomState::new().build_hasher().finish();
        beside.push(format!(".{}.{random:016x}.part", process::id()));
        Ok(Place {
            path: path.to_owned(),
            beside: path.with_file_name(beside),
            whole: false,
        })
    }

    /// The name that the file gets.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the file is until it is whole.
    pub(crate) fn beside(&self) -> &Path {
        &self.beside
    }

    /// The file, which is durable, gets its name: durable on return. What had the name before is
    /// gone then.
    ///
    /// # Errors
    /// Those of the file system; what had the name before has it still.
    pub(crate) fn take(mut self) -> io::Result<()> {
        fs::rename(&self.beside, &self.path)?;
        self.done()
    }

    /// The same, of a name that nobody has.
    ///
    /// # Errors
    /// `AlreadyExists` if somebody has it by now, and has it still; those of the file system.
    pub(crate) fn take_free(mut self) -> io::Result<()> {
        rename_to_free(&self.beside, &self.path)?;
        self.done()
    }

    fn done(&mut self) -> io::Result<()> {
        self.whole = true;
        let directory = match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        File::open(directory)?.sync_all()
    }
}

/// Renames a file, if nothing has the new name.
fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    let name = |path: &Path| CString::new(path.as_os_str().as_bytes());
    let (old, new) = (name(from)?, name(to)?);
    let here = libc::AT_FDCWD;
    // SAFETY: two C strings, which outlive the call.
    let renamed = unsafe {
        let flags = libc::RENAME_NOREPLACE;
        libc::renameat2(here, old.as_ptr(), here, new.as_ptr(), flags)
    };
    if renamed == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // A file system that cannot do that, such as NFS.
        Some(libc::EINVAL | libc::ENOSYS) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        _ => Err(error),
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.whole {
            // Nothing more can be done about what is no use to anybody.
            let _ = fs::remove_file(&self.beside);
        }
    }
}

/// The file that a name leads to.
#[expect(
    clippy::disallowed_methods,
    reason = "it is for a module in a server; this is a program of its own"
)]
fn target_of(path: &Path) -> io::Result<PathBuf> {
    fs::canonicalize(path)
}

/// True if this file is the pool's, or one of its parts, or of its journal.
fn is_of_pool(file: &Metadata, pool: &Path) -> Result<bool, Failure> {
    let mut files = pobj::files_of(pool, &LAYOUT)?;
    files.push(pool.to_owned());
    if let (Some(name), Some(directory)) = (pool.file_name(), pool.parent()) {
        let mut journal = name.to_owned();
        journal.push(".journal");
        let journal = journal.as_bytes();
        let directory = if directory == Path::new("") {
            Path::new(".")
        } else {
            directory
        };
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_name().as_bytes().starts_with(journal) {
                files.push(entry.path());
            }
        }
    }
    let same = |other: &PathBuf| {
        let other = other.metadata();
        other.is_ok_and(|other| (other.dev(), other.ino()) == (file.dev(), file.ino()))
    };
    Ok(files.iter().any(same))
}

/// Gives a new file the owner, the group and the mode of the one whose place it takes. It may be
/// used by nobody who may not use that.
///
/// # Errors
/// If that owner or group cannot be given.
pub(crate) fn like(file: &File, old: &Metadata) -> io::Result<()> {
    let mode = old.permissions().mode() & 0o777;
    let now = file.metadata()?;
    if (now.uid(), now.gid()) != (old.uid(), old.gid()) {
        // Nobody else may use it in between.
        file.set_permissions(Permissions::from_mode(0o600))?;
        fchown(file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(mode))
}

/// So many of something, such as `1 key` or `2 keys`.
pub(crate) fn count(number: u64, what: &str) -> String {
    match what.strip_suffix("ry") {
        _ if number == 1 => format!("1 {what}"),
        Some(stem) => format!("{number} {stem}ries"),
        None => format!("{number} {what}s"),
    }
}

/// Tells something on standard error. That nobody can be told is no failure of the command.
pub(crate) fn tell(what: impl Display) {
    let _ = writeln!(io::stderr(), "pmedis: {what}");
}

/// Sums up, on standard output, what was done: it is, whether this can be written or not.
pub(crate) fn sum_up(what: impl Display) {
    if let Err(error) = writeln!(io::stdout(), "{what}") {
        tell(format_args!("it is done; the standard output: {error}"));
    }
}

/// Gives an error in writing the name of the output that it is about: this file, or the standard
/// output.
pub(crate) fn of(output: Option<&Path>) -> impl Fn(io::Error) -> Failure {
    move |error| match output {
        Some(path) => format!("{}: {error}", path.display()).into(),
        None => format!("the standard output: {error}").into(),
    }
}

impl Output {
    /// What is read from the pool at `pool` goes to this file, or else to the standard output. A
    /// file that takes another one's place has its owner and its mode from the beginning.
    ///
    /// # Errors
    /// If the file cannot be made, or is the pool's.
    pub(crate) fn to(path: Option<&Path>, pool: &Path) -> Result<Output, Failure> {
        let Some(path) = path else {
            return Ok(Output::Standard(io::stdout()));
        };
        let named = of(Some(path));
        let (to, old) = match path.metadata() {
            Ok(there) => {
                if is_of_pool(&there, pool)? {
                    return Err(format!("{} is a file of the pool", path.display()).into());
                }
                if !there.is_file() {
                    let file = OpenOptions::new().write(true).open(path);
                    return Ok(Output::There(file.map_err(&named)?));
                }
                // A link stays one.
                (target_of(path).map_err(&named)?, Some(there))
            }
            Err(_) => (path.to_owned(), None),
        };
        let place = Place::of(&to).map_err(&named)?;
        let mut new = OpenOptions::new();
        new.write(true).create_new(true);
        if old.is_some() {
            new.mode(0o600);
        }
        let file = new.open(place.beside()).map_err(&named)?;
        if let Some(old) = old {
            like(&file, &old).map_err(|error| {
                format!(
                    "{}: its owner cannot be given to the new file: {error}",
                    path.display()
                )
            })?;
        }
        Ok(Output::File(NewFile { file, place }))
    }

    /// It is whole. A file is durable, and has its name, on return.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        match self {
            Output::Standard(_) => Ok(()),
            Output::There(file) => match file.sync_all() {
                // A pipe, which keeps nothing.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
                synced => synced,
            },
            Output::File(NewFile { file, place }) => {
                file.sync_all()?;
                place.take()
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Output::Standard(out) => out.write(bytes),
            Output::There(file) => file.write(bytes),
            Output::File(new) => new.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::Standard(out) => out.flush(),
            Output::There(file) => file.flush(),
            Output::File(new) => new.file.flush(),
        }
    }
}
