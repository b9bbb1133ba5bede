//! Clients that change keys of all types as fast as they can, for tests that need something to go
//! on meanwhile.

use crate::client::Client;
use fastrand::Rng;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

/// Commands that a client sends at once.
const BATCH: usize = 32;
/// Names of each type.
const NAMES: u64 = 40;

/// Clients at work, until they are [`stop`](Load::stop)ped.
pub struct Load {
    ends: Arc<AtomicBool>,
    commands: Arc<AtomicU64>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts so many clients; each has had its first replies when this returns.
    ///
    /// # Panics
    /// If the server is not there, or answers one of them with an error.
    pub fn start(address: SocketAddr, clients: u64, seed: u64) -> Load {
        let ends = Arc::new(AtomicBool::new(false));
        let commands = Arc::new(AtomicU64::new(0));
        let (begun, at_work) = mpsc::channel();
        let client = |n| {
            let (ends, commands) = (ends.clone(), commands.clone());
            let mut client = Client::connect(address).expect("a connection");
            let mut rng = Rng::with_seed(seed ^ (n << 32));
            let mut begun = Some(begun.clone());
            thread::spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    let batch: Vec<_> = (0..BATCH).map(|_| command(&mut rng)).collect();
                    for reply in client.pipeline(&batch).expect("replies") {
                        assert!(!reply.is_error(), "{reply:?} to one of {batch:?}");
                    }
                    commands.fetch_add(BATCH as u64, Ordering::Relaxed);
                    if let Some(begun) = begun.take() {
                        begun
                            .send(())
                            .expect("who starts the clients waits for them");
                    }
                }
            })
        };
        let clients: Vec<_> = (0..clients).map(client).collect();
        drop(begun);
        for _ in &clients {
            at_work.recv().expect("a client's first replies");
        }
        Load {
            ends,
            commands,
            clients,
        }
    }

    /// Commands answered so far.
    pub fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }

    /// Ends the clients; how many commands they had answers to.
    ///
    /// # Panics
    /// If one of them met an error.
    pub fn stop(self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("a client's end");
        }
        self.commands.load(Ordering::Relaxed)
    }
}

/// A change of some key: small and large ones, growing and shrinking, new and gone.
pub fn command(rng: &mut Rng) -> Vec<String> {
    let n = rng.u64(..NAMES);
    let word = |rng: &mut Rng| format!("w{}", rng.u32(..500));
    let bytes = |rng: &mut Rng| {
        let len = [5, 60, 900, 20_000][rng.usize(..4)];
        String::from(rng.alphabetic()).repeat(len)
    };
    let words = |words: &[&str]| {
        words
            .iter()
            .map(|word| word.to_string())
            .collect::<Vec<_>>()
    };
    let (name, rest) = match rng.u8(..24) {
        0 => ("INCR n", vec![]),
        1 => ("SET s", vec![bytes(rng)]),
        2 => ("APPEND s", vec![word(rng)]),
        3 => ("SETRANGE s", vec!["100".to_owned(), word(rng)]),
        4 | 5 => ("RPUSH l", vec![word(rng), bytes(rng), word(rng)]),
        6 => ("LPUSH l", vec![word(rng)]),
        7 => ("LPOP l", words(&["3"])),
        8 => ("LTRIM l", words(&["-300", "-1"])),
        9 | 10 => ("HSET h", vec![word(rng), bytes(rng)]),
        11 => ("HDEL h", vec![word(rng), word(rng)]),
        12 => ("HINCRBY h", words(&["count", "7"])),
        13 | 14 => (
            "SADD x",
            vec![word(rng), word(rng), rng.u32(..900).to_string()],
        ),
        15 => ("SREM x", vec![word(rng)]),
        16 => ("SPOP x", words(&["2"])),
        17 | 18 => ("ZADD z", vec![rng.u32(..999).to_string(), word(rng)]),
        19 => ("ZINCRBY z", vec!["0.5".to_owned(), word(rng)]),
        20 => ("ZREM z", vec![word(rng), word(rng)]),
        21 => ("ZPOPMAX z", vec![]),
        22 => {
            let ty = ["n", "s", "l", "h", "x", "z"][rng.usize(..6)];
            return words(&["PM.DEL", &format!("{ty}:{n}")]);
        }
        _ => {
            let ty = ["s", "l", "h", "x", "z"][rng.usize(..5)];
            let to = format!("{ty}:{}", (n + rng.u64(1..NAMES)) % NAMES);
            return words(&["PM.COPY", &format!("{ty}:{n}"), &to, "REPLACE"]);
        }
    };
    let (command, ty) = name.split_once(' ').expect("a command and a type");
    [vec![format!("PM.{command}"), format!("{ty}:{n}")], rest].concat()
}
