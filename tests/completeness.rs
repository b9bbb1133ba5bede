//! No command is missing: whatever the server at hand has of commands about strings, lists, hashes,
//! sets, sorted sets, bitmaps, HyperLogLogs, places and keys has a `PM.` form, with all its
//! options; and what COMMAND DOCS promises of a `PM.` command is really taken, on every server.

use std::collections::{BTreeMap, BTreeSet};
use testkit::client::Client;
use testkit::packaged::{Family, Packaged};
use testkit::resp::Value;
use testkit::server::Setup;

/// The groups, by the names that servers have for them.
const GROUPS: [&str; 9] = [
    "string",
    "list",
    "hash",
    "set",
    "sorted-set",
    "bitmap",
    "hyperloglog",
    "geo",
    "generic",
];

/// Commands of these groups that are not about keys: they wait until the writes of a connection are
/// elsewhere, whichever commands wrote.
const NOT_ABOUT_KEYS: [&str; 2] = ["wait", "waitaof"];

/// What precedes lines that are Valkey's only.
const IN_VALKEY: &str = "valkey: ";

/// Lines that together have every option of every command; each is answered on keys that are there.
const LINES: &str = include_str!("completeness.txt");

fn text(value: &Value) -> String {
    let bytes = value
        .bytes()
        .unwrap_or_else(|| panic!("no text: {value:?}"));
    String::from_utf8_lossy(bytes).into_owned()
}

/// The value of a name in a map that RESP2 flattens.
fn field<'a>(map: &'a Value, name: &str) -> Option<&'a Value> {
    let mut pairs = map.elements()?.chunks_exact(2);
    pairs
        .find(|pair| pair[0].bytes() == Some(name.as_bytes()))
        .map(|pair| &pair[1])
}

/// The words of a command's options, as its arguments have them; an empty word is no option.
fn words(docs: &Value) -> BTreeSet<String> {
    fn collect(arguments: &Value, words: &mut BTreeSet<String>) {
        for argument in arguments.elements().expect("arguments") {
            let token = field(argument, "token").map(text);
            words.extend(token.filter(|token| !token.is_empty()));
            if let Some(parts) = field(argument, "arguments") {
                collect(parts, words);
            }
        }
    }
    let mut words = BTreeSet::new();
    if let Some(arguments) = field(docs, "arguments") {
        collect(arguments, &mut words);
    }
    words
}

/// All commands and their descriptions.
fn docs(client: &mut Client) -> BTreeMap<String, Value> {
    let reply = client.call(&["COMMAND", "DOCS"]);
    let pairs = reply.elements().expect("an array").chunks_exact(2);
    let mut docs: BTreeMap<String, Value> = pairs
        .map(|pair| (text(&pair[0]), pair[1].clone()))
        .collect();
    // Parts of a container count as commands.
    for (_, container) in docs.clone() {
        if let Some(parts) = field(&container, "subcommands") {
            for part in parts.elements().expect("parts").chunks_exact(2) {
                docs.insert(text(&part[0]), part[1].clone());
            }
        }
    }
    docs
}

/// Whether it is the server's own affair: tests of itself, and a look into its memory.
fn is_internal(docs: &Value) -> bool {
    let flags = field(docs, "doc_flags").and_then(Value::elements);
    flags.is_some_and(|flags| flags.iter().any(|flag| text(flag) == "syscmd"))
}

#[test]
fn no_command_and_no_option_is_missing() {
    let server = Setup::pmedis("16m").start().unwrap();
    let docs = docs(&mut server.client());
    let mut seen = 0;
    let mut missing = Vec::new();
    for (name, native) in &docs {
        let group = field(native, "group").map(text).unwrap_or_default();
        let ours = GROUPS.contains(&group.as_str()) && !name.starts_with("pm.");
        let left_out = NOT_ABOUT_KEYS.contains(&name.as_str());
        if !ours || is_internal(native) || left_out {
            continue;
        }
        seen += 1;
        match docs.get(&format!("pm.{name}")) {
            None => missing.push(name.to_uppercase()),
            Some(pm) => {
                let lacking = words(native)
                    .difference(&words(pm))
                    .cloned()
                    .collect::<Vec<_>>();
                if !lacking.is_empty() {
                    missing.push(format!("{} {}", name.to_uppercase(), lacking.join(" ")));
                }
            }
        }
    }
    assert!(seen > 150, "only {seen} commands looked at");
    assert_eq!(missing, [""; 0]);
}

/// Lines for options that no server has: those of the module's own commands, and its own options of
/// others.
const OWN: [&str; 7] = [
    "DEFRAG STATUS",
    "DEFRAG NOW 1",
    "MIGRATE 127.0.0.1 1 absent 0 100 NATIVE",
    "POOL CHECKPOINT",
    "POOL GROW",
    "POOL SEEN 1",
    "USAGE s SAMPLES 0",
];

/// Stands for what DUMP says of the key `s`.
const DUMP: &str = "<dump>";

/// Keys of each type, so that options are looked at.
const KEYS: [&str; 7] = [
    "PM.SET s v",
    "PM.SET t v",
    "PM.RPUSH l 3 1 2",
    "PM.HSET h f v g w",
    "PM.SADD u 1 2",
    "PM.ZADD z 1 a 2 b",
    "PM.GEOADD p 13.361389 38.115556 m 15.087269 37.502669 n",
];

/// The line's command, with the part of a container.
fn command(line: &str) -> String {
    let mut parts = line.split(' ');
    let name = parts.next().unwrap_or_default().to_lowercase();
    match name.as_str() {
        "object" => format!("{name}|{}", parts.next().unwrap_or_default().to_lowercase()),
        _ => name,
    }
}

#[test]
fn every_option_that_is_promised_is_taken() {
    let server = Setup::pmedis_with("16m", &["max-size", "64m"])
        .start()
        .unwrap();
    let mut client = server.client();
    let docs = docs(&mut client);
    let in_valkey = Packaged::current().family == Family::Valkey;
    let lines: Vec<&str> = LINES
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| match line.strip_prefix(IN_VALKEY) {
            Some(line) => in_valkey.then_some(line),
            None => Some(line),
        })
        .chain(OWN)
        .collect();
    let mut tried: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in &lines {
        client.call(&["FLUSHALL"]);
        for key in KEYS {
            let reply = client.call(&key.split(' ').collect::<Vec<_>>());
            assert!(!reply.is_error(), "{key}: {reply:?}");
        }
        let dump = client.call(&["DUMP", "s"]);
        let pm_line = format!("PM.{line}");
        let words: Vec<&str> = pm_line.split(' ').collect();
        let bytes = words.iter().map(|word| match *word {
            DUMP => dump.bytes().expect("a payload"),
            word => word.as_bytes(),
        });
        let reply = client.call(&bytes.collect::<Vec<_>>());
        assert!(!reply.is_error(), "{pm_line}: {reply:?}");
        let options = tried.entry(command(line)).or_default();
        options.extend(words[1..].iter().map(|word| (*word).to_owned()));
    }
    for (name, pm) in docs.iter().filter(|(name, _)| name.starts_with("pm.")) {
        let promised = words(pm);
        let empty = BTreeSet::new();
        let taken = tried.get(&name["pm.".len()..]).unwrap_or(&empty);
        let untried: Vec<_> = promised.difference(taken).collect();
        assert!(untried.is_empty(), "{name}: no line tries {untried:?}");
    }
}
