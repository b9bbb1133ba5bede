//! docs/commands.md has every command, with what COMMAND DOCS says of it.

use std::collections::BTreeMap;
use testkit::client::Client;
use testkit::packaged::Packaged;
use testkit::resp::Value;
use testkit::server::Setup;

const PAGE: &str = include_str!("../docs/commands.md");

fn text(value: &Value) -> String {
    let bytes = value.bytes();
    String::from_utf8_lossy(bytes.unwrap_or_else(|| panic!("no text: {value:?}"))).into_owned()
}

/// The pairs of a map that RESP2 flattens.
fn pairs(map: &Value) -> Vec<(String, &Value)> {
    let pairs = map.elements().expect("a map").chunks_exact(2);
    pairs.map(|pair| (text(&pair[0]), &pair[1])).collect()
}

/// Adds a command, or the parts of a container, with what they do.
fn add(name: &str, docs: &Value, commands: &mut BTreeMap<String, String>) {
    let fields: BTreeMap<_, _> = pairs(docs).into_iter().collect();
    match fields.get("subcommands") {
        Some(parts) => {
            for (name, docs) in pairs(parts) {
                add(&name, docs, commands);
            }
        }
        None => {
            let name = name.to_uppercase().replace('|', " ");
            commands.insert(
                name,
                fields
                    .get("summary")
                    .map(|found| text(found))
                    .unwrap_or_default(),
            );
        }
    }
}

/// All commands of the module, with what they do.
fn commands(client: &mut Client) -> BTreeMap<String, String> {
    let mut commands = BTreeMap::new();
    let listed = client.call(&["COMMAND", "LIST", "FILTERBY", "MODULE", "pmedis"]);
    for name in listed.elements().expect("a list") {
        let docs = client.call(&["COMMAND", "DOCS", &text(name)]);
        for (name, docs) in pairs(&docs) {
            add(&name, docs, &mut commands);
        }
    }
    commands
}

#[test]
fn the_page_has_every_command_and_what_it_does() {
    let server = Setup::pmedis("16m").start().unwrap();
    let commands = commands(&mut server.client());
    assert!(commands.len() > 180, "{}", commands.len());
    let mut listed = BTreeMap::new();
    for line in PAGE.lines().filter_map(|line| line.strip_prefix("| `PM.")) {
        let mut cells = line.split(" | ");
        let name = cells.next().and_then(|name| name.strip_suffix('`'));
        let name = format!(
            "PM.{}",
            name.unwrap_or_else(|| panic!("no command: {line}"))
        );
        let summary = cells.next().unwrap_or_default().trim_end_matches(" |");
        let twice = listed.insert(name, summary.to_owned());
        assert!(twice.is_none(), "a command stands twice: {line}");
    }
    for (name, summary) in &commands {
        let found = listed.get(name);
        let found =
            found.unwrap_or_else(|| panic!("docs/commands.md lacks | `{name}` | {summary} |"));
        // Other servers describe theirs in other words.
        if Packaged::current().is_redis_7_0() {
            assert_eq!(found, summary, "{name}");
        }
    }
    for name in listed.keys() {
        assert!(commands.contains_key(name), "{name} is no command");
    }
}
