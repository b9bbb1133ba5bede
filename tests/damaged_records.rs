//! A page of a pool that is full of records, overwritten by anything: what looks, counts them all.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use testkit::client::Client;
use testkit::replication::wait_for;
use testkit::resp::Value;
use testkit::script::{ask, expect, pm_info};
use testkit::server::Setup;

const KEYS: u64 = 2000;
const PAGE: usize = 4096;

/// Sound and damaged keys, by PM.CHECK.
fn check(client: &mut Client) -> (u64, u64) {
    let Value::Array(report) = client.call(&["PM.CHECK"]) else {
        panic!("PM.CHECK gives an array");
    };
    let number = |at: usize| match report.get(at) {
        Some(Value::Integer(number)) => *number as u64,
        other => panic!("{other:?}"),
    };
    (number(1), number(3))
}

/// Bytes without a pattern, the same each time.
fn noise() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..PAGE).map(|_| random.u8(..)).collect()
}

#[test]
fn records_of_a_page_that_is_overwritten_are_counted() {
    let mut server = Setup::pmedis("16m").start().unwrap();
    let mut client = server.client();
    for n in 0..KEYS {
        client.queue(&[
            "PM.SET".to_owned(),
            format!("key:{n:04}"),
            format!("{n:0100}"),
        ]);
    }
    client.send().unwrap();
    for _ in 0..KEYS {
        assert!(!client.receive().unwrap().is_error());
    }
    server.stop();
    let path = server.setup().pool();
    let pool = fs::read(&path).unwrap();
    // One in the midst of the records.
    let at = pool
        .windows(8)
        .position(|bytes| bytes == b"key:1500")
        .expect("the key is in the pool")
        / PAGE
        * PAGE;
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&noise(), at as u64).unwrap();
    drop(file);
    server.restart().unwrap();
    let mut client = server.client();
    wait_for("all keys are shown", || {
        pm_info(&mut client, "filling", "filling") == 0
    });
    let (sound, damaged) = check(&mut client);
    assert_eq!(sound + damaged, KEYS);
    assert!(damaged >= 10, "{damaged} of {KEYS}");
    // One at an end of the page may have its key, and no value.
    let damages = pm_info(&mut client, "recovery", "damages");
    assert!(damages.abs_diff(damaged) <= 1, "{damages} of {damaged}");
    expect(&mut client, "DBSIZE", &(KEYS - damages).to_string());
    // What comes meanwhile is no damage.
    assert_eq!(ask(&mut client, "PM.SET more v"), "OK");
    assert_eq!(check(&mut client), (sound + 1, damaged));
}
