//! The table of fences in the documentation is what the engine does.

use std::fs;
use std::process::Command;

#[test]
fn the_documented_fences_are_the_engines() {
    let output = Command::new(env!("CARGO_BIN_EXE_engine"))
        .arg("fences")
        .output();
    let output = output.expect("the engine benchmark starts");
    assert!(output.status.success(), "{output:?}");
    let found = String::from_utf8(output.stdout).expect("a table in UTF-8");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/fences.md");
    let documented = fs::read_to_string(path).expect("docs/fences.md");
    assert_eq!(
        found, documented,
        "fences have changed: docs/fences.md tells how to make it anew"
    );
}

#[test]
fn no_operation_takes_more_fences_than_it_may() {
    let documented = include_str!("../../docs/fences.md");
    let rows = documented.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (fences, most) = (cells.get(3)?.parse().ok()?, cells.get(4)?.parse().ok()?);
        Some((line, fences, most))
    });
    let rows: Vec<(&str, u64, u64)> = rows.collect();
    assert!(rows.len() > 60, "a row for each operation");
    for (line, fences, most) in rows {
        assert!(fences <= most, "{line}");
    }
}
