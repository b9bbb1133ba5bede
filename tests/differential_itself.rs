//! The differential tests tested: native commands agree with themselves, and deliberate errors
//! are found, shrunk and reported.

use testkit::differential::campaign::Campaign;
use testkit::differential::grammar::Term::{Element, Key, Value};
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
    assert_eq!(report.lines().filter(is_step).count(), steps, "{report}");
    assert!(report.contains("replay: PMEDIS_SEED="), "{report}");
}

#[test]
fn a_wrong_number_is_found() {
    finds(&tables::STRING, &[("DECR", "INCR")], "replies", 1);
}

#[test]
fn a_wrong_form_of_reply_is_found() {
    finds(&tables::STRING, &[("GET", "MGET")], "replies", 2);
}

#[test]
fn a_key_left_behind_is_found() {
    finds(&tables::STRING, &[("GETDEL", "GET")], "expiry times", 2);
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

#[test]
fn a_wrong_expiry_is_found() {
    finds(&tables::STRING, &[("SETEX", "PSETEX")], "expiry times", 1);
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
