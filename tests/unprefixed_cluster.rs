//! Plain names that mean PM keys in a cluster: clients are sent where the slot is, as by a server
//! without the module.

use testkit::client::Client;
use testkit::cluster::{id, wait_until_whole};
use testkit::script::{ask, expect, run};
use testkit::server::{Server, Setup};

/// Two nodes with half of the slots each.
fn cluster() -> [Server; 2] {
    let nodes = ["0 8191", "8192 16383"].map(|slots| {
        let setup = Setup::pmedis_with("64m", &["unprefixed", "yes"])
            .directive("cluster-enabled yes")
            .directive("cluster-require-full-coverage no");
        let node = setup
            .start()
            .unwrap_or_else(|refusal| panic!("{refusal:?}"));
        expect(
            &mut node.client(),
            &format!("CLUSTER ADDSLOTSRANGE {slots}"),
            "OK",
        );
        node
    });
    for (node, epoch) in nodes.iter().zip(1..) {
        expect(
            &mut node.client(),
            &format!("CLUSTER SET-CONFIG-EPOCH {epoch}"),
            "OK",
        );
    }
    let other = nodes[1].address();
    let meet = format!("CLUSTER MEET {} {}", other.ip(), other.port());
    expect(&mut nodes[0].client(), &meet, "OK");
    wait_until_whole(&nodes);
    nodes
}

/// A tag whose slot is in this half, and the slot.
fn tag(client: &mut Client, half: u32) -> (String, u32) {
    (0..)
        .map(|n| format!("{{{n}}}"))
        .find_map(|tag| {
            let slot: u32 = ask(client, &format!("CLUSTER KEYSLOT {tag}"))
                .parse()
                .expect("a slot");
            (slot / 8192 == half).then_some((tag, slot))
        })
        .expect("there are enough tags")
}

#[test]
fn clients_are_sent_where_the_slot_is() {
    let [here, there] = cluster();
    let (mut client, mut other) = (here.client(), there.client());
    let ((ours, slot), (theirs, far)) = (tag(&mut client, 0), tag(&mut client, 1));
    let moved = format!("(error) MOVED {far} {}", there.address());
    for line in [
        format!("SET {theirs}k v"),
        format!("GET {theirs}k"),
        format!("LPUSH {theirs}k a b"),
        format!("ZUNIONSTORE {theirs}d 2 {theirs}a {theirs}b"),
        format!("EVAL return(redis.call('SET',KEYS[1],1)) 1 {theirs}k"),
        format!("PM.SET {theirs}k v"),
    ] {
        expect(&mut client, &line, &moved);
    }
    let across = ask(&mut client, &format!("MSET {ours}a 1 {theirs}b 2"));
    assert!(across.contains("CROSSSLOT"), "{across}");
    run(
        &mut other,
        &format!("SET {theirs}k v -> OK\nPM.GET {theirs}k -> v"),
    );
    run(
        &mut client,
        &format!("MULTI -> OK\nSET {ours}m 1 -> QUEUED"),
    );
    expect(&mut client, &format!("SET {theirs}k v"), &moved);
    assert!(ask(&mut client, "EXEC").contains("EXECABORT"));

    // A slot on its way: what is here is served here, what is not is asked for there.
    run(
        &mut client,
        &format!("SET {ours}stays v -> OK\nRPUSH {ours}list a b -> 2"),
    );
    let [from, to] = [&here, &there].map(id);
    expect(
        &mut other,
        &format!("CLUSTER SETSLOT {slot} IMPORTING {from}"),
        "OK",
    );
    expect(
        &mut client,
        &format!("CLUSTER SETSLOT {slot} MIGRATING {to}"),
        "OK",
    );
    let elsewhere = format!("(error) ASK {slot} {}", there.address());
    run(
        &mut client,
        &format!(
            "GET {ours}stays -> v\nAPPEND {ours}stays w -> 2\nLRANGE {ours}list 0 -1 -> [a b]"
        ),
    );
    for line in [
        format!("GET {ours}new"),
        format!("SET {ours}new v"),
        format!("INCR {ours}new"),
    ] {
        expect(&mut client, &line, &elsewhere);
    }
    let half = ask(&mut client, &format!("MGET {ours}stays {ours}new"));
    assert!(half.contains("TRYAGAIN"), "{half}");
    expect(
        &mut other,
        &format!("SET {ours}new v"),
        &format!("(error) MOVED {slot} {}", here.address()),
    );
    run(
        &mut other,
        &format!("ASKING -> OK\nSET {ours}new v -> OK\nASKING -> OK\nPM.GET {ours}new -> v"),
    );
    let address = there.address();
    for key in ["stays", "list"] {
        let migrate = format!(
            "MIGRATE {} {} {ours}{key} 0 60000",
            address.ip(),
            address.port()
        );
        expect(&mut client, &migrate, "OK");
        expect(&mut client, &format!("TYPE {ours}{key}"), &elsewhere);
    }
    for (node, of) in [(&mut other, &to), (&mut client, &to)] {
        expect(node, &format!("CLUSTER SETSLOT {slot} NODE {of}"), "OK");
    }
    expect(
        &mut client,
        &format!("GET {ours}stays"),
        &format!("(error) MOVED {slot} {address}"),
    );
    run(
        &mut other,
        &format!("GET {ours}stays -> vw\nLRANGE {ours}list 0 -1 -> [a b]\nPM.DBSIZE -> 4"),
    );
}
