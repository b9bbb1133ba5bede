//! Hash slots that move as Redis 8.4 and Valkey 9 do it, with all that their keys hold: whole,
//! cancelled, and cut short by kill -9 at either end.
//!
//! `PMEDIS_MIGRATION_ELEMENTS=n` sets the size of large values, `PMEDIS_MIGRATION_ROUNDS=n` how
//! often slots move under load (`ci/stress-migration`: a million, a hundred).

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use testkit::client::Client;
use testkit::cluster::{ClusterClient, wait_until_whole};
use testkit::counting::Counting;
use testkit::env_number;
use testkit::migration::{
    SERVERS, Slots, State, about, begin, cancel, cluster, hold, migrate, most, pm_keys, share, tag,
    used, wait_for_end,
};
use testkit::packaged::{Family, Packaged};
use testkit::replication::wait_for;
use testkit::script::{ask, expect, run, words};
use testkit::server::Server;

const POOL: &str = "128m";

/// Runs a test on each server that moves slots so.
fn on_each(test: impl Fn(&Packaged)) {
    for name in SERVERS {
        let packaged = Packaged::named(name);
        println!("on {packaged}");
        test(&packaged);
    }
}

/// Makes keys of all types and encodings, some with expire times; their names.
fn fill(client: &mut Client, tag: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut call = |words: &[String]| {
        let reply = client.call(words);
        assert!(!reply.is_error(), "{words:?}: {reply:?}");
        names.push(words[1].clone());
    };
    for n in [1, 3, 20, 700] {
        let name = |what: &str| format!("{tag}{what}:{n}");
        let many = |f: fn(usize) -> Vec<String>| (0..n).flat_map(f);
        let text = |n: usize| format!("element {n}");
        call(&["PM.SET".into(), name("string"), "x".repeat(n * n)]);
        call(&["PM.SET".into(), name("number"), n.to_string()]);
        let start = |command: &str, what: &str| vec![command.to_owned(), name(what)];
        let all = |command: &str, what: &str, items: &mut dyn Iterator<Item = String>| {
            let mut words = start(command, what);
            words.extend(items);
            words
        };
        call(&all("PM.RPUSH", "list", &mut (0..n).map(text)));
        call(&all("PM.SADD", "set", &mut (0..n).map(text)));
        call(&all(
            "PM.SADD",
            "integers",
            &mut (0..n).map(|n| n.to_string()),
        ));
        call(&all(
            "PM.HSET",
            "hash",
            &mut many(|n| vec![format!("field {n}"), format!("value {n}")]),
        ));
        call(&all(
            "PM.ZADD",
            "zset",
            &mut many(|n| vec![format!("{}", n as f64 / 3.0), format!("member {n}")]),
        ));
    }
    call(
        &[
            "PM.ZADD", "infinite", "-inf", "a", "+inf", "b", "1e-300", "c",
        ]
        .map(|word| match word {
            "infinite" => format!("{tag}infinite"),
            word => word.to_owned(),
        }),
    );
    let fields = format!("{tag}fields");
    call(&["PM.HSET", &fields, "a", "1", "b", "2", "c", "3"].map(String::from));
    let expire = format!("PM.HPEXPIREAT {fields} 4000000000456 FIELDS 1 b");
    let expire: Vec<String> = expire.split(' ').map(String::from).collect();
    call(&expire);
    call(&[
        "PM.PFADD".into(),
        format!("{tag}hll"),
        "a".into(),
        "b".into(),
    ]);
    call(&["SET".into(), format!("{tag}native"), "v".into()]);
    for name in names.iter().step_by(2) {
        expect(client, &format!("PEXPIREAT {name} 4000000000123"), "1");
    }
    names
}

