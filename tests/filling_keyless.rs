//! Commands that name no key, while Redis's keyspace is being filled: of each that the server at
//! hand has it is known what it needs, as the command filter cannot ask the server for it. A server
//! that has one more fails here, until somebody has looked at it.

use std::collections::BTreeSet;
use testkit::resp::Value;
use testkit::server::Setup;

/// The commands that were looked at.
const KNOWN: &str = include_str!("filling_keyless.txt");

fn text(value: &Value) -> String {
    let bytes = value
        .bytes()
        .unwrap_or_else(|| panic!("no text: {value:?}"));
    String::from_utf8_lossy(bytes).into_owned()
}

/// The commands and parts of commands, of what COMMAND tells of some, that have no keys the server
/// could tell of.
fn keyless(commands: &Value, found: &mut BTreeSet<String>) {
    for command in commands.elements().expect("commands") {
        let about = command.elements().expect("a command");
        let [name, _, flags, .., specs, parts] = about else {
            panic!("an unknown form: {about:?}")
        };
        let is_empty = |list: &Value| list.elements().is_none_or(<[Value]>::is_empty);
        if !is_empty(parts) {
            keyless(parts, found);
        }
        let flags: Vec<String> = flags.elements().expect("flags").iter().map(text).collect();
        if is_empty(specs) && is_empty(parts) && !flags.iter().any(|flag| flag == "movablekeys") {
            found.insert(text(name));
        }
    }
}

#[test]
fn what_commands_without_keys_need_is_known() {
    let lines = KNOWN.lines();
    let known: BTreeSet<&str> = lines.filter(|line| !line.starts_with('#')).collect();
    let server = Setup::native().start().unwrap();
    let mut found = BTreeSet::new();
    keyless(&server.client().call(&["COMMAND"]), &mut found);
    assert!(found.len() > 100, "{found:?}");
    let unknown: Vec<_> = found
        .iter()
        .filter(|name| !known.contains(name.as_str()))
        .collect();
    assert!(unknown.is_empty(), "nobody has looked at {unknown:?}");
}
