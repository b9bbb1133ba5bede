//! The setting `unprefixed` where native keys are: what has them beside a destination of another
//! type, what is to be left alone, what is not shown yet.

use testkit::client::Client;
use testkit::natives::about_values;
use testkit::script::{ask, crash, expect, run, words};
use testkit::server::{Server, Setup};

fn started(setup: Setup) -> (Server, Client) {
    let server = setup
        .start()
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let client = server.client();
    (server, client)
}

fn with(arguments: &[&str]) -> (Server, Client) {
    started(Setup::pmedis_with("64m", arguments))
}

/// Keys of all types, made in a database whose keys are native ones, and then moved.
const SOURCES: [&str; 12] = [
    "SET s ohmytext",
    "SET t mynewtext",
    "SET e 1",
    "RPUSH l b a",
    "HSET h f v",
    "SADD u 1 2 3",
    "SADD v 2 3 4",
    "ZADD z 1 a 2 b",
    "ZADD y 3 b 4 c",
    "PFADD p a b",
    "GEOADD g 13.361389 38.115556 m 15.087269 37.502669 n",
    "XADD x 1-1 f v",
];

const COMMANDS: &[&str] = &[
    "ZUNIONSTORE d 1 z",
    "ZUNIONSTORE d 2 z u",
    "ZUNIONSTORE d 2 d z",
    "ZUNIONSTORE d 2 z l",
    "ZINTERSTORE d 2 z y",
    "ZDIFFSTORE d 2 z y",
    "ZDIFFSTORE d 1 absent",
    "ZRANGESTORE d z 0 -1",
    "ZRANGESTORE d l 0 -1",
    "ZRANGESTORE d z 5 9",
    "SINTERSTORE d u v",
    "SUNIONSTORE d u v",
    "SDIFFSTORE d u v",
    "SDIFFSTORE d u z",
    "SORT l ALPHA STORE d",
    "SORT s STORE d",
    "BITOP AND d s t",
    "BITOP NOT d s",
    "BITOP OR d s l",
    "PFMERGE d p",
    "PFMERGE d s",
    "SMOVE u d 1",
    "LMOVE l d LEFT RIGHT",
    "RPOPLPUSH l u",
    "GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km",
    "GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST",
    "GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS -200 km",
    "GEOSEARCHSTORE d l FROMLONLAT 15 37 BYRADIUS 200 km",
    "GEORADIUS g 15 37 200 km STORE d",
    "GEORADIUS g 15 37 200 km STOREDIST d",
    "GEORADIUS l 15 37 200 km STORE d",
    "GEORADIUSBYMEMBER g m 200 km STORE d",
    "LCS s t",
    "LCS s t LEN",
    "LCS s s IDX",
    "LCS s absent",
    "LCS s d",
    "LCS s l",
    "LCS l h",
    "SET s w GET",
    "SET s w IFEQ ohmytext",
    "SET l w IFEQ x",
    "SET d w",
    "DELEX s IFEQ ohmytext",
    "DELEX s IFNE ohmytext",
    "DELEX l IFEQ x",
    "DELEX s",
    "DELEX l",
    "DELEX d",
    "DELEX x",
    "DELEX x IFEQ v",
    "LCS s x",
    "ZUNIONSTORE d 2 z x",
    "DELIFEQ s ohmytext",
    "DELIFEQ l x",
    "DIGEST s",
    "DIGEST l",
    "MSET d 1 s 2",
    "MSETNX d 1 s 2",
    "MSETEX 2 d 1 s 2",
    "MSETEX 2 d 1 s 2 NX",
];

/// What the keys that commands may change hold then.
const LOOKS: [&str; 11] = [
    "DBSIZE",
    "TYPE d",
    "TYPE s",
    "TYPE l",
    "GET d",
    "GET s",
    "LRANGE d 0 -1",
    "LRANGE l 0 -1",
    "SMEMBERS d",
    "SMEMBERS u",
    "ZRANGE d 0 -1 WITHSCORES",
];