/// What a node says of keys: contents and expire times.
fn contents(client: &mut Client, names: &[String]) -> Vec<String> {
    let digests = about(client, &["DEBUG", "DIGEST-VALUE"], names);
    let times = about(client, &["PEXPIRETIME"], names);
    let types = about(client, &["TYPE"], names);
    let parts = names.iter().zip(digests).zip(times).zip(types);
    let lines = parts.map(|(((name, digest), time), ty)| {
        format!("{name} {} {} {}", words(&digest), words(&time), words(&ty))
    });
    lines.collect()
}

fn crash(node: &mut Server) {
    node.kill9();
    node.restart()
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
}

#[test]
fn keys_of_all_types_go_and_come_back() {
    on_each(|packaged| {
        let mut nodes = cluster(packaged, 2, POOL);
        let slots = most();
        let mut first = nodes[0].client();
        let tag = tag(&mut first, &slots);
        let empty = used(&mut first);
        let names = fill(&mut first, &tag);
        let before = contents(&mut first, &names);
        let full = used(&mut first);
        for (from, to) in [(0, 1), (1, 0), (0, 1)] {
            migrate(&nodes[from], &nodes[to], &slots);
            let (mut source, mut target) = (nodes[from].client(), nodes[to].client());
            for (now, before) in contents(&mut target, &names).iter().zip(&before) {
                assert_eq!(now, before, "from {from} to {to}");
            }
            // One is native, and one is named twice.
            let pm = names.len() as u64 - 2;
            assert_eq!(pm_keys(&mut target), pm);
            expect(
                &mut target,
                &format!("PM.HPEXPIRETIME {tag}fields FIELDS 3 a b c"),
                "[-1 4000000000456 -1]",
            );
            wait_for("the source has let go of its keys", || {
                ask(&mut source, "DBSIZE") == "0"
            });
            assert_eq!(pm_keys(&mut source), 0);
            // Only the table of slots stays.
            let left = used(&mut source);
            assert!(left < empty + 4096, "{left} bytes in use, {empty} at first");
            let taken = used(&mut target);
            assert!(
                taken < full + full / 4,
                "{taken} bytes in use, {full} before"
            );
        }
        for node in &mut nodes {
            crash(node);
        }
        wait_until_whole(&nodes);
        // Native keys are nowhere after a kill.
        let is_pm = |name: &&String| !name.ends_with("native");
        let names: Vec<String> = names.iter().filter(is_pm).cloned().collect();
        let now = contents(&mut nodes[1].client(), &names);
        assert!(now.iter().all(|line| before.contains(line)), "{now:?}");
        assert_eq!(pm_keys(&mut nodes[0].client()), 0);
        assert!(used(&mut nodes[0].client()) < empty + 4096);
    });
}

#[test]
fn what_comes_back_is_the_newest() {
    on_each(|packaged| {
        let mut nodes = cluster(packaged, 2, POOL);
        let slots = most();
        let (mut first, mut second) = (nodes[0].client(), nodes[1].client());
        let tag = tag(&mut first, &slots);
        for n in 0..100 {
            run(
                &mut first,
                &format!("PM.SET {tag}s{n} old\nPM.RPUSH {tag}l{n} old"),
            );
        }
        migrate(&nodes[0], &nodes[1], &slots);
        for n in 0..50 {
            run(
                &mut second,
                &format!("PM.SET {tag}s{n} new\nPM.RPUSH {tag}l{n} new"),
            );
        }
        for n in 50..75 {
            run(&mut second, &format!("PM.DEL {tag}s{n} {tag}l{n} -> 2"));
        }
        migrate(&nodes[1], &nodes[0], &slots);
        for n in 75..100 {
            run(&mut first, &format!("PM.DEL {tag}s{n} {tag}l{n} -> 2"));
        }
        drop(first);
        for node in &mut nodes {
            crash(node);
        }
        wait_until_whole(&nodes);
        let mut first = nodes[0].client();
        for n in 0..100 {
            let (string, list) = match n {
                0..50 => ("new", "[old new]"),
                _ => ("nil", "[]"),
            };
            expect(&mut first, &format!("PM.GET {tag}s{n}"), string);
            expect(&mut first, &format!("PM.LRANGE {tag}l{n} 0 -1"), list);
        }
        assert_eq!(pm_keys(&mut first), 100);
        assert_eq!(pm_keys(&mut nodes[1].client()), 0);
    });
}

