//! While writes are paused nothing changes in the pool's file, so that it can be copied; what has
//! rested goes on afterwards.

use std::fs::{self, File};
use std::io::{self, Read};
use testkit::client::Client;
use testkit::packaged::Packaged;
use testkit::replication::{follow, info, wait_for, wait_in_sync};
use testkit::resp::Value;
use testkit::script::{ask, expect, pm_info, run};
use testkit::server::Setup;

/// Small values; of these, one in twenty stays.
const SMALL: usize = 60_000;
/// Large hashes, which are deleted, and their fields.
const LARGE: usize = 8;
const FIELDS: usize = 30_000;

/// Sends commands in pipelines; none may fail.
fn send(client: &mut Client, commands: impl Iterator<Item = Vec<String>>) {
    let commands: Vec<_> = commands.collect();
    for commands in commands.chunks(500) {
        for reply in client.pipeline(commands).expect("replies") {
            assert!(!reply.is_error(), "{reply:?}");
        }
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// Leaves scattered room behind, and large values that are to be deleted.
fn populate(client: &mut Client) {
    let value = "v".repeat(90);
    send(
        client,
        (0..SMALL).map(|n| {
            vec![
                "PM.SET".into(),
                format!("small:{n}"),
                format!("{n}:{value}"),
            ]
        }),
    );
    send(
        client,
        (0..LARGE * FIELDS / 100).map(|batch| {
            let pairs = (0..100).flat_map(|n| [format!("{batch}:{n}"), "value".repeat(4)]);
            let head = ["PM.HSET".into(), format!("large:{}", batch % LARGE)];
            head.into_iter().chain(pairs).collect()
        }),
    );
}

/// Gives the background the event loop: its cycles, with clients and without, and its clock.
fn give_time(client: &mut Client) {
    let uptime = |client: &mut Client| -> u64 {
        let seconds = info(client, "uptime_in_seconds");
        seconds.parse().expect("a number")
    };
    let since = uptime(client);
    wait_for("the server's clock goes on", || {
        (0..200).for_each(|_| expect(client, "PING", "PONG"));
        uptime(client) >= since + 2
    });
}

fn backlog(client: &mut Client) -> u64 {
    pm_info(client, "reclaim", "reclaim_values")
}

#[test]
fn the_file_stays_as_it_is_and_its_copy_has_every_key() {
    for durability in ["process", "disk"] {
        let arguments = ["durability", durability];
        let server = Setup::pmedis_with("64m", &arguments).start().unwrap();
        let mut client = server.client();
        run(&mut client, "CONFIG SET hz 100 -> OK");
        populate(&mut client);
        // While there is memory to be reclaimed, nothing is compacted.
        let large: Vec<_> = (0..LARGE).map(|n| format!("large:{n}")).collect();
        let small: Vec<_> = (0..SMALL).filter(|n| n % 20 != 0).collect();
        let small = small.chunks(1000).map(|numbers| {
            let names = numbers.iter().map(|n| format!("small:{n}"));
            words(&["DEL"]).into_iter().chain(names).collect()
        });
        let commands: Vec<Vec<String>> = std::iter::once([words(&["UNLINK"]), large].concat())
            .chain(small)
            .chain([
                words(&["CLIENT", "PAUSE", "100000000", "WRITE"]),
                words(&["PM.POOL", "CHECKPOINT"]),
            ])
            .collect();
        let replies = client.pipeline(&commands).expect("replies");
        let ok = Value::Simple("OK".into());
        assert_eq!(replies[replies.len() - 2..], [ok.clone(), ok]);

        let left = backlog(&mut client);
        assert!(left > 0, "nothing is left to be reclaimed");
        let rounds = pm_info(&mut client, "compaction", "compaction_rounds");
        let pool = server.setup().pool();
        let before = fs::read(&pool).unwrap();
        let copied = Setup::pmedis_with("64m", &[&arguments[..], &["copy", "accept"]].concat());
        let (mut from, mut to) = (
            File::open(&pool).unwrap(),
            File::create(copied.pool()).unwrap(),
        );
        io::copy(&mut (&mut from).take(before.len() as u64 / 2), &mut to).unwrap();
        give_time(&mut client);
        let refused = ["PM.DEFRAG NOW", "PM.POOL GROW"].map(|command| ask(&mut client, command));
        assert!(!ask(&mut client, "BGSAVE").contains("ERR"));
        wait_for("the child has saved", || {
            info(&mut client, "rdb_bgsave_in_progress") == "0"
        });
        give_time(&mut client);
        io::copy(&mut from, &mut to).unwrap();

        let copy = copied.start().unwrap_or_else(|refusal| {
            panic!("durability {durability}: the copy is refused: {refusal:?}")
        });
        let mut reader = copy.client();
        run(&mut reader, &format!("PM.DBSIZE -> {}", SMALL / 20));
        assert_eq!(
            ask(&mut reader, "DEBUG DIGEST"),
            ask(&mut client, "DEBUG DIGEST")
        );
        let after = fs::read(&pool).unwrap();
        let differs = before.iter().zip(&after).position(|(a, b)| a != b);
        assert_eq!(
            differs, None,
            "durability {durability}: a byte that has changed"
        );
        assert_eq!(after.len(), before.len());
        assert_eq!(backlog(&mut client), left);
        for refused in refused {
            assert!(refused.contains("writes are paused"), "{refused}");
        }

        run(&mut client, "CLIENT UNPAUSE -> OK");
        wait_for("memory is reclaimed", || backlog(&mut client) == 0);
        wait_for("scattered room is gathered", || {
            pm_info(&mut client, "compaction", "compaction_rounds") > rounds
        });
        run(&mut client, "PM.SET k v -> OK");
        assert!(ask(&mut client, "PM.DEFRAG NOW").contains("records-moved"));
    }
}

#[test]
fn an_rdb_of_the_pause_is_known_as_the_servers_own() {
    for is_over in [false, true] {
        let setup = Setup::pmedis_with("64m", &["durability", "disk", "rdb", "full"]);
        let mut server = setup.start().unwrap();
        let mut client = server.client();
        run(
            &mut client,
            "PM.SET k v -> OK
            CLIENT PAUSE 100000000 WRITE -> OK
            PM.POOL CHECKPOINT -> OK",
        );
        let before = fs::read(setup.pool()).unwrap();
        assert!(!ask(&mut client, "BGSAVE").contains("ERR"));
        wait_for("the child has saved", || {
            info(&mut client, "rdb_bgsave_in_progress") == "0"
        });
        give_time(&mut client);
        assert!(fs::read(setup.pool()).unwrap() == before);
        if is_over {
            run(&mut client, "CLIENT UNPAUSE -> OK\nPM.SET k w -> OK");
        }
        server.kill9();
        server.restart().expect("it starts beside its own RDB");
        let value = if is_over { "w" } else { "v" };
        expect(&mut server.client(), "PM.GET k", value);
    }
}

/// How often the AOF tells of the pool.
fn told_of_the_pool(setup: &Setup) -> usize {
    let files = fs::read_dir(setup.dir().join("appendonlydir")).expect("AOFs");
    let told = files.map(|file| {
        let text = fs::read(file.expect("an entry").path()).expect("an AOF");
        let word = b"PM.POOL\r\n$4\r\nSEEN";
        text.windows(word.len()).filter(|part| part == word).count()
    });
    told.sum()
}

/// Nothing is propagated in a pause: the server would end itself.
#[test]
fn the_aof_is_told_of_the_pool_after_the_pause() {
    let setup = Setup::pmedis("64m").directive("appendonly yes");
    let server = setup.start().unwrap();
    let mut client = server.client();
    run(&mut client, "PM.SET k v -> OK");
    wait_for("the AOF knows the pool", || told_of_the_pool(&setup) == 1);
    run(&mut client, "CLIENT PAUSE 100000000 WRITE -> OK");
    // From a fork on, the AOF may be another one.
    assert!(!ask(&mut client, "BGSAVE").contains("ERR"));
    wait_for("the child has saved", || {
        info(&mut client, "rdb_bgsave_in_progress") == "0"
    });
    give_time(&mut client);
    assert_eq!(told_of_the_pool(&setup), 1);
    run(&mut client, "CLIENT UNPAUSE -> OK");
    wait_for("the AOF is told of the pool", || {
        told_of_the_pool(&setup) == 2
    });
}

/// Makes a native key in database 0 and one of ours in database 1, which end in a moment.
fn make_brief(client: &mut Client) {
    run(
        client,
        "SELECT 0 -> OK\nSET k v PX 1 -> OK\nSELECT 1 -> OK\nPM.SET k v PX 1 -> OK",
    );
}

/// Keys whose time has come, and which may not go: natively, one of them is drawn.
fn draw_of_expired(client: &mut Client) {
    for (db, command) in [("0", "RANDOMKEY"), ("1", "PM.RANDOMKEY")] {
        expect(client, &format!("SELECT {db}"), "OK");
        wait_for("the key's time has come", || ask(client, "EXISTS k") == "0");
        expect(client, "DBSIZE", "1");
        expect(client, command, "k");
    }
}

#[test]
fn a_random_key_of_those_that_may_not_go_is_one_of_them() {
    let setup = || Setup::pmedis("64m").directive("enable-debug-command yes");
    let (master, replica) = (setup().start().unwrap(), setup().start().unwrap());
    let (mut of_master, mut of_replica) = (master.client(), replica.client());
    expect(&mut of_master, "DEBUG SET-ACTIVE-EXPIRE 0", "OK");
    follow(&mut of_replica, &master);
    wait_in_sync(&mut of_master, &mut of_replica);
    make_brief(&mut of_master);
    wait_in_sync(&mut of_master, &mut of_replica);
    draw_of_expired(&mut of_replica);
    // Redis 7.0 draws for ever then.
    if !Packaged::current().is_redis_7_0() {
        let mut other = master.client();
        make_brief(&mut other);
        expect(&mut of_master, "CLIENT PAUSE 1000000 WRITE", "OK");
        draw_of_expired(&mut of_master);
    }
}
