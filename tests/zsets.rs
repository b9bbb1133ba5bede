//! Large sorted sets against Redis's own, element by element, and what becomes of them.

use pmedis_testkit::client::Client;
use pmedis_testkit::resp::Value;
use pmedis_testkit::server::Setup;

const MEMBERS: usize = 100_000;

/// Names and scores: ties, infinities, fractions, and extremes; in no order.
fn elements(count: usize) -> Vec<(String, String)> {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut elements: Vec<_> = (0..count)
        .map(|i| {
            let score = match rng.u8(..20) {
                0 => "inf".to_owned(),
                1 => "-inf".to_owned(),
                2 => "-0".to_owned(),
                3..10 => rng.u32(..1000).to_string(),
                _ => (rng.f64() * 2000.0 - 500.0).to_string(),
            };
            (format!("member:{i}"), score)
        })
        .collect();
    rng.shuffle(&mut elements);
    elements
}

/// Runs a command natively and with the prefix, on keys of the same names in two databases.
struct Sides {
    native: Client,
    pm: Client,
}

impl Sides {
    fn new(server: &pmedis_testkit::server::Server) -> Sides {
        let mut sides = Sides {
            native: server.client(),
            pm: server.client(),
        };
        sides.pm.call(&["SELECT", "8"]);
        sides
    }

    /// The reply, which must be the same.
    #[track_caller]
    fn same(&mut self, words: &[&str]) -> Value {
        let native = self.native.call(words);
        let prefixed = format!("PM.{}", words[0]);
        let mut pm_words = words.to_vec();
        pm_words[0] = &prefixed;
        let pm = self.pm.call(&pm_words);
        assert!(native == pm, "{}", difference(words, &native, &pm));
        assert!(!native.is_error(), "{words:?}: {native:?}");
        native
    }

    fn fill(&mut self, key: &str, elements: &[(String, String)]) {
        for part in elements.chunks(1000) {
            let mut words = vec!["ZADD", key];
            for (name, score) in part {
                words.extend([score.as_str(), name.as_str()]);
            }
            self.same(&words);
        }
    }
}

fn difference(words: &[&str], native: &Value, pm: &Value) -> String {
    let (native, pm) = (format!("{native:?}"), format!("{pm:?}"));
    let at = native
        .bytes()
        .zip(pm.bytes())
        .take_while(|(a, b)| a == b)
        .count();
    let from = at.saturating_sub(60);
    let show = |text: &str| {
        text.get(from..text.len().min(at + 60))
            .unwrap_or("")
            .to_owned()
    };
    format!(
        "{words:?}\nnative: …{}\nPM:     …{}",
        show(&native),
        show(&pm)
    )
}

