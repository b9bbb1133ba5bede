//! Hash slots that move: what is acknowledged is not lost on the way, and what is taken back does
//! not come about.

use std::fs;
use testkit::client::Client;
use testkit::cluster::ClusterClient;
use testkit::migration::{
    SERVERS, Slots, State, begin, cancel, cluster_of, hold, migrate, most, pm_keys, share, state,
    tag, wait_for_end,
};
use testkit::packaged::{Family, Packaged};
use testkit::preload;
use testkit::replication::wait_for;
use testkit::resp::Value;
use testkit::script::{ask, expect, run, words};
use testkit::server::{Server, Setup};

const POOL: &str = "64m";

/// Runs a test on two masters of each server that moves slots as a whole: with the slots that are
/// to move, all keys of which have this tag.
fn on_each(setup: impl Fn() -> Setup, test: impl Fn(&[Server], &Slots, &str)) {
    for name in SERVERS {
        let packaged = Packaged::named(name);
        println!("on {packaged}");
        let nodes = cluster_of(&packaged, (0..2).map(|_| setup()));
        let slots = most();
        let tag = tag(&mut nodes[0].client(), &slots);
        test(&nodes, &slots, &tag);
    }
}

/// Makes so many PM keys, of which few at a time are sent on.
fn fill(client: &mut Client, tag: &str, count: u32) {
    let value = "x".repeat(8000);
    for n in 0..count {
        client.queue(&["PM.SET", &format!("{tag}filler:{n}"), &value]);
    }
    client.send().unwrap();
    (0..count).for_each(|_| assert!(!client.receive().unwrap().is_error()));
}

/// Has the slots begin to move, and waits until some keys have: what comes next is in the stream.
fn begin_and_see(nodes: &[Server], slots: &Slots) {
    begin(&nodes[0], &nodes[1], slots);
    let mut target = nodes[1].client();
    wait_for("keys have come", || pm_keys(&mut target) > 0);
}

/// Sees to it that the slots have moved, though their migration may have been given up.
fn have_moved(nodes: &[Server], slots: &Slots) {
    hold(&nodes[0], false);
    let tries_again = nodes[0].setup().packaged().family == Family::Redis;
    let mut target = nodes[1].client();
    wait_for("the slots move", || match state(&nodes[1], &mut target) {
        Some(State::Done) => true,
        Some(State::Failed) if !tries_again => {
            begin(&nodes[0], &nodes[1], slots);
            false
        }
        _ => false,
    });
    assert_eq!(wait_for_end(&nodes[0], &nodes[1]), State::Done);
}

#[test]
fn values_of_the_pool_stay_so_whatever_files_have() {
    let setup = || Setup::pmedis_with(POOL, &["rdb", "native"]);
    on_each(setup, |nodes, slots, tag| {
        let (mut first, mut second) = (nodes[0].client(), nodes[1].client());
        fill(&mut first, tag, 200);
        run(
            &mut first,
            &format!("PM.SET {tag}n 100\nPM.HSET {tag}h f v\nPM.SET {tag}moved 1"),
        );
        hold(&nodes[0], true);
        begin_and_see(nodes, slots);
        run(
            &mut first,
            &format!("PM.INCR {tag}n -> 101\nPM.RPUSH {tag}l a b\nPM.HINCRBY {tag}h g 7 -> 7"),
        );
        hold(&nodes[0], false);
        assert_eq!(wait_for_end(&nodes[0], &nodes[1]), State::Done);
        run(
            &mut second,
            &format!(
                "TYPE {tag}filler:0 -> pm-string
                TYPE {tag}n -> pm-string
                PM.GET {tag}n -> 101
                PM.LRANGE {tag}l 0 -1 -> [a b]
                PM.HGET {tag}h g -> 7"
            ),
        );
        assert_eq!(pm_keys(&mut second), 204);
        // The other way for keys to go, and files are what they are to be.
        let payload = second.call(&["DUMP", &format!("{tag}n")]);
        let plain = Setup::native().on(nodes[0].setup().packaged()).start();
        let plain = plain.unwrap();
        let mut plain = plain.client();
        let restore = [b"RESTORE".as_slice(), b"n", b"0", payload.bytes().unwrap()];
        assert_eq!(plain.call(&restore), Value::Simple("OK".into()));
        expect(&mut plain, "GET n", "101");
    });
}

