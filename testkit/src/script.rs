//! Tests as transcripts: commands and replies in words, as `redis-cli` shows them.

use crate::client::Client;
use crate::resp::Value;
use crate::server::Server;

/// A reply in words: numbers and strings as they are, `nil`, `[a b]`, errors with their text.
pub fn words(reply: &Value) -> String {
    match reply {
        Value::Simple(text) => text.clone(),
        Value::Error(text) => format!("(error) {text}"),
        Value::Integer(number) => number.to_string(),
        Value::Bulk(bytes) | Value::Verbatim(_, bytes) => bytes.escape_ascii().to_string(),
        Value::NullBulk | Value::NullArray | Value::Null => "nil".into(),
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            let items: Vec<String> = items.iter().map(words).collect();
            format!("[{}]", items.join(" "))
        }
        other => format!("{other:?}"),
    }
}

/// Sends a command whose words are separated by single spaces, and returns its reply in words.
pub fn ask(client: &mut Client, command: &str) -> String {
    let command: Vec<&str> = command.split(' ').collect();
    words(&client.call(&command))
}

/// Sends `command` and expects `reply`.
///
/// # Panics
/// If there is another reply.
#[track_caller]
pub fn expect(client: &mut Client, command: &str, reply: &str) {
    assert_eq!(ask(client, command), reply, "{command}");
}

/// Runs the lines of a transcript, `command -> reply` or just `command`, which must not fail.
///
/// # Panics
/// If a reply is another one.
#[track_caller]
pub fn run(client: &mut Client, transcript: &str) {
    for line in transcript.lines().map(str::trim).filter(|l| !l.is_empty()) {
        match line.split_once(" -> ") {
            Some((command, reply)) => expect(client, command.trim_end(), reply),
            None => {
                let reply = ask(client, line);
                assert!(!reply.starts_with("(error)"), "{line}: {reply}");
            }
        }
    }
}

/// Kills the server (SIGKILL), starts it again, and connects.
///
/// # Panics
/// If it does not serve.
pub fn crash(server: &mut Server) -> Client {
    server.kill9();
    server
        .restart()
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    server.client()
}

/// All PM keys of the first `dbs` databases: database, name, type, expire time and content, one
/// line each. The connection has database 0 selected afterwards.
///
/// # Panics
/// If the connection breaks.
pub fn pm_keys(client: &mut Client, dbs: u32) -> Vec<String> {
    let mut state = Vec::new();
    for db in 0..dbs {
        expect(client, &format!("SELECT {db}"), "OK");
        let names = client.call(&["PM.KEYS", "*"]);
        for name in names.elements().expect("a list of keys") {
            let name = name.bytes().expect("a name");
            let mut about = |command: &str| words(&client.call(&[command.as_bytes(), name]));
            let facts = ["PM.TYPE", "PEXPIRETIME", "DUMP"].map(&mut about);
            state.push(format!("{db} {} {}", name.escape_ascii(), facts.join(" ")));
        }
    }
    expect(client, "SELECT 0", "OK");
    state.sort();
    state
}

/// The number of a field of `PM.INFO disk`.
///
/// # Panics
/// If the connection breaks, or there is no such number.
#[track_caller]
pub fn disk_info(client: &mut Client, field: &str) -> u64 {
    pm_info(client, "disk", field)
}

/// The numbers of fields of `PM.INFO disk`, all of one moment: right after `first`, a command that
/// must not fail.
///
/// # Panics
/// If the connection breaks, `first` fails, or there is no such number.
#[track_caller]
pub fn disk_info_after<const N: usize>(
    client: &mut Client,
    first: &str,
    fields: [&str; N],
) -> [u64; N] {
    let both = [first, "PM.INFO disk"].map(|line| line.split(' ').collect());
    let replies = client.pipeline::<&str>(&both).expect("two replies");
    assert!(!replies[0].is_error(), "{first}: {}", words(&replies[0]));
    fields.map(|field| number(&replies[1], field))
}

/// The number of a field of a section of PM.INFO.
///
/// # Panics
/// If the connection breaks, or there is no such number.
#[track_caller]
pub fn pm_info(client: &mut Client, section: &str, field: &str) -> u64 {
    number(&client.call(&["PM.INFO", section]), field)
}

#[track_caller]
fn number(text: &Value, field: &str) -> u64 {
    let text = String::from_utf8_lossy(text.bytes().expect("a text")).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{field}:")));
    let number = line.unwrap_or_else(|| panic!("no {field} in {text}"));
    number
        .parse()
        .unwrap_or_else(|_| panic!("{field}: {number}"))
}
