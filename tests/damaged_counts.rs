//! Values whose number of elements is damaged: what reads them answers one error, or elements of
//! which there are as many as it says; the reply to the next command is that of the next command.
//! And values that are damaged so that they cannot be freed: they give way all the same.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::process::Command;
use testkit::client::Client;
use testkit::replication::{assert_same, follow, wait_in_sync};
use testkit::resp::Value;
use testkit::script::{expect, run, words};
use testkit::server::{Server, Setup};

/// A key's name, and how many elements it gets. Small values are packed, large ones are tables and
/// trees.
const VALUES: [(&str, usize); 8] = [
    ("hash:packed", 20),
    ("hash:table", 700),
    ("set:integers", 20),
    ("set:packed", 20),
    ("set:table", 700),
    ("zset:packed", 20),
    ("zset:tree", 700),
    ("list:chunks", 5000),
];

fn fill(client: &mut Client) {
    for (name, count) in VALUES {
        let (ty, kind) = name.split_once(':').expect("a type and a kind");
        for n in 0..count {
            let element = match kind {
                "integers" => n.to_string(),
                _ => format!("element-{n}"),
            };
            let command: Vec<String> = match ty {
                "hash" => ["PM.HSET", name, &element, "v"].map(String::from).into(),
                "set" => ["PM.SADD", name, &element].map(String::from).into(),
                "zset" => ["PM.ZADD", name, &n.to_string(), &element]
                    .map(String::from)
                    .into(),
                _ => ["PM.RPUSH", name, &element].map(String::from).into(),
            };
            client.queue(&command);
        }
        client.send().unwrap();
        for _ in 0..count {
            assert!(!client.receive().unwrap().is_error());
        }
    }
    run(client, "PM.SET other sound -> OK");
}

fn word_at(pool: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(pool[at..at + 8].try_into().unwrap())
}

/// Where a key's record begins: the value's root is in its words from 24 bytes on.
fn record_of(pool: &[u8], name: &str) -> usize {
    // The key stands 48 bytes behind the beginning of its record, its length 8 bytes before that.
    let is_key = |at: usize| {
        pool[at..].starts_with(name.as_bytes()) && word_at(pool, at - 8) == name.len() as u64
    };
    let key = (48..pool.len() - name.len())
        .step_by(8)
        .find(|&at| is_key(at));
    key.expect("the key is in the pool") - 48
}

/// Changes the number of elements of a key in the closed pool: in the root in its record, or in a
/// list's header, to which the root points.
fn damage(server: &Server, name: &str, change: impl Fn(u64) -> u64) {
    let path = server.setup().pool();
    let pool = fs::read(&path).unwrap();
    let word = |at: usize| word_at(&pool, at);
    let record = record_of(&pool, name);
    let at = match name {
        // Of the elements in the tree, behind the header's head and tail: those have more.
        "list:chunks" => word(record + 24) as usize + 40,
        _ => record + 32,
    };
    let count = match name {
        "list:chunks" => word(at),
        "zset:packed" => word(at) & 0xff,
        _ if name.ends_with(":packed") || name.ends_with(":integers") => word(at) & 0xffff,
        _ => word(at) & 0xffff_ffff,
    };
    let of = VALUES.iter().find(|value| value.0 == name).unwrap().1;
    let is_count = match name {
        "list:chunks" => (of as u64 / 2..of as u64).contains(&count),
        _ => count == of as u64,
    };
    assert!(is_count, "{count} is no count of {name}");
    let damaged = word(at) - count + change(count);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&damaged.to_le_bytes(), at as u64)
        .unwrap();
}

/// Every command that replies with elements of a value of a type.
fn readers(ty: &str) -> &'static [&'static str] {
    match ty {
        "hash" => &[
            "PM.HGETALL k",
            "PM.HKEYS k",
            "PM.HVALS k",
            "PM.HRANDFIELD k 5",
            "PM.HRANDFIELD k 15 WITHVALUES",
            "PM.HRANDFIELD k 1000000",
            "PM.HRANDFIELD k -5 WITHVALUES",
            "PM.HRANDFIELD k -2000 WITHVALUES",
            "PM.HSCAN k 0 COUNT 10000",
            "PM.HMGET k element-1 element-19 absent",
        ],
        "set" => &[
            "PM.SMEMBERS k",
            "PM.SRANDMEMBER k 15",
            "PM.SRANDMEMBER k 1000000",
            "PM.SRANDMEMBER k -5",
            "PM.SRANDMEMBER k -2000",
            "PM.SMISMEMBER k element-1 1 absent",
            "PM.SUNION k",
            "PM.SUNION k absent",
            "PM.SINTER k k",
            "PM.SDIFF k absent",
            "PM.SSCAN k 0 COUNT 10000",
            "PM.SORT k ALPHA",
        ],
        "zset" => &[
            "PM.ZRANGE k 0 -1",
            "PM.ZRANGE k 0 -1 REV WITHSCORES",
            "PM.ZRANGE k -inf +inf BYSCORE WITHSCORES",
            "PM.ZRANGE k - + BYLEX",
            "PM.ZREVRANGEBYSCORE k +inf -inf WITHSCORES",
            "PM.ZRANDMEMBER k 15 WITHSCORES",
            "PM.ZRANDMEMBER k 1000000 WITHSCORES",
            "PM.ZRANDMEMBER k -2000",
            "PM.ZMSCORE k element-1 absent",
            "PM.ZUNION 1 k WITHSCORES",
            "PM.ZINTER 2 k k",
            "PM.ZDIFF 2 k absent",
            "PM.ZSCAN k 0 COUNT 10000",
            "PM.SORT k ALPHA",
        ],
        _ => &[
            "PM.LRANGE k 0 -1",
            "PM.LRANGE k -10 -1",
            "PM.LRANGE k 3 12",
            "PM.LPOS k element-3 COUNT 0",
            "PM.SORT k ALPHA",
        ],
    }
}

