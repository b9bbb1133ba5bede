//! HyperLogLogs of many elements, and under other limits, to their last byte.

use testkit::client::Client;
use testkit::resp::Value;
use testkit::server::Setup;

struct Sides {
    native: Client,
    pm: Client,
}

impl Sides {
    /// The reply, which must be the same.
    #[track_caller]
    fn same(&mut self, words: &[&str]) -> Value {
        let native = self.native.call(words);
        let prefixed = format!("PM.{}", words[0]);
        let pm = self.pm.call(&[&[prefixed.as_str()], &words[1..]].concat());
        assert!(native == pm, "{} {}", words[0], words[1]);
        assert!(!native.is_error(), "{native:?}");
        native
    }
}

/// The length at which a sparse one becomes dense changes between additions.
#[test]
fn a_hundred_thousand_elements_are_as_in_redis_under_every_limit() {
    let server = Setup::pmedis("64m").start().unwrap();
    let mut sides = Sides {
        native: server.client(),
        pm: server.client(),
    };
    sides.pm.call(&["SELECT", "8"]);
    let mut dense = Vec::new();
    for (i, limit) in ["3000", "0", "50", "700", "16000", "3000"]
        .iter()
        .enumerate()
    {
        sides
            .native
            .call(&["CONFIG", "SET", "hll-sparse-max-bytes", limit]);
        let key = format!("hll:{i}");
        let mut rng = fastrand::Rng::with_seed(i as u64);
        let total = if i == 0 { 100_000 } else { 6_000 };
        let mut added = 0;
        while added < total {
            let count = rng.usize(1..=if added < 200 { 3 } else { 400 });
            let elements: Vec<String> = (0..count).map(|_| rng.u32(..).to_string()).collect();
            let mut words = vec!["PFADD", &key];
            words.extend(elements.iter().map(String::as_str));
            sides.same(&words);
            added += count;
            let Value::Bulk(text) = sides.same(&["GET", &key]) else {
                panic!("no string");
            };
            if text[4] == 0 && !dense.contains(&i) {
                dense.push(i);
            }
            if rng.u8(..4) == 0 {
                sides.same(&["PFCOUNT", &key]);
                sides.same(&["GET", &key]);
            }
        }
        sides.same(&["PFMERGE", "all", &key]);
        sides.same(&["GET", "all"]);
    }
    sides.same(&["PFCOUNT", "hll:0", "hll:1", "hll:2", "hll:3", "hll:4"]);
    assert_eq!(
        dense,
        [0, 1, 2, 3, 5],
        "the limit of 16,000 bytes is not reached"
    );
}
