//! Redis Cluster on loopback: nodes, `redis-cli --cluster`, and a client that follows redirects.

use crate::client::Client;
use crate::packaged::Packaged;
use crate::replication::{info, wait_for};
use crate::resp::Value;
use crate::script::ask;
use crate::server::{Server, Setup};
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// How long a command may be redirected, or find the cluster down, before that is an error.
const PATIENCE: Duration = Duration::from_secs(300);

/// A node that belongs to no cluster yet, and takes others for dead after so many milliseconds.
///
/// # Panics
/// If it does not serve.
pub fn node(pool: &str, timeout_ms: u32) -> Server {
    let setup = Setup::pmedis(pool)
        .directive("cluster-enabled yes")
        .directive(&format!("cluster-node-timeout {timeout_ms}"))
        .directive("repl-diskless-sync-delay 0")
        .keep_port();
    setup
        .start()
        .unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

/// Runs `redis-cli --cluster` with these arguments.
///
/// # Panics
/// If it fails.
#[track_caller]
pub fn cli(arguments: &[&str]) {
    if let Err(output) = try_cli(arguments) {
        panic!("redis-cli --cluster {arguments:?}: {output}");
    }
}

/// Waits until `redis-cli --cluster check` finds nothing to complain of: nodes tell each other of
/// changes by and by.
///
/// # Panics
/// If that takes too long.
pub fn check(entry: &str) {
    wait_for("the nodes agree", || try_cli(&["check", entry]).is_ok());
}

/// What it wrote, if it failed.
fn try_cli(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(Packaged::current().program("cli"))
        .arg("--cluster")
        .args(arguments)
        .arg("--cluster-yes")
        .output()
        .expect("redis-cli can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && !text.contains("[ERR]") {
        Ok(())
    } else {
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(format!("{}\n{text}\n{errors}", output.status))
    }
}

/// Makes a cluster of `nodes`, of which every master gets one replica, and waits until it serves.
///
/// # Panics
/// If it is not made.
pub fn create(nodes: &[Server]) {
    let addresses: Vec<String> = nodes
        .iter()
        .map(|node| node.address().to_string())
        .collect();
    let mut arguments = vec!["create"];
    arguments.extend(addresses.iter().map(String::as_str));
    arguments.extend(["--cluster-replicas", "1"]);
    cli(&arguments);
    wait_until_whole(nodes);
}

/// Waits until all nodes see all slots served, and each other: by their ids, which a node learns
/// only once it has shaken hands, and no others.
///
/// # Panics
/// If that takes too long.
pub fn wait_until_whole(nodes: &[Server]) {
    let ids: Vec<String> = nodes.iter().map(id).collect();
    for node in nodes {
        let mut client = node.client();
        wait_for("the cluster is whole", || {
            let linked = info(&mut client, "role") == "master"
                || info(&mut client, "master_link_status") == "up";
            let known = ask(&mut client, "CLUSTER NODES");
            let known: Vec<&str> = known.split("\\n").filter(|line| !line.is_empty()).collect();
            let each = |id: &String| known.iter().any(|line| line.starts_with(id.as_str()));
            linked
                && ask(&mut client, "CLUSTER INFO").contains("cluster_state:ok")
                && known.len() == ids.len()
                && ids.iter().all(each)
        });
    }
}

/// Has `node` join the cluster of `entry` as a replica of the master `of`, which may have no slots
/// yet: of such a master the node hears by and by.
///
/// # Panics
/// If it cannot join.
pub fn add_replica(node: &Server, entry: &str, of: &str) {
    cli(&["add-node", &node.address().to_string(), entry]);
    let mut client = node.client();
    wait_for("it knows its master", || {
        ask(&mut client, &format!("CLUSTER REPLICATE {of}")) == "OK"
    });
}

/// A node's id.
pub fn id(node: &Server) -> String {
    ask(&mut node.client(), "CLUSTER MYID")
}

/// The nodes that are masters with slots.
pub fn masters(nodes: &[Server]) -> Vec<&Server> {
    let serves = |node: &&Server| {
        let mut client = node.client();
        info(&mut client, "role") == "master"
            && ask(&mut client, "CLUSTER NODES")
                .split("\\n")
                .any(|line| line.contains("myself") && line.split(' ').count() > 8)
    };
    nodes.iter().filter(serves).collect()
}

/// A client of a cluster, which goes where it is sent.
pub struct ClusterClient {
    entries: Vec<SocketAddr>,
    connections: HashMap<SocketAddr, Client>,
    /// Where keys were found; by their hash tags or whole names.
    places: HashMap<String, SocketAddr>,
    /// Where the last command ran.
    last: SocketAddr,
    /// How often it was sent elsewhere, with MOVED, ASK or TRYAGAIN.
    pub redirects: u64,
}

impl ClusterClient {
    /// A client that knows these nodes to begin with.
    pub fn new(nodes: &[Server]) -> ClusterClient {
        let entries: Vec<SocketAddr> = nodes.iter().map(Server::address).collect();
        ClusterClient {
            last: entries[0],
            entries,
            connections: HashMap::new(),
            places: HashMap::new(),
            redirects: 0,
        }
    }

    fn connection(&mut self, to: SocketAddr) -> io::Result<&mut Client> {
        if let std::collections::hash_map::Entry::Vacant(slot) = self.connections.entry(to) {
            slot.insert(Client::connect(to)?);
        }
        Ok(self.connections.get_mut(&to).expect("just made"))
    }

    fn send(&mut self, to: SocketAddr, asking: bool, words: &[&str]) -> io::Result<Value> {
        let result = self.connection(to).and_then(|client| {
            if asking {
                client.queue(&["ASKING"]);
            }
            client.queue(words);
            client.send()?;
            if asking {
                client.receive()?;
            }
            client.receive()
        });
        if result.is_err() {
            self.connections.remove(&to);
        }
        result
    }

    /// Runs a command whose second word is its key; WAIT goes where the last command went.
    ///
    /// # Errors
    /// Those of the connection once the command is sent: it may have run or not. Any error reply
    /// but redirects is a reply.
    pub fn call(&mut self, words: &[&str]) -> io::Result<Value> {
        if words[0] == "WAIT" {
            return self.send(self.last, false, words);
        }
        let key = words[1];
        let tag = key
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'));
        let place = tag.map_or(key, |(tag, _)| tag).to_owned();
        let mut to = self.places.get(&place).copied().unwrap_or(self.entries[0]);
        let mut asking = false;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let reply = self.send(to, asking, words)?;
            let Value::Error(text) = &reply else {
                self.places
                    .insert(place, if asking { self.entries[0] } else { to });
                self.last = to;
                return Ok(reply);
            };
            let mut parts = text.split(' ');
            let (code, address) = (parts.next().unwrap_or_default(), parts.nth(1));
            asking = code == "ASK";
            match code {
                "MOVED" | "ASK" => {
                    to = address
                        .and_then(|to| to.parse().ok())
                        .ok_or(ErrorKind::InvalidData)?;
                }
                "TRYAGAIN" | "CLUSTERDOWN" => thread::sleep(Duration::from_millis(1)),
                _ => return Ok(reply),
            }
            self.redirects += 1;
        }
        Err(ErrorKind::TimedOut.into())
    }
}
