//! Every `PM.` command once, in each of the situations that a key may be in (there, absent,
//! expired, of another type) and in each way in which a command may be given (RESP2, RESP3, in
//! MULTI, in a script, in a cluster), against the native command on the server at hand: reply,
//! events, counted hits and misses, and what the keys hold afterwards. All differences are printed.
//!
//! `PMEDIS_SERVER=valkey-9.1 cargo test --test sweep` runs it on that server.

use std::collections::BTreeSet;
use std::fmt::Write;
use testkit::client::Client;
use testkit::differential::Dialect;
use testkit::differential::compare::same;
use testkit::differential::grammar::Compare;
use testkit::packaged::Packaged;
use testkit::replication::{info, wait_for};
use testkit::resp::Value;
use testkit::script::ask;
use testkit::server::{Server, Setup};

/// A line for each option, and for each command without one.
const LINES: [&str; 2] = [include_str!("completeness.txt"), include_str!("sweep.txt")];

/// The words in the lines that are keys. They lie in one hash slot.
const KEYS: [&str; 9] = ["s", "t", "l", "h", "u", "z", "p", "d", "absent"];

/// What the keys hold.
const PRESENT: [&str; 7] = [
    "SET s v",
    "SET t v",
    "RPUSH l 3 1 2",
    "HSET h f 5",
    "SADD u 1",
    "ZADD z 1 a 2 b",
    "GEOADD p 13.361389 38.115556 m 15.087269 37.502669 n",
];
/// The same keys with values of other types.
const OTHER_TYPE: [&str; 7] = [
    "RPUSH s v",
    "RPUSH t v",
    "SET l v",
    "SET h v",
    "SET u v",
    "SET z v",
    "SET p v",
];

/// How often keys may be deleted that were to expire.
const TRIES: u32 = 50;

/// How a command finds its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Situation {
    Present,
    Absent,
    Expired,
    OtherType,
}

/// How a command is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Plain,
    Multi,
    Script,
}

/// What is there to compare after a command.
struct Outcome {
    reply: Value,
    events: Vec<String>,
    counted: [i64; 2],
    state: Vec<Value>,
}

/// Differences that are meant: the line they begin with, what differs, and why.
const MEANT: &[(&str, &str, &str)] = &[("RANDOMKEY", "events", "which keys it meets is chance")];

fn key(word: &str) -> String {
    if KEYS.contains(&word) || word == "w_*" {
        format!("{{x}}{word}")
    } else {
        word.to_owned()
    }
}

fn command(prefix: &str, line: &str) -> Vec<String> {
    let mut words = line.split(' ');
    let name = format!("{prefix}{}", words.next().unwrap_or_default());
    std::iter::once(name).chain(words.map(key)).collect()
}

/// The connections of one run.
struct Scenario {
    client: Client,
    observer: Client,
    events: Client,
}

