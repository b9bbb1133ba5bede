//! What the documents name in backticks exists: subcommands and options of our programs and of
//! those beside them, packages, PM commands, and files of the tree.
//!
//! Blocks are run by `documents.rs`; of a command within a sentence, only the words are looked up.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A path in the tree that this test is of.
fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The files of a directory.
fn files(directory: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(tree(directory)).into_iter().flatten();
    files.map(|file| file.unwrap().path()).collect()
}

/// What stands in backticks outside of blocks.
fn spans(page: &str) -> Vec<String> {
    let text: String = page.split("\n```").step_by(2).collect();
    let spans = text.split('`').skip(1).step_by(2);
    let on_one_line = |span: &str| span.split_whitespace().collect::<Vec<_>>().join(" ");
    spans.map(on_one_line).collect()
}

/// Whether a text has a word, with neither letters, digits nor dashes around it.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part)
    })
}

/// The option that a word is, without its value.
fn option<'a>(word: &&'a str) -> Option<&'a str> {
    let option = word.split('=').next()?;
    (option.starts_with('-') && !["--", "--help"].contains(&option)).then_some(option)
}

/// What a command of the tool lacks.
fn missing_in_tool(words: &[&str]) -> Option<String> {
    let (names, args) = words.split_first()?;
    names.split('|').find_map(|name| {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_pmedis"));
        let help = tool.args([name, "--help"]).output().unwrap();
        let text = String::from_utf8_lossy(&help.stdout);
        let mut options = args.iter().filter_map(option);
        let missing = if help.status.success() {
            options.find(|option| !has_word(&text, option))
        } else {
            Some(name)
        };
        missing.map(str::to_owned)
    })
}

/// What a program prints, of help or of a list.
fn printed(program: &str, args: &[&str]) -> String {
    let mut command = Command::new(program);
    let output = command.args(args).current_dir(tree(".")).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let texts = [output.stdout, output.stderr];
    texts
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat()
}

/// What pmempool's or redis-cli's help lacks of a command: its subcommand, or an option.
fn missing_in_help(words: &[&str]) -> Option<String> {
    let (program, mut args) = (words[0], &words[1..]);
    let mut help = printed(program, &["--help"]);
    if program == "pmempool" {
        let (subcommand, rest) = args.split_first()?;
        if !help.contains(&format!("\n{subcommand}\t")) {
            return Some((*subcommand).to_owned());
        }
        (help, args) = (printed(program, &[subcommand, "--help"]), rest);
    }
    let mut options = args.iter().filter_map(option);
    options
        .find(|option| !has_word(&help, option))
        .map(str::to_owned)
}

/// What of the packages, programs and tests that a command of cargo names is not in the workspace.
fn missing_in_workspace(words: &[&str]) -> Option<String> {
    let list = [
        "metadata",
        "--offline",
        "--no-deps",
        "--format-version",
        "1",
    ];
    let list = printed("cargo", &list);
    let named = words
        .windows(2)
        .filter(|pair| ["-p", "--bin", "--test"].contains(&pair[0]));
    let mut names = named.map(|pair| pair[1]);
    names
        .find(|name| !list.contains(&format!("\"name\":\"{name}\"")))
        .map(str::to_owned)
}

/// What a script lacks of its arguments: options, and words in small letters.
fn missing_in_script(script: &str, args: &[&str]) -> Option<String> {
    let mut text = fs::read_to_string(tree(script)).unwrap();
    if script == "ci/bench" {
        for source in [files("bench/src"), files("bench/src/bin")].concat() {
            text += &fs::read_to_string(source).unwrap_or_default();
        }
    }
    // An option of the benchmarks is a field of a struct.
    let is_field = |name: &str| {
        text.contains(&format!("    {name}: ")) || text.contains(&format!("pub {name}: "))
    };
    let is_word = |word: &&&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    let mut names = args
        .iter()
        .filter_map(option)
        .chain(args.iter().filter(is_word).copied());
    names
        .find(|name| {
            !has_word(&text, name) && !is_field(&name.trim_start_matches('-').replace('-', "_"))
        })
        .map(str::to_owned)
}

