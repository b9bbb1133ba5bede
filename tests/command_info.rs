//! What the server tells of a `PM.` command is what it tells of the native one: clients, proxies
//! and cluster libraries find the keys by it.

use std::collections::BTreeMap;
use testkit::client::Client;
use testkit::packaged::Packaged;
use testkit::resp::Value;
use testkit::server::Setup;

/// The flag by which a module's command differs.
const MODULE_FLAG: &str = "module";
/// The flag of keys whose use depends on the arguments.
const VARIABLE_FLAGS: &str = "variable_flags";
/// The flag of commands whose keys the server has to be asked for, call by call.
const MOVABLE_KEYS: &str = "movablekeys";

/// Commands whose key's flags depend on the arguments natively. Here those of SET are of calls that
/// do not read: the handler asks for the permission to do so (`tests/key_permissions.rs`), and
/// clients of a cluster know the key without asking.
const FIXED: [&str; 2] = ["set", "delex"];

fn text(value: &Value) -> String {
    String::from_utf8_lossy(
        value
            .bytes()
            .unwrap_or_else(|| panic!("no text: {value:?}")),
    )
    .into_owned()
}

/// Commands that take more than the native ones of some servers do. That they take no less is shown
/// by `tests/completeness.rs`, and that they take what they promise, too.
const WIDER: [&str; 9] = [
    "set",
    "bitcount",
    "bitop",
    "geosearch",
    "geosearchstore",
    "hscan",
    "zscan",
    "zrank",
    "zrevrank",
];

/// All commands of the module that have a native counterpart.
fn pairs(client: &mut Client) -> Vec<(String, String)> {
    let listed = client.call(&["COMMAND", "LIST", "FILTERBY", "MODULE", "pmedis"]);
    let mut names: Vec<String> = listed
        .elements()
        .expect("a list")
        .iter()
        .map(text)
        .collect();
    names.sort();
    let pairs = names.into_iter().filter_map(|pm| {
        let native = pm
            .strip_prefix("pm.")
            .unwrap_or_else(|| panic!("{pm} lacks the prefix"))
            .to_owned();
        let known = client.call(&["COMMAND", "INFO", &native]);
        let exists = !known.elements().expect("an array")[0].is_null();
        (exists && native != "info").then_some((pm, native))
    });
    pairs.collect()
}

/// The name of a part of a container, without the container's.
fn part_name(part: &Value) -> Value {
    let name = text(&part.elements().expect("a description")[0]);
    let (_, name) = name.split_once('|').expect("a part's name");
    Value::Bulk(name.into())
}

/// COMMAND INFO without the name and what Redis 7.0 keeps from modules: the ACL categories.
fn info(client: &mut Client, name: &str) -> BTreeMap<&'static str, Value> {
    let reply = client.call(&["COMMAND", "INFO", name]);
    let entry = reply.elements().and_then(|entries| entries[0].elements());
    let fields = entry.unwrap_or_else(|| panic!("COMMAND INFO {name}: {reply:?}"));
    let names = [
        "name", "arity", "flags", "first", "last", "step", "acl", "tips", "keys", "sub",
    ];
    let mut info: BTreeMap<_, _> = names.into_iter().zip(fields.iter().cloned()).collect();
    let flags = info["flags"]
        .elements()
        .expect("flags")
        .iter()
        .filter(|flag| text(flag) != MODULE_FLAG);
    let mut flags: Vec<Value> = flags.cloned().collect();
    flags.sort();
    info.insert("flags", Value::Array(flags));
    info.insert("keys", without(&info["keys"], VARIABLE_FLAGS));
    let parts = info["sub"].elements().expect("parts");
    let mut parts: Vec<Value> = parts.iter().map(part_name).collect();
    parts.sort();
    info.insert("sub", Value::Array(parts));
    info.remove("name");
    info.remove("acl");
    info
}