#[test]
fn single_keys_are_moved_to_a_node_whose_files_need_no_module() {
    let setup = || Setup::pmedis_with(POOL, &["rdb", "native"]);
    on_each(setup, |nodes, _, tag| {
        let (mut first, mut second) = (nodes[0].client(), nodes[1].client());
        run(&mut first, &format!("PM.HSET {tag}h f v"));
        let slot = ask(&mut first, &format!("CLUSTER KEYSLOT {tag}"));
        let ids = [&mut first, &mut second].map(|client| ask(client, "CLUSTER MYID"));
        run(
            &mut second,
            &format!("CLUSTER SETSLOT {slot} IMPORTING {} -> OK", ids[0]),
        );
        run(
            &mut first,
            &format!("CLUSTER SETSLOT {slot} MIGRATING {} -> OK", ids[1]),
        );
        let port = nodes[1].address().port();
        run(
            &mut first,
            &format!("MIGRATE 127.0.0.1 {port} {tag}h 0 60000 -> OK"),
        );
        expect(&mut second, "ASKING", "OK");
        expect(&mut second, &format!("PM.HGET {tag}h f"), "v");
    });
}

/// Redis takes no notice of what fails at the node that gets the slots.
#[test]
fn an_import_that_cannot_be_kept_leaves_all_where_it_is() {
    let packaged = Packaged::named("redis-8.6");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fail_writes.c");
    let disk = || {
        let setup = Setup::pmedis_with(POOL, &["durability", "disk", "journal", "2m"]);
        let library = preload::compile(source, setup.dir());
        let flag = setup.dir().join("fail");
        setup
            .env("LD_PRELOAD", &library.to_string_lossy())
            .env("FAIL_WRITES", &flag.to_string_lossy())
    };
    let setups = [Setup::pmedis(POOL), disk()];
    let nodes = cluster_of(&packaged, setups.into_iter());
    let (slots, keys) = (most(), 300);
    let mut first = nodes[0].client();
    let tag = tag(&mut first, &slots);
    fill(&mut first, &tag, keys);
    let flag = nodes[1].setup().dir().join("fail");
    let stays = |first: &mut Client| {
        assert_eq!(wait_for_end(&nodes[0], &nodes[1]), State::Failed);
        assert_eq!(pm_keys(first), u64::from(keys));
        fs::remove_file(&flag).unwrap();
        let mut second = nodes[1].client();
        wait_for("it serves again", || {
            ask(&mut second, "PM.FLUSHALL") == "OK"
        });
    };
    // The disk is full in the midst of the import.
    hold(&nodes[0], true);
    begin_and_see(&nodes, &slots);
    fs::write(&flag, libc::ENOSPC.to_string()).unwrap();
    stays(&mut first);
    hold(&nodes[0], false);
    // It is full when the import begins.
    let mut second = nodes[1].client();
    fs::write(&flag, libc::ENOSPC.to_string()).unwrap();
    let own = tag_of_second(&mut second);
    let unheard = second.try_call(&["PM.SET", &own, "1"]);
    assert!(unheard.is_err(), "it is acknowledged: {unheard:?}");
    begin(&nodes[0], &nodes[1], &slots);
    stays(&mut first);
    migrate(&nodes[0], &nodes[1], &slots);
    let mut second = nodes[1].client();
    wait_for("all keys have come", || {
        pm_keys(&mut second) == u64::from(keys)
    });
}

fn tag_of_second(client: &mut Client) -> String {
    tag(client, &share(1, 2))
}

