//! Redis Cluster, three masters and three replicas on loopback, with `redis-cli --cluster` and live
//! traffic.
//!
//! `PMEDIS_CLUSTER_SLOTS=n` sets how many slots are moved under load (`ci/stress-cluster`: half of
//! all).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use testkit::client::Client;
use testkit::cluster::{
    ClusterClient, add_replica, check, cli, create, id, masters, node, wait_until_whole,
};
use testkit::counting::Counting;
use testkit::env_number;
use testkit::replication::{assert_same, info, wait_for, wait_in_sync};
use testkit::resp::Value;
use testkit::script::{ask, expect, words};
use testkit::server::Server;

const POOL: &str = "128m";
/// When a node counts as dead: where none is to be, and where one is.
const PATIENT_MS: u32 = 30_000;
const QUICK_MS: u32 = 15_000;
/// Threads, and counting clients of each: their keys lie in as many slots.
const THREADS: usize = 2;
const COUNTERS: usize = 30;

/// Keys of all types in many slots, some of them large.
fn fill(client: &mut ClusterClient) {
    let mut call = |words: &[&str]| {
        let reply = client.call(words).unwrap();
        assert!(!reply.is_error(), "{} {}: {reply:?}", words[0], words[1]);
    };
    for n in 0..300 {
        let value = format!("value {n}");
        call(&["PM.SET", &format!("string:{n}"), &value, "PX", "100000000"]);
        call(&["PM.RPUSH", &format!("list:{n}"), &value, "b", "c"]);
        call(&["PM.HSET", &format!("hash:{n}"), "f", &value]);
        call(&["PM.SADD", &format!("set:{n}"), &value, "1"]);
        call(&["PM.ZADD", &format!("zset:{n}"), "1.5", &value]);
        call(&["SET", &format!("native:{n}"), &value]);
    }
    let long = "x".repeat(3_000_000);
    call(&["PM.SET", "large:string", &long]);
    let many: Vec<String> = (0..30_000).map(|n| format!("element {n}")).collect();
    for (command, key) in [("PM.RPUSH", "large:list"), ("PM.SADD", "large:set")] {
        let mut command = vec![command, key];
        command.extend(many.iter().map(String::as_str));
        call(&command);
    }
    for (command, key) in [("PM.HSET", "large:hash"), ("PM.ZADD", "large:zset")] {
        let numbers: Vec<String> = (0..many.len()).map(|n| n.to_string()).collect();
        let mut command = vec![command, key];
        command.extend(
            numbers
                .iter()
                .zip(&many)
                .flat_map(|(n, m)| [n.as_str(), m.as_str()]),
        );
        call(&command);
    }
}

/// All keys but the counters, with their digests and expire times; no key may be on two masters.
fn keys(nodes: &[Server]) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for node in masters(nodes) {
        let mut client = node.client();
        let names = client.call(&["KEYS", "*:*"]);
        for name in names.elements().unwrap() {
            let name = words(name);
            if name.starts_with('{') {
                continue;
            }
            let digest = ask(&mut client, &format!("DEBUG DIGEST-VALUE {name}"));
            let expires = ask(&mut client, &format!("PEXPIRETIME {name}")) != "-1";
            let about = format!("{digest} expires: {expires}");
            let twice = all.insert(name.clone(), about);
            assert_eq!(twice, None, "{name} is on two masters");
        }
    }
    all
}

/// Expects the same keys as before.
#[track_caller]
fn assert_kept(nodes: &[Server], before: &BTreeMap<String, String>) {
    let now = keys(nodes);
    let lost = before
        .iter()
        .filter(|&(name, about)| now.get(name) != Some(about));
    let lost: Vec<_> = lost
        .map(|(name, about)| (name, about, now.get(name)))
        .collect();
    assert!(lost.is_empty(), "{} changed: {:?}", lost.len(), &lost[..1]);
    assert_eq!(now.len(), before.len(), "keys that were not there before");
}

