//! The layers hold: crates depend on those below them only, and no module imports another that
//! imports it.
//!
//! What crates depend on, `cargo metadata` tells; what modules import, their `use` lines: a name
//! that a module only passes on, by a `pub use`, is imported from where it is defined. Of modules
//! side by side, each with all that is in it, no group may import each other in a circle: what a
//! type needs beside it lies in the folder of that type. One rule is an exception: a type and the
//! files that hold its `impl` blocks are one unit. So where a file has an `impl` block of a type,
//! its import of that type is none ([`completes`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// The product's crates, the lowest first: each may depend on those before it.
const LAYERS: [&str; 5] = ["pmdk-bindings", "pobj", "store", "module", "tool"];

/// A module: the names from the crate's root to it.
type Module = Vec<String>;

/// A package of the workspace.
struct Package {
    name: String,
    source: PathBuf,
    dependencies: Vec<String>,
}

fn packages() -> Vec<Package> {
    let cargo = env::var_os("CARGO").expect("cargo runs its tests");
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{output:?}");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let package = |package: &serde_json::Value| {
        let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
        let dependencies = package["dependencies"].as_array().expect("a list");
        Package {
            name: text(&package["name"]),
            source: Path::new(&text(&package["manifest_path"])).with_file_name("src"),
            dependencies: (dependencies.iter())
                .filter(|one| one["kind"].is_null())
                .map(|one| text(&one["name"]))
                .collect(),
        }
    };
    packages.iter().map(package).collect()
}

/// The modules under `directory`, with the text of each.
fn modules(directory: &Path, parent: &[String], found: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        let stem = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let mut module = parent.to_vec();
        if path.is_dir() {
            module.push(stem);
            modules(&path, &module, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            if !matches!(stem.as_str(), "lib" | "main" | "mod") {
                module.push(stem);
            }
            let text = fs::read_to_string(&path).expect("a source");
            found.insert(module, text);
        }
    }
}

/// The paths of a `use` of `tree`, with braces resolved.
fn paths(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some((prefix, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree);
        return vec![path.trim().to_owned()];
    };
    let inside = rest.strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut parts, mut part) = (0, Vec::new(), String::new());
    for c in inside.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ',' && depth == 0 {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(c);
        }
    }
    parts.push(part);
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts
        .flat_map(|part| paths(&format!("{prefix}{}", part.trim())))
        .collect()
}

/// Names that modules pass on: the module and the name, and the path behind it.
type PassedOn = BTreeMap<(Module, String), String>;

/// What each module passes on with a `pub use`, whole or for a part of the crate.
fn passed_on(all: &BTreeMap<Module, String>) -> PassedOn {
    let mut found = PassedOn::new();
    for (module, text) in all {
        for path in used_by(text, passes_on) {
            let name = path.rsplit("::").next().unwrap_or(&path).to_owned();
            found.insert((module.clone(), name), path);
        }
    }
    found
}

/// The module that a path leads to, if it is one of this crate's: that which defines the name.
fn target(
    from: &[String],
    path: &str,
    all: &BTreeMap<Module, String>,
    passed_on: &PassedOn,
) -> Option<Module> {
    let mut words: Vec<String> = path.split("::").map(str::to_owned).collect();
    let mut at = match words[0].as_str() {
        "crate" => Vec::new(),
        "self" | "super" => from.to_vec(),
        first => {
            let child = [from, &[first.to_owned()]].concat();
            all.contains_key(&child).then(|| from.to_vec())?
        }
    };
    if words[0] == "crate" || words[0] == "self" {
        words.remove(0);
    }
    while words.first().is_some_and(|word| word == "super") {
        at.pop();
        words.remove(0);
    }
    for word in words.into_iter().filter(|word| word != "self") {
        let child = [at.as_slice(), std::slice::from_ref(&word)].concat();
        if all.contains_key(&child) {
            at = child;
            continue;
        }
        let behind = passed_on.get(&(at.clone(), word));
        return match behind {
            Some(path) => target(&at, path, all, passed_on),
            None => Some(at),
        };
    }
    Some(at)
}

/// Whether a source completes the type that a path ends with: it has an `impl` block of it, with
/// functions of the type itself.
fn completes(text: &str, path: &str) -> bool {
    let name = path.rsplit("::").next().unwrap_or(path);
    text.lines().any(|line| {
        let head = line.strip_prefix("impl").unwrap_or_default();
        let head = head.trim_start_matches(|c| c != ' ').trim_start();
        let rest = head.strip_prefix(name);
        !line.contains(" for ") && rest.is_some_and(|rest| rest.starts_with([' ', '<']))
    })
}

