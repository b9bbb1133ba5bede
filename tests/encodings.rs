//! PM.OBJECT ENCODING says what OBJECT ENCODING says of the same native value, under the limits
//! that the server's settings give, also when these change.

use testkit::client::Client;
use testkit::packaged::Packaged;
use testkit::script::words;
use testkit::server::{Server, Setup};

/// The two databases: native keys, and PM keys of the same names.
struct Sides {
    native: Client,
    pm: Client,
}

impl Sides {
    fn run(&mut self, words: &[String]) {
        let prefixed = [&[format!("PM.{}", words[0])], &words[1..]].concat();
        for (client, words) in [(&mut self.native, words), (&mut self.pm, &prefixed)] {
            let reply = client.call(words);
            assert!(!reply.is_error(), "{words:?}: {reply:?}");
        }
    }

    #[track_caller]
    fn same_encoding(&mut self, key: &str, about: &str) -> String {
        let native = words(&self.native.call(&["OBJECT", "ENCODING", key]));
        let pm = words(&self.pm.call(&["PM.OBJECT", "ENCODING", key]));
        assert_eq!(pm, native, "{key}, {about}");
        native
    }
}

/// Adds one element to a value of each type: the `n`-th, so many bytes long where it is a text.
fn additions(n: usize, len: usize) -> [Vec<String>; 6] {
    let text = format!("{n:0>len$}");
    let n = n.to_string();
    [
        vec!["ZADD", "zset", &n, &text],
        vec!["HSET", "fields", &text, "v"],
        vec!["HSET", "values", &n, &text],
        vec!["SADD", "integers", &n],
        vec!["SADD", "texts", &text],
        vec!["RPUSH", "list", &text],
    ]
    .map(|words| words.into_iter().map(str::to_owned).collect())
}

/// A server, and clients for the native values and for ours, which are in another database.
fn start() -> (Server, Sides) {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut sides = Sides {
        native: server.client(),
        pm: server.client(),
    };
    sides.pm.call(&["SELECT", "8"]);
    (server, sides)
}

#[test]
fn encodings_are_those_of_native_values_under_the_same_limits() {
    let (_server, mut sides) = start();
    let mut seen = Vec::new();
    // The server's own first: most elements, their longest length, and integers. Sorted sets are
    // packed up to their defaults.
    let mut of = |setting: &str| {
        let reply = sides.native.call(&["CONFIG", "GET", setting]);
        let reply = reply.elements().expect("a setting")[1]
            .bytes()
            .map(<[u8]>::to_vec);
        String::from_utf8(reply.expect("a text"))
            .expect("a text")
            .parse()
            .expect("a number")
    };
    let defaults: (usize, usize, usize) = (
        of("hash-max-listpack-entries"),
        of("hash-max-listpack-value"),
        of("set-max-intset-entries"),
    );
    assert_eq!(defaults, (512, 64, 512));
    for (elements, len, integers) in [
        defaults,
        (5, 10, 7),
        (1, 1, 1),
        (0, 0, 0),
        (40, 20, 300),
        (700, 127, 800),
    ] {
        for (setting, value) in [
            ("zset-max-listpack-entries", elements.min(128)),
            ("zset-max-listpack-value", len.min(64)),
            ("hash-max-listpack-entries", elements),
            ("hash-max-listpack-value", len),
            ("set-max-listpack-entries", elements),
            ("set-max-listpack-value", len),
            ("set-max-intset-entries", integers),
        ] {
            let value = value.to_string();
            let reply = sides.native.call(&["CONFIG", "SET", setting, &value]);
            let unknown =
                setting.starts_with("set-max-listpack") && Packaged::current().is_redis_7_0();
            assert_eq!(reply.is_error(), unknown, "{setting}: {reply:?}");
        }
        // Up to the limits and beyond, in number, in length, and in both.
        let short = len.clamp(3, 20);
        for (count, len) in [
            (integers + 2, short),
            (elements, short),
            (elements + 2, len),
            (3, len),
            (3, len + 1),
        ] {
            for client in [&mut sides.native, &mut sides.pm] {
                client.call(&["FLUSHDB"]);
            }
            for n in 0..count {
                let additions = additions(n, len);
                for words in &additions {
                    sides.run(words);
                }
                let near = [0, 128, elements, integers]
                    .iter()
                    .any(|limit| limit.abs_diff(n) < 3);
                for words in additions.iter().filter(|_| near) {
                    let about = format!("{n} of {count} elements of {len}, limit {elements}");
                    seen.push(sides.same_encoding(&words[1], &about));
                }
            }
        }
    }
    for name in ["listpack", "skiplist", "hashtable", "intset", "quicklist"] {
        assert!(seen.iter().any(|encoding| encoding == name), "no {name}");
    }
}

