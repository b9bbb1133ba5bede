//! What an operator sees of the module: INFO, PM.INFO and the like, the latency monitor, and the
//! files in `ops/`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use testkit::client::Client;
use testkit::packaged::{Family, Packaged};
use testkit::script::{ask, expect, run};
use testkit::server::{FORCE_PMEM, Server, Setup};

fn start(setup: &Setup) -> (Server, Client) {
    let server = setup.start().unwrap();
    let client = server.client();
    (server, client)
}

/// The fields of INFO or PM.INFO.
fn fields(client: &mut Client, command: &str) -> BTreeMap<String, String> {
    let [fields] = fields_of_each(client, [command]);
    fields
}

/// The fields that several such commands give at one moment.
fn fields_of_each<const N: usize>(
    client: &mut Client,
    commands: [&str; N],
) -> [BTreeMap<String, String>; N] {
    let commands = commands.map(|line| line.split(' ').collect());
    let replies = client.pipeline::<&str>(&commands).expect("replies");
    let mut replies = replies.iter();
    commands.map(|_| {
        let text = replies.next().and_then(|reply| reply.bytes());
        let text = String::from_utf8_lossy(text.expect("a text")).into_owned();
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    })
}

#[test]
fn the_servers_info_has_what_pm_info_has() {
    let (_server, mut client) = start(&Setup::pmedis("16m"));
    run(
        &mut client,
        "PM.SET a 1\nPM.RPUSH l x\nPM.DEL l\nSELECT 3\nPM.HSET h f v\nPM.SET z old\nDEL z\nPM.ZADD z 1 m",
    );
    let [own, servers] = fields_of_each(&mut client, ["PM.INFO", "INFO pmedis"]);
    let names = |fields: &BTreeMap<String, String>| fields.keys().cloned().collect::<BTreeSet<_>>();
    let prefixed: BTreeSet<_> = names(&own)
        .iter()
        .map(|name| format!("pmedis_{name}"))
        .collect();
    assert_eq!(names(&servers), prefixed);
    for (name, value) in &own {
        assert_eq!(&servers[&format!("pmedis_{name}")], value, "{name}");
    }
    for (name, value) in [
        ("db0", "keys=1,strings=1,lists=0,hashes=0,sets=0,zsets=0"),
        ("db3", "keys=2,strings=0,lists=0,hashes=1,sets=0,zsets=1"),
        ("keys", "3"),
        ("strings", "1"),
        ("lists", "0"),
        ("zsets", "1"),
        ("format", "2"),
        ("created", "1"),
        ("damages", "0"),
    ] {
        assert_eq!(own[name], value, "{name}");
    }
    let everything = fields(&mut client, "INFO everything");
    assert_eq!(everything["pmedis_keys"], "3");
    let one = fields(&mut client, "INFO pmedis_keys");
    assert_eq!(
        names(&one),
        BTreeSet::from(
            [
                "db0", "db3", "keys", "strings", "lists", "hashes", "sets", "zsets"
            ]
            .map(|name| format!("pmedis_{name}"))
        )
    );
}

