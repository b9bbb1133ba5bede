//! The differential tests tested: native commands agree with themselves, and deliberate errors
//! are found, shrunk and reported.

use testkit::differential::campaign::Campaign;
use testkit::differential::grammar::Term::{All, Element, Key, Options, Seconds, Value, Word};
use testkit::differential::grammar::{Table, own};
use testkit::differential::{Dialect, tables};
use testkit::env_number;
use testkit::server::Setup;

fn campaign(table: &'static Table, dialect: Dialect, sequences: u64) -> Campaign {
    Campaign {
        table,
        dialect,
        first_seed: 1,
        sequences,
        restarts: false,
        while_filling: false,
    }
}

#[test]
fn native_strings_agree_with_themselves() {
    let sequences = env_number("PMEDIS_NATIVE_SEQUENCES", 600);
    let campaign = campaign(&tables::STRING, Dialect::NATIVE, sequences);
    let coverage = campaign
        .run(Setup::native())
        .unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(coverage.gaps(&tables::STRING), [""; 0], "{coverage:?}");
}

/// Strings as every server has them, so that a seed gives the same sequence on each.
static STRINGS: Table = Table {
    name: "strings",
    commands: &[&[
        own(
            "SET",
            20,
            &[Key, Value, Options(&[All(&[Word("EX"), Seconds])])],
        ),
        own("GET", 10, &[Key]),
        own("GETDEL", 5, &[Key]),
        own("APPEND", 5, &[Key, Value]),
        own("INCR", 5, &[Key]),
        own("DECR", 5, &[Key]),
    ]],
};

/// Replaces a command on the second side and expects a report of a difference in `what`, from a
/// sequence shrunk to `steps` commands.
#[track_caller]
fn finds(table: &'static Table, mutants: &'static [(&str, &str)], what: &str, steps: usize) {
    let dialect = Dialect {
        prefix: "",
        mutants,
        unprefixed: false,
    };
    let report = campaign(table, dialect, 1000)
        .run(Setup::native())
        .expect_err("a deliberate error must be found");
    println!("{report}\n");
    assert!(
        report.contains(&format!("\n{what}:\n")),
        "no difference in {what}:\n{report}"
    );
    let is_step = |line: &&str| line.starts_with("> ") || line.starts_with("  ");
    let shown = report.lines().skip(1).take_while(is_step).count();
    assert_eq!(shown, steps, "{report}");
    assert!(report.contains("replay: PMEDIS_SEED="), "{report}");
}

#[test]
fn a_wrong_number_is_found() {
    finds(&STRINGS, &[("DECR", "INCR")], "replies", 1);
}

#[test]
fn a_wrong_form_of_reply_is_found() {
    finds(&STRINGS, &[("GET", "MGET")], "replies", 2);
}

#[test]
fn a_key_left_behind_is_found() {
    finds(&STRINGS, &[("GETDEL", "GET")], "state", 2);
}

/// Two commands that differ in nothing but their events, as long as a list has one element.
static PUSHES: Table = Table {
    name: "pushes",
    commands: &[&[own("LPUSH", 1, &[Key, Element]), own("LLEN", 1, &[Key])]],
};

#[test]
fn a_wrong_event_is_found() {
    finds(&PUSHES, &[("LPUSH", "RPUSH")], "keyspace events", 1);
}

/// Two commands that differ in nothing but the time, as long as it is valid.
static TIMES: Table = Table {
    name: "times",
    commands: &[&[
        own("SETEX", 1, &[Key, Word("100"), Value]).unbent(),
        own("GET", 1, &[Key]),
    ]],
};

#[test]
fn a_wrong_expiry_is_found() {
    finds(&TIMES, &[("SETEX", "PSETEX")], "expiry times", 1);
}

/// PING needs no arguments, and SHUTDOWN neither.
static MORTAL: Table = Table {
    name: "mortal",
    commands: &[&[
        own("PING", 1, &[]),
        own("GET", 20, &[Key]),
        own("SET", 20, &[Key, Value]),
    ]],
};

#[test]
fn a_server_that_dies_is_found() {
    finds(&MORTAL, &[("PING", "SHUTDOWN")], "server gone", 1);
}
