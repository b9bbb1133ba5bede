//! A full pool as a cache: PM keys give way as the server's `maxmemory-policy` says.

use std::collections::BTreeSet;
use testkit::client::Client;
use testkit::replication::{assert_same, follow, info, wait_for, wait_in_sync};
use testkit::resp::Value;
use testkit::script::{ask, crash, expect, run};
use testkit::server::{Server, Setup};

const FULL: &str = "(error) OOM command not allowed when the persistent memory pool is full.";
/// Writes that are more than three times what the pool holds.
const MANY: usize = 6000;
const LENGTH: usize = 8000;

fn start(size: &str, policy: &str) -> (Server, Client) {
    let setup = Setup::pmedis_with(size, &["unprefixed", "yes"]);
    let setup = setup.directive(&format!("maxmemory-policy {policy}"));
    let server = setup
        .start()
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let client = server.client();
    (server, client)
}

/// Sets so many keys, with more words behind each, and counts those that were taken; `each` runs
/// now and then.
fn write(
    client: &mut Client,
    count: usize,
    words: &[&str],
    mut each: impl FnMut(&mut Client),
) -> usize {
    let value = "v".repeat(LENGTH);
    let mut taken = 0;
    for from in (0..count).step_by(50) {
        let commands: Vec<Vec<String>> = (from..from + 50)
            .map(|n| {
                let command = ["SET".to_owned(), format!("key:{n}"), value.clone()];
                command
                    .into_iter()
                    .chain(words.iter().map(|word| (*word).to_owned()))
                    .collect()
            })
            .collect();
        let replies = client.pipeline(&commands).expect("a server");
        taken += replies
            .iter()
            .filter(|reply| **reply == Value::Simple("OK".into()))
            .count();
        each(client);
    }
    taken
}

