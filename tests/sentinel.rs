//! Sentinel: three of them watch a master and its replica, and replace the master when it dies.

use testkit::client::Client;
use testkit::replication::{assert_same, follow, wait_for, wait_in_sync, write_some};
use testkit::script::{ask, expect, words};
use testkit::server::{Server, Setup};

fn start() -> (Server, Client) {
    start_with(Setup::pmedis("64m"))
}

fn start_with(setup: Setup) -> (Server, Client) {
    let setup = setup.directive("repl-diskless-sync-delay 0").keep_port();
    let server = setup.start().unwrap();
    let client = server.client();
    (server, client)
}

/// A Sentinel for the master at `port`, which two have to find dead.
fn sentinel(port: u16) -> Server {
    let setup = Setup::native().argument("--sentinel").directive(&format!(
        "sentinel monitor pm 127.0.0.1 {port} 2\n\
         sentinel down-after-milliseconds pm 10000\n\
         sentinel failover-timeout pm 10000"
    ));
    setup.start().unwrap()
}

/// A server's role. Sentinel closes the connections of all clients when it changes that.
fn role(server: &Server) -> String {
    let role = Client::connect(server.address()).and_then(|mut client| client.try_call(&["ROLE"]));
    let role = role
        .ok()
        .and_then(|role| role.elements().map(|parts| words(&parts[0])));
    role.unwrap_or_default()
}

/// Three Sentinels that know each other, the master, and its replica.
fn three_sentinels(master: &Server) -> Vec<Server> {
    let sentinels: Vec<Server> = (0..3).map(|_| sentinel(master.address().port())).collect();
    for sentinel in &sentinels {
        let mut client = sentinel.client();
        wait_for("the Sentinels know each other and the replica", || {
            let about = ask(&mut client, "INFO sentinel");
            about.contains("slaves=1") && about.contains("sentinels=3")
        });
    }
    sentinels
}

/// Waits until the Sentinels have made the replica the master.
fn wait_for_failover(sentinels: &[Server], replica: &Server) {
    let place = format!("[127.0.0.1 {}]", replica.address().port());
    for sentinel in sentinels {
        let mut client = sentinel.client();
        wait_for("the replica is the master", || {
            ask(&mut client, "SENTINEL GET-MASTER-ADDR-BY-NAME pm") == place
        });
    }
    wait_for("it is", || role(replica) == "master");
}

#[test]
fn a_dead_master_is_replaced_and_comes_back_as_a_replica() {
    let (mut master, mut of_master) = start();
    write_some(&mut of_master, 1);
    let (replica, mut of_replica) = start();
    follow(&mut of_replica, &master);
    wait_in_sync(&mut of_master, &mut of_replica);
    let sentinels = three_sentinels(&master);
    write_some(&mut of_master, 2);
    expect(&mut of_master, "PM.INCR acknowledged", "1");
    expect(&mut of_master, "WAIT 1 0", "1");
    // An RDB that is older than the pool when the master starts again.
    expect(&mut of_master, "SAVE", "OK");
    expect(&mut of_master, "PM.INCR acknowledged", "2");
    expect(&mut of_master, "WAIT 1 0", "1");
    master.kill9();

    wait_for_failover(&sentinels, &replica);
    let mut of_replica = replica.client();
    expect(&mut of_replica, "PM.INCR acknowledged", "3");
    write_some(&mut of_replica, 3);

    master.restart().unwrap();
    wait_for("the Sentinels make the old master a replica", || {
        role(&master) == "slave"
    });
    let mut of_master = master.client();
    wait_in_sync(&mut of_replica, &mut of_master);
    assert_same(&mut of_replica, &mut of_master);
    expect(&mut of_master, "PM.GET acknowledged", "3");
}

#[test]
fn a_replica_becomes_the_master_while_it_fills_its_keyspace() {
    // So many that the replica's RDB has one marker for all: it shows none of them.
    const KEYS: u64 = 11_000;
    let (mut master, mut of_master) = start();
    let write = |n: u64| vec!["PM.SET".to_owned(), format!("key:{n}"), n.to_string()];
    for batch in (0..KEYS).collect::<Vec<_>>().chunks(1000) {
        let commands: Vec<_> = batch.iter().copied().map(write).collect();
        let replies = of_master.pipeline(&commands).unwrap();
        assert!(replies.iter().all(|reply| !reply.is_error()));
    }
    let on_demand = Setup::pmedis_with("64m", &["fill", "0"])
        .directive("save 3600 1")
        .directive(&format!("replicaof 127.0.0.1 {}", master.address().port()));
    let (mut replica, mut of_replica) = start_with(on_demand);
    wait_in_sync(&mut of_master, &mut of_replica);
    // It has an RDB with the replication offset: no full sync, but a keyspace to be filled.
    replica.stop();
    expect(&mut of_master, "PM.SET key:0 after", "OK");
    replica.restart().unwrap();
    let mut of_replica = replica.client();
    wait_in_sync(&mut of_master, &mut of_replica);
    let fills = |client: &mut Client| ask(client, "PM.INFO filling").contains("filling:1");
    assert!(fills(&mut of_replica), "all keys are shown");
    let sentinels = three_sentinels(&master);
    expect(&mut of_master, "PM.INCR acknowledged", "1");
    expect(&mut of_master, "WAIT 1 0", "1");
    master.kill9();

    wait_for_failover(&sentinels, &replica);
    let mut of_replica = replica.client();
    assert!(fills(&mut of_replica), "all keys are shown");
    expect(&mut of_replica, "PM.GET key:0", "after");
    expect(&mut of_replica, "PM.GET key:10999", "10999");
    expect(&mut of_replica, "TYPE key:1000", "pm-string");
    expect(&mut of_replica, "PM.GET key:11000", "nil");
    expect(&mut of_replica, "PM.INCR key:7", "8");
    expect(&mut of_replica, "DEL key:8 key:11001", "1");
    expect(&mut of_replica, "PM.INCR acknowledged", "2");
    assert!(fills(&mut of_replica), "all keys are shown");

    // The old master is put off until all keys are there.
    master.restart().unwrap();
    wait_for("the Sentinels make the old master a replica", || {
        role(&master) == "slave"
    });
    expect(&mut of_replica, "DBSIZE", "11000");
    let mut of_master = master.client();
    wait_in_sync(&mut of_replica, &mut of_master);
    assert_same(&mut of_replica, &mut of_master);
    expect(&mut of_master, "PM.GET key:7", "8");
    expect(&mut of_master, "PM.GET acknowledged", "2");
}
