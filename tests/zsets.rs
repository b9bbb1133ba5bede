//! Large sorted sets against Redis's own, element by element, and what becomes of them.

use testkit::client::Client;
use testkit::processor::processor_time;
use testkit::replication::wait_for;
use testkit::resp::Value;
use testkit::server::Setup;

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
    fn new(server: &testkit::server::Server) -> Sides {
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
    // All of them are in no random order.
    let many = MEMBERS.to_string();
    sides.same(&["ZRANDMEMBER", "k", &many, "WITHSCORES"]);
    sides.same(&["ZREMRANGEBYRANK", "k", "0", "-3"]);
    sides.same(&["ZRANGE", "k", "0", "-1", "WITHSCORES"]);
    sides.same(&["ZRANDMEMBER", "k", "2"]);
    sides.same(&["ZRANDMEMBER", "absent", "2"]);
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

/// A field of PM.INFO.
fn info(client: &mut Client, field: &str) -> u64 {
    let text = client.call(&["PM.INFO"]);
    let text = String::from_utf8_lossy(text.bytes().expect("PM.INFO is text")).into_owned();
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let value = fields.find(|(name, _)| *name == field);
    let (_, value) = value.unwrap_or_else(|| panic!("no {field} in {text}"));
    value.parse().expect("a number")
}

#[test]
fn a_long_range_goes_at_once_and_its_memory_soon() {
    const COUNT: usize = 200_000;
    let mut server = Setup::pmedis("512m").start().unwrap();
    let mut client = server.client();
    for from in (0..COUNT).step_by(1000) {
        let mut words = vec!["PM.ZADD".to_owned(), "k".to_owned()];
        words.extend((from..from + 1000).flat_map(|i| [i.to_string(), format!("member:{i}")]));
        client.call(&words);
    }
    let full = info(&mut client, "used");
    let usec = processor_time(&mut client, |client| {
        let removed = client.call(&["PM.ZREMRANGEBYSCORE", "k", "1000", "(150000"]);
        assert_eq!(removed, Value::Integer(149_000));
    });
    // It does not visit what goes.
    assert!(usec < 10_000, "{usec} us of the server");
    let expect = |client: &mut Client, command: &str, expected: Value| {
        let words: Vec<&str> = command.split(' ').collect();
        assert_eq!(client.call(&words), expected, "{command}");
    };
    let left = |client: &mut Client, key: &str| {
        expect(client, &format!("PM.ZCARD {key}"), Value::Integer(51_000));
        expect(
            client,
            &format!("PM.ZSCORE {key} member:1000"),
            Value::NullBulk,
        );
        expect(
            client,
            &format!("PM.ZRANK {key} member:150000"),
            Value::Integer(1000),
        );
    };
    left(&mut client, "k");
    expect(&mut client, "PM.ZADD k 5.5 member:7777", Value::Integer(1));
    expect(&mut client, "PM.ZADD k 8.5 member:7777", Value::Integer(0));
    expect(
        &mut client,
        "PM.ZREM k member:7777 member:7778",
        Value::Integer(1),
    );
    server.kill9();
    server.restart().unwrap();
    let mut client = server.client();
    left(&mut client, "k");
    expect(&mut client, "RENAME k j", Value::Simple("OK".into()));
    left(&mut client, "j");
    expect(
        &mut client,
        "PM.ZREMRANGEBYRANK j 10 -1000",
        Value::Integer(49_991),
    );
    // The last elements go while there is garbage: the key ends.
    for (command, popped) in [("PM.ZPOPMIN j 600", 600), ("PM.ZPOPMAX j 600", 409)] {
        let words: Vec<&str> = command.split(' ').collect();
        let reply = client.call(&words);
        assert_eq!(reply.elements().map(<[Value]>::len), Some(2 * popped));
    }
    expect(&mut client, "EXISTS j", Value::Integer(0));
    expect(&mut client, "PM.ZADD j 1 member:1", Value::Integer(1));
    expect(&mut client, "PM.ZCARD j", Value::Integer(1));
    wait_for("all is reclaimed", || {
        info(&mut client, "reclaim_values") == 0
    });
    let used = info(&mut client, "used");
    assert!(used < full / 50, "{used} of {full} bytes");
}

#[test]
fn an_option_that_is_said_twice_is_an_error() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    for command in [
        "ZRANGE z 0 -1",
        "ZRANGE z - + BYLEX",
        "ZRANGESTORE d z 0 -1",
    ] {
        let [native, pm] = ["", "PM."].map(|prefix| {
            let line = format!("{prefix}{command} REV REV");
            testkit::script::ask(&mut client, &line)
        });
        assert_eq!(native, "(error) ERR syntax error", "{command}");
        assert_eq!(pm, native, "{command}");
    }
}

/// What else is between names where scores differ is chance in a native skip list.
#[test]
fn nothing_is_between_names_that_the_last_element_is_below_or_the_first_beyond() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut sides = Sides::new(&server);
    let long = "m".repeat(70);
    sides.same(&["ZADD", "z", "1", &long, "2", "1", "3", "3", "4", ""]);
    for (min, max) in [
        ("(", "[c"),
        ("[2", "+"),
        ("(1", "[3"),
        ("-", "[a"),
        ("[n", "[o"),
        ("[3", "[1"),
        ("+", "-"),
        ("-", "+"),
    ] {
        sides.same(&["ZLEXCOUNT", "z", min, max]);
        sides.same(&["ZRANGEBYLEX", "z", min, max]);
        sides.same(&["ZRANGEBYLEX", "z", min, max, "LIMIT", "1", "2"]);
        sides.same(&["ZREVRANGEBYLEX", "z", max, min]);
        sides.same(&["ZRANGE", "z", max, min, "BYLEX", "REV"]);
        sides.same(&["ZRANGESTORE", "d", "z", min, max, "BYLEX"]);
        sides.same(&["ZRANGE", "d", "0", "-1", "WITHSCORES"]);
    }
}