impl Scenario {
    fn new(server: &Server, resp3: bool) -> Scenario {
        let mut scenario = Scenario {
            client: server.client(),
            observer: server.client(),
            events: server.client(),
        };
        scenario
            .client
            .call(&["HELLO", if resp3 { "3" } else { "2" }]);
        scenario.observer.call(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
        scenario.events.call(&["PSUBSCRIBE", "__keyevent@*"]);
        scenario
    }

    /// Gives the keys what they hold in a situation.
    ///
    /// A PEXPIRE whose millisecond has passed while it runs deletes its key at once, some one in
    /// 2,000 of those that name the next millisecond: the key is absent then, not expired.
    fn prepare(&mut self, prefix: &str, situation: Situation) {
        let is_gone = |event: &String| event.starts_with("del ");
        for _ in 0..TRIES {
            self.give_contents(prefix, situation);
            if !self.read_events().iter().any(is_gone) {
                return;
            }
        }
        panic!("{situation:?}: keys are deleted at once, {TRIES} times");
    }

    fn give_contents(&mut self, prefix: &str, situation: Situation) {
        let lines: &[&str] = match situation {
            Situation::Present | Situation::Expired => &PRESENT,
            Situation::Absent => &[],
            Situation::OtherType => &OTHER_TYPE,
        };
        let mut commands = vec![vec!["FLUSHALL".to_owned()]];
        commands.extend(lines.iter().map(|line| command(prefix, line)));
        if situation == Situation::Expired {
            let expiring = KEYS.iter().map(|name| format!("PEXPIRE {name} 1"));
            commands.extend(expiring.map(|line| command("", &line)));
            commands.push(command("", "DEBUG SLEEP 0.003"));
        }
        let replies = self.observer.pipeline(&commands).expect("a server");
        let failed = replies.iter().find(|reply| reply.is_error());
        assert!(failed.is_none(), "{situation:?}: {failed:?}");
    }

    /// Runs a line on keys in a situation.
    fn run(&mut self, prefix: &str, line: &str, situation: Situation, way: Way) -> Outcome {
        self.prepare(prefix, situation);
        let dump = self.observer.call(&["DUMP", "{x}s"]);
        let dump = dump.bytes().unwrap_or_default().to_vec();
        self.read_events();
        let words: Vec<Vec<u8>> = command(prefix, line)
            .into_iter()
            .map(|word| match word.as_str() {
                "<dump>" => dump.clone(),
                _ => word.into_bytes(),
            })
            .collect();
        let before = self.counted();
        let reply = match way {
            Way::Plain => self.client.call(&words),
            Way::Multi => {
                let commands = [vec![b"MULTI".to_vec()], words, vec![b"EXEC".to_vec()]];
                let replies = self.client.pipeline(&commands).expect("a server");
                match replies[2].elements() {
                    Some([reply]) => reply.clone(),
                    _ => replies[1].clone(),
                }
            }
            Way::Script => {
                const PASS: &str = "return redis.pcall(unpack(ARGV))";
                let call = ["EVAL", PASS, "0"].map(|word| word.as_bytes().to_vec());
                self.client.call(&[&call[..], &words].concat())
            }
        };
        let after = self.counted();
        let events = self.read_events();
        Outcome {
            reply,
            events,
            counted: [after[0] - before[0], after[1] - before[1]],
            state: self.state(prefix),
        }
    }

    fn counted(&mut self) -> [i64; 2] {
        ["keyspace_hits", "keyspace_misses"]
            .map(|field| info(&mut self.observer, field).parse().expect("a number"))
    }

    fn read_events(&mut self) -> Vec<String> {
        self.events.queue(&["PING"]);
        self.events.send().expect("a server");
        let mut events = Vec::new();
        loop {
            let message = self.events.receive().expect("a server");
            match message.elements() {
                Some([_, _, channel, key]) => {
                    let text = |value: &Value| {
                        String::from_utf8_lossy(value.bytes().expect("text")).into_owned()
                    };
                    let (_, event) = text(channel).split_once("__:").map_or_else(
                        || (String::new(), String::new()),
                        |(db, event)| (db.to_owned(), event.to_owned()),
                    );
                    events.push(format!("{event} {}", text(key)));
                }
                _ => return events,
            }
        }
    }

    /// Of each key the type, the content, and whether it expires.
    fn state(&mut self, prefix: &str) -> Vec<Value> {
        let mut state = Vec::new();
        for name in KEYS {
            let mut about = |line: String| self.observer.call(&command(prefix, &line));
            let ty = about(format!("TYPE {name}"));
            let content = match ty.bytes().unwrap_or_default() {
                b"string" => about(format!("GET {name}")),
                b"list" => about(format!("LRANGE {name} 0 -1")),
                b"hash" => about(format!("HGETALL {name}")),
                b"set" => about(format!("SMEMBERS {name}")),
                b"zset" => about(format!("ZRANGE {name} 0 -1 WITHSCORES")),
                _ => Value::NullBulk,
            };
            let expires = about(format!("PTTL {name}")).integer().unwrap_or_default();
            state.extend([ty, content, Value::Integer(expires.signum())]);
        }
        self.read_events();
        state
    }
}

/// How the replies of a command compare.
fn how(line: &str) -> Compare {
    let name = line.split(' ').next().unwrap_or_default();
    match name {
        "DUMP" | "RANDOMKEY" | "ZRANDMEMBER" | "SRANDMEMBER" | "HRANDFIELD" => Compare::Shape,
        "OBJECT" if !line.contains("ENCODING") => Compare::Shape,
        "KEYS" => Compare::Unordered,
        "SCAN" | "HSCAN" | "SSCAN" | "ZSCAN" => Compare::WholeScan,
        "TTL" | "EXPIRETIME" => Compare::Time(1000),
        _ => Compare::Exact,
    }
}

/// The events, but for `new` where a PM value replaces another one: the module API deletes a key to
/// give it another type.
fn events(outcome: &Outcome, native: &Outcome) -> Vec<String> {
    let is_odd = |event: &&String| event.starts_with("new ") && !native.events.contains(event);
    let events = outcome.events.iter().filter(|event| !is_odd(event));
    events.cloned().collect()
}

/// Whether the server has the native command of a line, with the options in it.
fn is_native(client: &mut Client, line: &str) -> bool {
    let name = line.split(' ').next().unwrap_or_default();
    let mut tokens = |name: &str| {
        let docs = client.call(&["COMMAND", "DOCS", name]);
        let mut tokens = BTreeSet::new();
        collect(&docs, &mut tokens);
        (docs.elements().is_some_and(|docs| !docs.is_empty()), tokens)
    };
    let (there, native) = tokens(name);
    let (_, ours) = tokens(&format!("PM.{name}"));
    let beyond: Vec<_> = ours.difference(&native).collect();
    let start_alone = line == "BITCOUNT s 0" && !Packaged::current().has(None, Some((8, 0)));
    // Where the description is one string for all words, the version tells.
    let operations = ["DIFF", "DIFF1", "ANDOR", "ONE"];
    let new_operation = line.split(' ').any(|word| operations.contains(&word))
        && !Packaged::current().has(Some((8, 2)), None);
    // There, a module cannot look at an expired key without the server deleting it.
    let looks_first =
        ["COPY l d FOO", "MOVE l FOO"].contains(&line) && Packaged::current().is_redis_7_0();
    let lacks = line
        .split(' ')
        .any(|word| beyond.iter().any(|token| *token == word));
    there && !lacks && !start_alone && !new_operation && !looks_first
}

/// All tokens in a description.
fn collect(value: &Value, tokens: &mut BTreeSet<String>) {
    let Some(elements) = value.elements() else {
        return;
    };
    for pair in elements.windows(2) {
        if let (Some(b"token"), Some(token)) = (pair[0].bytes(), pair[1].bytes()) {
            tokens.insert(String::from_utf8_lossy(token).into_owned());
        }
    }
    elements.iter().for_each(|element| collect(element, tokens));
}

/// Runs a line natively and under the prefix, and gives what differs.
fn compare(scenario: &mut Scenario, line: &str, situation: Situation, way: Way) -> String {
    let mut found = String::new();
    let native = scenario.run("", line, situation, way);
    let pm = scenario.run("PM.", line, situation, way);
    let mut differ = |what: &str, native: String, pm: String| {
        let meant =
            |&(start, aspect, _): &(&str, &str, &str)| line.starts_with(start) && aspect == what;
        if !MEANT.iter().any(meant) {
            let _ = writeln!(
                found,
                "{line} ({situation:?}, {way:?}): {what}: native {native}, PM {pm}"
            );
        }
    };
    if !same(&native.reply, &pm.reply, how(line), 0, &Dialect::PM) {
        differ(
            "reply",
            format!("{:?}", native.reply),
            format!("{:?}", pm.reply),
        );
    }
    let mut told = [events(&native, &native), events(&pm, &native)];
    if line.starts_with("SCAN ") {
        // In which order it meets keys is chance; the events of one key keep theirs.
        let key = |event: &String| event.split(' ').nth(1).map(str::to_owned);
        told.iter_mut().for_each(|events| events.sort_by_key(key));
    }
    if told[0] != told[1] {
        differ("events", format!("{:?}", told[0]), format!("{:?}", told[1]));
    }
    if native.counted != pm.counted {
        differ(
            "hits and misses",
            format!("{:?}", native.counted),
            format!("{:?}", pm.counted),
        );
    }
    if native.state != pm.state {
        let at = native.state.iter().zip(&pm.state).position(|(a, b)| a != b);
        let at = at.unwrap_or_default();
        differ(
            "state",
            format!("{} {:?}", KEYS[at / 3], native.state[at]),
            format!("{:?}", pm.state[at]),
        );
    }
    found
}

/// Runs all lines in some ways, and gives what differs.
fn sweep(server: &Server, resp3: bool, ways: &[Way]) -> String {
    let mut scenario = Scenario::new(server, resp3);
    let (mut report, mut cases) = (String::new(), 0);
    let lines = LINES.iter().flat_map(|lines| lines.lines());
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if !is_native(&mut scenario.observer, line) {
            continue;
        }
        use Situation::{Absent, Expired, OtherType, Present};
        for situation in [Present, Absent, Expired, OtherType] {
            // With nowhere to migrate to, each of these is a second's wait.
            if line.starts_with("MIGRATE") && situation != Absent {
                continue;
            }
            for &way in ways {
                cases += 1;
                let found = compare(&mut scenario, line, situation, way);
                report.push_str(&found);
            }
        }
    }
    assert!(cases > 500, "only {cases} cases");
    report
}

