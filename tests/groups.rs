//! What EXEC, scripts and functions do is durable together or not at all, and before it is told of.
//!
//! `PMEDIS_KILL_ROUNDS=n` runs so many rounds, `PMEDIS_SEED=n` other ones.

use fastrand::Rng;
use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use testkit::client::Client;
use testkit::env_number;
use testkit::replication::wait_for;
use testkit::resp::Value;
use testkit::script::{ask, crash, expect, run, words};
use testkit::server::{Server, Setup};

/// The clients that write at the same time.
const CLIENTS: usize = 3;
/// Keys in the pool that each unit leaves.
const KEYS: usize = 7;
/// When the keys of a client expire: this, plus the number of its last unit.
const EXPIRE_BASE: u64 = 33_177_117_420_000;

/// The `n`-th unit of a client: PM commands, native ones on PM keys, and native ones.
fn unit(client: usize, n: u64) -> Vec<Vec<String>> {
    let at = EXPIRE_BASE + n;
    let lines = format!(
        "PM.SET x{client} {n}
        DEL y{client} z{client} absent
        COPY x{client} y{client}
        SET native{client} {n}
        PM.SET t{client} {n}
        RENAME t{client} z{client}
        PM.HSET h{client} f {n}
        RENAME h{client} g{client}
        COPY g{client} h{client} REPLACE
        PM.RPUSH l{client} {n}
        PM.LTRIM l{client} -1 -1
        PM.BITFIELD b{client} SET i64 #1 {n} SET u8 3 1
        PEXPIREAT x{client} {at}
        SETRANGE native{client} 0 {n}"
    );
    let words = |line: &str| line.trim().split(' ').map(str::to_owned).collect();
    lines.lines().map(words).collect()
}

