//! What the differential tests do not see of SORT: sets and sorted sets by weights, native keys,
//! who may follow patterns, clusters, replicas, crashes.

use testkit::client::Client;
use testkit::packaged::Packaged;
use testkit::replication::wait_for;
use testkit::resp::Value;
use testkit::server::Setup;

fn ask(client: &mut Client, command: &str) -> Value {
    client.call(&command.split(' ').collect::<Vec<_>>())
}

fn error(text: &str) -> Value {
    Value::Error(text.into())
}

/// The same keys, native ones in database 0 and PM ones in database 1; leaves the latter selected.
fn populate(client: &mut Client) {
    for (db, prefix) in [(0, ""), (1, "PM.")] {
        ask(client, &format!("SELECT {db}"));
        for i in 0..300 {
            let weight = i * 7919 % 300;
            for command in [
                format!("SADD set {i}"),
                format!("SADD words word:{i}"),
                format!("ZADD zset {} {i}", -i),
                format!("SET w_{i} {weight}"),
                format!("HSET h_{i} rank {weight} name n{}", i * 31 % 300),
                format!("SET word:{i} Äpfel{weight}"),
            ] {
                assert!(!ask(client, &format!("{prefix}{command}")).is_error());
            }
        }
    }
}

#[test]
fn sets_and_sorted_sets_are_sorted_by_weights_as_natively() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    populate(&mut client);
    for options in [
        "set",
        "zset",
        "set BY w_*",
        "set BY w_* DESC LIMIT 10 20",
        "zset BY w_* GET # GET h_*->name",
        "zset BY h_*->rank LIMIT 290 100",
        "zset BY h_*->name ALPHA DESC",
        "zset BY nosort",
        "zset BY nosort DESC LIMIT 5 10",
        "zset BY nosort LIMIT 299 10",
        "zset BY nosort LIMIT 300 10",
        "zset BY nosort DESC LIMIT 0 0",
        "words ALPHA",
        "words BY * ALPHA",
        "words",
        "set BY h_*->name",
        "set BY h_*->rank GET nothing GET h_*->nothing",
        "set BY w_* LIMIT 3 7 STORE d",
        "set BY nosort STORE d",
        "zset BY nosort GET w_* DESC STORE d",
        "set LIMIT 400 1 STORE d",
    ] {
        let mut results = Vec::new();
        for (db, prefix) in [(0, ""), (1, "PM.")] {
            ask(&mut client, &format!("SELECT {db}"));
            let reply = ask(&mut client, &format!("{prefix}SORT {options}"));
            let stored = ask(&mut client, &format!("{prefix}LRANGE d 0 -1"));
            results.push((reply, stored));
        }
        assert_eq!(results[0], results[1], "{options}");
    }
    let script = "return redis.call(ARGV[1], KEYS[1], 'BY', 'nosort')";
    ask(&mut client, "SELECT 0");
    let native = client.call(&["EVAL", script, "1", "set", "SORT"]);
    ask(&mut client, "SELECT 1");
    assert_eq!(
        client.call(&["EVAL", script, "1", "set", "PM.SORT"]),
        native
    );
}

#[test]
fn equals_have_their_native_order() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    let elements: Vec<String> = (0..200).map(|i| (i * 7919 % 200).to_string()).collect();
    for (db, prefix) in [(0, ""), (1, "PM.")] {
        ask(&mut client, &format!("SELECT {db}"));
        for line in [
            "RPUSH short m28 0 yyy 9 b 8 c".into(),
            format!("RPUSH long {}", elements.join(" ")),
        ] {
            assert!(!ask(&mut client, &format!("{prefix}{line}")).is_error());
        }
        for i in (0..200).step_by(3) {
            ask(&mut client, &format!("{prefix}SET w_{i} {}", i % 5));
        }
    }
    for key in ["short", "long"] {
        for by in ["", "BY none_*->f ", "BY w_* ", "BY * "] {
            for limit in [
                "",
                "LIMIT 0 2 ",
                "LIMIT 3 4 ",
                "LIMIT 90 50 ",
                "LIMIT 0 200 ",
            ] {
                for order in ["ALPHA", "ALPHA DESC", "ALPHA STORE d"] {
                    let mut results = Vec::new();
                    for (db, prefix) in [(0, ""), (1, "PM.")] {
                        ask(&mut client, &format!("SELECT {db}"));
                        let line = format!("{prefix}SORT {key} {by}{limit}{order}");
                        let reply = ask(&mut client, &line);
                        let stored = ask(&mut client, &format!("{prefix}LRANGE d 0 -1"));
                        results.push((reply, stored));
                    }
                    assert_eq!(results[0], results[1], "{key} {by}{limit}{order}");
                }
            }
        }
    }
}

