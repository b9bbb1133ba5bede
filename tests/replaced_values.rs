//! What servers tell of a value that another one replaces (`overwritten` and `type_changed`, from
//! Redis 8.2 on): the same of PM keys, in the same order.

use testkit::client::Client;
use testkit::packaged::Packaged;
use testkit::resp::Value;
use testkit::script::ask;
use testkit::server::Setup;

/// Commands that have a `PM.` form; each finds what those before it left.
const COMMANDS: &[&str] = &[
    "SET a 1",
    "SET a 2",
    "SET a 3 KEEPTTL",
    "SET a 3 EX 100",
    "SET a 4 GET",
    "SETEX a 100 5",
    "PSETEX a 100000 5",
    "GETSET a 7",
    "MSET a 1 b 2",
    "MSETNX c 1 d 1",
    "INCR a",
    "APPEND a x",
    "SETRANGE a 0 y",
    "INCRBYFLOAT b 1.5",
    "RPUSH l 1",
    "SET l 1",
    "HSET h f v",
    "MSET h 1 c 2",
    "SADD s 1 2 3",
    "SADD t 1",
    "SUNIONSTORE s s t",
    "SUNIONSTORE a s t",
    "SINTERSTORE s nokey t",
    "ZADD z 1 a",
    "ZUNIONSTORE z 1 z",
    "ZUNIONSTORE t 1 z",
    "ZRANGESTORE z z 0 -1",
    "ZRANGESTORE s z 0 -1",
    "SET b 1",
    "BITOP NOT a b",
    "BITOP NOT z b",
    "SETBIT a 1 1",
    "RPUSH l2 3 1 2",
    "SORT l2 STORE l2",
    "SORT l2 STORE b",
    "GEOADD g 1 1 x",
    "GEOSEARCHSTORE g g FROMLONLAT 1 1 BYRADIUS 100 km",
    "GEOSEARCHSTORE l2 g FROMLONLAT 1 1 BYRADIUS 100 km",
    "PFADD p x",
    "PFMERGE p p",
    "PFMERGE p2 p",
];

/// The events of each command in the given database.
fn events(client: &mut Client, listener: &mut Client, prefix: &str, db: u8) -> Vec<String> {
    assert_eq!(ask(client, &format!("SELECT {db}")), "OK");
    let mut all = Vec::new();
    for command in COMMANDS {
        let reply = ask(client, &format!("{prefix}{command}"));
        assert!(!reply.starts_with("(error)"), "{prefix}{command}: {reply}");
        assert_eq!(ask(client, "PUBLISH told all"), "1");
        let mut heard = Vec::new();
        loop {
            let message = listener.receive().unwrap();
            let words = message.elements().expect("a message").iter().map(|word| {
                let Value::Bulk(word) = word else {
                    panic!("{word:?} in a message")
                };
                String::from_utf8_lossy(word).into_owned()
            });
            let words: Vec<String> = words.collect();
            let (channel, key) = (&words[words.len() - 2], &words[words.len() - 1]);
            if channel == "told" {
                break;
            }
            let (_, event) = channel.rsplit_once(':').expect("the name of an event");
            heard.push(format!("{event} {key}"));
        }
        all.push(format!("{command}: {}", heard.join(", ")));
    }
    all
}

#[test]
fn events_are_those_of_native_keys() {
    let tells = Packaged::current().has(Some((8, 2)), None);
    let classes = if tells { "EAoc" } else { "EA" };
    let setup = Setup::pmedis("64m").directive(&format!("notify-keyspace-events {classes}"));
    let server = setup.start().unwrap();
    let (mut client, mut listener) = (server.client(), server.client());
    listener.call(&["PSUBSCRIBE", "__keyevent@*"]);
    listener.call(&["SUBSCRIBE", "told"]);
    let native = events(&mut client, &mut listener, "", 0);
    let pm = events(&mut client, &mut listener, "PM.", 8);
    assert_eq!(pm, native);
    let told = |event: &str| native.iter().any(|line| line.contains(event));
    assert_eq!(told("overwritten"), tells, "{native:#?}");
    assert_eq!(told("type_changed"), tells, "{native:#?}");
}
