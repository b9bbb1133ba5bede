//! All that a server holds, in a form that is the same for a PM key and a native key of equal
//! contents.

use crate::client::Client;
use crate::resp::Value;
use crate::script::{ask, expect};
use std::collections::BTreeMap;

/// What a key holds: its type under the native name, its value, and when it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The native type's name.
    pub kind: String,
    /// The elements, of types without an order sorted; of a hash its fields with their values and
    /// expire times.
    pub value: Vec<Vec<u8>>,
    /// In Unix milliseconds; -1: never.
    pub expire_at: i64,
}

/// All keys of a server's databases, by database and name. O(everything).
///
/// # Panics
/// If a key cannot be read.
pub fn contents(client: &mut Client) -> BTreeMap<(u32, Vec<u8>), Content> {
    let mut contents = BTreeMap::new();
    for db in 0..16 {
        if ask(client, &format!("SELECT {db}")) != "OK" {
            break;
        }
        let names = client.call(&["KEYS", "*"]);
        for name in names.elements().expect("the names of the keys") {
            let name = name.bytes().expect("a name").to_vec();
            if let Some(content) = content(client, &name) {
                contents.insert((db, name), content);
            }
        }
    }
    expect(client, "SELECT 0", "OK");
    contents
}

/// What one key of the selected database holds; `None` if it has expired meanwhile.
fn content(client: &mut Client, name: &[u8]) -> Option<Content> {
    let told = client.call(&[b"TYPE".as_slice(), name]);
    let told = String::from_utf8_lossy(told.bytes().expect("a type")).into_owned();
    let (prefix, kind) = match told.strip_prefix("pm-") {
        Some(kind) => ("PM.", kind.trim_end_matches('-').to_owned()),
        None => ("", told),
    };
    let expire_at = client.call(&[b"PEXPIRETIME".as_slice(), name]);
    let expire_at = expire_at.integer().expect("an expire time");
    let mut ask = |command: &str, rest: &[&[u8]]| {
        let command = format!("{prefix}{command}");
        client.call(&[&[command.as_bytes(), name], rest].concat())
    };
    let value = match kind.as_str() {
        "none" => return None,
        "string" => vec![ask("GET", &[]).bytes().expect("a string").to_vec()],
        "list" => elements(&ask("LRANGE", &[b"0", b"-1"])),
        "set" => {
            let mut members = elements(&ask("SMEMBERS", &[]));
            members.sort();
            members
        }
        "zset" => elements(&ask("ZRANGE", &[b"0", b"-1", b"WITHSCORES"])),
        "hash" => {
            let pairs = elements(&ask("HGETALL", &[]));
            let mut fields: Vec<Vec<u8>> = Vec::new();
            for pair in pairs.chunks(2) {
                let time = ask("HPEXPIRETIME", &[b"FIELDS", b"1", &pair[0]]);
                let time = match time.elements() {
                    Some([Value::Integer(time)]) => time.to_string(),
                    // A server without such times.
                    _ => "-1".to_owned(),
                };
                fields.push([&pair[0], b"=".as_slice(), &pair[1], b"@", time.as_bytes()].concat());
            }
            fields.sort();
            fields
        }
        other => panic!("a key of the type {other}"),
    };
    Some(Content {
        kind,
        value,
        expire_at,
    })
}

fn elements(reply: &Value) -> Vec<Vec<u8>> {
    let elements = reply.elements().expect("elements");
    let bytes = |element: &Value| element.bytes().expect("an element").to_vec();
    elements.iter().map(bytes).collect()
}

/// Expects two servers to hold the same, be it in PM keys or in native ones.
///
/// # Panics
/// If they do not; the message names the first key that differs.
#[track_caller]
pub fn assert_equal(one: &mut Client, other: &mut Client) {
    let (here, there) = (contents(one), contents(other));
    for (key, content) in &here {
        assert_eq!(Some(content), there.get(key), "{key:?}");
    }
    assert_eq!(here.len(), there.len(), "there are more keys there");
}