#[test]
fn a_damaged_count_shifts_no_reply() {
    let mut server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    fill(&mut client);
    server.stop();
    let sound = fs::read(server.setup().pool()).unwrap();
    let mut errors = 0;
    for change in [|count| count + 1, |count| count - 1, |count| count ^ 64] {
        fs::write(server.setup().pool(), &sound).unwrap();
        for (name, _) in VALUES {
            damage(&server, name, change);
        }
        server.restart().unwrap();
        let mut client = server.client();
        for protocol in ["2", "3"] {
            client.call(&["HELLO", protocol]);
            for (name, _) in VALUES {
                for command in readers(name.split(':').next().unwrap()) {
                    let command: Vec<&str> = command
                        .split(' ')
                        .map(|word| if word == "k" { name } else { word })
                        .collect();
                    client.queue(&command);
                    client.queue(&["PM.GET", "other"]);
                    client.send().unwrap();
                    let reply = client.receive().unwrap();
                    errors += usize::from(reply.is_error());
                    let inner = reply.elements().unwrap_or_default();
                    assert!(
                        !inner.iter().any(Value::is_error),
                        "{command:?}: an error among elements"
                    );
                    let next = client.receive().unwrap();
                    assert_eq!(words(&next), "sound", "after {command:?}");
                }
            }
        }
        assert!(!server.log().contains("panicked"), "{}", server.log());
        server.kill9();
    }
    assert!(errors > 200, "{errors} errors only");
}

/// The server would not survive it.
#[test]
fn a_damaged_count_is_no_reason_for_a_huge_allocation() {
    let mut server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    fill(&mut client);
    server.stop();
    for name in ["set:table", "zset:tree"] {
        damage(&server, name, |count| count | 1 << 45);
    }
    server.restart().unwrap();
    let mut client = server.client();
    for command in [
        "PM.SUNION set:table absent",
        "PM.SUNION absent set:table set:packed",
        "PM.ZUNION 2 set:table absent",
        "PM.ZUNION 2 zset:tree absent",
        "PM.ZINTER 2 zset:tree set:table",
        "PM.ZDIFF 2 set:table absent",
        "PM.ZINTERCARD 2 zset:tree set:table",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let reply = client.try_call(&words);
        assert!(reply.is_ok(), "{command}: {reply:?}");
        expect(&mut client, "PM.GET other", "sound");
    }
}

