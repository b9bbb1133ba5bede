//! PM.OBJECT ENCODING says what OBJECT ENCODING says of the same native value, under the limits
//! that the server's settings give, also when these change.

use pmedis_testkit::client::Client;
use pmedis_testkit::script::words;
use pmedis_testkit::server::Setup;

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

#[test]
fn encodings_are_those_of_native_values_under_the_same_limits() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut sides = Sides {
        native: server.client(),
        pm: server.client(),
    };
    sides.pm.call(&["SELECT", "8"]);
    let mut seen = Vec::new();
    // The defaults first: most elements, their longest length, and integers.
    for (elements, len, integers) in [
        (128, 64, 512),
        (5, 10, 7),
        (1, 1, 1),
        (0, 0, 0),
        (40, 20, 300),
    ] {
        for (setting, value) in [
            ("zset-max-listpack-entries", elements),
            ("zset-max-listpack-value", len),
            ("hash-max-listpack-entries", elements),
            ("hash-max-listpack-value", len),
            ("set-max-intset-entries", integers),
        ] {
            let value = value.to_string();
            let reply = sides.native.call(&["CONFIG", "SET", setting, &value]);
            assert!(!reply.is_error(), "{setting}: {reply:?}");
        }
        // Up to the limits and beyond, in number and in length; not both, as hashes beyond 4 KiB
        // are not packed.
        let short = len.clamp(3, 20);
        for (count, len) in [
            (integers + 2, short),
            (elements, short),
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
                let near = [0, elements, integers]
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
    let server = Setup::pmedis("64m").start().unwrap();
    let mut sides = Sides {
        native: server.client(),
        pm: server.client(),
    };
    sides.pm.call(&["SELECT", "8"]);
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
