//! What becomes of fields that expire besides replies: in the background, after a crash, on
//! replicas, in copies and files.

use testkit::client::Client;
use testkit::full::{TABLE, figure, settle};
use testkit::rdb::sealed;
use testkit::replication::{assert_same, follow, pm_digests, wait_for, wait_in_sync};
use testkit::script::{ask, crash, expect, run, words};
use testkit::server::{Server, Setup};

fn start() -> (Server, Client) {
    let setup = Setup::pmedis("256m")
        .directive("repl-diskless-sync-delay 0")
        .directive("notify-keyspace-events AKE")
        .keep_port();
    let server = setup.start().unwrap();
    let client = server.client();
    (server, client)
}

/// Far ahead, in Unix milliseconds.
const LATER: &str = "4102444800000";

/// Sets fields `from..to` of a hash, with an expire time or without.
fn fill(client: &mut Client, key: &str, from: usize, to: usize, time: &[&str]) {
    for start in (from..to).step_by(500) {
        let end = to.min(start + 500);
        let mut command: Vec<String> = ["PM.HSETEX", key].map(str::to_owned).to_vec();
        command.extend(time.iter().map(|&word| word.to_owned()));
        command.extend(["FIELDS".to_owned(), (end - start).to_string()]);
        for n in start..end {
            command.extend([format!("field {n}"), format!("value {n}")]);
        }
        assert_eq!(words(&client.call(&command)), "1");
    }
}

#[test]
fn fields_go_in_the_background_whatever_the_hash_is() {
    let (server, mut client) = start();
    let mut events = server.client();
    events.call(&["SUBSCRIBE", "__keyevent@3__:del"]);
    fill(&mut client, "small", 0, 10, &[]);
    run(&mut client, "PM.HPEXPIRE small 20 FIELDS 2 a b -> [-2 -2]");
    fill(&mut client, "small", 0, 4, &["PX", "30"]);
    fill(&mut client, "large", 0, 9000, &["PXAT", LATER]);
    fill(&mut client, "large", 1000, 6000, &["PX", "40"]);
    fill(&mut client, "large", 6000, 7000, &["PX", "300"]);
    fill(&mut client, "large", 7000, 7500, &[]);
    run(&mut client, "SELECT 3 -> OK");
    fill(&mut client, "gone", 0, 3000, &["PX", "50"]);
    run(&mut client, "SELECT 0 -> OK");
    wait_for("the small hash has lost four fields", || {
        ask(&mut client, "PM.HLEN small") == "6"
    });
    wait_for("the large hash has lost six thousand fields", || {
        ask(&mut client, "PM.HLEN large") == "3000"
    });
    let message = words(&events.receive().expect("the event"));
    assert_eq!(message, "[message __keyevent@3__:del gone]");
    // On a busy machine it may have begun to go, and come back, before it was written wholly.
    run(&mut client, "SELECT 3 -> OK");
    wait_for("the hash is gone", || {
        ask(&mut client, "EXISTS gone") == "0"
    });
    run(&mut client, "SELECT 0 -> OK");
    // What is left is what should be.
    let left = client.call(&["PM.HGET", "large", "field 7999"]);
    assert_eq!(words(&left), "value 7999");
    let times = client.call(&[
        "PM.HPEXPIRETIME",
        "large",
        "FIELDS",
        "3",
        "field 7999",
        "field 7100",
        "field 6500",
    ]);
    assert_eq!(words(&times), format!("[{LATER} -1 -2]"));
    // A hash that has lost all its expire times is like any other, and gets new ones like any
    // other.
    fill(&mut client, "large", 0, 1000, &[]);
    fill(&mut client, "large", 7500, 9000, &[]);
    fill(&mut client, "large", 0, 2, &["PX", "1"]);
    wait_for("two fields go", || {
        ask(&mut client, "PM.HLEN large") == "2998"
    });
}