/// Ends the clients' work when dropped: they do not go on if the test fails meanwhile.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs `operate`, which moves the slots of some counters, while clients count in all of them; no
/// client may see an error.
fn under_load(nodes: &[Server], counters: &mut [Counting], operate: impl FnOnce()) {
    let ends = AtomicBool::new(false);
    let (sender, begun) = channel();
    let redirects: u64 = thread::scope(|scope| {
        let end = End(&ends);
        let threads: Vec<_> = counters
            .chunks_mut(COUNTERS)
            .map(|counters| {
                let (ends, sender) = (&ends, sender.clone());
                scope.spawn(move || {
                    let mut client = ClusterClient::new(nodes);
                    let mut pass = || {
                        for counting in counters.iter_mut() {
                            let passed = counting.pass(&mut |words| client.call(words), false);
                            assert!(passed, "a connection broke");
                        }
                        client.redirects
                    };
                    // A client that has found all slots once is redirected only if they move.
                    let at_first = pass();
                    sender.send(()).expect("the test listens");
                    drop(sender);
                    loop {
                        let is_last = ends.load(Ordering::Relaxed);
                        let redirects = pass();
                        if is_last {
                            return redirects - at_first;
                        }
                    }
                })
            })
            .collect();
        drop(sender);
        // One that has panicked says nothing, and is joined below.
        assert_eq!(begun.iter().count(), threads.len(), "clients begin");
        operate();
        drop(end);
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert!(redirects > 0, "nothing moved under the clients");
    let mut client = ClusterClient::new(nodes);
    for counting in counters {
        counting.judge(|words| client.call(words).unwrap());
    }
}

fn start(timeout_ms: u32) -> (Vec<Server>, Vec<Counting>, BTreeMap<String, String>) {
    let nodes: Vec<Server> = (0..6).map(|_| node(POOL, timeout_ms)).collect();
    create(&nodes);
    fill(&mut ClusterClient::new(&nodes));
    let before = keys(&nodes);
    assert_eq!(before.len(), 1805);
    let counters = (0..THREADS * COUNTERS).map(Counting::new).collect();
    (nodes, counters, before)
}

fn address(node: &Server) -> String {
    node.address().to_string()
}

/// Each replica has what its master has.
fn assert_replicas_agree(nodes: &[Server]) {
    for node in nodes {
        let mut replica = node.client();
        if info(&mut replica, "role") == "slave" {
            let port = info(&mut replica, "master_port");
            let is_master = |node: &&Server| node.address().port().to_string() == port;
            let master = nodes.iter().find(is_master).expect("its master");
            let mut master = master.client();
            wait_in_sync(&mut master, &mut replica);
            assert_same(&mut master, &mut replica);
        }
    }
}

#[test]
fn slots_move_and_nodes_come_and_go_under_load() {
    let (mut nodes, mut counters, before) = start(PATIENT_MS);
    let entry = address(&nodes[0]);
    let ids: Vec<String> = nodes[..3].iter().map(id).collect();
    let slots = env_number("PMEDIS_CLUSTER_SLOTS", 300).to_string();
    under_load(&nodes, &mut counters, || {
        let to = ["--cluster-to", &ids[0], "--cluster-slots", &slots];
        let from = format!("{},{}", ids[1], ids[2]);
        cli(&[&["reshard", &entry, "--cluster-from", &from], &to[..]].concat());
    });
    check(&entry);
    assert_kept(&nodes, &before);
    assert_replicas_agree(&nodes);

    // A seventh node as a master, which gets its share, and an eighth as its replica.
    nodes.push(node(POOL, PATIENT_MS));
    nodes.push(node(POOL, PATIENT_MS));
    cli(&["add-node", &address(&nodes[6]), &entry]);
    wait_until_whole(&nodes[..7]);
    let seventh_id = id(&nodes[6]);
    add_replica(&nodes[7], &entry, &seventh_id);
    wait_until_whole(&nodes);
    check(&entry);
    under_load(&nodes, &mut counters, || {
        let to = ["--cluster-to", &seventh_id, "--cluster-slots", &slots];
        cli(&[&["reshard", &entry, "--cluster-from", "all"], &to[..]].concat());
    });
    assert_kept(&nodes, &before);
    assert_replicas_agree(&nodes);

    // Both leave again.
    check(&entry);
    under_load(&nodes, &mut counters, || {
        let to = ["--cluster-to", &ids[1], "--cluster-slots", &slots];
        cli(&[&["reshard", &entry, "--cluster-from", &seventh_id], &to[..]].concat());
    });
    // A master that has lost its slots follows who has them now, and so does its replica. While
    // they load what that one has, they cannot be told of nodes that leave.
    let seventh_port = nodes[6].address().port().to_string();
    for node in &nodes[6..] {
        let mut client = node.client();
        wait_for("it follows who has the slots", || {
            info(&mut client, "role") == "slave"
                && info(&mut client, "master_port") != seventh_port
                && info(&mut client, "master_link_status") == "up"
        });
    }
    for _ in 0..2 {
        let last = nodes.pop().expect("more than six nodes");
        check(&entry);
        cli(&["del-node", &entry, &id(&last)]);
        drop(last);
        // One that is known yet, but gone, would be in the way of the next.
        wait_until_whole(&nodes);
    }
    check(&entry);
    cli(&["rebalance", &entry, "--cluster-threshold", "1"]);
    check(&entry);
    assert_kept(&nodes, &before);
    assert_replicas_agree(&nodes);
}

#[test]
fn clients_are_sent_to_the_right_node_and_a_dead_master_is_replaced() {
    let (mut nodes, mut counters, before) = start(QUICK_MS);
    crossslot(&nodes);
    read_from_a_replica(&nodes);

    // A master dies under load. What a replica has acknowledged is there.
    let ends = AtomicBool::new(false);
    let victim = nodes[0].address();
    let (alive, dead) = {
        let (dead, alive) = nodes.split_at_mut(1);
        (alive, &mut dead[0])
    };
    let clients: Vec<_> = alive.iter().map(Server::address).collect();
    thread::scope(|scope| {
        for counters in counters.chunks_mut(COUNTERS) {
            let (ends, alive) = (&ends, &*alive);
            scope.spawn(move || {
                let mut client = ClusterClient::new(alive);
                let mut going = vec![true; counters.len()];
                while !ends.load(Ordering::Relaxed) {
                    for (counting, goes) in counters.iter_mut().zip(&mut going) {
                        *goes =
                            *goes && counting.pass(&mut |words| reach(&mut client, words), true);
                    }
                }
            });
        }
        let done = |server: &Server| {
            let count = info(&mut server.client(), "total_commands_processed");
            count.parse::<u64>().unwrap()
        };
        let before = done(dead);
        wait_for("clients write", || done(dead) > before + 500);
        dead.kill9();
        wait_for("the replica is the master", || {
            let promoted = |address: &std::net::SocketAddr| {
                let mut client = Client::connect(*address).unwrap();
                let slots = ask(&mut client, "CLUSTER SLOTS");
                !slots.contains(&format!(" {} ", victim.port()))
                    && ask(&mut client, "CLUSTER INFO").contains("cluster_state:ok")
            };
            clients.iter().all(promoted)
        });
        ends.store(true, Ordering::Relaxed);
    });
    let mut client = ClusterClient::new(&nodes[1..]);
    for counting in &mut counters {
        counting.judge(|words| client.call(words).unwrap());
    }
    nodes[0].restart().unwrap();
    wait_until_whole(&nodes);
    assert_eq!(info(&mut nodes[0].client(), "role"), "slave");
    assert_kept(&nodes, &before);
    assert_replicas_agree(&nodes);
    check(&address(&nodes[1]));
}

/// A call to a cluster of which a part may be down: that is an error of the connection.
fn reach(client: &mut ClusterClient, words: &[&str]) -> std::io::Result<Value> {
    match client.call(words)? {
        Value::Error(text) if text.starts_with("CLUSTERDOWN") => {
            Err(std::io::ErrorKind::NotConnected.into())
        }
        reply => Ok(reply),
    }
}

fn crossslot(nodes: &[Server]) {
    let mut client = nodes[0].client();
    let refused = "(error) CROSSSLOT Keys in request don't hash to the same slot";
    for command in [
        "PM.MGET a b",
        "PM.MSET a 1 b 2",
        "PM.DEL a b",
        "PM.SUNIONSTORE a b c",
        "PM.SINTERCARD 2 a b",
        "PM.ZUNIONSTORE a 2 b c",
        "PM.ZINTER 2 a b",
        "PM.LMOVE a b LEFT RIGHT",
        "PM.RPOPLPUSH a b",
        "PM.LMPOP 2 a b LEFT",
        "PM.BLPOP a b 0",
        "PM.BZMPOP 0 2 a b MIN",
        "PM.SMOVE a b m",
        "PM.RENAME a b",
        "PM.COPY a b",
        "PM.EXISTS a b",
        "PM.LCS a b",
        "PM.ZRANGESTORE a b 0 -1",
        "PM.GEORADIUS a 1 1 1 KM STORE b",
        "PM.GEORADIUSBYMEMBER a m 1 KM STOREDIST b",
        "PM.SORT a STORE b",
        "PM.BLMPOP 0 2 a b LEFT",
        "PM.ZDIFFSTORE a 1 b",
        "PM.BITOP AND a b",
        "PM.PFMERGE a b",
    ] {
        expect(&mut client, command, refused);
    }
    // The same in one slot go through, wherever that is.
    let mut client = ClusterClient::new(nodes);
    for command in [
        "PM.MSET {t}a 1 {t}b 2",
        "PM.SUNIONSTORE {t}c {t}d",
        "PM.DEL {t}a {t}b",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let reply = client.call(&words).unwrap();
        assert!(!reply.is_error(), "{command}: {reply:?}");
    }
}

fn read_from_a_replica(nodes: &[Server]) {
    let mut owner = ClusterClient::new(nodes);
    owner.call(&["PM.SET", "read", "v"]).unwrap();
    assert_eq!(owner.call(&["WAIT", "1", "0"]).unwrap(), Value::Integer(1));
    let mut served = 0;
    for node in nodes {
        let mut client = node.client();
        if info(&mut client, "role") == "master" {
            continue;
        }
        let moved = ask(&mut client, "PM.GET read");
        assert!(moved.starts_with("(error) MOVED"), "{moved}");
        expect(&mut client, "READONLY", "OK");
        match ask(&mut client, "PM.GET read").as_str() {
            "v" => served += 1,
            moved => assert!(moved.starts_with("(error) MOVED"), "{moved}"),
        }
        let moved = ask(&mut client, "PM.SET read w");
        assert!(moved.starts_with("(error) MOVED"), "{moved}");
    }
    assert_eq!(served, 1, "replicas that serve the key");
    owner.call(&["PM.DEL", "read"]).unwrap();
}
