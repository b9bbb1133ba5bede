//! A value is kept in another way on a replica that got it by a full sync: its table has another
//! order, its tree another shape. Where the outcome of a command depends on that, replicas get the
//! outcome; and they get what a command leaves behind of which it tells nobody.

use testkit::client::Client;
use testkit::contents::assert_equal;
use testkit::packaged::Packaged;
use testkit::replication::{assert_same, follow, wait_in_sync};
use testkit::resp::Value;
use testkit::scenario::stream;
use testkit::script::{ask, expect, run};
use testkit::server::{Server, Setup};

/// How many sorted sets, or sets, are tried: shapes agree by chance now and then.
const TRIED: u64 = 8;

/// What replicas are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replicas {
    /// Servers with the module.
    Pm,
    /// Servers without it, of a master with `rdb native`.
    Native,
}

/// A master with what `fill` makes, and a replica that got it by a full sync.
fn pair(replicas: Replicas, fill: fn(&mut Client)) -> (Server, Client, Server, Client) {
    let (of_master, of_replica) = match replicas {
        Replicas::Pm => (Setup::pmedis("64m"), Setup::pmedis("64m")),
        Replicas::Native => (
            Setup::pmedis_with("64m", &["rdb", "native"]),
            Setup::native(),
        ),
    };
    let of_master = of_master.directive("repl-diskless-sync-delay 0");
    let (master, replica) = (of_master.start().unwrap(), of_replica.start().unwrap());
    let (mut client, mut follower) = (master.client(), replica.client());
    fill(&mut client);
    follow(&mut follower, &master);
    wait_in_sync(&mut client, &mut follower);
    (master, client, replica, follower)
}

#[track_caller]
fn assert_alike(replicas: Replicas, master: &mut Client, replica: &mut Client) {
    wait_in_sync(master, replica);
    match replicas {
        Replicas::Pm => assert_same(master, replica),
        Replicas::Native => assert_equal(master, replica),
    }
}

/// Calls a command with words that come from elsewhere behind its own.
fn call(client: &mut Client, line: &str, words: impl Iterator<Item = String>) -> Value {
    let mut all: Vec<String> = line.split(' ').map(str::to_owned).collect();
    all.extend(words);
    let reply = client.call(&all);
    assert!(!reply.is_error(), "{line}: {reply:?}");
    reply
}

/// Sorted sets `z0`, `z1`, … of several scores, grown and shrunk by turns; a small one that is kept
/// as a large one; and something to be stored over.
fn fill_sorted_sets(client: &mut Client) {
    for set in 0..TRIED {
        let mut random = fastrand::Rng::with_seed(set);
        let mut some = |n: usize| random.choose_multiple(0..1500, n);
        for round in 0..6 {
            let scored = some(300)
                .into_iter()
                .flat_map(|i| [((i * 7 + round) % 20).to_string(), format!("m{i}")]);
            call(client, &format!("PM.ZADD z{set}"), scored);
            let names = some(150).into_iter().map(|i| format!("m{i}"));
            call(client, &format!("PM.ZREM z{set}"), names);
        }
        expect(client, &format!("PM.SET over{set} v"), "OK");
    }
    let long = "m".repeat(70);
    run(
        client,
        &format!(
            "PM.ZADD table 1 a 2 b 3 c 4 {long} -> 4
            PM.ZREM table {long} -> 1
            PM.SET over v -> OK"
        ),
    );
}

#[test]
fn elements_between_names_are_the_masters_whatever_their_scores() {
    for replicas in [Replicas::Pm, Replicas::Native] {
        let (_master, mut client, _replica, mut follower) = pair(replicas, fill_sorted_sets);
        for set in 0..TRIED {
            for (target, range) in [
                ("all", "[m4 [m6 BYLEX"),
                ("some", "(m2 (m3 BYLEX LIMIT 3 50"),
                ("last", "[m6 [m4 BYLEX REV LIMIT 1 50"),
                ("rest", "[m6 (m4 BYLEX REV LIMIT 2 -1"),
                ("over", "[m444 [m445 BYLEX LIMIT 200 1"),
            ] {
                let line = format!("PM.ZRANGESTORE {target}{set} z{set} {range}");
                call(&mut client, &line, std::iter::empty());
            }
        }
        assert_alike(replicas, &mut client, &mut follower);
        for set in 0..TRIED {
            let line = format!("PM.ZREMRANGEBYLEX z{set} [m4 [m6");
            call(&mut client, &line, std::iter::empty());
        }
        assert_alike(replicas, &mut client, &mut follower);
    }
}

#[test]
fn an_offset_from_the_end_leaves_out_what_the_master_leaves_out() {
    for replicas in [Replicas::Pm, Replicas::Native] {
        let (_master, mut client, _replica, mut follower) = pair(replicas, fill_sorted_sets);
        for line in [
            "PM.ZRANGESTORE scores table -inf +inf BYSCORE LIMIT -2 1",
            "PM.ZRANGESTORE reverse table +inf 1 BYSCORE REV LIMIT -2 5",
            "PM.ZRANGESTORE over table -inf +inf BYSCORE LIMIT -9 1",
        ] {
            call(&mut client, line, std::iter::empty());
        }
        assert_alike(replicas, &mut client, &mut follower);
    }
}