fn evicted(client: &mut Client) -> usize {
    let text = ask(client, "PM.INFO traffic");
    let (_, number) = text.split_once("evicted_keys:").expect("a count");
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

/// How many PM keys there are, and how many were evicted: at one moment, as room is made between
/// commands, too.
fn left_and_gone(client: &mut Client) -> (usize, usize) {
    loop {
        let gone = evicted(client);
        let left = ask(client, "PM.DBSIZE").parse().expect("a number");
        if evicted(client) == gone {
            return (left, gone);
        }
    }
}

#[test]
fn every_policy_lets_all_writes_in() {
    for policy in [
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ] {
        let (_server, mut client) = start("16m", policy);
        run(
            &mut client,
            "XADD native 1-1 f v -> 1-1\nPM.SET first v EX 1000 -> OK",
        );
        let taken = write(&mut client, MANY, &["EX", "1000"], |_| ());
        assert_eq!(taken, MANY, "{policy}");
        let (left, gone) = left_and_gone(&mut client);
        assert_eq!(left + gone, MANY + 1, "{policy}");
        expect(&mut client, "XLEN native", "1");
    }
}

fn use_hot_keys(client: &mut Client, times: usize) {
    for n in 0..20 * times {
        ask(client, &format!("GET hot:{}", n % 20));
    }
}

fn hot_keys_left(client: &mut Client) -> usize {
    (0..20)
        .filter(|n| ask(client, &format!("EXISTS hot:{n}")) == "1")
        .count()
}

#[test]
fn what_is_used_stays_and_what_is_not_goes() {
    let (mut server, mut client) = start("16m", "allkeys-lru");
    for n in 0..20 {
        expect(&mut client, &format!("SET hot:{n} v"), "OK");
    }
    write(&mut client, 1300, &[], |_| ());
    // The clock of idle times counts seconds.
    wait_for("keys are idle", || {
        let idle = ask(&mut client, "OBJECT IDLETIME key:1299");
        idle.parse::<u64>().is_ok_and(|seconds| seconds >= 2)
    });
    use_hot_keys(&mut client, 1);
    let before = evicted(&mut client);
    let value = "v".repeat(LENGTH);
    for n in 0..500 {
        assert_eq!(ask(&mut client, &format!("SET new:{n} {value}")), "OK");
    }
    assert!(evicted(&mut client) > before + 100);
    assert_eq!(hot_keys_left(&mut client), 20);
    let new = (0..500)
        .filter(|n| ask(&mut client, &format!("EXISTS new:{n}")) == "1")
        .count();
    assert!(new > 480, "{new} of 500 new keys are left");
    // Room is made ahead before the kill and after it: some more may go, and none may come back.
    let names = |client: &mut Client| -> BTreeSet<String> {
        let names = ask(client, "KEYS *");
        let names = names.trim_matches(['[', ']']).split(' ');
        names.map(str::to_owned).collect()
    };
    let before = names(&mut client);
    drop(client);
    let mut client = crash(&mut server);
    let after = names(&mut client);
    assert!(after.is_subset(&before), "{:?}", after.difference(&before));
    assert!(
        after.len() + 100 > before.len(),
        "{} of {}",
        after.len(),
        before.len()
    );
}

#[test]
fn what_is_used_often_stays() {
    let (_server, mut client) = start("16m", "allkeys-lfu");
    for n in 0..20 {
        expect(&mut client, &format!("SET hot:{n} v"), "OK");
    }
    use_hot_keys(&mut client, 100);
    let taken = write(&mut client, 3000, &[], |client| use_hot_keys(client, 1));
    assert_eq!((taken, hot_keys_left(&mut client)), (3000, 20));
}

#[test]
fn keys_that_never_expire_stay_with_volatile_policies() {
    let (_server, mut client) = start("16m", "volatile-ttl");
    // So many that nearly every sample has some of those that end soon.
    expect(&mut client, "CONFIG SET maxmemory-samples 40", "OK");
    let lasting = write(&mut client, 500, &[], |_| ());
    assert_eq!(lasting, 500);
    for n in 0..400 {
        let value = "v".repeat(LENGTH);
        let time = if n % 2 == 0 { "10000" } else { "90000" };
        assert_eq!(
            ask(&mut client, &format!("SET ttl:{n} {value} EX {time}")),
            "OK"
        );
    }
    let long = "v".repeat(LENGTH);
    let before = evicted(&mut client);
    for n in 0.. {
        assert_eq!(
            ask(&mut client, &format!("SET later:{n} {long} EX 90000")),
            "OK"
        );
        if evicted(&mut client) > before + 80 {
            break;
        }
    }
    let gone = |client: &mut Client, odd: usize| {
        let numbers = (0..400).filter(|n| n % 2 == odd);
        numbers
            .filter(|n| ask(client, &format!("EXISTS ttl:{n}")) == "0")
            .count()
    };
    let (soon, late) = (gone(&mut client, 0), gone(&mut client, 1));
    // At random, about a seventh of those that went would be among the former, as many among the
    // latter, and the rest of the later ones.
    let all = evicted(&mut client) - before;
    assert!(
        soon * 4 > all * 3,
        "of {all}, {soon} that end soon and {late} of the others went"
    );
    for n in 0..500 {
        expect(&mut client, &format!("EXISTS key:{n}"), "1");
    }
    // Without any that expire there is nothing to give way.
    let lasting = write(&mut client, 2000, &[], |_| ());
    assert!(lasting < 2000, "all were taken");
    expect(
        &mut client,
        "CONFIG SET maxmemory-policy allkeys-random",
        "OK",
    );
    assert_eq!(ask(&mut client, &format!("SET new {long}")), "OK");
}

#[test]
fn without_a_policy_nothing_gives_way() {
    let (_server, mut client) = start("16m", "noeviction");
    let taken = write(&mut client, 2000, &["EX", "1000"], |_| ());
    assert!(taken < 2000, "all were taken");
    let long = "v".repeat(LENGTH);
    assert_eq!(ask(&mut client, &format!("SET new {long}")), FULL);
    assert_eq!(evicted(&mut client), 0);
}

#[test]
fn replicas_watchers_and_listeners_hear_of_it() {
    let (master, mut client) = start("16m", "allkeys-random");
    let (_replica, mut reader) = start("64m", "allkeys-random");
    follow(&mut reader, &master);
    wait_in_sync(&mut client, &mut reader);
    expect(&mut client, "CONFIG SET notify-keyspace-events Ee", "OK");
    let mut events = master.client();
    events.call(&["PSUBSCRIBE", "__keyevent@0__:*"]);
    assert_eq!(write(&mut client, MANY, &[], |_| ()), MANY);
    let event = testkit::script::words(&events.receive().expect("an event"));
    assert!(event.contains("__keyevent@0__:evicted key:"), "{event}");
    // Nothing goes ahead while the two are compared.
    expect(&mut client, "CONFIG SET maxmemory-policy noeviction", "OK");
    wait_in_sync(&mut client, &mut reader);
    assert_same(&mut client, &mut reader);
    assert!(evicted(&mut client) > MANY / 2);
    assert_eq!(evicted(&mut reader), 0);
    assert_eq!(info(&mut reader, "master_link_status"), "up");
}

#[test]
fn large_values_give_way_and_transactions_find_room() {
    let (_server, mut client) = start("32m", "allkeys-lru");
    for n in 0..60 {
        let words: Vec<String> = (0..100)
            .map(|i| format!("{i}{}", "e".repeat(10_000)))
            .collect();
        let words: Vec<String> = ["RPUSH".to_owned(), format!("list:{n}")]
            .into_iter()
            .chain(words)
            .collect();
        assert_eq!(client.call(&words), Value::Integer(100), "list:{n}");
    }
    assert_eq!(write(&mut client, MANY, &[], |_| ()), MANY);
    wait_for("room was made ahead", || {
        client.call(&["MULTI"]);
        for n in 0..10 {
            client.call(&["SET", &format!("multi:{n}"), &"m".repeat(LENGTH)]);
        }
        let replies = client.call(&["EXEC"]);
        let replies = replies.elements().expect("an array").to_vec();
        replies
            .iter()
            .all(|reply| *reply == Value::Simple("OK".into()))
    });
}

#[test]
fn a_large_value_evicts_about_its_size_and_one_larger_than_the_pool_nothing() {
    const LARGE: usize = 1_000_000;
    let (_server, mut client) = start("16m", "allkeys-lru");
    assert_eq!(write(&mut client, MANY, &[], |_| ()), MANY);
    let (left, before) = left_and_gone(&mut client);
    let value = "v".repeat(17 << 20);
    assert_eq!(ask(&mut client, &format!("SET huge {value}")), FULL);
    // Some go ahead of need.
    let gone = evicted(&mut client) - before;
    assert!(gone < left / 5, "{gone} of {left} were evicted for nothing");
    // What the large value is copied from must not be as old as what gives way to its copy.
    let last = format!("OBJECT IDLETIME key:{}", MANY - 1);
    wait_for("all others are older", || {
        ask(&mut client, &last)
            .parse::<u64>()
            .is_ok_and(|idle| idle >= 2)
    });
    let before = evicted(&mut client);
    let value = "v".repeat(LARGE);
    assert_eq!(ask(&mut client, &format!("SET large {value}")), "OK");
    assert_eq!(ask(&mut client, "PM.COPY large copied"), "1");
    let gone = evicted(&mut client) - before;
    assert!(gone < 6 * LARGE / LENGTH, "{gone} were evicted");
}