#[test]
fn more_fields_than_are_kept_in_mind_go_in_their_order() {
    let (_server, mut client) = start();
    // Far more than an agenda has room for, in the order in which they do not expire.
    for part in (0..10).rev() {
        let ms = (50 + 100 * part).to_string();
        fill(
            &mut client,
            "h",
            2000 * part,
            2000 * (part + 1),
            &["PX", &ms],
        );
    }
    fill(&mut client, "h", 20_000, 21_000, &["PXAT", LATER]);
    wait_for("all are gone that should be", || {
        ask(&mut client, "PM.HLEN h") == "1000"
    });
    let left = words(&client.call(&["PM.HTTL", "h", "FIELDS", "1", "field 20999"]));
    assert!(left.len() > 9, "{left}");
}

#[test]
fn after_a_crash_fields_expire_as_if_nothing_had_happened() {
    let (mut server, mut client) = start();
    fill(&mut client, "small", 0, 20, &["PXAT", LATER]);
    fill(&mut client, "large", 0, 3000, &["PXAT", LATER]);
    fill(&mut client, "small", 0, 5, &["PX", "200"]);
    fill(&mut client, "large", 0, 500, &["PX", "200"]);
    run(
        &mut client,
        "COPY large copied -> 1\nRENAME small renamed -> OK\nMOVE copied 2 -> 1",
    );
    let mut client = crash(&mut server);
    for (db, key, len) in [
        (0, "renamed", "15"),
        (0, "large", "2500"),
        (2, "copied", "2500"),
    ] {
        run(&mut client, &format!("SELECT {db} -> OK"));
        wait_for("fields expire that were set before", || {
            ask(&mut client, &format!("PM.HLEN {key}")) == len
        });
    }
    let time = client.call(&["PM.HPEXPIRETIME", "copied", "FIELDS", "1", "field 2999"]);
    assert_eq!(words(&time), format!("[{LATER}]"));
    let before = pm_digests(&mut client);
    let mut client = crash(&mut server);
    assert_eq!(pm_digests(&mut client), before);
}

#[test]
fn a_replica_hides_what_its_master_removes() {
    let (mut master, mut of_master) = start();
    let (_replica, mut of_replica) = start();
    fill(&mut of_master, "before", 0, 2000, &["PXAT", LATER]);
    follow(&mut of_replica, &master);
    wait_in_sync(&mut of_master, &mut of_replica);
    assert_same(&mut of_master, &mut of_replica);
    run(&mut of_master, "DEBUG SET-ACTIVE-EXPIRE 0 -> OK");
    run(
        &mut of_master,
        "PM.HSET h a 1 b 2 c 3 d 4 -> 4
         PM.HINCRBYFLOAT h d 1.5 -> 5.5
         PM.HPEXPIREAT h 4102444800000 FIELDS 1 d -> [1]
         PM.HINCRBYFLOAT h d 1.5 -> 7
         PM.HGETEX h PXAT 4102444800001 FIELDS 2 c x -> [3 nil]
         PM.HGETEX h PERSIST FIELDS 1 c -> [3]
         PM.HSETEX h FNX PXAT 4102444800002 FIELDS 2 e 5 f 6 -> 1
         PM.HSETEX h KEEPTTL FIELDS 1 e 7 -> 1
         PM.HEXPIRE h 0 FIELDS 1 f -> [2]
         PM.HGETDEL h FIELDS 2 x b -> [nil 2]
         PM.HSETEX h EX 0 FIELDS 1 z 1 -> 1
         PM.HPEXPIRE h 500 FIELDS 1 a -> [1]",
    );
    wait_in_sync(&mut of_master, &mut of_replica);
    wait_for("the field is over on the replica", || {
        ask(&mut of_replica, "PM.HGET h a") == "nil"
    });
    expect(&mut of_replica, "PM.HLEN h", "4");
    run(
        &mut of_replica,
        "PM.HMGET h a c -> [nil 3]\nPM.HTTL h FIELDS 2 a c -> [-2 -1]",
    );
    assert_same(&mut of_master, &mut of_replica);
    run(&mut of_master, "DEBUG SET-ACTIVE-EXPIRE 1 -> OK");
    wait_for("the master has removed it", || {
        ask(&mut of_master, "PM.HLEN h") == "3"
    });
    wait_in_sync(&mut of_master, &mut of_replica);
    expect(&mut of_replica, "PM.HLEN h", "3");
    assert_same(&mut of_master, &mut of_replica);
    // One that is promoted removes what the old master would have.
    fill(&mut of_master, "before", 0, 700, &["PX", "300"]);
    wait_in_sync(&mut of_master, &mut of_replica);
    master.kill9();
    expect(&mut of_replica, "REPLICAOF NO ONE", "OK");
    wait_for("the new master removes fields", || {
        ask(&mut of_replica, "PM.HLEN before") == "1300"
    });
}