#[test]
fn native_keys_and_destinations_of_other_types() {
    let ((_one, mut native), (_other, mut ours)) =
        (started(Setup::native()), with(&["unprefixed", "db=0"]));
    let destinations = [
        "RPUSH d x",
        "HSET d f v",
        "SADD d 3",
        "ZADD d 1 q",
        "SET d q",
    ];
    for (destination, is_native) in destinations
        .into_iter()
        .flat_map(|destination| [(destination, false), (destination, true)])
    {
        for command in COMMANDS {
            for client in [&mut native, &mut ours] {
                run(client, "FLUSHALL\nSELECT 1");
                for source in SOURCES.iter().chain(is_native.then_some(&destination)) {
                    let name = source.split(' ').nth(1).unwrap_or_default();
                    run(client, &format!("{source}\nMOVE {name} 0 -> 1"));
                }
                run(client, "SELECT 0");
                if !is_native {
                    run(client, destination);
                }
            }
            for line in [*command].into_iter().chain(LOOKS) {
                let expected = ask(&mut native, line);
                if expected.contains("syntax error") {
                    // An option that this server does not have.
                    break;
                }
                let about = format!("{destination}, native: {is_native}; {command}; {line}");
                assert_eq!(ask(&mut ours, line), expected, "{about}");
            }
        }
    }
}

/// Commands that read the keys of `SOURCES`, some of which are ours.
const READERS: &[&str] = &[
    "MGET s t",
    "MGET s t absent l s h",
    "MGET t e",
    "LCS s t",
    "LCS t s IDX",
    "LCS t e LEN",
    "LCS t absent",
    "LCS t l",
    "ZUNION 2 z y WITHSCORES",
    "ZUNION 4 z y u v WEIGHTS 1 2 3 4 WITHSCORES",
    "ZUNION 3 z u y AGGREGATE MAX WITHSCORES",
    "ZUNION 3 z y absent WITHSCORES",
    "ZINTER 2 z y WITHSCORES",
    "ZINTER 2 u v WITHSCORES",
    "ZINTERCARD 2 y z",
    "ZDIFF 2 z y WITHSCORES",
    "ZDIFF 2 y z WITHSCORES",
    "ZDIFF 5 u v u v v",
    "ZUNION 2 z l",
    "ZUNION 2 y x",
    "SINTERCARD 2 u v",
    "SDIFF v u",
    "SORT_RO l ALPHA",
    "PFCOUNT p absent",
];

/// Those of `SOURCES` that are ours.
const OURS: [&str; 3] = ["t", "y", "v"];

#[test]
fn native_keys_are_read_beside_ours_while_writes_are_paused() {
    let ((_one, mut native), (_other, mut ours)) =
        (started(Setup::native()), with(&["unprefixed", "db=0"]));
    for client in [&mut native, &mut ours] {
        for source in SOURCES {
            let name = source.split(' ').nth(1).unwrap_or_default();
            let is_ours = OURS.contains(&name);
            run(client, &format!("SELECT {}", if is_ours { 0 } else { 1 }));
            run(client, source);
            if !is_ours {
                run(client, &format!("MOVE {name} 0 -> 1"));
            }
        }
        run(client, "SELECT 0");
    }
    expect(&mut ours, "PM.DBSIZE", "3");
    expect(&mut ours, "CLIENT PAUSE 100000000 WRITE", "OK");
    for line in READERS {
        if line.starts_with("PFCOUNT") {
            // It may write: it waits until the pause is over.
            continue;
        }
        let expected = ask(&mut native, line);
        assert_eq!(ask(&mut ours, line), expected, "{line}");
        let script = format!("return redis.call('{}')", line.replace(' ', "','"));
        let in_script = ["EVAL_RO", &script, "0"];
        let expected = words(&native.call(&in_script));
        let told = words(&ours.call(&in_script));
        assert_eq!(error_of(&told), error_of(&expected), "{line} in a script");
    }
    expect(&mut ours, "PM.DBSIZE", "3");
    expect(&mut ours, "CLIENT UNPAUSE", "OK");
    // What writes in spite of a pause is told to come again.
    run(
        &mut ours,
        "MULTI\nCLIENT PAUSE 100000000 WRITE\nAPPEND s more\nGET s",
    );
    expect(
        &mut ours,
        "EXEC",
        "[OK (error) TRYAGAIN Native keys cannot be taken into persistent memory while writes are \
         paused ohmytext]",
    );
    expect(&mut ours, "CLIENT UNPAUSE", "OK");
    for line in READERS {
        assert_eq!(ask(&mut ours, line), ask(&mut native, line), "{line}");
    }
    expect(&mut ours, "APPEND s more", "12");
}

/// A reply; of an error its beginning, which scripts leave as it is.
fn error_of(reply: &str) -> &str {
    let end = reply
        .find(" script:")
        .filter(|_| reply.starts_with("(error)"));
    &reply[..end.unwrap_or(reply.len())]
}