/// The value without the flag, in whatever set it stands.
fn without(value: &Value, flag: &str) -> Value {
    match value {
        Value::Array(values) => Value::Array(
            values
                .iter()
                .filter(|value| **value != Value::Simple(flag.into()))
                .map(|value| without(value, flag))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// What COMMAND DOCS says for people, and the tree of arguments.
fn docs(client: &mut Client, name: &str) -> BTreeMap<String, Value> {
    let reply = client.call(&["COMMAND", "DOCS", name]);
    let [_, Value::Array(fields)] = reply.elements().expect("an array") else {
        panic!("COMMAND DOCS {name}: {reply:?}")
    };
    let pairs = fields
        .chunks_exact(2)
        .map(|pair| (text(&pair[0]), pair[1].clone()));
    pairs
        .filter(|(name, _)| ["summary", "complexity", "arguments"].contains(&name.as_str()))
        .map(|(name, value)| (name, as_a_module_may(&value)))
        .collect()
}

/// The tree of arguments without the key specifications of those that are no keys, such as
/// patterns, and a number in Valkey: a module cannot give them.
fn as_a_module_may(value: &Value) -> Value {
    let Value::Array(values) = value else {
        return value.clone();
    };
    let name = |pair: &[Value]| pair[0].bytes().map(<[u8]>::to_vec);
    let is_no_key = values
        .chunks_exact(2)
        .any(|pair| name(pair).as_deref() == Some(b"type") && text(&pair[1]) != "key");
    let drop = |pair: &&[Value]| is_no_key && name(pair).as_deref() == Some(b"key_spec_index");
    Value::Array(
        values
            .chunks(2)
            .filter(|pair| !drop(pair))
            .flatten()
            .map(as_a_module_may)
            .collect(),
    )
}

#[test]
fn every_command_is_described_as_its_native_one() {
    let server = Setup::pmedis("16m").start().unwrap();
    let mut client = server.client();
    let pairs = pairs(&mut client);
    assert!(
        pairs.len() >= 22,
        "the String type alone has 22 commands: {pairs:?}"
    );
    let object = ["encoding", "freq", "help", "idletime", "refcount"];
    let parts = object.map(|part| (format!("pm.object|{part}"), format!("object|{part}")));
    for (pm, native) in pairs.into_iter().chain(parts) {
        let mut infos = [info(&mut client, &pm), info(&mut client, &native)];
        let mut docs = [docs(&mut client, &pm), docs(&mut client, &native)];
        if FIXED.contains(&native.as_str()) {
            infos.iter_mut().for_each(|info| drop(info.remove("keys")));
        }
        if native == "bitfield" {
            // A module's handler that tells its keys makes them movable.
            let flags = infos[0].get_mut("flags").expect("flags");
            *flags = without(flags, MOVABLE_KEYS);
        }
        if native == "migrate" {
            let Some(Value::Array(arguments)) = docs[0].get_mut("arguments") else {
                panic!("COMMAND DOCS {pm} has no arguments")
            };
            let before = arguments.len();
            arguments.retain(|argument| {
                let fields = argument.elements().expect("an argument");
                text(&fields[1]) != "native"
            });
            assert_eq!(arguments.len() + 1, before, "NATIVE is the module's own");
        }
        if WIDER.contains(&native.as_str()) {
            infos.iter_mut().for_each(|info| drop(info.remove("arity")));
            docs.iter_mut()
                .for_each(|docs| drop(docs.remove("arguments")));
        }
        assert_eq!(infos[0], infos[1], "COMMAND INFO {pm}");
        assert_eq!(docs[0], docs[1], "COMMAND DOCS {pm}");
    }
}

/// The ACL categories of the commands that no server has.
const CATEGORIES_OF_OWN: [(&str, &str); 16] = [
    ("pm.adopt", "@slow"),
    ("pm.adopt|all", "@admin @dangerous @slow"),
    ("pm.adopt|keys", "@dangerous @keyspace @slow @write"),
    ("pm.adopt|match", "@admin @dangerous @slow"),
    ("pm.adopt|status", "@admin @dangerous @slow"),
    ("pm.adopt|stop", "@admin @dangerous @slow"),
    ("pm.check", "@admin @dangerous @slow"),
    ("pm.defrag", "@admin @dangerous @slow"),
    ("pm.export", "@keyspace @read @slow"),
    ("pm.help", "@slow"),
    ("pm.info", "@dangerous @slow"),
    ("pm.pool", "@admin @dangerous @slow"),
    ("pm.ready", "@fast"),
    ("pm.refused", "@slow"),
    ("pm.stats", "@dangerous @slow"),
    ("pm.usage", "@read @slow"),
];

/// The ACL categories that COMMAND INFO tells; none if there is no such command.
fn categories(client: &mut Client, name: &str) -> Option<String> {
    let reply = client.call(&["COMMAND", "INFO", name]);
    let entry = reply.elements().and_then(|entries| entries[0].elements())?;
    let mut words: Vec<String> = entry[6].elements()?.iter().map(text).collect();
    words.sort();
    Some(words.join(" "))
}

#[test]
fn every_command_is_in_acl_categories() {
    let server = Setup::pmedis("16m").start().unwrap();
    let mut client = server.client();
    if Packaged::current().is_redis_7_0() {
        // Commands of modules are in none there.
        assert_eq!(categories(&mut client, "pm.get").as_deref(), Some(""));
        return;
    }
    let listed = client.call(&["COMMAND", "LIST", "FILTERBY", "MODULE", "pmedis"]);
    let listed: Vec<String> = listed
        .elements()
        .expect("a list")
        .iter()
        .map(text)
        .collect();
    let own = CATEGORIES_OF_OWN.map(|(name, _)| name.to_owned());
    let missing = own
        .iter()
        .find(|name| !name.contains('|') && !listed.contains(name));
    assert_eq!(missing, None);
    for name in listed.into_iter().chain(own) {
        let told = categories(&mut client, &name).expect("the command is there");
        let native = name.strip_prefix("pm.").expect("the prefix");
        let own = CATEGORIES_OF_OWN.iter().find(|(own, _)| *own == name);
        match (own, categories(&mut client, native)) {
            (Some((_, expected)), _) => assert_eq!(told, *expected, "{name}"),
            (None, Some(expected)) => assert_eq!(told, expected, "{name}"),
            (None, None) => assert!(told.contains("@fast") || told.contains("@slow"), "{name}"),
        }
    }
    assert_eq!(
        categories(&mut client, "pm.info"),
        categories(&mut client, "info")
    );
}

/// Arguments that between them fit every command with keys.
const ARGUMENTS: [&str; 28] = [
    "k",
    "k v",
    "k 1 v",
    "k 1 2 v",
    "k 1 2 3 v",
    "a b",
    "a b c",
    "a b c d",
    "a b LEFT RIGHT",
    "a b LEFT RIGHT 1",
    "a b DB 3 REPLACE",
    "k v EX 10 GET",
    "AND d a b",
    "2 a b",
    "2 a b LEFT COUNT 3",
    "1 2 a b MIN",
    "d 2 a b WEIGHTS 1 2",
    "k BY w_* LIMIT 0 5 GET # STORE d",
    "k 1 2 3 m STORE d",
    "a b FROMMEMBER m BYRADIUS 1 m",
    "k v GET",
    "k v IFEQ w",
    "k IFEQ v",
    "k GET u8 0",
    "k OVERFLOW SAT GET u8 0",
    "k GET u8 0 INCRBY u8 0 1",
    "k SET u8 0 1",
    "k 1 2 3 m STOREDIST d",
];

#[test]
fn keys_are_found_in_every_command() {
    let server = Setup::pmedis("16m").start().unwrap();
    let mut client = server.client();
    let mut keyless = Vec::new();
    for (pm, native) in pairs(&mut client) {
        let mut found = false;
        for arguments in ARGUMENTS {
            for question in ["GETKEYS", "GETKEYSANDFLAGS"] {
                let mut ask = |name: &str| {
                    let name = name.replace('|', " ");
                    let line = format!("COMMAND {question} {name} {arguments}");
                    client.call(&line.split(' ').collect::<Vec<_>>())
                };
                let expected = ask(&native);
                if expected.is_error() && WIDER.contains(&native.as_str()) {
                    continue;
                }
                let told = ask(&pm);
                if question == "GETKEYS" || !FIXED.contains(&native.as_str()) {
                    assert_eq!(told, expected, "{question} {pm} {arguments}");
                } else if !expected.is_error() {
                    let access = |reply: &Value| format!("{reply:?}").contains("access");
                    assert!(!access(&told), "{pm} {arguments}: {told:?}");
                    let reads =
                        native == "set" && arguments.split(' ').skip(2).any(|word| word == "GET");
                    assert_eq!(
                        access(&expected),
                        reads,
                        "{native} {arguments}: {expected:?}"
                    );
                }
                found |= !expected.is_error();
            }
        }
        if !found {
            keyless.push(native);
        }
    }
    assert_eq!(
        keyless,
        [
            "dbsize",
            "flushall",
            "flushdb",
            "keys",
            "object",
            "object|help",
            "randomkey",
            "scan"
        ]
    );
}