#[test]
fn keys_are_counted_by_type_after_a_restart_too() {
    let (mut server, mut client) = start(&Setup::pmedis("16m"));
    run(
        &mut client,
        "PM.SET s v\nPM.RPUSH l a\nPM.SADD t a\nPM.HSET h f v\nSELECT 1\nPM.ZADD z 1 m\nPM.SET old v
        RENAME old new\nCOPY new copy\nMOVE copy 0\nPM.SUNIONSTORE new none\nPM.PFADD p a",
    );
    let expected = BTreeMap::from(
        [
            ("db0", "keys=5,strings=2,lists=1,hashes=1,sets=1,zsets=0"),
            ("db1", "keys=2,strings=1,lists=0,hashes=0,sets=0,zsets=1"),
            ("keys", "7"),
            ("strings", "3"),
            ("lists", "1"),
            ("hashes", "1"),
            ("sets", "1"),
            ("zsets", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    assert_eq!(fields(&mut client, "PM.INFO keys"), expected);
    server.kill9();
    server.restart().unwrap();
    let mut client = server.client();
    assert_eq!(fields(&mut client, "PM.INFO keys"), expected);
    run(&mut client, "SWAPDB 0 1\nFLUSHDB");
    let left = fields(&mut client, "PM.INFO keys");
    assert_eq!(left["db1"], expected["db0"]);
    assert_eq!(left["keys"], "5");
}

#[test]
fn counts_count() {
    let (_server, mut client) = start(&Setup::pmedis("16m"));
    let count = |client: &mut Client, name: &str| -> u64 {
        fields(client, "PM.INFO")[name].parse().unwrap()
    };
    let commits = count(&mut client, "commits");
    for i in 0..10 {
        expect(&mut client, &format!("PM.SET k{i} v"), "OK");
    }
    assert!(count(&mut client, "commits") >= commits + 10);
    let value = vec![b'x'; 20 << 20];
    let refused = client.call(&[b"PM.SET".as_slice(), b"large", &value]);
    assert!(refused.is_error(), "{refused:?}");
    assert_eq!(count(&mut client, "commands_refused"), 1);
    assert_eq!(count(&mut client, "commands_failed"), 0);
    // PM.STATS has the numbers of PM.INFO.
    let stats = client.call(&["PM.STATS"]);
    let stats: Vec<String> = stats
        .elements()
        .unwrap()
        .iter()
        .map(testkit::script::words)
        .collect();
    let stats: BTreeMap<_, _> = stats
        .chunks(2)
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .collect();
    assert_eq!(stats["commands_refused"], "1");
    assert_eq!(stats["keys"], "10");
}

#[test]
fn sections_are_chosen_and_unknown_ones_named() {
    let (_server, mut client) = start(&Setup::pmedis("16m"));
    assert_eq!(fields(&mut client, "PM.INFO errors").len(), 2);
    assert_eq!(fields(&mut client, "PM.INFO Errors SNAPSHOTS").len(), 3);
    let [all, without] = fields_of_each(&mut client, ["PM.INFO everything", "PM.INFO"]);
    assert_eq!(all, without);
    let refused = ask(&mut client, "PM.INFO pool colour");
    assert!(
        refused.starts_with("(error) ERR unknown section 'colour': expected all, pool, keys"),
        "{refused}"
    );
}

#[test]
fn durability_is_told_with_its_reason() {
    let (_server, mut client) = start(&Setup::pmedis("16m"));
    let told = fields(&mut client, "PM.INFO pool");
    assert_eq!(
        (told["durability"].as_str(), told["is_pmem"].as_str()),
        ("pmem", "0")
    );
    assert!(told["durability_reason"].contains(FORCE_PMEM));
    for (durability, reason) in [
        ("process", "page cache"),
        ("disk", "journal"),
        ("auto", "tmpfs"),
    ] {
        let setup = Setup::native();
        let path = setup.pool();
        let setup = setup.module(&[
            "path",
            path.to_str().unwrap(),
            "size",
            "16m",
            "durability",
            durability,
        ]);
        let (_server, mut client) = start(&setup);
        let told = fields(&mut client, "PM.INFO pool");
        let in_force = match durability {
            "auto" => "disk",
            other => other,
        };
        assert_eq!(
            (told["durability"].as_str(), told["is_pmem"].as_str()),
            (in_force, "0")
        );
        assert!(told["durability_reason"].contains(reason), "{told:?}");
    }
}

#[test]
fn usage_is_what_a_key_takes_in_the_pool() {
    let (_server, mut client) = start(&Setup::pmedis("64m"));
    let value = "x".repeat(1 << 20);
    run(
        &mut client,
        "PM.SET small v\nSET native v\nPM.RPUSH list a b c",
    );
    client.call(&["PM.SET", "large", &value]);
    let used = |client: &mut Client, key: &str| -> u64 {
        ask(client, &format!("PM.USAGE {key}")).parse().expect(key)
    };
    let (small, large) = (used(&mut client, "small"), used(&mut client, "large"));
    assert!((16..=256).contains(&small), "{small}");
    assert!((1 << 20..(1 << 20) + 8192).contains(&large), "{large}");
    assert!(used(&mut client, "list") > 0);
    run(
        &mut client,
        "PM.USAGE absent -> nil
        PM.USAGE list SAMPLES -> (error) ERR syntax error
        PM.USAGE list SAMPLES -1 -> (error) ERR syntax error
        PM.USAGE list SAMPLES x -> (error) ERR value is not an integer or out of range
        PM.USAGE -> (error) ERR wrong number of arguments for 'pm.usage' command",
    );
    let native = ask(&mut client, "MEMORY USAGE native SAMPLES 5");
    expect(&mut client, "PM.USAGE native SAMPLES 5", &native);
    assert!(native.parse::<u64>().is_ok(), "{native}");
}

/// Where the server's own MEMORY USAGE is not safe, it is PM.USAGE; elsewhere it counts memory as
/// well.
#[test]
fn memory_usage_of_pm_keys_is_the_servers_where_that_is_safe() {
    let (_server, mut client) = start(&Setup::pmedis("64m"));
    let members = (0..1000).map(|n| format!("member:{n}"));
    let words: Vec<String> = ["PM.SADD".into(), "k".into()]
        .into_iter()
        .chain(members)
        .collect();
    client.call(&words);
    run(&mut client, "SET native v -> OK");
    let of_pool = ask(&mut client, "PM.USAGE k");
    let guarded = Packaged::current().is_at_least(Family::Redis, 8, 3);
    let number = |told: &str| told.parse::<u64>().expect("a size");
    let check = |told: &str| {
        if guarded {
            assert_eq!(told, of_pool)
        } else {
            assert!(number(told) >= number(&of_pool), "{told}")
        }
    };
    run(&mut client, "CONFIG RESETSTAT\nMEMORY USAGE k");
    let stats = ask(&mut client, "INFO commandstats");
    assert_eq!(stats.contains("cmdstat_pm.usage"), guarded, "{stats}");
    for line in [
        "MEMORY USAGE k",
        "memory usage k SAMPLES 3",
        "EVAL return(redis.call('MEMORY','USAGE','k')) 0",
    ] {
        check(&ask(&mut client, line));
    }
    run(&mut client, "MULTI -> OK\nMEMORY USAGE k -> QUEUED");
    check(ask(&mut client, "EXEC").trim_matches(['[', ']']));
    run(
        &mut client,
        "MEMORY USAGE absent -> nil
        MEMORY USAGE k SAMPLES -1 -> (error) ERR syntax error
        MEMORY USAGE k SAMPLES x -> (error) ERR value is not an integer or out of range",
    );
    assert!(
        ask(&mut client, "MEMORY USAGE native")
            .parse::<u64>()
            .is_ok()
    );
    assert!(ask(&mut client, "MEMORY DOCTOR").len() > 10);
}

#[test]
fn own_commands_are_described() {
    let (_server, mut client) = start(&Setup::pmedis("16m"));
    let help = ask(&mut client, "PM.HELP");
    for line in [
        "PM.ADOPT KEYS key ...",
        "PM.CHECK [key]",
        "PM.DEFRAG [STATUS | NOW [milliseconds]]",
        "PM.INFO [section ...]",
        "GROW [bytes]",
        "PM.USAGE key",
    ] {
        assert!(help.contains(line), "{line}: {help}");
    }
    for name in [
        "check", "defrag", "help", "info", "pool", "ready", "stats", "usage",
    ] {
        let docs = ask(&mut client, &format!("COMMAND DOCS pm.{name}"));
        assert!(
            docs.contains("summary") && docs.contains("complexity"),
            "{name}: {docs}"
        );
        assert!(
            help.contains(&format!("PM.{}", name.to_uppercase())),
            "{name}"
        );
    }
}

#[test]
fn the_latency_monitor_hears_of_long_work() {
    let (_server, mut client) = start(&Setup::pmedis("64m"));
    run(&mut client, "CONFIG SET latency-monitor-threshold 1");
    // So many that looking at all takes far longer than the threshold, on any machine.
    for part in 0..10 {
        let keys = (0..30_000).map(|i| format!("key:{part}:{i}"));
        let words: Vec<String> = ["PM.MSET".into()]
            .into_iter()
            .chain(keys.flat_map(|key| [key, "v".into()]))
            .collect();
        client.call(&words);
    }
    // In a transaction it is done at once.
    run(&mut client, "MULTI\nPM.CHECK\nEXEC");
    let history = ask(&mut client, "LATENCY HISTORY pm-check");
    assert!(history.starts_with("[["), "{history}");
}

/// Runs `ops/pmedis-metrics` for a server.
fn metrics(port: u16) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops/pmedis-metrics");
    Command::new(script)
        .args(["-p", &port.to_string()])
        .output()
        .expect("the script runs")
}

/// A server with a journal, of which there are metrics that others do not have.
fn on_disk() -> Setup {
    Setup::pmedis_with("16m", &["durability", "disk"])
}

/// The names of metrics in a text.
fn names_in(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_name(c))
        .filter(|word| word.starts_with("pmedis_"))
        .map(String::from)
        .collect()
}

#[test]
fn the_dashboard_and_the_alerts_use_metrics_that_there_are() {
    let (server, mut client) = start(&on_disk());
    run(&mut client, "PM.SET a 1\nPM.SET b 1");
    let output = metrics(server.address().port());
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for line in text.lines() {
        let (_, value) = line.rsplit_once(' ').expect(line);
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    for line in [
        "pmedis_up 1",
        "pmedis_db_keys{db=\"0\"} 2",
        "pmedis_db_strings{db=\"0\"} 2",
        "pmedis_keys 2",
        "pmedis_size 16777216",
    ] {
        assert!(text.lines().any(|told| told == line), "{line}: {text}");
    }
    assert!(
        text.contains("durability=\"disk\"") && text.contains("module_version=\""),
        "{text}"
    );
    let there = names_in(&text);
    let ops = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops");
    for file in ["grafana-dashboard.json", "alerts.yml"] {
        let used = names_in(&fs::read_to_string(ops.join(file)).unwrap());
        assert!(used.len() > 5, "{file}: {used:?}");
        assert_eq!(
            used.difference(&there).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "{file}"
        );
    }
}

/// What redis_exporter gets of `ops/pmedis.lua` is a list of names and numbers, all as texts; its
/// rules in docs/operations.md put `pmedis_` before the names.
#[test]
fn redis_exporter_gets_the_numbers_by_a_script() {
    let (_server, mut client) = start(&on_disk());
    run(&mut client, "PM.SET a 1");
    let ops = Path::new(env!("CARGO_MANIFEST_DIR")).join("ops");
    let script = fs::read_to_string(ops.join("pmedis.lua")).unwrap();
    let reply = client.call(&["EVAL", &script, "0"]);
    let texts = reply.elements().expect("a list").iter().map(|text| {
        let text = text.bytes().expect("a text").to_vec();
        String::from_utf8(text).expect("UTF-8")
    });
    let texts: Vec<String> = texts.collect();
    let numbers: BTreeMap<String, f64> = texts
        .chunks(2)
        .map(|pair| (format!("pmedis_{}", pair[0]), pair[1].parse().unwrap()))
        .collect();
    assert_eq!(numbers["pmedis_up"], 1.0);
    assert_eq!(numbers["pmedis_keys"], 1.0);
    let alerts = fs::read_to_string(ops.join("alerts.yml")).unwrap();
    for name in names_in(&alerts) {
        assert!(numbers.contains_key(&name), "{name}: {numbers:?}");
    }
}

#[test]
fn a_server_without_pmedis_is_down() {
    let (server, _client) = start(&Setup::native());
    let output = metrics(server.address().port());
    assert!(!output.status.success());
    assert_eq!(output.stdout, b"pmedis_up 0\n");
}
