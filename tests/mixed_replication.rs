//! Replication between servers of different versions: a replica has what its master has, from a
//! full sync and from the stream after it, be it from an older server to a newer one, or the other
//! way where the server can.
//!
//! The servers are those of `ci/servers`, whatever PMEDIS_SERVER says.

use testkit::load::Load;
use testkit::packaged::Packaged;
use testkit::replication::{follow, info, pm_digests, wait_for, wait_in_sync, write_some};
use testkit::server::Setup;

/// Masters, and who can follow them; `system` is Redis 7.0.
const PAIRS: [(&str, &str); 12] = [
    ("system", "redis-8.0.2"),
    ("system", "redis-8.0.6"),
    ("system", "redis-8.2"),
    ("system", "redis-8.6"),
    ("system", "valkey-8.0"),
    ("system", "valkey-8.1"),
    ("system", "valkey-9.1"),
    ("redis-8.0.6", "redis-8.6"),
    ("valkey-8.0", "valkey-9.1"),
    ("valkey-8.1", "redis-8.0.6"),
    ("valkey-9.1", "valkey-8.1"),
    ("valkey-9.1", "redis-8.0.6"),
];

#[test]
fn replicas_of_other_versions_have_what_their_masters_have() {
    for (from, to) in PAIRS {
        let start = |name: &str| {
            let setup = Setup::pmedis("128m").on(&Packaged::named(name));
            let started = setup.directive("repl-diskless-sync-delay 0").start();
            started.unwrap_or_else(|refusal| panic!("{name}: {refusal:?}"))
        };
        let (master, mut replica) = (start(from), start(to));
        let (mut to_master, mut to_replica) = (master.client(), replica.client());
        write_some(&mut to_master, 1);
        let load = Load::start(master.address(), 2, 7);
        follow(&mut to_replica, &master);
        wait_for("the link is up", || {
            let ended = replica.exited();
            assert_eq!(ended, None, "{from} to {to}: {}", replica.log());
            info(&mut to_replica, "master_link_status") == "up"
        });
        assert!(load.stop() > 0);
        write_some(&mut to_master, 2);
        to_master.call(&["PM.RPUSH", "weights", "0x10", "3", "0x2"]);
        // What a newer server refuses of its own clients.
        for (command, since) in [
            ("PM.ZADD hexadecimal 0x10 sixteen 2 two 3 three", None),
            ("PM.ZUNIONSTORE weighed 1 hexadecimal WEIGHTS 0x2", None),
            ("PM.ZREMRANGEBYSCORE hexadecimal 0x1 0x2", Some((8, 0))),
            ("PM.GEOADD places 0x1 0x2 here", None),
            (
                "PM.GEOSEARCHSTORE near places FROMLONLAT 0x1 0x2 BYRADIUS 0x1000 km",
                None,
            ),
            ("PM.SORT weights STORE sorted", Some((8, 0))),
        ] {
            let is_refused = master.setup().packaged().has(since, Some((9, 1)));
            let reply = to_master.call(&command.split(' ').collect::<Vec<_>>());
            assert_eq!(reply.is_error(), is_refused, "{from}: {command}: {reply:?}");
        }
        wait_in_sync(&mut to_master, &mut to_replica);
        let here = pm_digests(&mut to_master);
        assert!(here.len() > 20, "{here:?}");
        assert_eq!(here, pm_digests(&mut to_replica), "{from} to {to}");
    }
}
