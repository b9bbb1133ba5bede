//! Large bitmaps, and the limits of positions.

use testkit::client::Client;
use testkit::replication::{follow, info, wait_in_sync};
use testkit::script::{ask, crash, expect, run};
use testkit::server::Setup;

/// The fences that PM.INFO counts.
fn fences(client: &mut Client) -> u64 {
    let info = ask(client, "PM.INFO");
    let field = info
        .split("\\r\\n")
        .find_map(|line| line.strip_prefix("fences:"))
        .unwrap_or_else(|| panic!("no fences in {info}"));
    field.parse().expect("a number")
}

#[test]
fn a_bit_of_a_large_bitmap_is_written_where_it_lies() {
    const LAST: u64 = (64 << 23) - 1;
    let mut server = Setup::pmedis("192m").start().unwrap();
    let mut client = server.client();
    expect(&mut client, &format!("PM.SETBIT large {LAST} 1"), "0");
    expect(&mut client, "PM.STRLEN large", &(64 << 20).to_string());
    // The pool has no room for another such string, and no time for many copies.
    let before = fences(&mut client);
    for n in 0..1000u64 {
        let bit = n * 500_009;
        expect(&mut client, &format!("PM.SETBIT large {bit} 1"), "0");
    }
    let spent = fences(&mut client) - before;
    assert_eq!(spent, 1000, "one fence a bit");
    expect(
        &mut client,
        "PM.BITFIELD large SET u16 #1000000 65535",
        "[0]",
    );
    assert_eq!(fences(&mut client) - before, 1001);
    expect(&mut client, "PM.SETBIT large 0 1", "1");
    assert_eq!(fences(&mut client) - before, 1001, "nothing changed");
    let mut client = crash(&mut server);
    run(
        &mut client,
        &format!(
            "PM.BITCOUNT large -> 1017
            PM.GETBIT large {LAST} -> 1
            PM.GETBIT large 499509 -> 0
            PM.BITPOS large 1 -1 -> {LAST}
            PM.BITPOS large 1 1 3 BIT -> -1
            PM.BITPOS large 0 -> 1"
        ),
    );
}

#[test]
fn positions_end_where_strings_do() {
    const INVALID: &str = "(error) ERR bit offset is not an integer or out of range";
    let server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    for prefix in ["", "PM."] {
        expect(&mut client, "CONFIG SET proto-max-bulk-len 512mb", "OK");
        expect(&mut client, "FLUSHDB", "OK");
        for line in ["SETBIT k 4294967296 1", "BITFIELD k GET u1 4294967296"] {
            expect(&mut client, &format!("{prefix}{line}"), INVALID);
        }
        expect(&mut client, "CONFIG SET proto-max-bulk-len 1mb", "OK");
        for (line, reply) in [
            ("SETBIT k 8388608 1", INVALID),
            ("SETBIT k 8388607 1", "0"),
            ("BITFIELD k SET u8 #1048576 1", INVALID),
            // A field may begin within and end beyond.
            ("BITFIELD k SET u8 8388607 255", "[128]"),
            ("STRLEN k", "1048577"),
            ("GETBIT k 8388608", INVALID),
            ("BITCOUNT k", "8"),
        ] {
            expect(&mut client, &format!("{prefix}{line}"), reply);
        }
    }
}

/// A field that does not fit and fails leaves a string of zeros behind, as in Redis.
#[test]
fn a_bitmap_replaces_what_it_is_stored_over() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    run(
        &mut client,
        "PM.BITFIELD new OVERFLOW FAIL INCRBY u2 0 9 -> [nil]
        PM.STRLEN new -> 1
        PM.SET number 123 -> OK
        PM.GETBIT number 2 -> 1
        PM.RPUSH list a -> 1
        LPUSH native a -> 1
        PM.BITOP NOT list number -> 3
        PM.BITOP OR native number absent -> 3
        PM.GET native -> 123
        PM.TYPE list -> string
        PM.BITOP AND list absent gone -> 0
        EXISTS list -> 0
        SET native 1 -> OK
        PM.BITOP OR list native -> (error) WRONGTYPE Operation against a key holding the wrong kind of value",
    );
}

/// The changes that native commands and PM commands count, on a server that is followed.
#[test]
fn a_bit_or_a_field_that_stays_as_it_is_is_no_change() {
    let server = Setup::pmedis("64m").start().unwrap();
    let replica = Setup::pmedis("64m").start().unwrap();
    let (mut client, mut follower) = (server.client(), replica.client());
    follow(&mut follower, &server);
    wait_in_sync(&mut client, &mut follower);
    let commands = [
        ("SETBIT a 0 0", "0", 1),
        ("SETBIT a 0 0", "0", 0),
        ("SETBIT a 0 1", "0", 1),
        ("SETBIT a 0 1", "1", 0),
        ("SETBIT a 9 0", "0", 1),
        ("BITFIELD b SET i5 0 11", "[0]", 1),
        ("BITFIELD b SET i5 0 11", "[11]", 0),
        ("BITFIELD b INCRBY i5 0 0", "[11]", 0),
        ("BITFIELD b SET i5 0 12", "[11]", 1),
        ("BITFIELD b OVERFLOW FAIL INCRBY i5 0 15", "[nil]", 0),
        ("BITFIELD b GET i5 0", "[12]", 0),
    ];
    for prefix in ["", "PM."] {
        for (command, reply, changes) in commands {
            let counted = |client: &mut Client| {
                let changes = info(client, "rdb_changes_since_last_save");
                changes.parse::<i64>().expect("a number")
            };
            let before = counted(&mut client);
            let command = format!("{prefix}{command}").replace(" a ", &format!(" {prefix}a "));
            let command = command.replace(" b ", &format!(" {prefix}b "));
            expect(&mut client, &command, reply);
            assert_eq!(counted(&mut client) - before, changes, "{command}");
        }
    }
}
