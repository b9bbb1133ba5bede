//! Fields and members of small values come in the order in which they were added, as those of
//! native values do: up to the limits that the server's settings give, through every change, a
//! copy, a payload, a kill -9.

use testkit::client::Client;
use testkit::resp::Value;
use testkit::server::{Server, Setup};

/// The two databases: native keys, and PM keys of the same names.
struct Sides {
    native: Client,
    pm: Client,
}

impl Sides {
    fn of(server: &Server) -> Sides {
        let (native, mut pm) = (server.client(), server.client());
        assert!(!pm.call(&["SELECT", "8"]).is_error());
        Sides { native, pm }
    }

    /// Runs a command on both sides; the replies are the same.
    fn run(&mut self, words: &[&str]) -> Value {
        let name = format!("PM.{}", words[0]);
        let native = self.native.call(words);
        let pm = self.pm.call(&[&[name.as_str()], &words[1..]].concat());
        assert_eq!(pm, native, "{words:?}");
        native
    }

    fn same_order(&mut self, key: &str) {
        for command in ["HGETALL", "HKEYS", "HVALS"] {
            self.run(&[command, key]);
        }
        self.run(&["HSCAN", key, "0"]);
        self.run(&["HSCAN", key, "0", "MATCH", "*1*", "COUNT", "3"]);
        self.run(&["OBJECT", "ENCODING", key]);
    }
}

/// So many random changes of a hash whose fields are `0` to `fields`.
fn change(sides: &mut Sides, random: &mut fastrand::Rng, fields: usize, changes: usize) {
    for _ in 0..changes {
        let mut field = || format!("field:{}", random.usize(..fields));
        let (a, b, c) = (field(), field(), field());
        let value = "v".repeat(random.usize(..=64));
        let number = random.u32(..).to_string();
        let command = match random.u32(..8) {
            0 => vec!["HDEL", "h", &a],
            1 => vec!["HDEL", "h", &a, &b],
            2 => vec!["HSETNX", "h", &a, &value],
            3 => vec!["HINCRBY", "h", "n", &number],
            4 => vec!["HSET", "h", &a, &value, &b, &number, &c, &value, &a, "1"],
            _ => vec!["HSET", "h", &a, &value],
        };
        sides.run(&command);
    }
}

#[test]
fn fields_come_in_their_order() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut sides = Sides::of(&server);
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    // The server's own limit first.
    for (limit, fields) in [("512", 520), ("512", 40), ("2000", 2500), ("100", 101)] {
        for client in [&mut sides.native, &mut sides.pm] {
            client.call(&["DEL", "h"]);
        }
        let set = ["CONFIG", "SET", "hash-max-listpack-entries", limit];
        assert!(!sides.native.call(&set).is_error());
        // Not so many that it could become a table: after that the order is anybody's.
        let most = limit.parse::<usize>().unwrap().min(fields) - 2;
        for n in 0..most {
            sides.run(&["HSET", "h", &format!("field:{n}"), &n.to_string()]);
        }
        for _ in 0..10 {
            change(&mut sides, &mut random, most, 40);
            sides.same_order("h");
        }
        sides.run(&["COPY", "h", "copy", "REPLACE"]);
        sides.same_order("copy");
        for client in [&mut sides.native, &mut sides.pm] {
            let payload = client.call(&["DUMP", "h"]);
            let payload = payload.bytes().expect("a payload");
            let words: [&[u8]; 5] = [b"RESTORE", b"back", b"0", payload, b"REPLACE"];
            assert_eq!(client.call(&words), Value::Simple("OK".into()));
        }
        sides.same_order("back");
    }
}

#[test]
fn the_order_survives_a_kill_and_a_native_payload() {
    let mut server = Setup::pmedis("64m").start().unwrap();
    let mut sides = Sides::of(&server);
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for n in 0..500 {
        sides.run(&["HSET", "h", &format!("field:{n}"), &n.to_string()]);
    }
    change(&mut sides, &mut random, 500, 300);
    let before = sides.run(&["HGETALL", "h"]);
    let encoding = sides.run(&["OBJECT", "ENCODING", "h"]);
    assert_eq!(encoding, Value::Bulk(b"listpack".to_vec()));
    // A native key that becomes a PM key, and a PM key that becomes a native one.
    let payload = sides.pm.call(&["PM.EXPORT", "h"]);
    let payload = payload.bytes().expect("a payload");
    let words: [&[u8]; 4] = [b"RESTORE", b"exported", b"0", payload];
    assert_eq!(sides.native.call(&words), Value::Simple("OK".into()));
    assert_eq!(sides.native.call(&["HGETALL", "exported"]), before);
    assert_eq!(
        sides.native.call(&["OBJECT", "ENCODING", "exported"]),
        encoding
    );
    assert_eq!(
        sides.native.call(&["PM.ADOPT", "KEYS", "exported"]),
        Value::Integer(1)
    );
    assert_eq!(sides.native.call(&["PM.HGETALL", "exported"]), before);
    assert_eq!(
        sides.native.call(&["PM.OBJECT", "ENCODING", "exported"]),
        encoding
    );
    server.kill9();
    server.restart().unwrap();
    let mut client = server.client();
    assert_eq!(client.call(&["PM.HGETALL", "exported"]), before);
    client.call(&["SELECT", "8"]);
    assert_eq!(client.call(&["PM.HGETALL", "h"]), before);
    assert_eq!(client.call(&["PM.OBJECT", "ENCODING", "h"]), encoding);
}

#[test]
fn members_come_in_their_order_where_native_sets_keep_it() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut sides = Sides::of(&server);
    let limit = sides
        .native
        .call(&["CONFIG", "GET", "set-max-listpack-entries"]);
    let Some([_, limit]) = limit.elements() else {
        eprintln!("skipped: sets of this server are tables");
        return;
    };
    assert_eq!(limit, &Value::Bulk(b"128".to_vec()));
    for (most, len) in [(128, 64), (100, 20)] {
        for client in [&mut sides.native, &mut sides.pm] {
            client.call(&["DEL", "s"]);
        }
        for n in 0..most {
            let member = format!("m{:0>1$}", n * 7919 % 1000, len - 1);
            sides.run(&["SADD", "s", &member]);
        }
        for n in (0..most).step_by(9) {
            let member = format!("m{:0>1$}", n * 7919 % 1000, len - 1);
            sides.run(&["SREM", "s", &member]);
        }
        sides.run(&["SMEMBERS", "s"]);
        sides.run(&["OBJECT", "ENCODING", "s"]);
    }
}