fn setup() -> Setup {
    Setup::pmedis("64m").directive("notify-keyspace-events EAmn")
}

#[track_caller]
fn assert_none(report: &str) {
    assert!(
        report.is_empty(),
        "{} differences on {}:\n{report}",
        report.lines().count(),
        Packaged::current()
    );
}

#[test]
fn commands_alone_do_what_native_ones_do() {
    let server = setup().start().unwrap();
    assert_none(&sweep(&server, false, &[Way::Plain]));
}

#[test]
fn commands_in_resp3_do_what_native_ones_do() {
    let server = setup().start().unwrap();
    assert_none(&sweep(&server, true, &[Way::Plain]));
}

#[test]
fn commands_in_transactions_and_scripts_do_what_native_ones_do() {
    let server = setup().start().unwrap();
    assert_none(&sweep(&server, false, &[Way::Multi, Way::Script]));
}

#[test]
fn commands_in_a_cluster_do_what_native_ones_do() {
    let server = setup().directive("cluster-enabled yes").start().unwrap();
    let mut client = server.client();
    assert_eq!(ask(&mut client, "CLUSTER ADDSLOTSRANGE 0 16383"), "OK");
    wait_for("the cluster is up", || {
        ask(&mut client, "CLUSTER INFO").contains("cluster_state:ok")
    });
    assert_none(&sweep(&server, false, &[Way::Plain, Way::Script]));
}

/// A line of LINES for each command, but for those that are the module's own.
#[test]
fn every_command_is_swept() {
    let server = setup().start().unwrap();
    let mut client = server.client();
    let listed = client.call(&["COMMAND", "LIST", "FILTERBY", "MODULE", "pmedis"]);
    let swept: BTreeSet<String> = LINES
        .iter()
        .flat_map(|lines| lines.lines())
        .filter_map(|line| line.split(' ').next())
        .map(str::to_lowercase)
        .collect();
    let names = listed.elements().expect("a list").iter();
    let names = names.map(|name| String::from_utf8_lossy(name.bytes().expect("text")).into_owned());
    let own = [
        "pm.adopt",
        "pm.info",
        "pm.defrag",
        "pm.ready",
        "pm.refused",
        "pm.check",
        "pm.pool",
        "pm.stats",
        "pm.help",
        "pm.export",
        "pm.usage",
    ];
    let missing: Vec<String> = names
        .filter(|name| !name.contains('|') && !own.contains(&name.as_str()))
        .filter(|name| !swept.contains(name.trim_start_matches("pm.")))
        .collect();
    assert_eq!(missing, [""; 0]);
}
