//! The native commands that the module has counterparts of, as the server lists them.

use crate::client::Client;

/// Their groups; Redis and Valkey name one of them each in their own way.
const GROUPS: [&str; 9] = [
    "string",
    "list",
    "hash",
    "set",
    "sorted-set",
    "sortedset",
    "bitmap",
    "hyperloglog",
    "geo",
];

/// Commands of these groups that are for the server's own tests.
const FOR_TESTS: [&str; 2] = ["pfdebug", "pfselftest"];

/// The names of the native commands about values, in order, each once.
pub fn about_values(client: &mut Client) -> Vec<String> {
    let mut names = Vec::new();
    for group in GROUPS {
        let listed = client.call(&["COMMAND", "LIST", "FILTERBY", "ACLCAT", group]);
        for name in listed.elements().unwrap_or_default() {
            let name = String::from_utf8_lossy(name.bytes().unwrap_or_default()).into_owned();
            if !name.starts_with("pm.") && !FOR_TESTS.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    names.sort();
    names.dedup();
    names
}
