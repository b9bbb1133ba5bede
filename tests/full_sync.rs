//! Full syncs carry values, whatever way the data goes; files of the server's own carry markers
//! again when the replicas have what they asked for.

use std::fs;
use testkit::client::Client;
use testkit::packaged::Packaged;
use testkit::replication::{assert_same, follow, info, wait_for, wait_in_sync, write_some};
use testkit::script::expect;
use testkit::server::{Server, Setup};

/// What goes to a replica of its own is larger than any file of markers here.
const VALUE: usize = 2 << 20;

/// The ways that this server knows, as directives for both sides.
fn ways() -> Vec<Vec<&'static str>> {
    let server = Packaged::current();
    let mut ways = vec![vec!["repl-diskless-sync no"]];
    for load in ["disabled", "on-empty-db", "swapdb"] {
        let load = match load {
            "disabled" => "repl-diskless-load disabled",
            "on-empty-db" => "repl-diskless-load on-empty-db",
            _ => "repl-diskless-load swapdb",
        };
        ways.push(vec!["repl-diskless-sync yes", load]);
    }
    let channel = if server.has(Some((8, 0)), None) {
        Some("repl-rdb-channel")
    } else if server.has(None, Some((8, 0))) {
        Some("dual-channel-replication-enabled")
    } else {
        None
    };
    let channels = match channel {
        Some("repl-rdb-channel") => ["repl-rdb-channel yes", "repl-rdb-channel no"],
        Some(_) => [
            "dual-channel-replication-enabled yes",
            "dual-channel-replication-enabled no",
        ],
        None => return ways,
    };
    ways.iter()
        .flat_map(|way| channels.map(|channel| [&way[..], &[channel]].concat()))
        .collect()
}

fn start(way: &[&str]) -> Server {
    let setup = Setup::pmedis("128m")
        .directive("repl-diskless-sync-delay 0")
        .directive("rdbcompression no");
    let setup = way.iter().fold(setup, |setup, line| setup.directive(line));
    setup
        .start()
        .unwrap_or_else(|refusal| panic!("{way:?}: {refusal:?}"))
}

/// The size of a file that the server saves for itself now.
fn size_of_save(server: &Server, client: &mut Client) -> u64 {
    wait_for("no child saves", || {
        info(client, "rdb_bgsave_in_progress") == "0"
    });
    let file = server.setup().dir().join("dump.rdb");
    let _ = fs::remove_file(&file);
    expect(client, "BGSAVE", "Background saving started");
    wait_for("the file is there", || {
        info(client, "rdb_bgsave_in_progress") == "0" && file.is_file()
    });
    fs::metadata(&file).unwrap().len()
}

#[test]
fn every_way_carries_values() {
    for way in ways() {
        let (master, mut replica) = (start(&way), start(&way));
        let mut to_master = master.client();
        write_some(&mut to_master, 1);
        let value = "x".repeat(VALUE);
        assert!(!to_master.call(&["PM.SET", "large", &value]).is_error());
        let mut to_replica = replica.client();
        follow(&mut to_replica, &master);
        wait_for("the replica is in sync", || {
            assert_eq!(replica.exited(), None, "{way:?}: {}", replica.log());
            info(&mut to_replica, "master_link_status") == "up"
        });
        write_some(&mut to_master, 2);
        wait_in_sync(&mut to_master, &mut to_replica);
        assert_same(&mut to_master, &mut to_replica);
        // It has said that it has all.
        expect(&mut to_master, "WAIT 1 0", "1");
        let size = size_of_save(&master, &mut to_master);
        assert!(size < VALUE as u64, "{way:?}: a file of {size} bytes");
    }
}

#[test]
fn who_gives_up_is_not_waited_for() {
    let server = start(&["repl-diskless-sync-delay 100"]);
    let mut client = server.client();
    let value = "x".repeat(VALUE);
    assert!(!client.call(&["PM.SET", "large", &value]).is_error());
    let mut replica = server.client();
    expect(&mut replica, "REPLCONF capa eof capa psync2", "OK");
    replica.queue(&["PSYNC", "?", "-1"]);
    replica.send().unwrap();
    wait_for("the replica waits", || {
        info(&mut client, "connected_slaves") == "1"
    });
    // A file that is begun now may be the one for the replica, for all that a module can know.
    let size = size_of_save(&server, &mut client);
    assert!(size > VALUE as u64, "a file of {size} bytes");
    drop(replica);
    wait_for("the replica is gone", || {
        info(&mut client, "connected_slaves") == "0"
    });
    let size = size_of_save(&server, &mut client);
    assert!(size < VALUE as u64, "a file of {size} bytes");
}

#[test]
fn backups_by_the_command_line_carry_values() {
    let server = start(&[]);
    let mut client = server.client();
    let value = "x".repeat(VALUE);
    assert!(!client.call(&["PM.SET", "large", &value]).is_error());
    for _ in 0..2 {
        let mut backup = server.client();
        backup.queue(&["SYNC"]);
        backup.send().unwrap();
        let file = backup.receive_snapshot().unwrap();
        assert!(file.len() > VALUE, "{} bytes", file.len());
    }
}
