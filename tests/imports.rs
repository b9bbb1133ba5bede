//! Hash slots that are being imported, and what else happens where they arrive.

use testkit::client::Client;
use testkit::migration::{
    SERVERS, Slots, State, begin, cluster_of, hold, most, pm_keys, share, tag, wait_for_end,
};
use testkit::packaged::Packaged;
use testkit::replication::{info, wait_for};
use testkit::resp::Value;
use testkit::script::{ask, expect, run};
use testkit::server::{Server, Setup};

const KEYS: u32 = 200;

fn fill(client: &mut Client, tag: &str) {
    let value = "x".repeat(8000);
    for n in 0..KEYS {
        client.queue(&["PM.SET", &format!("{tag}filler:{n}"), &value]);
    }
    client.send().unwrap();
    (0..KEYS).for_each(|_| assert!(!client.receive().unwrap().is_error()));
}

/// Has an import stand still, after some of its keys have come.
fn half_import(nodes: &[Server], slots: &Slots) {
    hold(&nodes[0], true);
    begin(&nodes[0], &nodes[1], slots);
    let mut target = nodes[1].client();
    wait_for("keys have come", || pm_keys(&mut target) > 0);
}

/// Else the keys that were flushed where they had come would be lost when their slots move. Redis
/// ends its migrations of both directions.
#[test]
fn a_flush_where_slots_arrive_ends_their_import() {
    let packaged = Packaged::named("valkey-9.1");
    for flush in ["FLUSHALL", "PM.FLUSHALL", "PM.FLUSHDB"] {
        println!("{flush}");
        let nodes = cluster_of(&packaged, (0..2).map(|_| Setup::pmedis("64m")));
        let (mut first, mut second) = (nodes[0].client(), nodes[1].client());
        let slots = most();
        let tag = tag(&mut first, &slots);
        fill(&mut first, &tag);
        run(&mut first, &format!("SET {tag}native v -> OK"));
        half_import(&nodes, &slots);
        expect(&mut second, flush, "OK");
        hold(&nodes[0], false);
        assert_eq!(wait_for_end(&nodes[0], &nodes[1]), State::Failed, "{flush}");
        expect(&mut second, "PM.DBSIZE", "0");
        expect(&mut first, "PM.DBSIZE", &KEYS.to_string());
        expect(&mut first, &format!("PM.STRLEN {tag}filler:7"), "8000");
        expect(&mut first, &format!("GET {tag}native"), "v");
    }
}

/// Redis takes no notice of a key that does not come, so the module gives the import up; but not
/// for a client's key in a slot of this node's own, of which the client is told.
#[test]
fn what_finds_no_room_beside_an_import_does_not_end_it() {
    let packaged = Packaged::named("redis-8.6");
    let pools = ["128m", "32m"].map(Setup::pmedis);
    let nodes = cluster_of(&packaged, pools.into_iter());
    let (mut first, mut second) = (nodes[0].client(), nodes[1].client());
    let slots = most();
    let moves = tag(&mut first, &slots);
    let stays = tag(&mut first, &(slots.end() + 1..=*share(0, 2).end()));
    let own = tag(&mut second, &share(1, 2));
    let large = "x".repeat(40 << 20);
    let source = format!("{stays}large");
    assert!(!first.call(&["PM.SET", &source, &large]).is_error());
    let payload = first.call(&["DUMP", &source]);
    fill(&mut first, &moves);
    half_import(&nodes, &slots);
    let target = format!("{own}large");
    let refused = second.call(&["PM.SET", &target, &large]);
    assert!(refused.is_error(), "{refused:?}");
    let restore = [
        b"RESTORE".as_slice(),
        target.as_bytes(),
        b"0",
        payload.bytes().unwrap(),
    ];
    let refused = second.call(&restore);
    assert!(matches!(refused, Value::Error(_)), "{refused:?}");
    hold(&nodes[0], false);
    assert_eq!(wait_for_end(&nodes[0], &nodes[1]), State::Done);
    assert!(!nodes[1].log().contains("given up"), "{}", nodes[1].log());
    expect(&mut second, "PM.DBSIZE", &KEYS.to_string());
}

/// A replica that was down when an import of its master's ended does not hear of the end.
#[test]
fn fields_expire_at_a_new_master_that_has_missed_the_end_of_an_import() {
    for name in SERVERS {
        let packaged = Packaged::named(name);
        println!("on {packaged}");
        let nodes = cluster_of(&packaged, (0..2).map(|_| Setup::pmedis("64m")));
        let mut replica = Setup::pmedis("64m")
            .on(&packaged)
            .directive("cluster-enabled yes")
            .directive("cluster-replica-no-failover yes")
            .directive("save ''")
            .keep_port()
            .start()
            .unwrap();
        let (mut first, mut client) = (nodes[0].client(), replica.client());
        let port = nodes[1].address().port();
        expect(&mut client, &format!("CLUSTER MEET 127.0.0.1 {port}"), "OK");
        let master = ask(&mut nodes[1].client(), "CLUSTER MYID");
        wait_for("it knows its master", || {
            ask(&mut client, &format!("CLUSTER REPLICATE {master}")) == "OK"
        });
        wait_for("it follows", || {
            info(&mut client, "master_link_status") == "up"
        });
        let slots = most();
        let tag = tag(&mut first, &slots);
        run(&mut first, &format!("PM.HSET {tag}h f 5 g 1"));
        fill(&mut first, &tag);
        half_import(&nodes, &slots);
        wait_for("keys have come to the replica", || pm_keys(&mut client) > 0);
        replica.kill9();
        hold(&nodes[0], false);
        assert_eq!(wait_for_end(&nodes[0], &nodes[1]), State::Done);
        replica.restart().unwrap();
        let mut client = replica.client();
        wait_for("it has all keys", || {
            pm_keys(&mut client) == u64::from(KEYS) + 1
        });
        expect(&mut client, "CLUSTER FAILOVER TAKEOVER", "OK");
        wait_for("it is a master", || info(&mut client, "role") == "master");
        wait_for("it has heard of the other masters", || {
            ask(&mut client, "CLUSTER INFO").contains("cluster_state:ok")
        });
        run(
            &mut client,
            &format!("PM.HPEXPIRE {tag}h 50 FIELDS 1 f -> [1]"),
        );
        wait_for("the field goes", || {
            ask(&mut client, &format!("PM.HLEN {tag}h")) == "1"
        });
    }
}