#[test]
fn patterns_reach_native_keys_and_sources_are_pm_keys() {
    let server = Setup::pmedis("16m").start().unwrap();
    let mut client = server.client();
    for command in [
        "PM.RPUSH l 1 2 3",
        "SET w_1 30",
        "PM.SET w_2 20",
        "HSET w_3 f x",
        "HSET h_1 f one",
        "PM.HSET h_2 f two",
        "RPUSH h_3 f",
        "RPUSH native 1 2",
        "SADD d old",
    ] {
        assert!(!ask(&mut client, command).is_error(), "{command}");
    }
    let bulk = |text: &str| Value::Bulk(text.into());
    assert_eq!(
        ask(&mut client, "PM.SORT l BY w_* GET # GET h_*->f"),
        Value::Array(vec![
            bulk("3"),
            Value::NullBulk,
            bulk("2"),
            bulk("two"),
            bulk("1"),
            bulk("one"),
        ])
    );
    let wrong = error("WRONGTYPE Operation against a key holding the wrong kind of value");
    assert_eq!(ask(&mut client, "PM.SORT native"), wrong);
    assert_eq!(ask(&mut client, "PM.SORT w_2"), wrong);
    assert_eq!(ask(&mut client, "SORT l"), wrong);
    assert_eq!(
        ask(&mut client, "PM.SORT l DESC STORE d"),
        Value::Integer(3)
    );
    assert_eq!(
        ask(&mut client, "TYPE d"),
        Value::Simple("pm-list--".into())
    );
    for command in [
        "SORT l BY limit LIMIT 0 1 GET store STORE d STORE e DESC",
        "SORT l STORE",
        "SORT_RO l BY x*",
    ] {
        let keys = |name: &str| ["COMMAND GETKEYSANDFLAGS ", name, command].concat();
        let native = ask(&mut client, &keys(""));
        assert!(!native.is_error());
        assert_eq!(ask(&mut client, &keys("PM.")), native, "{command}");
    }
}

#[test]
fn patterns_are_followed_only_by_those_who_may_read_all_keys() {
    let server = Setup::pmedis("16m").start().unwrap();
    let mut client = server.client();
    ask(&mut client, "RPUSH l 2 1");
    ask(&mut client, "PM.RPUSH pl 2 1");
    for (rules, allowed) in [
        ("~* +@all", true),
        ("%R~* +@all", true),
        ("~l ~pl +@all", false),
        ("~l ~pl ~?* +@all", false),
        ("~l ~pl ~[a-z]* %W~* +@all", false),
        ("~l ~pl +@all (~* +get +pm.get)", false),
        ("~l ~pl +get (~* +sort +pm.sort)", true),
    ] {
        ask(&mut client, "ACL DELUSER u");
        let rules = format!("ACL SETUSER u on nopass {rules}");
        assert!(!ask(&mut client, &rules).is_error(), "{rules}");
        let mut user = server.client();
        ask(&mut user, "AUTH u x");
        for options in ["BY w*", "GET #", "BY nosort GET #", "BY nosort", "ALPHA"] {
            let native = ask(&mut user, &format!("SORT l {options}"));
            let denied = !allowed && (options.contains('*') || options.contains('#'));
            assert_eq!(native.is_error(), denied, "{rules}: {options}");
            assert_eq!(ask(&mut user, &format!("PM.SORT pl {options}")), native);
        }
        let script = "return redis.pcall(ARGV[2], ARGV[1], 'GET', '#')";
        ask(&mut user, "AUTH default x");
        ask(&mut user, "ACL SETUSER u +eval");
        ask(&mut user, "AUTH u x");
        let reply = user.call(&["EVAL", script, "0", "pl", "PM.SORT"]);
        assert_eq!(reply.is_error(), !allowed, "{rules}: {reply:?}");
    }
    // A destination is a key as any other.
    ask(&mut client, "ACL SETUSER u reset on nopass ~pl +@all");
    let mut user = server.client();
    ask(&mut user, "AUTH u x");
    assert!(ask(&mut user, "PM.SORT pl STORE elsewhere").is_error());
    assert_eq!(ask(&mut user, "PM.SORT pl STORE pl"), Value::Integer(2));
}