/// Arguments that between them fit every command about values with keys. Those that may be taken
/// for a timeout are short.
const ARGUMENTS: [&str; 24] = [
    "k",
    "k v",
    "k 1 v",
    "k 1 2 v",
    "k 1 2 3 v",
    "a b",
    "a b c",
    "a b c d",
    "a b 0.01",
    "a b LEFT RIGHT",
    "a b LEFT RIGHT 0.01",
    "k v EX 10 GET",
    "AND d a b",
    "1 k",
    "1 k v",
    "2 a 1 b 0.02",
    "2 a b LEFT",
    "2 a b MAX",
    "0.01 2 a b MIN",
    "0.01 2 a b LEFT",
    "d 2 a b WEIGHTS 0.07 0.08",
    "a BY w_* LIMIT 0 5 GET # STORE d",
    "a 1 2 3 m STORE d",
    "a b FROMMEMBER m BYRADIUS 1 m",
];

#[test]
fn keys_outside_of_the_scope_are_found_in_every_command() {
    let (_server, mut client) = with(&["unprefixed", "scope:*"]);
    let names = about_values(&mut client);
    assert!(names.len() > 100, "{names:?}");
    let mut missed = Vec::new();
    for name in names {
        let (mut found, mut mixed) = (false, false);
        for arguments in ARGUMENTS {
            let line = format!("{name} {arguments}");
            let question = format!("COMMAND GETKEYS {line}");
            let told = client.call(&question.split(' ').collect::<Vec<_>>());
            if told.is_error() {
                continue;
            }
            let keys = told.elements().expect("a list of keys");
            let keys: Vec<&[u8]> = keys.iter().filter_map(|key| key.bytes()).collect();
            let about = |reply: &str| format!("{line}: {reply}");
            let both = |reply: &str| reply.contains("keeps some keys of this command");
            let reply = ask(&mut client, &line);
            assert!(!both(&reply), "{}", about(&reply));
            expect(&mut client, "PM.DBSIZE", "0");
            found = true;
            if let [_, .., last] = *keys {
                let mut words: Vec<&str> = line.split(' ').collect();
                let at = words.iter().rposition(|word| word.as_bytes() == last);
                words[at.expect("the key is among the words")] = "scope:1";
                let reply = ask(&mut client, &words.join(" "));
                assert!(both(&reply), "{words:?}: {reply}");
                mixed = true;
            }
            run(&mut client, "FLUSHALL");
        }
        if !found {
            missed.push(name.clone());
        }
        if name == "msetex" {
            assert!(mixed, "{name} has several keys");
        }
    }
    assert_eq!(missed, [""; 0], "no arguments fit these");
}

#[test]
fn keys_that_are_not_shown_yet_are_found_in_commands() {
    let (mut server, mut client) = with(&["unprefixed", "yes", "fill", "0"]);
    if ask(&mut client, "MSETEX 1 k v").contains("unknown command") {
        run(&mut client, "MSET k v");
    }
    run(&mut client, "MSET m v n v o v");
    drop(client);
    for (command, reply) in [
        ("MSETEX 1 k w NX", "0"),
        ("MSETEX 2 new 1 m 2 NX", "0"),
        ("MSETEX 2 n 1 o 2 XX", "1"),
        ("MSETNX new 1 m 2", "0"),
    ] {
        let mut client = crash(&mut server);
        let told = ask(&mut client, command);
        if !told.contains("unknown command") {
            assert_eq!(told, reply, "{command}");
        }
    }
}

#[test]
fn keys_of_renamed_commands_are_found() {
    for (name, arguments) in [
        ("MSETEX", "2 a 1 scope:b 2"),
        ("ZUNIONSTORE", "d 1 scope:z"),
        ("ZUNION", "2 a scope:b"),
    ] {
        let setup = Setup::pmedis_with("64m", &["unprefixed", "scope:*"]);
        let rename = format!("rename-command {name} renamed");
        let server = match setup.directive(&rename).start() {
            Ok(server) => server,
            Err(refusal) => {
                assert!(refusal.log.contains("No such command"), "{refusal:?}");
                continue;
            }
        };
        let mut client = server.client();
        let reply = ask(&mut client, &format!("renamed {arguments}"));
        assert!(reply.contains("keeps some keys"), "{name}: {reply}");
    }
    let setup = Setup::pmedis_with("64m", &["unprefixed", "db=0"]);
    let (_server, mut client) = started(setup.directive("rename-command ZUNIONSTORE renamed"));
    run(
        &mut client,
        "SELECT 1\nZADD z 1 a 2 b\nMOVE z 0\nSELECT 0\nRPUSH d x\nrenamed d 1 z -> 2",
    );
}
