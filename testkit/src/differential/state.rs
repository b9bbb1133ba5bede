//! The whole state of one side: which keys there are, of which types, with which contents.

use super::grammar::Compare;
use super::{DBS, Dialect, KEYS};
use crate::client::Client;
use crate::resp::Value;
use std::io;

/// How the content of one type is read.
#[derive(Debug)]
struct Reader {
    /// What TYPE says of a native key.
    native_type: &'static str,
    /// What TYPE says of the module's key, if the module has the type.
    pm_type: Option<&'static str>,
    /// The command, with an empty word for the key.
    command: &'static [&'static str],
    /// Whether the order of its reply means something.
    compare: Compare,
}

/// All types that the tables make.
const READERS: [Reader; 6] = [
    reader("string", Some("pm-string"), &["GET", ""], Compare::Exact),
    reader(
        "list",
        Some("pm-list--"),
        &["LRANGE", "", "0", "-1"],
        Compare::Exact,
    ),
    reader("hash", Some("pm-hash--"), &["HGETALL", ""], Compare::Pairs),
    reader(
        "set",
        Some("pm-set---"),
        &["SMEMBERS", ""],
        Compare::Unordered,
    ),
    reader(
        "zset",
        Some("pm-zset--"),
        &["ZRANGE", "", "0", "-1", "WITHSCORES"],
        Compare::Exact,
    ),
    reader("stream", None, &["XRANGE", "", "-", "+"], Compare::Exact),
];

const fn reader(
    native_type: &'static str,
    pm_type: Option<&'static str>,
    command: &'static [&'static str],
    compare: Compare,
) -> Reader {
    Reader {
        native_type,
        pm_type,
        command,
        compare,
    }
}

/// What one key holds.
#[derive(Clone, Debug)]
pub struct Content {
    /// The key's database within its side.
    pub db: u8,
    /// The key.
    pub key: &'static [u8],
    /// The name of the native type that it is or stands for.
    pub kind: String,
    /// Whether the module holds it.
    pub in_pool: bool,
    /// Its value.
    pub value: Value,
    /// How two such values are compared.
    pub compare: Compare,
}

/// Reads all keys of one side. `clients` are one connection for each of its databases.
///
/// # Errors
/// Those of the connection.
///
/// # Panics
/// If a key has a type that no table makes.
pub fn read(clients: &mut [Client; DBS as usize], dialect: &Dialect) -> io::Result<Vec<Content>> {
    let mut state = Vec::new();
    for (db, client) in (0..).zip(clients) {
        let types = client.pipeline(&KEYS.map(|key| vec![&b"TYPE"[..], key]))?;
        for (key, reply) in KEYS.into_iter().zip(types) {
            let name = String::from_utf8_lossy(reply.bytes().unwrap_or_default()).into_owned();
            if name == "none" {
                continue;
            }
            let known = READERS
                .iter()
                .find(|r| r.native_type == name || r.pm_type == Some(&name));
            let reader = known.unwrap_or_else(|| panic!("a key of the unknown type {name:?}"));
            let in_pool =
                reader.native_type != name || dialect.unprefixed && reader.pm_type.is_some();
            let prefix = if in_pool { dialect.prefix } else { "" };
            let mut command: Vec<Vec<u8>> = reader
                .command
                .iter()
                .map(|word| word.as_bytes().to_vec())
                .collect();
            command[0].splice(0..0, prefix.bytes());
            command[1] = key.to_vec();
            let value = client.try_call(&command)?;
            let kind = reader.native_type.to_owned();
            state.push(Content {
                db,
                key,
                kind,
                in_pool,
                value,
                compare: reader.compare,
            });
        }
    }
    Ok(state)
}

/// Reads when the keys of a side's first database expire.
///
/// # Errors
/// Those of the connection.
pub(crate) fn expiries(client: &mut Client) -> io::Result<Vec<(&'static [u8], i64)>> {
    let replies = client.pipeline(&KEYS.map(|key| vec![&b"PEXPIRETIME"[..], key]))?;
    let times = replies.iter().map(|reply| {
        let time = reply.integer();
        time.unwrap_or_else(|| panic!("PEXPIRETIME gives {reply:?}"))
    });
    Ok(KEYS.into_iter().zip(times).collect())
}
