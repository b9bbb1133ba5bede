//! Libraries that are preloaded into servers, to have calls of theirs fail or do more.

use crate::packaged::Packaged;
use crate::server::{Server, Setup};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles a C file to a shared library of its name in a directory; where it is.
///
/// # Panics
/// If there is no C compiler, or it refuses the file.
pub fn compile(source: &str, directory: &Path) -> PathBuf {
    let source = Path::new(source);
    let name = source.with_extension("so");
    let library = directory.join(name.file_name().expect("a file's path"));
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, source])
        .status()
        .expect("a C compiler is installed");
    assert!(compiled.success(), "{compiled}");
    library
}

/// A server with a small journal, these lines in its configuration, and a disk that fails: as
/// `tests/fail_writes.c` says, and the file tells it whose path comes along. `None` if the server
/// loads modules with a symbol scope of their own, in which what is preloaded is not seen.
///
/// # Panics
/// If the server does not start.
pub fn failing_disk(directives: &[&str]) -> Option<(Server, PathBuf)> {
    if Packaged::current().has(None, Some((8, 0))) {
        eprintln!("skipped: no faults can be injected into a module of this server");
        return None;
    }
    let mut setup = Setup::pmedis_with("64m", &["durability", "disk", "journal", "2m"]);
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fail_writes.c");
    let library = compile(source, setup.dir());
    let flag = setup.dir().join("fail");
    for line in directives {
        setup = setup.directive(line);
    }
    let setup = setup
        .env("LD_PRELOAD", &library.to_string_lossy())
        .env("FAIL_WRITES", &flag.to_string_lossy());
    Some((setup.start().expect("a server"), flag))
}