/// Sets `s0`, `s1`, …, grown and shrunk by turns, by whose weights many members are equal.
fn fill_sets(client: &mut Client) {
    for set in 0..TRIED {
        let mut random = fastrand::Rng::with_seed(set);
        let mut some = |n: usize| random.choose_multiple(0..1500, n).into_iter();
        for _ in 0..6 {
            let members = some(400).map(|i| format!("m{i}"));
            call(client, &format!("PM.SADD s{set}"), members);
            let members = some(150).map(|i| format!("m{i}"));
            call(client, &format!("PM.SREM s{set}"), members);
        }
        expect(client, &format!("PM.SET equals{set} v EX 1000"), "OK");
    }
    for i in 0..750 {
        call(
            client,
            &format!("PM.SET w_m{i} {}", i % 5),
            std::iter::empty(),
        );
    }
}

#[test]
fn a_set_is_stored_in_the_masters_order_where_weights_are_equal() {
    for replicas in [Replicas::Pm, Replicas::Native] {
        let (_master, mut client, _replica, mut follower) = pair(replicas, fill_sets);
        for set in 0..TRIED {
            for (target, options) in [
                ("equals", "BY w_* ALPHA"),
                ("part", "BY w_* ALPHA DESC LIMIT 5 20"),
                ("weights", "BY none_* ALPHA GET # GET w_*"),
                ("numbers", "BY w_* LIMIT 0 100"),
                ("names", "BY nosort"),
            ] {
                let line = format!("PM.SORT s{set} {options} STORE {target}{set}");
                call(&mut client, &line, std::iter::empty());
            }
        }
        assert_alike(replicas, &mut client, &mut follower);
    }
}

#[test]
fn zeros_that_a_field_leaves_behind_are_there_on_replicas() {
    for replicas in [Replicas::Pm, Replicas::Native] {
        let fill = |client: &mut Client| expect(client, "PM.SET short a", "OK");
        let (_master, mut client, _replica, mut follower) = pair(replicas, fill);
        run(
            &mut client,
            "PM.BITFIELD fresh OVERFLOW FAIL INCRBY i5 #3 200 -> [nil]
            PM.BITFIELD short OVERFLOW FAIL SET u8 #99 300 -> [nil]
            PM.STRLEN fresh -> 3
            PM.STRLEN short -> 100",
        );
        assert_alike(replicas, &mut client, &mut follower);
    }
}

#[test]
fn what_has_one_outcome_is_told_by_its_words() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    run(
        &mut client,
        "PM.ZADD equal 1 a 1 b 1 c 1 d -> 4
        PM.ZADD mixed 1 a 1 b 2 c 3 d -> 4
        PM.SADD set 10 9 8 -> 3
        PM.MSET w_10 x w_9 y w_8 z v_10 x v_9 y v_8 x -> OK",
    );
    let mut replica = server.client();
    replica.queue(&["SYNC"]);
    replica.send().unwrap();
    replica.receive_snapshot().unwrap();
    run(
        &mut client,
        "PM.ZRANGESTORE d equal [a [b BYLEX -> 2
        PM.ZRANGESTORE d mixed [a [b BYLEX -> 2
        PM.ZRANGESTORE d mixed [d [b BYLEX REV LIMIT 1 1 -> 1
        PM.ZRANGESTORE d mixed [d [a BYLEX -> 0
        PM.ZRANGESTORE d mixed 1 2 BYSCORE LIMIT 1 1 -> 1
        PM.ZREMRANGEBYLEX equal [b [c -> 2
        PM.ZREMRANGEBYLEX mixed [b [c -> 2
        PM.ZREMRANGEBYLEX mixed - + -> 2
        PM.SORT set BY w_* ALPHA STORE d -> 3
        PM.SORT set BY v_* STORE d ALPHA LIMIT 0 2 -> 2
        PUBLISH x END -> 0",
    );
    let mut expected = vec![
        "ZRANGESTORE D EQUAL [A [B BYLEX",
        "ZRANGESTORE D MIXED -INF +INF BYSCORE LIMIT 0 2",
        "ZRANGESTORE D MIXED +INF -INF BYSCORE REV LIMIT 1 1",
        "ZRANGESTORE D MIXED -INF +INF BYSCORE LIMIT 0 0",
        "ZRANGESTORE D MIXED 1 2 BYSCORE LIMIT 1 1",
        "ZREMRANGEBYLEX EQUAL [B [C",
        "ZREMRANGEBYRANK MIXED 1 2",
        "ZREMRANGEBYRANK MIXED 0 1",
        "SORT SET BY W_* ALPHA STORE D",
        "MULTI",
        "DEL D",
    ];
    let told = stream(replica, "END");
    let list = ask(&mut client, "PM.LRANGE d 0 -1");
    let list = format!("RPUSH D {}", list.trim_matches(['[', ']']));
    expected.extend([list.as_str(), "EXEC"]);
    assert_eq!(told, expected, "{}", Packaged::current());
}