/// Where in a DUMP of ours the version of the form is: the last byte of the module's type.
const VERSION_AT: usize = 9;

#[test]
fn payloads_have_expire_times_and_older_ones_still_load() {
    let (_server, mut client) = start();
    fill(&mut client, "large", 0, 1500, &["PXAT", LATER]);
    fill(&mut client, "large", 100, 200, &[]);
    run(
        &mut client,
        "PM.HSET small a 1 b 2 -> 2
         PM.HPEXPIREAT small 4102444800000 FIELDS 1 b -> [1]
         PM.HSET plain a 1 -> 1",
    );
    for key in ["small", "large", "plain"] {
        let dump = client.call(&["DUMP", key]);
        let dump = dump.bytes().expect("a payload").to_vec();
        let restore = |name: &'static [u8], payload: &[u8]| {
            [b"RESTORE", name, b"0", payload, b"REPLACE"].map(<[u8]>::to_vec)
        };
        expect(&mut client, &format!("COPY {key} again REPLACE"), "1");
        let digest =
            |client: &mut Client, name: &str| words(&client.call(&["DEBUG", "DIGEST-VALUE", name]));
        let wanted = digest(&mut client, key);
        assert_eq!(digest(&mut client, "again"), wanted);
        assert_eq!(words(&client.call(&restore(b"again", &dump))), "OK");
        assert_eq!(digest(&mut client, "again"), wanted);
        // The same as version 2, which knew no expire times.
        let mut older = dump.clone();
        assert_eq!(older[VERSION_AT] & 3, 3, "version 3 of the form");
        older[VERSION_AT] -= 1;
        let reply = client.call(&restore(b"older", &sealed(older)));
        assert_eq!(reply.is_error(), key != "plain", "{key}: {reply:?}");
    }
    run(
        &mut client,
        "PM.HGETALL older -> [a 1]\nPM.HTTL older FIELDS 1 a -> [-1]",
    );
}

#[test]
fn a_script_sees_one_moment() {
    let (_server, mut client) = start();
    run(
        &mut client,
        "DEBUG SET-ACTIVE-EXPIRE 0 -> OK\nPM.HSET h f v g w -> 2",
    );
    // TIME may stand still in a script; so many turns take more than two milliseconds anywhere.
    let script = "redis.call('PM.HPEXPIRE', 'h', 2, 'FIELDS', 1, 'f')
        local turns = 0
        while turns < 10000000 do turns = turns + 1 end
        return redis.call('PM.HGET', 'h', 'f')";
    let lasting = words(&client.call(&["EVAL", script, "1", "h"]));
    assert_eq!(lasting, "v", "within the script");
    wait_for("it expires after the script", || {
        ask(&mut client, "PM.HGET h f") == "nil"
    });
}