/// Redis removes keys that it gave away some time later: a kill comes before that.
#[test]
fn what_was_given_away_is_gone_before_it_is_trimmed() {
    let packaged = Packaged::named("redis-8.6");
    let mut nodes = cluster(&packaged, 2, POOL);
    let slots = most();
    let mut first = nodes[0].client();
    let tag = tag(&mut first, &slots);
    let empty = used(&mut first);
    fill(&mut first, &tag);
    expect(&mut first, "DEBUG ASM-TRIM-METHOD none", "OK");
    migrate(&nodes[0], &nodes[1], &slots);
    assert!(pm_keys(&mut first) > 0, "nothing has been trimmed");
    crash(&mut nodes[0]);
    wait_until_whole(&nodes);
    let mut first = nodes[0].client();
    assert_eq!(pm_keys(&mut first), 0);
    assert!(used(&mut first) < empty + 4096);
    // The other way to trim: key by key, on the main thread, as clients' tracking has it.
    migrate(&nodes[1], &nodes[0], &slots);
    expect(&mut first, "DEBUG ASM-TRIM-METHOD active 0", "OK");
    migrate(&nodes[0], &nodes[1], &slots);
    wait_for("all keys are trimmed", || pm_keys(&mut first) == 0);
    assert!(used(&mut first) < empty + 4096);
    crash(&mut nodes[0]);
    wait_until_whole(&nodes);
    assert_eq!(pm_keys(&mut nodes[0].client()), 0);
}

/// Has an import of all of `tag`'s keys stand still, after some of them have come.
fn half_import(nodes: &[Server], slots: &Slots) {
    hold(&nodes[0], true);
    begin(&nodes[0], &nodes[1], slots);
    let mut target = nodes[1].client();
    wait_for("keys have come", || pm_keys(&mut target) > 50);
}

#[test]
fn imports_that_end_halfway_leave_nothing() {
    on_each(|packaged| {
        let mut nodes = cluster(packaged, 2, POOL);
        let slots = most();
        let (mut first, mut second) = (nodes[0].client(), nodes[1].client());
        let tag = tag(&mut first, &slots);
        let own = 2000;
        for n in 0..own {
            first.queue(&["PM.RPUSH", &format!("{tag}{n}"), "a", "b"]);
        }
        first.send().unwrap();
        (0..own).for_each(|_| assert_eq!(first.receive().unwrap().integer(), Some(2)));
        let empty = used(&mut second);
        for _ in 0..3 {
            half_import(&nodes, &slots);
            cancel(&nodes[0], &nodes[1]);
            wait_for("what had come has gone", || pm_keys(&mut second) == 0);
            let left = used(&mut second);
            assert!(left < empty + 4096, "{left} bytes in use, {empty} at first");
        }
        // The target is killed in the midst, and finds nothing of it.
        half_import(&nodes, &slots);
        crash(&mut nodes[1]);
        let mut second = nodes[1].client();
        assert_eq!(pm_keys(&mut second), 0);
        wait_until_whole(&nodes);
        assert!(used(&mut second) < empty + 4096);
        wait_for_end(&nodes[0], &nodes[1]);
        // The source is killed in the midst: it has all.
        half_import(&nodes, &slots);
        nodes[0].kill9();
        if packaged.family == Family::Redis {
            // The target would try on.
            expect(&mut second, "CLUSTER MIGRATION CANCEL ALL", "1");
        }
        nodes[0].restart().unwrap();
        let mut first = nodes[0].client();
        assert_eq!(pm_keys(&mut first), own);
        wait_until_whole(&nodes);
        wait_for("what had come has gone", || pm_keys(&mut second) == 0);
        hold(&nodes[0], false);
        // At last they move.
        wait_for("the slots move", || {
            begin(&nodes[0], &nodes[1], &slots);
            wait_for_end(&nodes[0], &nodes[1]) == State::Done
        });
        wait_for("all keys are there", || pm_keys(&mut second) == own);
        for n in 0..own {
            expect(&mut second, &format!("PM.LLEN {tag}{n}"), "2");
        }
    });
}

