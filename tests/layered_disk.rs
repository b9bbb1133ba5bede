//! A pool on a file system of layers (overlayfs), as in a container's own root. There a mapping
//! keeps another file than the one that was opened, and libpmemobj's lock ends when it closes that.

use std::process::Command;
use testkit::disk::{Layers, SmallDisk};
use testkit::script::{crash, expect, run};
use testkit::server::Setup;

#[test]
fn a_pool_has_one_user_at_a_time() {
    let home = Setup::native();
    let Some(disk) = SmallDisk::mount(home.dir().join("disk"), 256) else {
        eprintln!("nothing can be mounted here: not tried");
        return;
    };
    let Some(layers) = Layers::mount(home.dir().join("layers"), disk.path()) else {
        eprintln!("no overlayfs is to be had here: not tried");
        return;
    };
    for arguments in [
        ["durability", "process"].as_slice(),
        &["durability", "disk"],
        &["durability", "process", "max-size", "64m"],
    ] {
        let pool = layers.path().join(format!("{}.pool", arguments.join("-")));
        let path = pool.to_string_lossy().into_owned();
        let words = [&["path", &path, "size", "16m"], arguments].concat();
        let setup = || Setup::native().module(&words);
        // A new one, one that was closed, one that was not.
        let mut server = setup().start().unwrap();
        for round in 0..3 {
            let refusal = setup().refusal();
            assert!(
                refusal.log.contains("in use by another process"),
                "{arguments:?}, {round}: {refusal:?}"
            );
            let mut client = server.client();
            run(&mut client, &format!("PM.SET k {round} -> OK"));
            if round == 0 {
                server.stop();
                server.restart().unwrap();
            } else {
                client = crash(&mut server);
                expect(&mut client, "PM.GET k", &round.to_string());
            }
        }
        // A child that is at work when its server dies keeps nobody out.
        let mut client = server.client();
        run(
            &mut client,
            "SET native v -> OK\nCONFIG SET rdb-key-save-delay 100000000 -> OK",
        );
        expect(&mut client, "BGSAVE", "Background saving started");
        let killed = Command::new("kill")
            .args(["-9", &server.pid().to_string()])
            .status();
        assert!(killed.unwrap().success());
        server.wait_for_end();
        server.restart().unwrap();
        server.stop();
    }
}