/// A function that runs the commands it is given, one an argument.
const LIBRARY: &str = "#!lua name=units
    redis.register_function('unit', function(_, lines)
        for _, line in ipairs(lines) do
            local words = {}
            for word in line:gmatch('%S+') do words[#words + 1] = word end
            redis.call(unpack(words))
        end
    end)";

/// What runs a unit.
#[derive(Clone, Copy)]
enum Runner {
    Exec,
    Script,
    Function,
}

/// How many units are acknowledged, at least, on an average of the rounds so far.
const WORK_MIN: u64 = 20;

/// What a client has sent and what it has been told.
struct Writer {
    client: usize,
    sent: u64,
    acknowledged: u64,
}

impl Writer {
    /// Sends units, several at a time, by EXEC, EVAL and FCALL, until the server is gone; counts
    /// those that are acknowledged in `work`, too.
    fn write(&mut self, address: SocketAddr, mut rng: Rng, work: &AtomicU64) {
        let Ok(mut connection) = Client::connect(address) else {
            return;
        };
        let Ok(loaded) = connection.try_call(&["FUNCTION", "LOAD", "REPLACE", LIBRARY]) else {
            return;
        };
        assert!(!loaded.is_error(), "{loaded:?}");
        loop {
            let units = rng.u64(1..4);
            let mut replies = Vec::new();
            for _ in 0..units {
                self.sent += 1;
                let runners = [Runner::Exec, Runner::Script, Runner::Function];
                let runner = *rng.choice(&runners).expect("not empty");
                replies.push(self.queue(&mut connection, runner));
            }
            if connection.send().is_err() {
                return;
            }
            for count in replies {
                for _ in 0..count {
                    let Ok(reply) = connection.receive() else {
                        return;
                    };
                    assert!(!reply.is_error(), "{reply:?}");
                }
                self.acknowledged += 1;
                work.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Queues the unit `sent`; returns how many replies it brings.
    fn queue(&self, connection: &mut Client, runner: Runner) -> usize {
        let commands = unit(self.client, self.sent);
        match runner {
            Runner::Exec => {
                connection.queue(&["MULTI"]);
                commands
                    .iter()
                    .for_each(|command| connection.queue(command));
                connection.queue(&["EXEC"]);
                commands.len() + 2
            }
            Runner::Script => {
                let calls = commands
                    .iter()
                    .map(|command| format!("redis.call('{}')\n", command.join("','")));
                connection.queue(&["EVAL", &calls.collect::<String>(), "0"]);
                1
            }
            Runner::Function => {
                let call = ["FCALL", "unit", "0"].map(str::to_owned);
                let lines = commands.iter().map(|command| command.join(" "));
                connection.queue(&call.into_iter().chain(lines).collect::<Vec<_>>());
                1
            }
        }
    }

    /// The unit that all keys tell of, which is one of those that were sent, and not earlier than
    /// the last one that was acknowledged.
    fn judge(&mut self, connection: &mut Client) {
        let c = self.client;
        let n = match ask(connection, &format!("PM.GET x{c}")).as_str() {
            "nil" => 0,
            n => n.parse().expect("a number"),
        };
        assert!(
            (self.acknowledged..=self.sent).contains(&n),
            "client {c}: unit {n} is there, {} were sent, {} acknowledged",
            self.sent,
            self.acknowledged
        );
        if n > 0 {
            run(
                connection,
                &format!(
                    "PM.GET y{c} -> {n}
                    PM.GET z{c} -> {n}
                    EXISTS t{c} -> 0
                    PM.HGET g{c} f -> {n}
                    PM.HGET h{c} f -> {n}
                    PM.LRANGE l{c} 0 -1 -> [{n}]
                    PM.BITFIELD b{c} GET i64 64 -> [{n}]
                    PEXPIRETIME x{c} -> {}",
                    EXPIRE_BASE + n
                ),
            );
        }
        (self.sent, self.acknowledged) = (n, n);
    }
}

#[test]
fn units_are_durable_wholly_or_not_at_all() {
    let rounds = env_number("PMEDIS_KILL_ROUNDS", 25);
    let mut rng = Rng::with_seed(env_number("PMEDIS_SEED", 1));
    let mut server = Setup::pmedis("128m").start().unwrap();
    let mut writers: Vec<Writer> = (0..CLIENTS)
        .map(|client| Writer {
            client,
            sent: 0,
            acknowledged: 0,
        })
        .collect();
    let work = AtomicU64::new(0);
    for round in 1..=rounds {
        let address = server.address();
        let life = Duration::from_micros(rng.u64(2_000..80_000));
        thread::scope(|scope| {
            for writer in &mut writers {
                let rng = rng.fork();
                scope.spawn(|| writer.write(address, rng, &work));
            }
            server.live(life, &work, WORK_MIN * round);
            server.kill9();
        });
        let mut connection = crash(&mut server);
        for writer in &mut writers {
            writer.judge(&mut connection);
        }
        let begun = writers.iter().filter(|writer| writer.sent > 0).count();
        expect(&mut connection, "PM.DBSIZE", &(KEYS * begun).to_string());
    }
    let units = work.into_inner();
    assert!(
        units >= WORK_MIN * rounds,
        "only {units} units in {rounds} rounds"
    );
}

/// Redis runs what is left of a pipeline at the very end of an event-loop cycle, when the client
/// was waiting until then, and replies at once.
#[test]
fn no_reply_is_ahead_of_its_unit() {
    let mut server = Setup::pmedis("64m").start().unwrap();
    for n in 0..20 {
        let mut client = server.client();
        let waits: &[&str] = match n % 2 {
            0 => &["BLPOP", "nobody", "0.01"],
            _ => &["PM.BLPOP", "nobody", "0.01"],
        };
        client.queue(waits);
        match n % 4 {
            0 | 1 => {
                client.queue(&["MULTI"]);
                client.queue(&["PM.SET", "k", &n.to_string()]);
                client.queue(&["PM.RPUSH", "l", &n.to_string()]);
                client.queue(&["EXEC"]);
            }
            _ => {
                let script = format!("redis.call('PM.SET','k',{n}) redis.call('PM.RPUSH','l',{n})");
                client.queue(&["EVAL", &script, "0"]);
            }
        }
        client.send().unwrap();
        let replies = if n % 4 < 2 { 5 } else { 2 };
        for _ in 0..replies {
            let reply = client.receive().unwrap();
            assert!(!reply.is_error(), "{}", words(&reply));
        }
        let mut client = crash(&mut server);
        expect(&mut client, "PM.GET k", &n.to_string());
        expect(&mut client, "PM.LINDEX l -1", &n.to_string());
    }
}

/// Whether the server has taken all that its sockets have, and sleeps: the kernel tells.
fn has_read_all(server: &Server) -> bool {
    let port = format!(":{:04X}", server.address().port());
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    let mut queues = sockets.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, unread) = fields.get(4)?.split_once(':')?;
        fields[1].ends_with(&port).then(|| unread.to_owned())
    });
    let all_read = queues.all(|unread| unread == "00000000");
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").expect("a name in brackets");
    all_read && fields.starts_with('S')
}

#[test]
fn a_unit_is_durable_with_its_cycle_though_it_tells_nobody() {
    /// Longer than the module listens to the cycles of an idle server, and than a cycle takes.
    const IDLE: Duration = Duration::from_millis(500);
    let mut server = Setup::pmedis("32m").start().unwrap();
    for n in ["1", "2"] {
        let mut client = server.client();
        thread::sleep(IDLE);
        client.queue(&["CLIENT", "REPLY", "OFF"]);
        client.queue(&["MULTI"]);
        client.queue(&["PM.SET", "x", n]);
        client.queue(&["PM.RPUSH", "l", n]);
        client.queue(&["EXEC"]);
        client.send().unwrap();
        // Nobody can be asked: that would end the unit.
        wait_for("the server has read the unit", || has_read_all(&server));
        thread::sleep(IDLE);
        let mut client = crash(&mut server);
        expect(&mut client, "PM.GET x", n);
        expect(&mut client, "PM.LINDEX l -1", n);
    }
}

/// Servers do not all tell the handler of an event within EXEC the key's database.
#[test]
fn keys_moved_and_copied_within_a_group_stay_where_they_went() {
    let mut server = Setup::pmedis("64m").start().unwrap();
    let mut client = server.client();
    run(
        &mut client,
        "
        PM.MSET alone 1 grouped 2 copied 3 -> OK
        MOVE alone 3 -> 1
        MULTI -> OK
        MOVE grouped 2 -> QUEUED
        COPY copied copied DB 4 -> QUEUED
        PM.MOVE copied 5 -> QUEUED
        SELECT 6 -> QUEUED
        PM.SET late 4 -> QUEUED
        MOVE late 7 -> QUEUED
        EXEC -> [1 1 1 OK OK 1]
        SELECT 0 -> OK
        ",
    );
    let moved = "redis.call('SELECT', 8) redis.call('PM.SET', 'scripted', '5') return redis.call('MOVE', 'scripted', 9)";
    assert_eq!(client.call(&["EVAL", moved, "0"]), Value::Integer(1));
    let mut client = crash(&mut server);
    for (db, key) in [
        (3, "alone"),
        (2, "grouped"),
        (4, "copied"),
        (5, "copied"),
        (7, "late"),
        (9, "scripted"),
    ] {
        expect(&mut client, &format!("SELECT {db}"), "OK");
        expect(&mut client, "KEYS *", &format!("[{key}]"));
    }
    for db in [0, 6, 8] {
        expect(&mut client, &format!("SELECT {db}"), "OK");
        expect(&mut client, "DBSIZE", "0");
    }
}

/// What a script has done is nothing before it has ended, and SHUTDOWN NOSAVE, which the server
/// itself advises then, is not its end.
#[test]
fn a_busy_script_that_a_shutdown_ends_has_done_nothing() {
    let script = "redis.call('PM.SET', 'k', '2') redis.call('PM.SET', 'other', '2')
        while true do end";
    for durability in ["process", "disk"] {
        let setup = Setup::pmedis_with("64m", &["durability", durability]);
        let mut server = setup.directive("lua-time-limit 10").start().unwrap();
        run(&mut server.client(), "PM.SET k 1 -> OK");
        let mut busy = server.client();
        busy.queue(&["EVAL", script, "0"]);
        busy.send().unwrap();
        let mut client = server.client();
        wait_for("the script is busy", || {
            ask(&mut client, "PING").contains("BUSY")
        });
        assert!(ask(&mut client, "SCRIPT KILL").contains("UNKILLABLE"));
        client.queue(&["SHUTDOWN", "NOSAVE"]);
        client.send().unwrap();
        assert!(server.wait_for_end().success());
        server.restart().expect("it starts");
        run(&mut server.client(), "PM.GET k -> 1\nPM.DBSIZE -> 1");
    }
}
