//! Commands that delete a key reach replicas as DEL or UNLINK, as the native ones of the same
//! server choose.

use testkit::client::Client;
use testkit::scenario::stream;
use testkit::script::ask;
use testkit::server::{Server, Setup};

/// Commands that have a `PM.` form.
const COMMANDS: &[&str] = &[
    "SET s v",
    "GETDEL s",
    "SET s v",
    "GETEX s PXAT 1000",
    "SET s v",
    "GETEX s EX 1000000",
    "SADD x a b c",
    "SPOP x 3",
    "SADD x a",
    "SPOP x",
    "SADD x a",
    "SPOP x 1",
    "SET s v",
    "DEL s",
    "SET s v",
    "UNLINK s",
];

/// What a replica gets when these run.
fn replicated(server: &Server, prefix: &str, db: u8) -> Vec<String> {
    let mut replica = server.client();
    replica.queue(&["SYNC"]);
    replica.send().unwrap();
    replica.receive_snapshot().unwrap();
    let mut client: Client = server.client();
    assert_eq!(ask(&mut client, &format!("SELECT {db}")), "OK");
    for command in COMMANDS {
        let reply = ask(&mut client, &format!("{prefix}{command}"));
        assert!(!reply.starts_with("(error)"), "{prefix}{command}: {reply}");
    }
    assert_eq!(ask(&mut client, "PUBLISH x END"), "0");
    let commands = stream(replica, "END").into_iter();
    // Expire times are told by the clock.
    commands
        .map(|command| {
            if command.starts_with("PEXPIREAT") {
                "PEXPIREAT".to_owned()
            } else {
                command
            }
        })
        .collect()
}

#[test]
fn deletions_are_told_as_native_ones() {
    for lazily in ["no", "yes"] {
        let setup = [
            "lazyfree-lazy-expire",
            "lazyfree-lazy-server-del",
            "lazyfree-lazy-user-del",
        ]
        .iter()
        .fold(Setup::pmedis("64m"), |setup, name| {
            setup.directive(&format!("{name} {lazily}"))
        });
        let server = setup.start().unwrap();
        let native = replicated(&server, "", 0);
        assert!(native.iter().any(|command| command.contains("DEL S")));
        assert_eq!(replicated(&server, "PM.", 8), native, "lazily: {lazily}");
    }
}

/// What a replica of a server gets when SET gives times that are over, and how many keys it has.
fn past_times(server: &Server, prefix: &str) -> Vec<String> {
    let mut replica = server.client();
    replica.queue(&["SYNC"]);
    replica.send().unwrap();
    replica.receive_snapshot().unwrap();
    let mut client = server.client();
    let mut call = |words: &[&str]| {
        let reply = client.call(words);
        assert!(!reply.is_error(), "{words:?}: {reply:?}");
    };
    let set = format!("{prefix}SET");
    let options: [&[&str]; 5] = [
        &["PXAT", "1"],
        &["EXAT", "1"],
        &["NX", "PXAT", "1"],
        &["GET", "PXAT", "1"],
        &["PXAT", "1", "GET"],
    ];
    for options in options {
        let words = [&[set.as_str(), "k", "v"], options].concat();
        call(&words);
        call(&["EXISTS", "k"]);
        // Another key than the one before is there, or the same.
        call(&[&set, "k", "v"]);
        call(&[&set, "other", "v"]);
        call(&["DEL", "k", "other"]);
        call(&["MULTI"]);
        call(&[&set, "other", "v"]);
        call(&words);
        call(&["EXEC"]);
        call(&["EXISTS", "k"]);
        let script = "return redis.call(unpack(ARGV))";
        call(&[&["EVAL", script, "1", "k"], words.as_slice()].concat());
        call(&["EXISTS", "k"]);
    }
    call(&["PUBLISH", "x", "END"]);
    // The script has its words in them. Options that a SET which is sent has met, or a reply which
    // nobody gets, stand there on some servers.
    let commands = stream(replica, "END").into_iter();
    let plain = |command: String| {
        let words = command
            .split(' ')
            .filter(|word| !["NX", "GET"].contains(word));
        words.collect::<Vec<_>>().join(" ").replace("PM.", "")
    };
    commands.map(plain).collect()
}

#[test]
fn a_time_that_is_over_is_told_as_without_the_module() {
    let vanilla = Setup::native().start().unwrap();
    let expected = past_times(&vanilla, "");
    for arguments in [&[][..], &["unprefixed", "yes"]] {
        let server = Setup::pmedis_with("64m", arguments).start().unwrap();
        assert_eq!(past_times(&server, ""), expected, "{arguments:?}");
        let server = Setup::pmedis_with("64m", arguments).start().unwrap();
        assert_eq!(past_times(&server, "PM."), expected, "PM. {arguments:?}");
    }
}

/// A native SET is told from what gives PM keys an expire time, whatever comes between.
#[test]
fn expire_times_of_pm_keys_outlive_a_crash_after_any_set() {
    let mut server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    for line in [
        "SET first v PXAT 1",
        "PM.SET a v",
        "PM.SET b v",
        "PM.HSET c f v",
        "SET native v",
        "EXPIRE a 100000",
        "MULTI",
        "SET native v",
        "EXPIRE b 100000",
        "SET c v",
        "PM.SET c v",
        "EXPIRE c 100000",
        "SET native v EX 100000",
        "PERSIST native",
        "PM.SET d v PXAT 4000000000000",
        "EXEC",
    ] {
        let reply = ask(&mut client, line);
        assert!(!reply.starts_with("(error)"), "{line}: {reply}");
    }
    let times = |client: &mut Client| -> Vec<String> {
        let keys = ["a", "b", "c", "d"];
        let times = keys.map(|key| ask(client, &format!("PEXPIRETIME {key}")));
        assert!(times.iter().all(|time| time.len() > 4), "{times:?}");
        times.to_vec()
    };
    let before = times(&mut client);
    server.kill9();
    server.restart().unwrap();
    assert_eq!(times(&mut server.client()), before);
}
