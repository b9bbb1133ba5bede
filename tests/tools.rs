//! redis-cli's own modes: on a server with PM keys only they do what they do on one with native
//! keys only, but for what --bigkeys cannot know.

use std::process::Command;
use testkit::client::Client;
use testkit::packaged::Packaged;
use testkit::script::{expect, run, words};
use testkit::server::{Server, Setup};

const KEYS: &str = "
    PM.SET string:1 v
    PM.SET string:2 a-much-longer-value-than-that-of-the-other-string-in-this-database
    PM.RPUSH list a b c
    PM.HSET hash f v
    PM.SADD set a b
    PM.ZADD zset 1 a
";

fn serve(setup: &Setup, keys: &str) -> (Server, Client) {
    let setup = setup.clone().directive("maxmemory-policy allkeys-lfu");
    let server = setup.start().unwrap();
    let mut client = server.client();
    run(&mut client, keys);
    (server, client)
}

/// A server with PM keys only.
fn start() -> (Server, Client) {
    serve(&Setup::pmedis("64m"), KEYS)
}

/// A server without the module, with native keys of the same names and values.
fn native() -> (Server, Client) {
    serve(&Setup::native(), &KEYS.replace("PM.", ""))
}

/// What redis-cli writes; it must end well.
#[track_caller]
fn redis_cli(server: &Server, mode: &[&str]) -> String {
    let port = server.address().port().to_string();
    let mut command = Command::new(Packaged::current().program("cli"));
    let output = command.args(["-p", &port]).args(mode).output();
    let output = output.expect("redis-cli can be started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && errors.is_empty(),
        "{mode:?}: {text}{errors}"
    );
    assert!(!text.contains("rror"), "{mode:?}: {text}");
    text
}

/// What redis-cli writes of the keys, in order, with the names of PM types as native ones and
/// without the lines about types of which there is no key.
fn about_keys(server: &Server, mode: &[&str]) -> Vec<String> {
    let types = [
        ("pm-string", "string"),
        ("pm-list--", "list"),
        ("pm-hash--", "hash"),
        ("pm-set---", "set"),
        ("pm-zset--", "zset"),
    ];
    let mut text = redis_cli(server, mode);
    for (pm, native) in types {
        text = text.replace(pm, native);
    }
    let lines = text.lines().filter(|line| !line.starts_with("0 "));
    let squeezed = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let mut lines: Vec<String> = squeezed
        .filter(|line| !line.contains("found so far"))
        .collect();
    lines.sort();
    lines
}

#[test]
fn scan_lists_the_same_keys() {
    let (pm, _client) = start();
    let (native, _client) = native();
    for (mode, keys) in [
        (&["--scan"][..], 6),
        (&["--scan", "--pattern", "string:*"], 2),
    ] {
        let listed = about_keys(&pm, mode);
        assert_eq!(listed.len(), keys);
        assert_eq!(listed, about_keys(&native, mode), "{mode:?}");
    }
}

/// The lines up to the sizes, which are numbers of the server's own bytes, or unknown.
fn without_sizes(lines: Vec<String>) -> Vec<String> {
    let cut = |line: String| match line
        .split_once(" with ")
        .or_else(|| line.split_once(" has "))
    {
        Some((head, _)) => head.to_owned(),
        None => line,
    };
    lines.into_iter().map(cut).collect()
}

#[test]
fn memkeys_says_the_same_of_each_type() {
    let (pm, _client) = start();
    let (native, _client) = native();
    let mode = &["--memkeys", "--memkeys-samples", "0"];
    let said = without_sizes(about_keys(&pm, mode));
    assert_eq!(said, without_sizes(about_keys(&native, mode)));
    let biggest =
        |line: &String| line.starts_with("Biggest string found") && line.contains("\"string:2\"");
    assert!(said.iter().any(biggest), "{said:?}");
}

/// Of types that it does not know, redis-cli cannot ask the length: it says no more than how many
/// keys there are.
#[test]
fn bigkeys_counts_the_same_keys_without_their_lengths() {
    let (pm, _client) = start();
    let (native, _client) = native();
    let said = about_keys(&pm, &["--bigkeys"]);
    assert!(
        said.iter()
            .any(|line| line.starts_with("2 strings with 0 ? (33.33% of keys")),
        "{said:?}"
    );
    let mut expected = without_sizes(about_keys(&native, &["--bigkeys"]));
    expected.retain(|line| !line.starts_with("Biggest"));
    assert_eq!(without_sizes(said), expected);
}

#[test]
fn hotkeys_finds_what_is_read_most() {
    let (pm, mut pm_client) = start();
    let (native, mut native_client) = native();
    for _ in 0..2000 {
        expect(&mut pm_client, "PM.GET string:1", "v");
        expect(&mut native_client, "GET string:1", "v");
    }
    for server in [pm, native] {
        let text = redis_cli(&server, &["--hotkeys"]);
        let mut found = text
            .lines()
            .filter(|line| line.starts_with("hot key found with counter"));
        assert!(
            found
                .next()
                .is_some_and(|line| line.ends_with("keyname: \"string:1\"")),
            "{text}"
        );
        assert_eq!(found.count(), 5, "{text}");
    }
}

