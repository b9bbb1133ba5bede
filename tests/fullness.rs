//! What a pool tells of how full it is: lines of the log, and figures that add up to what can be
//! stored.

use testkit::client::Client;
use testkit::full::{
    TABLE, assert_durable, figure, fill, fill_up, is_refused, key, many, settle, start, words,
};
use testkit::replication::wait_for;
use testkit::resp::Value;
use testkit::script::{ask, crash, expect};
use testkit::server::Server;

const MEBI: u64 = 1 << 20;

/// Adds values of 100 kB until so many percent of what can hold values do.
fn fill_to(client: &mut Client, name: &str, percent: u64) -> usize {
    let value = vec![b'v'; 100_000];
    for n in 0.. {
        let (used, free) = (figure(client, "used"), figure(client, "free"));
        if used * 100 >= percent * (used + free + figure(client, "scattered")) {
            return n;
        }
        let reply = client.call(&[b"PM.SET".to_vec(), key(name, n), value.clone()]);
        assert!(!reply.is_error(), "{reply:?}");
    }
    unreachable!("a pool is not infinite")
}

#[test]
fn the_log_tells_of_levels_and_of_the_first_refusal_once() {
    let (server, mut client) = start("64m");
    let told = |what: &str| server.log().matches(what).count();
    let level = |level: u64| format!("percent full (warning level {level})");
    fill_to(&mut client, "before", 75);
    for (percent, told_at) in [(81, 80), (91, 90), (96, 95)] {
        assert_eq!(told(&level(told_at)), 0, "{told_at}");
        fill_to(&mut client, &format!("to:{percent}"), percent);
        wait_for("the log tells of the level", || told(&level(told_at)) == 1);
    }
    let refusal = "a command found no room in the pool";
    assert_eq!(told(refusal), 0);
    for name in ["a", "b", "c"] {
        fill(&mut client, name, &[100_000]);
    }
    assert_eq!(told(refusal), 1);
    assert!(figure(&mut client, "commands_refused") >= 3);

    // It has fallen below, is told of, and what comes then counts anew.
    let less = "the pool is less full again";
    assert_eq!(told(less), 0);
    client.call(&many("DEL", "before", 0..400));
    wait_for("the log tells that it is less full", || told(less) > 0);
    fill(&mut client, "again", &[100_000]);
    assert_eq!(told(refusal), 2);
    wait_for("the log tells of the level", || told(&level(95)) == 2);
}

/// Expects the figures to fit together; bytes in use.
#[track_caller]
fn add_up(client: &mut Client, when: &str) -> u64 {
    let mut of = |name: &str| figure(client, name);
    let (used, free, scattered) = (of("used"), of("free"), of("scattered"));
    let (reserved, capacity) = (of("reserved"), of("capacity"));
    let (largest, wasted) = (of("largest_free"), of("wasted"));
    let sum = used + free + scattered + reserved;
    assert!(sum <= capacity, "{when}: {sum} of {capacity}");
    // The rest is what pages cannot be cut into, and their heads.
    assert!(sum >= capacity / 100 * 97, "{when}: {sum} of {capacity}");
    assert!(
        largest <= free && wasted <= free,
        "{when}: {largest} and {wasted} of {free}"
    );
    let told = ask(client, "PM.INFO pool");
    let told = told
        .split("\\r\\n")
        .find_map(|line| line.strip_prefix("fragmentation:"));
    let told: f64 = told.and_then(|text| text.parse().ok()).expect("a ratio");
    let ratio = (scattered + wasted) as f64 / (scattered + free).max(1) as f64;
    assert!((told - ratio).abs() < 0.02, "{when}: {told}, not {ratio}");
    used
}

/// Compacts until nothing is gained any more.
fn compact(client: &mut Client) {
    let mut before = u64::MAX;
    loop {
        let status = client.call(&["PM.DEFRAG", "NOW", "10000"]);
        assert!(!status.is_error(), "{status:?}");
        match figure(client, "wasted") + figure(client, "scattered") {
            now if now >= before => return,
            now => before = now,
        }
    }
}

#[test]
fn the_figures_are_what_can_be_stored() {
    let (mut server, mut client) = start("64m");
    assert!(add_up(&mut client, "empty") <= TABLE);
    let free = figure(&mut client, "free");
    let lens = [90, 700, 5_000, 40_000, 250_000];
    let count = fill(&mut client, "k", &lens);
    fill_up(&mut client);
    add_up(&mut client, "full");
    assert!(figure(&mut client, "free") < MEBI);
    for n in (0..count).filter(|n| n % 3 > 0) {
        client.call(&[b"DEL".to_vec(), key("k", n)]);
    }
    settle(&mut client);
    add_up(&mut client, "with gaps");
    compact(&mut client);
    let used = add_up(&mut client, "compact");
    // The longest piece takes a value of its length; nothing takes more than all that is free.
    let largest = figure(&mut client, "largest_free") as usize;
    let all = figure(&mut client, "free") as usize;
    let set = |client: &mut Client, len: usize| {
        client.call(&[b"PM.SET".to_vec(), b"largest".to_vec(), vec![b'v'; len]])
    };
    assert!(is_refused(&set(&mut client, all + 1)));
    assert_eq!(set(&mut client, largest - 4096), Value::Simple("OK".into()));
    expect(&mut client, "DEL largest", "1");
    settle(&mut client);
    assert_eq!(add_up(&mut client, "as before"), used);

    let mut client = crash(&mut server);
    assert_eq!(add_up(&mut client, "after a crash"), used);
    expect(&mut client, "FLUSHALL", "OK");
    settle(&mut client);
    assert_eq!(add_up(&mut client, "emptied"), TABLE);
    assert!(figure(&mut client, "free") + 64 * 1024 >= free);
    assert_durable(&server);
}