#[test]
fn a_hundred_thousand_members_are_as_in_redis() {
    let server = Setup::pmedis("512m").start().unwrap();
    let mut sides = Sides::new(&server);
    let all = elements(MEMBERS);
    sides.fill("k", &all);
    let half: Vec<_> = all
        .iter()
        .take(MEMBERS / 2)
        .map(|(name, _)| (name.clone(), "7.5".to_owned()))
        .collect();
    sides.fill("half", &half);
    sides.same(&["ZRANGE", "k", "0", "-1", "WITHSCORES"]);
    sides.same(&["ZREVRANGE", "k", "0", "-1"]);
    let mut rng = fastrand::Rng::with_seed(8);
    for _ in 0..300 {
        let (name, score) = all[rng.usize(..MEMBERS)].clone();
        sides.same(&["ZRANK", "k", &name]);
        sides.same(&["ZREVRANK", "k", &name]);
        sides.same(&["ZSCORE", "k", &name]);
        sides.same(&["ZCOUNT", "k", &score, "+inf"]);
        sides.same(&["ZCOUNT", "k", "-inf", &format!("({score}")]);
        let offset = rng.usize(..MEMBERS).to_string();
        sides.same(&["ZRANGEBYSCORE", "k", &score, "inf", "LIMIT", &offset, "5"]);
        sides.same(&[
            "ZREVRANGEBYSCORE",
            "k",
            &score,
            "-inf",
            "WITHSCORES",
            "LIMIT",
            "3",
            "9",
        ]);
        sides.same(&[
            "ZRANGEBYLEX",
            "half",
            &format!("[{name}"),
            "+",
            "LIMIT",
            "0",
            "4",
        ]);
        sides.same(&["ZLEXCOUNT", "half", "-", &format!("({name}")]);
        sides.same(&["ZINCRBY", "k", &rng.i32(-900..900).to_string(), &name]);
    }
    sides.same(&["ZINTERCARD", "2", "k", "half", "LIMIT", "12345"]);
    sides.same(&[
        "ZUNIONSTORE",
        "union",
        "2",
        "k",
        "half",
        "WEIGHTS",
        "2",
        "-3",
    ]);
    sides.same(&["ZRANGE", "union", "0", "-1", "WITHSCORES"]);
    sides.same(&["ZINTERSTORE", "inter", "2", "k", "half", "AGGREGATE", "MAX"]);
    sides.same(&["ZRANGE", "inter", "0", "-1", "WITHSCORES"]);
    sides.same(&["ZDIFFSTORE", "diff", "2", "k", "half"]);
    sides.same(&["ZRANGE", "diff", "0", "-1", "WITHSCORES"]);
    sides.same(&["ZRANGESTORE", "part", "k", "100", "70000"]);
    sides.same(&["ZREMRANGEBYRANK", "part", "50", "40000"]);
    sides.same(&["ZRANGE", "part", "0", "-1", "WITHSCORES"]);
    sides.same(&["ZREMRANGEBYSCORE", "k", "-200", "(300"]);
    sides.same(&["ZRANGE", "k", "0", "-1", "WITHSCORES"]);
    sides.same(&["ZREMRANGEBYLEX", "half", "[member:3", "(member:5"]);
    sides.same(&["ZRANGE", "half", "0", "-1"]);
    sides.same(&["ZPOPMAX", "k", "5000"]);
    sides.same(&["ZMPOP", "2", "none", "inter", "MIN", "COUNT", "100000"]);
    sides.same(&["ZCARD", "k"]);
    sides.same(&["ZREMRANGEBYRANK", "k", "0", "-3"]);
    sides.same(&["ZRANGE", "k", "0", "-1", "WITHSCORES"]);
}

#[test]
fn copies_dumps_and_restarts_keep_every_element() {
    let setup = Setup::pmedis("256m");
    let mut server = setup.start().unwrap();
    let mut sides = Sides::new(&server);
    for (key, count) in [("small", 100), ("large", 5000)] {
        sides.fill(key, &elements(count));
        let whole = sides.same(&["ZRANGE", key, "0", "-1", "WITHSCORES"]);
        let pm = &mut sides.pm;
        let range = |key| ["PM.ZRANGE", key, "0", "-1", "WITHSCORES"];
        assert_eq!(
            pm.call(&["COPY", key, "copy", "REPLACE"]),
            Value::Integer(1)
        );
        assert_eq!(pm.call(&range("copy")), whole);
        let dump = pm.call(&["DUMP", key]).bytes().unwrap().to_vec();
        let restore: [&[u8]; 5] = [b"RESTORE", b"copy", b"0", &dump, b"REPLACE"];
        assert_eq!(pm.call(&restore), Value::Simple("OK".into()));
        assert_eq!(pm.call(&range("copy")), whole);
        let digests = pm.call(&["DEBUG", "DIGEST-VALUE", key, "copy"]);
        let digests = digests.elements().unwrap();
        assert_eq!(digests[0], digests[1]);
        server.restart().unwrap();
        sides = Sides::new(&server);
        assert_eq!(sides.pm.call(&range(key)), whole);
        assert_eq!(sides.pm.call(&range("copy")), whole);
        sides.native.call(&["FLUSHALL"]);
    }
}