/// The commands that MONITOR tells of, without times and addresses.
fn monitored(server: &Server, client: &mut Client, commands: &str) -> Vec<String> {
    let mut monitor = server.client();
    expect(&mut monitor, "MONITOR", "OK");
    run(client, commands);
    run(client, "PING the-end");
    let mut told = Vec::new();
    while !told
        .last()
        .is_some_and(|line: &String| line.contains("the-end"))
    {
        let line = words(&monitor.receive().unwrap());
        let (database, command) = line.split_once("] ").expect("a source");
        let (_, database) = database.split_once('[').expect("a source");
        let database = database.split(' ').next().expect("a database").to_owned();
        told.push(format!("{database} {command}"));
    }
    told
}

#[test]
fn monitor_tells_the_same() {
    let (pm, mut pm_client) = start();
    let (native, mut native_client) = native();
    let commands = "
        PM.SET seen v EX 100
        PM.GETEX seen PERSIST
        SELECT 3
        MULTI
        PM.RPUSH l a b
        PM.LPOP l
        EXEC
        EXPIRE l 100
        EVAL return{redis.call('PM.INCR','n'),redis.call('DEL','n')} 0
        SELECT 0
        DEL seen absent";
    let told = monitored(&pm, &mut pm_client, commands);
    let expected = monitored(&native, &mut native_client, &commands.replace("PM.", ""));
    let plain: Vec<String> = told.iter().map(|line| line.replace("PM.", "")).collect();
    assert_eq!(plain, expected);
    assert_ne!(told, expected);
    let told = monitored(
        &pm,
        &mut pm_client,
        "PM.DEL list absent\nPM.RPUSH list a\nPM.EXPIRE list 100",
    );
    assert_eq!(
        told[..3],
        [
            r#"0 "PM.DEL" "list" "absent""#,
            r#"0 "PM.RPUSH" "list" "a""#,
            r#"0 "PM.EXPIRE" "list" "100""#,
        ]
    );
}

#[test]
fn slowlog_and_statistics_name_pm_commands() {
    let (_server, mut client) = start();
    run(
        &mut client,
        "CONFIG SET slowlog-log-slower-than 0 -> OK\nPM.SET seen v -> OK\nPM.DEL seen -> 1",
    );
    run(&mut client, "CONFIG SET slowlog-log-slower-than -1 -> OK");
    let slow = words(&client.call(&["SLOWLOG", "GET"]));
    assert!(
        slow.contains("[PM.SET seen v]") && slow.contains("[PM.DEL seen]"),
        "{slow}"
    );
    let stats = words(&client.call(&["INFO", "commandstats"]));
    assert!(
        stats.contains("cmdstat_pm.set:calls=3") && stats.contains("cmdstat_pm.del:calls=1"),
        "{stats}"
    );
    run(&mut client, "LATENCY RESET");
    let histogram = words(&client.call(&["LATENCY", "HISTOGRAM", "pm.set"]));
    assert!(histogram.contains("pm.set"), "{histogram}");
}

#[test]
fn acl_rules_apply() {
    let (server, mut client) = start();
    run(
        &mut client,
        "
        ACL SETUSER reader on >secret ~string:* +pm.get +pm.type +pm.rename +auth
        ",
    );
    let mut reader = server.client();
    run(
        &mut reader,
        "AUTH reader secret -> OK\nPM.GET string:1 -> v\nPM.TYPE string:2 -> string",
    );
    for (command, code) in [
        ("PM.GET list", "NOPERM"),
        ("PM.SET string:1 v", "NOPERM"),
        ("PM.RENAME string:1 other", "NOPERM"),
        ("PM.DEL string:1", "NOPERM"),
    ] {
        let refused = words(&reader.call(&command.split(' ').collect::<Vec<_>>()));
        assert!(refused.contains(code), "{command}: {refused}");
    }
    expect(&mut reader, "PM.RENAME string:1 string:3", "OK");
}

/// Redis 7.0 passes over the commands of modules in rules with categories; the rules have to name
/// them.
#[test]
fn acl_rules_name_commands() {
    let (server, mut client) = start();
    run(
        &mut client,
        "
        ACL SETUSER reader on >secret ~* +@read +auth +pm.get
        ACL SETUSER writer on >secret ~* +@all -@dangerous -flushall -pm.flushall
        ",
    );
    for (user, allowed, refused) in [
        ("reader", "PM.GET string:1", "PM.SET string:1 v"),
        ("writer", "PM.SET string:1 v", "PM.FLUSHALL"),
    ] {
        let mut connection = server.client();
        expect(&mut connection, &format!("AUTH {user} secret"), "OK");
        run(&mut connection, allowed);
        let reply = words(&connection.call(&refused.split(' ').collect::<Vec<_>>()));
        assert!(reply.contains("NOPERM"), "{user}: {refused}: {reply}");
    }
}
