//! Commands that write while nothing can be made durable are refused for that reason to every user
//! who may run them, and to others as the server refuses them.

use std::fs;
use std::path::Path;
use testkit::client::Client;
use testkit::preload::failing_disk;
use testkit::script::{ask, expect};
use testkit::server::Server;

/// Has the disk take nothing any more, and a command be the first to meet that.
fn break_disk(server: &Server, flag: &Path) {
    fs::write(flag, libc::ENOSPC.to_string()).unwrap();
    let unheard = server.client().try_call(&["PM.SET", "lost", "2"]);
    assert!(unheard.is_err(), "it is acknowledged: {unheard:?}");
}

fn log_in(server: &Server, user: &str) -> Client {
    let mut client = server.client();
    expect(&mut client, &format!("AUTH {user} p"), "OK");
    client
}

#[test]
fn every_user_who_may_write_is_told_why_writes_are_refused() {
    let Some((server, flag)) = failing_disk(&[]) else {
        return;
    };
    let mut control = server.client();
    for line in [
        "PM.SET a 1",
        "SET n 1",
        "ACL SETUSER all on >p ~* +@all",
        "ACL SETUSER app on >p ~* +@all -@admin -@dangerous -pm.pool",
        "ACL SETUSER few on >p ~* -@all +pm.set +pm.get +set +del +multi +exec +eval",
        "ACL SETUSER reader on >p ~k* +@all -pm.pool -set",
    ] {
        expect(&mut control, line, "OK");
    }
    break_disk(&server, &flag);
    let mut control = server.client();
    let why = ask(&mut control, "PM.SET a 3");
    assert!(why.starts_with("(error) MISCONF "), "{why}");
    expect(&mut control, "SET n 3", &why);
    for user in ["all", "app", "few"] {
        let mut client = log_in(&server, user);
        for write in ["PM.SET a 4", "SET n 4", "DEL a", "pm.set a 4", "set n 4"] {
            assert_eq!(ask(&mut client, write), why, "{user}: {write}");
        }
        expect(&mut client, "PM.GET a", "1");
        for write in ["PM.SET a 5", "SET n 5"] {
            expect(&mut client, "MULTI", "OK");
            assert_eq!(ask(&mut client, write), "QUEUED", "{user}: {write}");
            assert_eq!(ask(&mut client, "EXEC"), format!("[{why}]"), "{user}");
            let words: Vec<String> = write.split(' ').map(|word| format!("'{word}'")).collect();
            let script = format!("return redis.pcall({})", words.join(","));
            let reply = client.call(&["EVAL", &script, "0"]);
            assert_eq!(testkit::script::words(&reply), why, "{user}: {script}");
        }
    }
    expect(&mut control, "ACL LOG", "[]");

    // Who may not run the command hears that.
    let mut reader = log_in(&server, "reader");
    for (write, object) in [
        ("SET k 6", "'set'"),
        ("PM.SET a 6", "key"),
        ("DEL a", "key"),
    ] {
        let refused = ask(&mut reader, write);
        assert!(refused.starts_with("(error) NOPERM "), "{write}: {refused}");
        assert!(refused.contains(object), "{write}: {refused}");
    }
    expect(&mut reader, "DEL k", &why);
    let log = ask(&mut control, "ACL LOG");
    for object in ["object set ", "object a "] {
        assert!(log.contains(object), "{log}");
    }
    assert_eq!(log.matches("username reader").count(), 3, "{log}");
}

#[test]
fn who_is_not_authenticated_is_not_told_of_files() {
    let Some((server, flag)) = failing_disk(&[]) else {
        return;
    };
    break_disk(&server, &flag);
    let mut control = server.client();
    let why = ask(&mut control, "PM.SET a 3");
    let no_auth = "(error) NOAUTH Authentication required.";
    expect(&mut control, "CONFIG SET requirepass p", "OK");
    let mut stranger = server.client();
    for write in ["PM.SET a 3", "SET n 3", "PM.POOL REFUSE SET n 3"] {
        expect(&mut stranger, write, no_auth);
    }
    expect(&mut control, "SET n 3", &why);

    // With users who may not run what tells who is authenticated.
    expect(&mut control, "ACL SETUSER few on >p ~* -@all +set", "OK");
    for write in ["SET n 3", "PM.REFUSED SET n 3"] {
        let refused = ask(&mut stranger, write);
        assert!(refused.starts_with("(error) MISCONF "), "{refused}");
        let dir = server.setup().dir().to_string_lossy();
        assert!(!refused.contains(&*dir) && refused != why, "{refused}");
    }
    expect(&mut stranger, "PM.SET a 3", no_auth);
    let mut few = log_in(&server, "few");
    expect(&mut few, "SET n 3", &why);
    assert!(ask(&mut few, "DEL n").contains("NOPERM"));
    expect(&mut control, "ACL SETUSER default off", "OK");
    for write in ["SET n 3", "PM.SET a 3", "PM.REFUSED SET n 3"] {
        expect(&mut stranger, write, no_auth);
    }
    expect(&mut few, "SET n 3", &why);
}