#[test]
fn a_cluster_denies_patterns() {
    let setup = Setup::pmedis("16m").directive("cluster-enabled yes");
    let server = setup.start().unwrap();
    let mut client = server.client();
    ask(&mut client, "CLUSTER ADDSLOTSRANGE 0 16383");
    // The node looks at its slots ten times a second.
    wait_for("the cluster serves", || {
        !ask(&mut client, "PM.RPUSH l 2 1").is_error()
    });
    for options in ["BY w*", "GET #", "BY nosort GET w*"] {
        let native = ask(&mut client, &format!("SORT absent {options}"));
        // Servers since 7.0 know that # is no key.
        let may_be_no_key = options == "GET #" && !Packaged::current().is_redis_7_0();
        assert!(native.is_error() || may_be_no_key, "{options}: {native:?}");
        let key = if native.is_error() { "l" } else { "absent" };
        assert_eq!(
            ask(&mut client, &format!("PM.SORT {key} {options}")),
            native
        );
    }
    let two = Value::Array(vec![Value::Bulk("1".into()), Value::Bulk("2".into())]);
    assert_eq!(ask(&mut client, "PM.SORT l LIMIT 0 2"), two);
    let crossed = ask(&mut client, "PM.SORT l STORE elsewhere");
    assert_eq!(crossed, ask(&mut client, "SORT l STORE elsewhere"));
    assert!(crossed.is_error());
}

#[test]
fn a_stored_result_is_there_after_a_crash_and_sent_to_replicas() {
    let mut server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    let mut replica = server.client();
    replica.queue(&["SYNC"]);
    replica.send().unwrap();
    replica.receive_snapshot().unwrap();
    let mut words = vec!["PM.RPUSH".to_owned(), "l".to_owned()];
    words.extend((0..20_000).rev().map(|i| i.to_string()));
    client.call(&words);
    ask(&mut client, "PM.SET d old");
    let stored = ask(&mut client, "PM.SORT l STORE d");
    assert_eq!(stored, Value::Integer(20_000));
    assert_eq!(ask(&mut client, "PM.SORT no STORE no"), Value::Integer(0));
    assert_eq!(ask(&mut client, "PM.SORT no STORE l"), Value::Integer(0));
    let mut sent = Vec::new();
    while sent.last().is_none_or(|last| last != "PM.SORT no STORE l") {
        let command = replica.receive().unwrap();
        let words = command.elements().unwrap().iter();
        let words: Vec<_> = words
            .map(|word| String::from_utf8_lossy(word.bytes().unwrap()).into_owned())
            .collect();
        if words[0].starts_with("PM.SORT") {
            sent.push(words.join(" "));
        }
    }
    assert_eq!(sent, ["PM.SORT l STORE d", "PM.SORT no STORE l"]);
    server.kill9();
    server.restart().unwrap();
    let mut client = server.client();
    assert_eq!(ask(&mut client, "EXISTS l"), Value::Integer(0));
    assert_eq!(ask(&mut client, "PM.LLEN d"), Value::Integer(20_000));
    let ends = ["PM.LINDEX d 0", "PM.LINDEX d 12345", "PM.LINDEX d -1"];
    let found = ends.map(|command| ask(&mut client, command));
    assert_eq!(
        found,
        ["0", "12345", "19999"].map(|n| Value::Bulk(n.into()))
    );
}