/// The server takes the end of an import back as little as a flush.
#[test]
fn a_transaction_that_ends_an_import_stays_if_there_is_no_room_for_all_of_it() {
    let packaged = Packaged::named("redis-8.6");
    let mut nodes = cluster(&packaged, 2, "32m");
    let slots = most();
    let (mut first, mut second) = (nodes[0].client(), nodes[1].client());
    let (tag, own) = (tag(&mut first, &slots), tag(&mut second, &share(1, 2)));
    // It stands still until the transaction has run, and that takes a while.
    for n in 0..1000 {
        expect(&mut first, &format!("PM.SET {tag}{n} v"), "OK");
    }
    let large = "y".repeat(40 << 20);
    half_import(&nodes, &slots);
    run(
        &mut second,
        &format!("MULTI -> OK\nPM.SET {own} x -> QUEUED\nCLUSTER MIGRATION CANCEL ALL -> QUEUED"),
    );
    second.call(&["PM.SET", &own, &large]);
    let replies = words(&second.call(&["EXEC"]));
    assert!(replies.starts_with("[OK 1 (error) OOM"), "{replies}");
    for n in 0..20 {
        expect(&mut second, &format!("PM.SADD {own}{n} a"), "1");
    }
    wait_for("what had come has gone", || pm_keys(&mut second) == 21);
    assert!(ask(&mut second, "PM.CHECK").starts_with("[sound 21 damaged 0"));
    crash(&mut nodes[1]);
    wait_until_whole(&nodes);
    let mut second = nodes[1].client();
    expect(&mut second, &format!("PM.GET {own}"), "x");
    assert_eq!(pm_keys(&mut second), 21);
}

/// What Valkey says of an import in its RDB is in the native one, too.
#[test]
fn native_files_are_saved_during_an_import() {
    let mut nodes = cluster(&Packaged::named("valkey-9.1"), 2, POOL);
    let slots = most();
    let (mut first, mut second) = (nodes[0].client(), nodes[1].client());
    let (tag, own) = (tag(&mut first, &slots), tag(&mut second, &share(1, 2)));
    for n in 0..100 {
        expect(&mut first, &format!("PM.SET {tag}{n} v"), "OK");
    }
    run(&mut second, &format!("PM.SET {own}pm v\nSET {own}native v"));
    expect(&mut second, "CONFIG SET pmedis.rdb native", "OK");
    half_import(&nodes, &slots);
    expect(&mut second, "SAVE", "OK");
    expect(&mut second, &format!("PM.SET {own}pm w"), "OK");
    crash(&mut nodes[1]);
    wait_until_whole(&nodes);
    let mut second = nodes[1].client();
    expect(&mut second, &format!("PM.GET {own}pm"), "w");
    expect(&mut second, &format!("GET {own}native"), "v");
}

/// Large strings under a tag, the numbers of which are given.
fn push_strings(client: &mut Client, tag: &str, numbers: std::ops::Range<u32>) {
    let long = "x".repeat(20_000);
    for n in numbers {
        expect(client, &format!("PM.SET {tag}{n} {long}"), "OK");
    }
}