#[test]
fn refused_writes_let_compaction_come_to_an_end() {
    let (_server, mut client) = start("64m");
    let refuse = |client: &mut Client, count: usize| {
        for n in 0..count {
            let value = vec![b'v'; 100_000];
            let reply = client.call(&[b"PM.SET".to_vec(), key("refused", n), value]);
            assert!(is_refused(&reply), "{reply:?}");
        }
    };
    let count = fill(&mut client, "mixed", &[20, 100, 1000, 5000]);
    fill_up(&mut client);
    wait_for("refused writes begin no more rounds", || {
        let before = figure(&mut client, "compaction_rounds");
        refuse(&mut client, 20);
        figure(&mut client, "compaction_rounds") == before
    });
    // What has come free since, here and there, is gathered for them.
    for n in (2..count).step_by(40) {
        expect(&mut client, &format!("DEL mixed:{n}"), "1");
    }
    assert!(figure(&mut client, "largest_free") < 100_000);
    wait_for("room is gathered", || {
        let value = vec![b'v'; 100_000];
        !is_refused(&client.call(&[b"PM.SET".to_vec(), key("more", 0), value]))
    });
}

/// How often the server has run a command, for clients or for others.
fn calls(client: &mut Client, command: &str) -> u64 {
    let stats = ask(client, "INFO commandstats");
    let line = stats.split_once(&format!("cmdstat_{command}:calls="));
    let digits = line.map_or("0", |(_, rest)| rest.split(',').next().unwrap_or("0"));
    digits.parse().expect("a count")
}

#[test]
fn what_finds_no_room_is_tried_a_few_times_and_told_of_once() {
    /// More tries than any command has a use for.
    const MANY: u64 = 40;
    let (server, mut client) = start("64m");
    let value = vec![b'v'; 9_000_000];
    let set = client.call(&[b"PM.SET".to_vec(), b"string".to_vec(), value]);
    assert_eq!(set, Value::Simple("OK".into()));
    for part in 0..20 {
        let fields = (0..2_000).flat_map(|n| [key(&format!("f{part}"), n), vec![b'v'; 100]]);
        let head = [b"PM.HSET".to_vec(), b"hash".to_vec()];
        client.call(&head.into_iter().chain(fields).collect::<Vec<_>>());
        let members = (0..2_000).map(|n| key(&format!("member{part}"), n));
        let head = [b"PM.SADD".to_vec(), b"set".to_vec()];
        client.call(&head.into_iter().chain(members).collect::<Vec<_>>());
    }
    fill_up(&mut client);
    let refusal = "a command found no room in the pool";
    let told = |server: &Server| server.log().matches(refusal).count();
    assert_eq!(told(&server), 1);
    let before = (server.log().lines().count(), calls(&mut client, "copy"));
    let refused = figure(&mut client, "commands_refused");

    let payload = client.call(&["DUMP", "hash"]);
    let payload = payload.bytes().expect("a payload").to_vec();
    for source in ["string", "hash", "set"] {
        let tries = calls(&mut client, "copy");
        expect_refused(&mut client, &words(&format!("PM.COPY {source} copied")));
        let tries = calls(&mut client, "copy") - tries;
        assert!((1..MANY).contains(&tries), "{source}: {tries}");
        assert!(client.call(&["COPY", source, "copied"]).is_error());
    }
    expect_refused(&mut client, &words("PM.SUNIONSTORE copied set"));
    expect_refused(&mut client, &words("PM.SORT set ALPHA STORE copied"));
    for restore in ["RESTORE", "PM.RESTORE"] {
        let restore = [
            restore.into(),
            b"copied".to_vec(),
            b"0".to_vec(),
            payload.clone(),
        ];
        assert!(client.call(&restore).is_error());
    }
    // In a transaction as well.
    let mut other = server.client();
    client.call(&["MULTI"]);
    client.call(&["PM.COPY", "string", "copied"]);
    let tries = calls(&mut other, "copy");
    let replies = client.call(&["EXEC"]);
    let replies = replies.elements().expect("an array");
    assert!(is_refused(&replies[0]), "{replies:?}");
    let tries = calls(&mut other, "copy") - tries;
    assert!((1..MANY).contains(&tries), "in EXEC: {tries}");

    assert_eq!(figure(&mut client, "commands_refused"), refused + 11);
    assert_eq!(told(&server), 1);
    let log = server.log();
    let lines: Vec<_> = log.lines().skip(before.0).collect();
    assert!(
        lines.len() < 10,
        "{} lines: {:?}",
        lines.len(),
        &lines[..10]
    );
    expect(&mut client, "EXISTS copied", "0");
    assert_durable(&server);
}

#[track_caller]
fn expect_refused(client: &mut Client, command: &[Vec<u8>]) {
    let reply = client.call(command);
    assert!(is_refused(&reply), "{reply:?}");
}
