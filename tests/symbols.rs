//! What the module takes from the C library.
//!
//! A server may give a module a symbol scope of its own (Valkey does from 8.1 on): `malloc` and
//! `free` are the C library's there, while what the C library allocates for its callers comes from
//! the server's allocator. Whatever a function of the C library returns for its caller to free must
//! therefore not be used.

use std::process::Command;
use testkit::server::module_path;

/// Functions of the C library whose result the caller frees.
const GIVE_MEMORY: [&str; 22] = [
    "__asprintf_chk",
    "__getdelim",
    "__strdup",
    "__strndup",
    "__vasprintf_chk",
    "asprintf",
    "backtrace_symbols",
    "canonicalize_file_name",
    "get_current_dir_name",
    "getdelim",
    "getline",
    "open_memstream",
    "open_wmemstream",
    "scandir",
    "scandir64",
    "scandirat",
    "strdup",
    "strndup",
    "tempnam",
    "vasprintf",
    "wcsdup",
    "wordexp",
];

/// The functions of other libraries that the module names.
fn imports() -> Vec<String> {
    let module = module_path();
    let output = Command::new("nm")
        .args(["-D", "--undefined-only"])
        .arg(&module)
        .output()
        .expect("nm comes with the compiler's linker");
    assert!(output.status.success(), "nm {}", module.display());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = text
        .lines()
        .filter_map(|line| line.split_whitespace().last());
    names
        .map(|name| name.split('@').next().unwrap_or(name).to_owned())
        .collect()
}

#[test]
fn nothing_is_freed_that_the_c_library_allocated() {
    let imports = imports();
    for used in ["malloc", "free"] {
        assert!(imports.iter().any(|name| name == used), "{imports:?}");
    }
    // `realpath` is named by the standard library's own panic hook, for backtraces; the module
    // replaces that hook when it is loaded, and the lints forbid the other ways to it.
    let taken = imports
        .iter()
        .filter(|name| GIVE_MEMORY.contains(&name.as_str()));
    assert_eq!(taken.collect::<Vec<_>>(), Vec::<&String>::new());
}