#[test]
fn an_import_that_finds_no_room_leaves_all_where_it_is() {
    on_each(|packaged| {
        let nodes = cluster(packaged, 2, "32m");
        let (slots, keys, others) = (most(), 700, 900);
        let (mut first, mut second) = (nodes[0].client(), nodes[1].client());
        let own = tag(&mut second, &share(1, 2));
        push_strings(&mut second, &own, 0..others);
        let tag = tag(&mut first, &slots);
        push_strings(&mut first, &tag, 0..keys);
        for _ in 0..2 {
            begin(&nodes[0], &nodes[1], &slots);
            assert_eq!(wait_for_end(&nodes[0], &nodes[1]), State::Failed);
            wait_for("what had come has gone", || {
                pm_keys(&mut second) == u64::from(others)
            });
            assert_eq!(pm_keys(&mut first), u64::from(keys));
            expect(&mut first, &format!("PM.STRLEN {tag}{}", keys - 1), "20000");
        }
        for n in 0..others {
            expect(&mut second, &format!("PM.DEL {own}{n}"), "1");
        }
        migrate(&nodes[0], &nodes[1], &slots);
        assert_eq!(pm_keys(&mut second), u64::from(keys));
    });
}

#[test]
fn large_values_go_over() {
    let elements = env_number("PMEDIS_MIGRATION_ELEMENTS", 30_000) as usize;
    on_each(|packaged| {
        let mut nodes = cluster(packaged, 2, "1g");
        let slots = most();
        let mut first = nodes[0].client();
        let tag = tag(&mut first, &slots);
        let mut names = Vec::new();
        for (command, paired) in [
            ("PM.RPUSH", false),
            ("PM.SADD", false),
            ("PM.HSET", true),
            ("PM.ZADD", true),
        ] {
            let name = format!("{tag}{command}");
            for start in (0..elements).step_by(10_000) {
                let mut all = vec![command.to_owned(), name.clone()];
                for n in start..elements.min(start + 10_000) {
                    all.extend(paired.then(|| n.to_string()));
                    all.push(format!("element {n}"));
                }
                assert!(!first.call(&all).is_error(), "{command}");
            }
            names.push(name);
        }
        let name = format!("{tag}string");
        let long = "x".repeat(elements * 20);
        expect(&mut first, &format!("PM.SET {name} {long}"), "OK");
        names.push(name);
        let before = contents(&mut first, &names);
        migrate(&nodes[0], &nodes[1], &slots);
        assert_eq!(contents(&mut nodes[1].client(), &names), before);
        wait_for("the source is empty", || pm_keys(&mut first) == 0);
        crash(&mut nodes[1]);
        wait_until_whole(&nodes);
        assert_eq!(contents(&mut nodes[1].client(), &names), before);
        assert!(used(&mut first) < 4096);
    });
}

/// Clients count while slots move to and fro, and nodes are killed now and then.
#[test]
fn slots_move_under_load_and_nodes_are_killed() {
    let rounds = env_number("PMEDIS_MIGRATION_ROUNDS", 3);
    let seed = env_number("PMEDIS_SEED", 1);
    println!("seed {seed}");
    on_each(|packaged| {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut nodes = cluster(packaged, 3, POOL);
        let mut counters: Vec<Counting> = (0..40).map(Counting::new).collect();
        let mut owner = 0;
        // Half of the first node's slots, which wander.
        let slots = 0..=2700;
        let mut moved = 0;
        for round in 0..rounds {
            let target = (owner + rng.usize(1..3)) % 3;
            let victim = match rng.u32(..4) {
                0 => Some(owner),
                1 => Some(target),
                _ => None,
            };
            let wait = Duration::from_millis(rng.u64(..1500));
            let ends = AtomicBool::new(false);
            thread::scope(|scope| {
                for counters in counters.chunks_mut(20) {
                    let (ends, nodes) = (&ends, &nodes[..]);
                    let addresses = ClusterClient::new(nodes);
                    scope.spawn(move || count(addresses, counters, ends));
                }
                begin(&nodes[owner], &nodes[target], &slots);
                match victim {
                    Some(victim) => {
                        thread::sleep(wait);
                        kill(&nodes[victim]);
                    }
                    None => {
                        wait_for_end(&nodes[owner], &nodes[target]);
                    }
                }
                ends.store(true, Ordering::Relaxed);
            });
            if let Some(victim) = victim {
                crash(&mut nodes[victim]);
            }
            wait_until_whole(&nodes);
            settle(&nodes, owner, target);
            let holder = holder(&nodes, *slots.start());
            println!("round {round}: {owner} -> {target}, killed {victim:?}, now at {holder}");
            moved += u32::from(holder == target);
            owner = holder;
            let mut client = ClusterClient::new(&nodes);
            for counting in &mut counters {
                counting.judge(|words| client.call(words).expect("the cluster serves"));
            }
            each_key_is_at_one_node(&nodes, counters.len());
        }
        assert!(moved > 0, "no migration has come to its end");
    });
}