/// Which modules each one imports, tests aside.
fn imports(all: &BTreeMap<Module, String>) -> Vec<(Module, Module)> {
    let passed_on = passed_on(all);
    let mut imports = Vec::new();
    for (module, text) in all {
        if module.last().is_some_and(|name| name.ends_with("tests")) {
            continue;
        }
        imports.extend(
            used(text)
                .into_iter()
                .filter(|path| !completes(text, path))
                .filter_map(|path| target(module, &path, all, &passed_on))
                .map(|target| (module.clone(), target)),
        );
    }
    imports
}

/// The paths that a source uses, its tests aside.
fn used(text: &str) -> Vec<String> {
    used_by(text, |statement| {
        let own = statement.trim_start().strip_prefix("use ");
        let last = || statement.trim_start().rsplit_once("\nuse ");
        own.or_else(|| passes_on(statement))
            .or_else(|| last().map(|(_, used)| used))
    })
}

/// The paths that those statements of a source use which `uses` tells apart, its tests aside.
fn used_by(text: &str, uses: impl Fn(&str) -> Option<&str>) -> Vec<String> {
    let text = text.split("#[cfg(test)]\nmod tests {").next();
    let code = text
        .unwrap_or_default()
        .lines()
        .map(|line| line.split("//").next().unwrap_or(line));
    let code = code.collect::<Vec<_>>().join("\n");
    let statements = code.split(';').filter_map(uses);
    statements.flat_map(paths).collect()
}

/// What a statement uses and passes on: `pub use`, and, for a part of the crate, `pub(super) use`.
fn passes_on(statement: &str) -> Option<&str> {
    let rest = statement.trim_start().strip_prefix("pub")?;
    if let Some(used) = rest.strip_prefix(" use ") {
        return Some(used);
    }
    let rest = rest.strip_prefix('(')?;
    rest.split_once(") use ").map(|(_, used)| used)
}

/// Groups of more than one name, of which each reaches all others.
fn circles(edges: &BTreeSet<(String, String)>) -> Vec<Vec<String>> {
    let names: BTreeSet<&String> = edges.iter().flat_map(|(a, b)| [a, b]).collect();
    let mut reach: BTreeSet<(&String, &String)> = edges.iter().map(|(a, b)| (a, b)).collect();
    for &over in &names {
        let to: Vec<_> = names
            .iter()
            .filter(|&&a| reach.contains(&(a, over)))
            .copied()
            .collect();
        let from: Vec<_> = names
            .iter()
            .filter(|&&b| reach.contains(&(over, b)))
            .copied()
            .collect();
        for &a in &to {
            reach.extend(from.iter().map(|&b| (a, b)));
        }
    }
    let mut found = BTreeSet::new();
    for &name in &names {
        let group: Vec<String> = (names.iter())
            .filter(|&&other| reach.contains(&(name, other)) && reach.contains(&(other, name)))
            .map(|&other| other.clone())
            .collect();
        if group.len() > 1 {
            found.insert(group);
        }
    }
    found.into_iter().collect()
}

/// The circles of a crate: parent, and the modules in it.
fn circles_of(all: &BTreeMap<Module, String>) -> Vec<(String, Vec<String>)> {
    let mut by_parent: BTreeMap<Module, BTreeSet<(String, String)>> = BTreeMap::new();
    for (from, to) in imports(all) {
        let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
        if let (Some(a), Some(b)) = (from.get(common), to.get(common)) {
            let edges = by_parent.entry(from[..common].to_vec()).or_default();
            edges.insert((a.clone(), b.clone()));
        }
    }
    let groups = by_parent.iter().flat_map(|(parent, edges)| {
        let circles = circles(edges).into_iter();
        circles.map(|circle| (parent.join("::"), circle))
    });
    groups.collect()
}

#[test]
fn crates_depend_on_those_below_them() {
    let packages = packages();
    let place = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    for package in &packages {
        let Some(own) = place(&package.name) else {
            continue;
        };
        for dependency in &package.dependencies {
            let is_ours = packages.iter().any(|other| other.name == *dependency);
            assert!(
                !is_ours || place(dependency).is_some_and(|below| below < own),
                "{} depends on {dependency}",
                package.name
            );
        }
    }
    for layer in LAYERS {
        assert!(
            packages.iter().any(|package| package.name == layer),
            "{layer} is gone"
        );
    }
}

