//! What the container's entry point makes of its arguments and settings, without a container.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use testkit::client::Client;
use testkit::ports::kept_port;
use testkit::replication::wait_for;
use testkit::script::expect;
use testkit::server::module_path;

/// A server started by `ci/container`, killed when dropped.
struct Container {
    child: Child,
    address: SocketAddr,
}

impl Container {
    /// Starts `ci/container words --port PORT` on the pool in `home` and waits until it listens.
    fn start(home: &TempDir, words: &[&str], password: Option<&str>) -> Container {
        let port = kept_port().unwrap();
        let mut command = Command::new(entry());
        command
            .args(words)
            .args(["--port", &port.to_string()])
            .env("PMEDIS_HOME", home.path())
            .env("PMEDIS_SIZE", "64m")
            .env("PMEDIS_MODULE", module_path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(password) = password {
            command.env("PMEDIS_PASSWORD", password);
        }
        let container = Container {
            child: command.spawn().unwrap(),
            address: (Ipv4Addr::LOCALHOST, port).into(),
        };
        wait_for("the container's server listens", || {
            Client::connect(container.address)
                .and_then(|mut client| client.try_call(&["PING"]))
                .is_ok()
        });
        container
    }

    fn client(&self) -> Client {
        Client::connect(self.address).unwrap()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.child.kill().expect("the server can be killed");
        self.child.wait().expect("the server ends");
    }
}

fn entry() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/ci/container"))
}

#[test]
fn options_reach_the_server_and_only_loopback_is_served_without_a_password() {
    let home = tempfile::tempdir().unwrap();
    for words in [
        &["--maxclients", "123"][..],
        &["serve", "--maxclients", "123"],
    ] {
        let container = Container::start(&home, words, None);
        let mut client = container.client();
        expect(&mut client, "CONFIG GET maxclients", "[maxclients 123]");
        expect(&mut client, "CONFIG GET bind", "[bind 127.0.0.1]");
        expect(&mut client, "PM.SET kept yes", "OK");
    }
    let container = Container::start(&home, &[], None);
    expect(&mut container.client(), "PM.GET kept", "yes");
}

#[test]
fn a_password_is_asked_for_and_not_shown() {
    let home = tempfile::tempdir().unwrap();
    let password = r#"a"b\c'd $e"#;
    // Loopback all the same: a test must not be reachable from elsewhere.
    let words = ["--bind", "127.0.0.1"];
    let container = Container::start(&home, &words, Some(password));
    let mut client = container.client();
    let refused = client.call(&["PM.GET", "kept"]);
    assert!(format!("{refused:?}").contains("NOAUTH"), "{refused:?}");
    let greeted = client.call(&["AUTH", password]);
    assert!(format!("{greeted:?}").contains("OK"), "{greeted:?}");
    expect(&mut client, "PM.SET kept yes", "OK");
    let process = std::fs::read(format!("/proc/{}/cmdline", container.child.id())).unwrap();
    let process = String::from_utf8_lossy(&process);
    assert!(!process.contains(r#"a"b"#), "{process}");
}

#[test]
fn the_tools_words_are_its_own() {
    let bin = tempfile::tempdir().unwrap();
    let tool = bin.path().join("pmedis");
    fs::write(&tool, "#!/bin/sh\necho tool: \"$@\"\n").unwrap();
    fs::set_permissions(&tool, Permissions::from_mode(0o755)).unwrap();
    for word in [
        "check", "info", "export", "import", "copy", "compact", "help",
    ] {
        let output = Command::new(entry())
            .args([word, "/pmem/pmedis.pool"])
            .env("PATH", format!("{}:/usr/bin:/bin", bin.path().display()))
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            format!("tool: {word} /pmem/pmedis.pool\n")
        );
    }
}

#[test]
fn any_other_command_runs_as_it_is() {
    let output = Command::new(entry())
        .args(["echo", "hello"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n");
    assert!(output.status.success());
}