#[test]
fn nothing_goes_while_writes_are_paused() {
    let (server, mut client) = start();
    run(
        &mut client,
        "DEBUG SET-ACTIVE-EXPIRE 0 -> OK\nPM.HSET h f v g w -> 2\nPM.HPEXPIRE h 500 FIELDS 1 f -> [1]",
    );
    let mut other = server.client();
    run(
        &mut client,
        "CLIENT PAUSE 600000 WRITE -> OK\nDEBUG SET-ACTIVE-EXPIRE 1 -> OK",
    );
    wait_for("the field is hidden", || {
        ask(&mut other, "PM.HGET h f") == "nil"
    });
    // Many a turn of the server's cron later.
    let cron = |client: &mut Client| ask(client, "PM.HLEN h");
    for _ in 0..100 {
        assert_eq!(cron(&mut other), "2");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    run(&mut client, "CLIENT UNPAUSE -> OK");
    wait_for("it goes afterwards", || ask(&mut other, "PM.HLEN h") == "1");
}

#[test]
fn fields_of_flushed_hashes_are_nobodys_to_remove() {
    let (server, mut client) = start();
    run(&mut client, "DEBUG SET-ACTIVE-EXPIRE 0 -> OK");
    let names: Vec<String> = (0..300).map(|n| format!("hash {n}")).collect();
    for db in ["SELECT 0 -> OK", "SELECT 1 -> OK"] {
        run(&mut client, db);
        for name in &names {
            fill(&mut client, name, 0, 3, &["PX", "1"]);
        }
    }
    let mut events = server.client();
    events.call(&["PSUBSCRIBE", "__keyevent@*__:*"]);
    // The flushed database has one hash again; the other still has all.
    run(
        &mut client,
        "FLUSHDB -> OK\nSWAPDB 0 1 -> OK\nPM.SET last v -> OK",
    );
    run(&mut client, "SELECT 0 -> OK");
    fill(&mut client, "hash 7", 0, 4, &["PX", "1"]);
    run(&mut client, "DEBUG SET-ACTIVE-EXPIRE 1 -> OK");
    wait_for("the living hashes have gone", || {
        ask(&mut client, "PM.DBSIZE") == "0" && {
            ask(&mut client, "SELECT 1");
            let left = ask(&mut client, "PM.DBSIZE");
            ask(&mut client, "SELECT 0");
            left == "1"
        }
    });
    run(&mut client, "PM.SET end v -> OK");
    let mut gone = [0, 0];
    loop {
        let message = words(&events.receive().expect("an event"));
        for (db, gone) in gone.iter_mut().enumerate() {
            *gone += usize::from(message.contains(&format!("__keyevent@{db}__:del")));
        }
        if message.contains("__keyevent@0__:set end") {
            break;
        }
    }
    assert_eq!(gone, [1, names.len()]);
    run(&mut client, "FLUSHALL -> OK");
    settle(&mut client);
    assert_eq!(figure(&mut client, "used"), TABLE);
}

#[test]
fn reads_go_on_in_a_transaction_that_has_found_no_room() {
    let server = Setup::pmedis("16m").start().unwrap();
    let mut client = server.client();
    run(
        &mut client,
        "DEBUG SET-ACTIVE-EXPIRE 0
         PM.HSET h f v g w
         PM.PFADD p a b
         PM.HPEXPIRE h 1 FIELDS 1 f",
    );
    wait_for("the field's time has come", || {
        ask(&mut client, "PM.HGETALL h") == "[g w]"
    });
    let reads = [
        ("PM.HGET h f", "nil"),
        ("PM.HMGET h f g", "[nil w]"),
        ("PM.HRANDFIELD h", "g"),
        ("PM.HRANDFIELD h 5", "[g]"),
        ("PM.PFCOUNT p", "2"),
    ];
    expect(&mut client, "MULTI", "OK");
    client.call(&["PM.SET", "huge", &"x".repeat(32_000_000)]);
    for (read, _) in reads {
        expect(&mut client, read, "QUEUED");
    }
    let replies = client.call(&["EXEC"]);
    let replies = replies.elements().expect("replies");
    assert!(words(&replies[0]).contains("OOM"), "{:?}", replies[0]);
    for ((read, reply), told) in reads.iter().zip(&replies[1..]) {
        assert_eq!(words(told), *reply, "{read}");
    }
    // Nothing of them is left to be done.
    for (read, reply) in reads {
        expect(&mut client, read, reply);
    }
}
