//! Comments keep the margin of the code, which `rustfmt.toml` sets: rustfmt leaves comments alone.
//!
//! Rows of tables and lines of byte maps (in fenced blocks) are as long as they have to be.

use std::fs;
use std::path::{Path, PathBuf};

/// All sources under `directory`, what cargo builds aside.
fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The numbers of the lines of `text` that are comments and longer than `margin`.
fn beyond(text: &str, margin: usize) -> Vec<usize> {
    let mut is_fenced = false;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some(comment) = line.trim_start().strip_prefix("//") else {
            is_fenced = false;
            continue;
        };
        let comment = comment.trim_start_matches(['/', '!']).trim_start();
        if comment.starts_with("```") {
            is_fenced = !is_fenced;
        }
        let is_row = is_fenced || comment.starts_with('|');
        if !is_row && line.chars().count() > margin {
            found.push(index + 1);
        }
    }
    found
}

#[test]
fn comments_keep_the_margin() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let settings = fs::read_to_string(root.join("rustfmt.toml")).expect("rustfmt.toml");
    let margin = (settings.lines())
        .find_map(|line| line.strip_prefix("max_width = "))
        .and_then(|width| width.parse().ok())
        .expect("a margin");
    let mut files = Vec::new();
    sources(root, &mut files);
    assert!(files.len() > 100, "{} sources", files.len());
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a source");
        let lines = beyond(&text, margin);
        found.extend((lines.iter()).map(|line| format!("{}:{line}", file.display())));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn long_comments_are_found() {
    let text = "//! ```text\n//! 0  8  a long row\n//! ```\n//! a long line\n/// | a long | row |\nlet x = 1;";
    assert_eq!(beyond(text, 10), [4]);
}