#[test]
fn what_is_packed_stays_so_until_something_is_added() {
    let (_server, mut sides) = start();
    for n in 0..10 {
        additions(n, 5).iter().for_each(|words| sides.run(words));
    }
    for setting in ["zset-max-listpack-entries", "hash-max-listpack-entries"] {
        sides.native.call(&["CONFIG", "SET", setting, "3"]);
    }
    for n in [10, 11] {
        for words in additions(n, 5) {
            sides.same_encoding(&words[1], "before");
            sides.run(&words);
            sides.same_encoding(&words[1], "after");
        }
    }
}

#[test]
fn a_packed_hash_beyond_its_limits_is_one_no_more_when_a_field_is_set() {
    let (_server, mut sides) = start();
    let run = |sides: &mut Sides, line: &str| {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        sides.run(&words);
    };
    let changes = [
        "HDEL h f1",
        "HSET h f2 v2",
        "HSET h f2 longer",
        "HINCRBY h n 1",
        "HINCRBYFLOAT h n 1",
        "HSETNX h f2 v",
        "HSET h f2 a f3 b",
    ];
    for (setting, limit) in [
        ("hash-max-listpack-entries", "2"),
        ("hash-max-listpack-value", "1"),
    ] {
        for change in changes {
            sides.native.call(&["CONFIG", "SET", setting, "64"]);
            run(&mut sides, "DEL h");
            run(&mut sides, "HSET h f1 v1 f2 v2 f3 v3 f4 v4 n 100");
            assert_eq!(sides.same_encoding("h", change), "listpack");
            sides.native.call(&["CONFIG", "SET", setting, limit]);
            assert_eq!(sides.same_encoding("h", change), "listpack");
            run(&mut sides, change);
            sides.same_encoding("h", &format!("{change}, {setting} {limit}"));
        }
        sides.native.call(&["CONFIG", "SET", setting, "64"]);
    }
}

#[test]
fn strings_are_embedded_as_far_as_native_ones() {
    let (_server, mut sides) = start();
    let mut seen = Vec::new();
    for key_len in [1, 20, 31, 32, 40, 60, 120] {
        for expires in [false, true] {
            let lens = |len: &usize| len.is_multiple_of(7) || [39, 40, 43, 44, 45].contains(len);
            let of_both = |len: &usize| (31..45).contains(&(len + key_len));
            for len in (0..125).filter(|len| lens(len) || of_both(len)) {
                let (key, value) = ("k".repeat(key_len), "v".repeat(len));
                let mut words = vec!["SET", &key, &value];
                if expires {
                    words.extend(["EX", "1000"]);
                }
                let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
                // Native ones may depend on what they replace.
                sides.run(&["DEL".to_owned(), key.clone()]);
                sides.run(&words);
                let about = format!("{len} bytes, the name {key_len}, expires: {expires}");
                seen.push(sides.same_encoding(&key, &about));
            }
        }
    }
    for name in ["embstr", "raw"] {
        assert!(seen.iter().any(|encoding| encoding == name), "no {name}");
    }
}
