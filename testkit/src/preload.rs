//! Libraries that are preloaded into servers, to have calls of theirs fail or do more.

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