/// Counts until told to end, or until a node is gone.
fn count(mut client: ClusterClient, counters: &mut [Counting], ends: &AtomicBool) {
    let mut going = vec![true; counters.len()];
    while !ends.load(Ordering::Relaxed) {
        for (counting, goes) in counters.iter_mut().zip(&mut going) {
            *goes = *goes && counting.pass(&mut |words| client.call(words), false);
        }
    }
}

fn each_key_is_at_one_node(nodes: &[Server], counters: usize) {
    let mut client = ClusterClient::new(nodes);
    let keys =
        (0..counters).flat_map(|n| ["n", "l", "z", "h", "s"].map(|k| format!("{{{n}}}:{k}")));
    let exist = keys.filter(|key| {
        let reply = client.call(&["EXISTS", key]);
        reply.expect("the cluster serves").integer() == Some(1)
    });
    let exist = exist.count() as u64;
    let mut clients: Vec<Client> = nodes.iter().map(Server::client).collect();
    wait_for("each key is at one node only", || {
        clients.iter_mut().map(pm_keys).sum::<u64>() == exist
    });
}

/// Kills a node that others still refer to.
fn kill(node: &Server) {
    let pid = node.pid().to_string();
    let killed = std::process::Command::new("kill")
        .args(["-9", &pid])
        .status();
    assert!(killed.expect("kill runs").success());
}

/// Waits until a migration that may have been cut short is over at both ends, and all agree whose
/// the slots are.
fn settle(nodes: &[Server], owner: usize, target: usize) {
    if nodes[target].setup().packaged().family == Family::Redis {
        // It would try again and again: once it has come to its end or is given up, it is over.
        let reply = ask(&mut nodes[target].client(), "CLUSTER MIGRATION CANCEL ALL");
        assert!(!reply.starts_with("(error)"), "{reply}");
    }
    wait_for_end(&nodes[owner], &nodes[target]);
    wait_for("all agree", || {
        let seen: Vec<usize> = nodes
            .iter()
            .map(|node| holder_seen_by(nodes, node, 0))
            .collect();
        seen.iter().all(|holder| *holder == seen[0])
    });
}

fn holder(nodes: &[Server], slot: u16) -> usize {
    holder_seen_by(nodes, &nodes[0], slot)
}

/// Which node another one takes for the holder of a slot.
fn holder_seen_by(nodes: &[Server], by: &Server, slot: u16) -> usize {
    let reply = by.client().call(&["CLUSTER", "SLOTS"]);
    let ranges = reply.elements().expect("ranges");
    let range = ranges.iter().find(|range| {
        let range = range.elements().expect("a range");
        let at = |n: usize| range[n].integer().expect("a slot");
        (at(0)..=at(1)).contains(&i64::from(slot))
    });
    let master = &range
        .expect("all slots are served")
        .elements()
        .expect("a range")[2];
    let port = master.elements().expect("a node")[1].integer();
    nodes
        .iter()
        .position(|node| Some(i64::from(node.address().port())) == port)
        .expect("one of the nodes")
}