/// What leaves the server with such a value is refused, or not made.
#[test]
fn a_damaged_count_is_in_no_payload_and_no_file() {
    let setup = Setup::pmedis_with("64m", &["rdb", "full"]);
    let mut server = setup.start().unwrap();
    let mut client = server.client();
    fill(&mut client);
    server.stop();
    for (name, _) in VALUES {
        damage(&server, name, |count| count + 1);
    }
    server.restart().unwrap();
    let mut client = server.client();
    for (name, _) in VALUES {
        let payload = client.call(&["DUMP", name]);
        let payload = payload.bytes().expect("a payload").to_vec();
        let restored = client.call(&[b"RESTORE".as_slice(), b"copy", b"0", &payload]);
        assert!(restored.is_error(), "{name}: {restored:?}");
        expect(&mut client, "PM.GET other", "sound");
    }
    // Whoever meets one gives the file up, until the key is gone: the server itself, too, which
    // does not end then, and leaves the file that was there.
    let rdb = setup.dir().join("dump.rdb");
    fs::write(&rdb, "what was there").unwrap();
    let saved = client.call(&["SAVE"]);
    assert!(saved.is_error(), "{saved:?}");
    let ended = client.call(&["SHUTDOWN", "SAVE"]);
    assert!(ended.is_error(), "{ended:?}");
    let named = |log: &str| log.matches("cannot be saved, nor the file").count();
    assert!(named(&server.log()) >= 2, "{}", server.log());
    expect(&mut client, "BGSAVE", "Background saving started");
    testkit::replication::wait_for("the child has given up", || {
        testkit::replication::info(&mut client, "rdb_last_bgsave_status") == "err"
    });
    let log = server.log();
    assert!(named(&log) >= 3, "{log}");
    assert!(!log.contains("internal error"), "{log}");
    // Nor does a replica get a part.
    let port = server.address().port().to_string();
    let taken = Command::new("redis-cli")
        .args(["-p", &port, "--rdb"])
        .arg(setup.dir().join("backup.rdb"))
        .output()
        .unwrap();
    assert!(!taken.status.success(), "{taken:?}");
    let log = server.log();
    assert!(named(&log) >= 4 && !log.contains("internal error"), "{log}");
    assert_eq!(fs::read(&rdb).unwrap(), b"what was there");
    fs::remove_file(&rdb).unwrap();
    // Nor are they told as native values; the file has markers then, with which the server starts.
    expect(&mut client, "CONFIG SET pmedis.rdb native", "OK");
    for (name, _) in VALUES {
        assert!(client.call(&["PM.EXPORT", name]).is_error(), "{name}");
    }
    // The server would answer OK to SAVE, so that the client hears nothing.
    let reply = client.try_call(&["SAVE"]);
    assert!(reply.is_err(), "{reply:?}");
    let mut client = server.client();
    let log = server.log();
    assert!(log.contains("cannot be made native values"), "{log}");
    expect(&mut client, "BGSAVE", "Background saving started");
    testkit::replication::wait_for("the child is gone", || {
        testkit::replication::info(&mut client, "rdb_bgsave_in_progress") == "0"
    });
    let status = testkit::replication::info(&mut client, "rdb_last_bgsave_status");
    assert_eq!(status, "err");
    server.kill9();
    server.restart().unwrap();
    let mut client = server.client();
    run(&mut client, "PM.GET other -> sound\nDBSIZE -> 9");
    for (name, _) in VALUES {
        expect(&mut client, &format!("DEL {name}"), "1");
    }
    testkit::replication::save(&mut client);
    expect(&mut client, "PM.GET other", "sound");
}

/// The new value is durable by the time at which the old one is freed: an error would come too late
/// for the client, and keep it from all others.
#[test]
fn what_replaces_a_value_that_cannot_be_freed_is_told_and_replicated() {
    const REPLACING: [(&str, &str, &str); 4] = [
        (
            "gives-way:set",
            "PM.SUNIONSTORE gives-way:set source",
            "sunionstore",
        ),
        (
            "gives-way:zset",
            "PM.ZUNIONSTORE gives-way:zset 1 source",
            "zunionstore",
        ),
        (
            "gives-way:range",
            "PM.ZRANGESTORE gives-way:range ranks 0 -1",
            "zrangestore",
        ),
        (
            "gives-way:list",
            "PM.SORT source STORE gives-way:list",
            "sortstore",
        ),
    ];
    // What is written to the pool's file is what the server has in memory.
    let setup = || Setup::pmedis_with("64m", &["durability", "pmem"]);
    let events = "notify-keyspace-events EA";
    let master = setup().directive(events).start().unwrap();
    let mut client = master.client();
    run(
        &mut client,
        "PM.SADD source 2 1 -> 2
        PM.ZADD ranks 1 a 2 b -> 2
        PM.SADD gives-way:set old -> 1
        PM.ZADD gives-way:zset 1 old -> 1
        PM.ZADD gives-way:range 1 old -> 1
        PM.RPUSH gives-way:list old older -> 2",
    );
    let replica = setup().start().unwrap();
    let mut following = replica.client();
    follow(&mut following, &master);
    wait_in_sync(&mut client, &mut following);
    let path = master.setup().pool();
    let pool = fs::read(&path).unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    for (name, ..) in REPLACING {
        // The value's pointer is the root's first word; this one leaves the pool.
        let at = record_of(&pool, name) + 24;
        let damaged = word_at(&pool, at) | 1 << 44;
        file.write_all_at(&damaged.to_le_bytes(), at as u64)
            .unwrap();
    }
    let mut listener = master.client();
    listener.call(&["PSUBSCRIBE", "__keyevent@0__:*"]);
    for (name, command, event) in REPLACING {
        expect(&mut client, command, "2");
        let heard = listener.receive().unwrap();
        let heard = words(&heard);
        assert!(heard.contains(event) && heard.contains(name), "{heard}");
    }
    wait_in_sync(&mut client, &mut following);
    assert_same(&mut client, &mut following);
    for client in [&mut client, &mut following] {
        run(
            client,
            "PM.SINTERCARD 2 gives-way:set source -> 2
            PM.ZRANGE gives-way:zset 0 -1 -> [1 2]
            PM.ZRANGE gives-way:range 0 -1 -> [a b]
            PM.LRANGE gives-way:list 0 -1 -> [1 2]",
        );
    }
    let log = master.log();
    let told = log.matches("the end of a value that was replaced").count();
    assert_eq!(told, REPLACING.len(), "{log}");
}