#[test]
fn modules_do_not_import_each_other() {
    let mut found = BTreeSet::new();
    for package in packages() {
        if package.source.is_dir() {
            let mut all = BTreeMap::new();
            modules(&package.source, &[], &mut all);
            let circles = circles_of(&all).into_iter();
            found.extend(circles.map(|(parent, circle)| (package.name.clone(), parent, circle)));
        }
    }
    assert!(found.is_empty(), "circles: {found:?}");
}

#[test]
fn the_boundary_to_the_server_knows_nothing_above_it() {
    let mut all = BTreeMap::new();
    modules(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/module/src")),
        &[],
        &mut all,
    );
    let above = ["commands", "keyspace"];
    for (from, to) in imports(&all) {
        let is_above = |module: &Module| {
            module
                .first()
                .is_some_and(|name| above.contains(&name.as_str()))
        };
        assert!(
            from.first().is_none_or(|name| name != "redis") || !is_above(&to),
            "{from:?} imports {to:?}"
        );
        let (keyspace, commands) = (from.first(), to.first());
        let is_upward = keyspace.is_some_and(|name| name == "keyspace")
            && commands.is_some_and(|name| name == "commands");
        assert!(!is_upward, "{from:?} imports {to:?}");
    }
}

#[test]
fn circles_are_found() {
    let edges = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "e")];
    let edges = edges.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
    assert_eq!(circles(&edges), [["a", "b", "c"].map(str::to_owned)]);
    assert_eq!(
        paths("a::{b, c::{self, d as e}}"),
        ["a::b", "a::c::self", "a::c::d"]
    );
}

#[test]
fn circles_over_names_that_are_passed_on_are_found() {
    let circles_in = |sources: &[(&str, &str)]| {
        let modules = sources.iter().map(|(module, text)| {
            let module = module.split("::").filter(|word| !word.is_empty());
            (module.map(str::to_owned).collect(), (*text).to_owned())
        });
        circles_of(&modules.collect())
    };
    let root = (
        "",
        "//! A crate.\npub mod part;\nmod whole;\n\npub use whole::Whole;\n",
    );
    let whole = ("whole", "use crate::part::Part;\n");
    let user = "use crate::Whole;\n";
    let circle = ["part", "whole"].map(str::to_owned).to_vec();
    assert_eq!(
        circles_in(&[root, whole, ("part", user)]),
        [(String::new(), circle.clone())]
    );
    assert_eq!(circles_in(&[root, ("whole", ""), ("part", user)]), []);
    // An `impl` block of a trait does not complete the type.
    let with_trait = "use crate::Whole;\nimpl From<u8> for Whole {}\n";
    assert_eq!(
        circles_in(&[root, whole, ("part", with_trait)]),
        [(String::new(), circle.clone())]
    );
    let completing = "use crate::Whole;\nimpl Whole {}\n";
    assert_eq!(circles_in(&[root, whole, ("part", completing)]), []);
    // One file that only uses the type, in the folder of one that completes it.
    let deep = [root, whole, ("part", completing), ("part::deep", user)];
    assert_eq!(circles_in(&deep), [(String::new(), circle)]);
}

/// What commands say nothing of: the pool, and which room a transaction may take.
const OF_THE_STORE: [&str; 5] = ["pobj", "store.pool", "tx.moves(", "tx.removes(", "tx.step("];

#[test]
fn commands_know_no_pool() {
    let mut all = BTreeMap::new();
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/module/src/commands");
    modules(Path::new(directory), &[], &mut all);
    assert!(all.len() > 50, "{} modules of commands", all.len());
    for (module, text) in &all {
        let code = text
            .lines()
            .map(|line| line.split("//").next().unwrap_or(line));
        for (number, line) in code.enumerate() {
            let found = OF_THE_STORE.iter().find(|part| line.contains(**part));
            assert!(
                found.is_none(),
                "{module:?}, line {}: {found:?} belongs to `store`: {line}",
                number + 1
            );
        }
    }
}

#[test]
fn one_place_tells_the_log() {
    let mut all = BTreeMap::new();
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/module/src");
    modules(Path::new(directory), &[], &mut all);
    let may = |module: &Module| {
        let first = module.first().map(String::as_str);
        matches!(first, Some("redis" | "report"))
    };
    for (module, text) in all.iter().filter(|(module, _)| !may(module)) {
        for path in used(text) {
            let name = path.rsplit("::").next();
            let logs = path.starts_with("crate::redis") && name == Some("log");
            assert!(!logs, "{module:?} logs by itself: `report` is for that");
        }
    }
}