/// What of a PM command has no row among the `known` ones.
fn missing_in_commands(words: &[&str], known: &BTreeSet<String>) -> Option<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
    let name = words[0].split(|c| !is_name(c)).next()?;
    let whole = [&[name], words.get(1..2).unwrap_or_default()]
        .concat()
        .join(" ");
    let is_container = || known.iter().any(|row| row.starts_with(&format!("{name} ")));
    let is_known = name == "PM." || known.contains(name) || known.contains(&whole);
    (!is_known && (words.len() > 1 || !is_container())).then_some(whole)
}

/// Whether there is a file in the tree; `*` or `<name>` stands for any rest of it.
fn exists(path: &str) -> bool {
    let start = path.split(['*', '<']).next().unwrap_or_default();
    let (directory, name) = start.rsplit_once('/').unwrap_or_default();
    let fits = |file: &PathBuf| {
        file.to_string_lossy()
            .contains(&format!("/{directory}/{name}"))
    };
    tree(path).exists() || start != path && files(directory).iter().any(fits)
}

/// Directories of the tree that are made by running what is in it.
const MADE: [&str; 3] = ["bench-results", "data", "target"];

/// What there is not, of what stands in backticks.
fn missing(span: &str, known: &BTreeSet<String>) -> Option<String> {
    span.split(" | ").find_map(|command| {
        let words: Vec<&str> = command.split(' ').collect();
        let top = words[0].split_once('/').map_or("", |(top, _)| top);
        let at = words.iter().position(|word| word.starts_with("PM."));
        match (top, words[0], at) {
            ("", "pmedis", _) => missing_in_tool(&words[1..]),
            ("", "pmempool" | "redis-cli", None) => missing_in_help(&words),
            ("", "cargo", _) => missing_in_workspace(&words),
            ("", _, Some(at)) => missing_in_commands(&words[at..], known),
            ("", _, None) => None,
            (top, path, _) if tree(top).is_dir() && !MADE.contains(&top) => {
                let is_script = top == "ci" && tree(path).exists();
                if is_script {
                    missing_in_script(path, &words[1..])
                } else {
                    (!exists(path)).then(|| path.to_owned())
                }
            }
            _ => None,
        }
    })
}

#[test]
fn what_is_named_within_text_exists() {
    let rows = fs::read_to_string(tree("docs/commands.md")).unwrap();
    let rows = rows.lines().filter_map(|line| line.strip_prefix("| `PM."));
    let known = rows.map(|row| format!("PM.{}", row.split('`').next().unwrap_or_default()));
    let known: BTreeSet<String> = known.collect();
    let commands = [
        "pmedis mend",
        "pmedis info --lines",
        "PM.FIND key",
        "PM.ADOPT SOME",
        "pmempool mend",
        "pmempool check --lines",
        "redis-cli --lines",
        "cargo build -p nothing",
    ];
    let scripts = [
        "ci/benchmark",
        "ci/bench --warm",
        "ci/bench late",
        "store/src/nothing.rs",
    ];
    for wrong in commands.iter().chain(&scripts) {
        assert!(missing(wrong, &known).is_some(), "{wrong} is not noticed");
    }
    let mut pages = [
        files("docs"),
        vec![tree("README.md"), tree("CONTRIBUTING.md")],
    ]
    .concat();
    pages.retain(|page| page.extension().is_some_and(|end| end == "md"));
    let mut found = Vec::new();
    for page in pages {
        for span in spans(&fs::read_to_string(&page).unwrap()) {
            let missing = missing(&span, &known);
            found.extend(missing.map(|what| format!("{}: `{span}`: {what}", page.display())));
        }
    }
    assert!(found.is_empty(), "what there is not: {found:#?}");
}