/// The field's time comes at the node that gets the slot before it hears that the field has got
/// another one.
#[test]
fn fields_that_got_another_time_do_not_expire_on_the_way() {
    let hashes = 9;
    on_each(
        || Setup::pmedis(POOL),
        |nodes, slots, tag| {
            let (mut first, mut second) = (nodes[0].client(), nodes[1].client());
            run(&mut first, "CONFIG SET rdb-key-save-delay 15000 -> OK");
            let mut extended = false;
            // The fields must live until the snapshot is under way, and end before it is over.
            for ttl in [1000, 4000, 16_000] {
                fill(&mut first, tag, ttl / 8);
                for n in 0..hashes {
                    run(&mut first, &format!("PM.HSET {tag}h{n} f 5 g 1"));
                    let expire = format!("PM.HPEXPIRE {tag}h{n} {ttl} FIELDS 1 f -> [1]");
                    run(&mut first, &expire);
                }
                begin_and_see(nodes, slots);
                extended = (0..hashes).all(|n| {
                    let expire = format!("PM.HPEXPIRE {tag}h{n} 10000000 FIELDS 1 f");
                    ask(&mut first, &expire) == "[1]"
                        && ask(&mut first, &format!("PM.HINCRBY {tag}h{n} f 1")) == "6"
                });
                if extended {
                    break;
                }
                cancel(&nodes[0], &nodes[1]);
                wait_for("what had come has gone", || pm_keys(&mut second) == 0);
            }
            assert!(extended, "the machine is too busy");
            assert_eq!(wait_for_end(&nodes[0], &nodes[1]), State::Done);
            for n in 0..hashes {
                expect(&mut second, &format!("PM.HMGET {tag}h{n} f g"), "[6 1]");
                let ttl = ask(&mut second, &format!("PM.HTTL {tag}h{n} FIELDS 1 f"));
                assert!(ttl.len() > 4, "{ttl}");
            }
            // From then on they expire there.
            for n in 0..hashes {
                run(
                    &mut second,
                    &format!("PM.HPEXPIRE {tag}h{n} 50 FIELDS 1 f -> [1]"),
                );
            }
            for n in 0..hashes {
                wait_for("the field goes", || {
                    ask(&mut second, &format!("PM.HLEN {tag}h{n}")) == "1"
                });
            }
        },
    );
}

#[test]
fn a_transaction_that_fails_is_done_nowhere() {
    on_each(
        || Setup::pmedis(POOL),
        |nodes, slots, tag| {
            let mut first = nodes[0].client();
            fill(&mut first, tag, 400);
            run(&mut first, &format!("PM.SET {tag}n 1"));
            // Made before the keys begin to move, so that it comes while they do.
            let mut client = nodes[0].client();
            client.queue(&["MULTI"]);
            client.queue(&["PM.SET", &format!("{tag}n"), "2"]);
            client.queue(&["PM.RPUSH", &format!("{tag}l"), "a", "b"]);
            client.queue(&["PM.SET", &format!("{tag}large"), &"x".repeat(70 << 20)]);
            client.queue(&["EXEC"]);
            hold(&nodes[0], true);
            begin_and_see(nodes, slots);
            client.send().unwrap();
            let replies: Vec<_> = (0..5).map_while(|_| client.receive().ok()).collect();
            assert!(replies.len() < 5, "{:?}", replies.last().map(words));
            let seen = |client: &mut dyn FnMut(&[&str]) -> Value| {
                let names = ["n", "l", "large"].map(|name| format!("{tag}{name}"));
                let n = words(&client(&["PM.GET", &names[0]]));
                let others = names[1..].iter();
                let others = others.map(|name| words(&client(&["PM.EXISTS", name])));
                [vec![n], others.collect()].concat().join(" ")
            };
            assert_eq!(seen(&mut |words| first.call(words)), "1 0 0");
            have_moved(nodes, slots);
            let mut second = nodes[1].client();
            assert_eq!(seen(&mut |words| second.call(words)), "1 0 0");
        },
    );
}

#[test]
fn a_flush_of_pm_keys_beside_native_ones_is_not_undone() {
    for flush in ["PM.FLUSHALL", "PM.FLUSHDB"] {
        on_each(
            || Setup::pmedis(POOL),
            |nodes, slots, tag| {
                let mut first = nodes[0].client();
                fill(&mut first, tag, 200);
                run(&mut first, &format!("SET {tag}native v"));
                hold(&nodes[0], true);
                begin_and_see(nodes, slots);
                expect(&mut first, flush, "OK");
                expect(&mut first, "PM.DBSIZE", "0");
                have_moved(nodes, slots);
                let mut client = ClusterClient::new(nodes);
                let mut ask = |words: &[&str]| self::words(&client.call(words).unwrap());
                assert_eq!(ask(&["GET", &format!("{tag}native")]), "v");
                assert_eq!(ask(&["PM.EXISTS", &format!("{tag}filler:7")]), "0");
                let mut second = nodes[1].client();
                wait_for("PM keys are nowhere", || {
                    pm_keys(&mut first) + pm_keys(&mut second) == 0
                });
            },
        );
    }
}
