//! Sentinel: three of them watch a master and its replica, and replace the master when it dies.

use pmedis_testkit::client::Client;
use pmedis_testkit::replication::{assert_same, follow, wait_for, wait_in_sync, write_some};
use pmedis_testkit::script::{ask, expect, words};
use pmedis_testkit::server::{Server, Setup};

fn start() -> (Server, Client) {
    let setup = Setup::pmedis("64m")
        .directive("repl-diskless-sync-delay 0")
        .keep_port();
    let server = setup.start().unwrap();
    let client = server.client();
    (server, client)
}

/// A Sentinel for the master at `port`, which two have to find dead.
fn sentinel(port: u16) -> Server {
    let setup = Setup::native().argument("--sentinel").directive(&format!(
        "sentinel monitor pm 127.0.0.1 {port} 2\n\
         sentinel down-after-milliseconds pm 5000\n\
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

#[test]
fn a_dead_master_is_replaced_and_comes_back_as_a_replica() {
    let (mut master, mut of_master) = start();
    write_some(&mut of_master, 1);
    let (replica, mut of_replica) = start();
    follow(&mut of_replica, &master);
    wait_in_sync(&mut of_master, &mut of_replica);
    let sentinels: Vec<Server> = (0..3).map(|_| sentinel(master.address().port())).collect();
    for sentinel in &sentinels {
        let mut client = sentinel.client();
        wait_for("the Sentinels know each other and the replica", || {
            let about = ask(&mut client, "INFO sentinel");
            about.contains("slaves=1") && about.contains("sentinels=3")
        });
    }
    write_some(&mut of_master, 2);
    expect(&mut of_master, "PM.INCR acknowledged", "1");
    expect(&mut of_master, "WAIT 1 10000", "1");
    // An RDB that is older than the pool when the master starts again.
    expect(&mut of_master, "SAVE", "OK");
    expect(&mut of_master, "PM.INCR acknowledged", "2");
    expect(&mut of_master, "WAIT 1 10000", "1");
    master.kill9();

    let place = format!("[127.0.0.1 {}]", replica.address().port());
    for sentinel in &sentinels {
        let mut client = sentinel.client();
        wait_for("the replica is the master", || {
            ask(&mut client, "SENTINEL GET-MASTER-ADDR-BY-NAME pm") == place
        });
    }
    wait_for("it is", || role(&replica) == "master");
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
