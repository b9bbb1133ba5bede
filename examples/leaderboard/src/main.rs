//! A leaderboard with the crate `redis`: no accepted score is lost, and ranks are exact.
//!
//! ```text
//! REDIS_URL=redis://127.0.0.1:6379 cargo run --manifest-path examples/leaderboard/Cargo.toml
//! ```
//!
//! Prints a line for every hundred games, and at the end the top three.

use redis::{Client, Commands, Connection, RedisResult};
use std::collections::BTreeMap;
use std::env;
use std::thread::sleep;
use std::time::Duration;

const BOARD: &str = "board";
const PLAYERS: u64 = 50;

/// A connection that is restored when its server comes back.
struct Server {
    client: Client,
    connection: Option<Connection>,
}

impl Server {
    /// Sends a command until the server has taken it: only for commands that may run twice.
    fn ask<T>(&mut self, mut command: impl FnMut(&mut Connection) -> RedisResult<T>) -> T {
        loop {
            match self.connection.take().map_or_else(|| self.client.get_connection(), Ok) {
                Ok(mut connection) => match command(&mut connection) {
                    Ok(reply) => {
                        self.connection = Some(connection);
                        return reply;
                    }
                    Err(error) if error.is_io_error() => {}
                    Err(error) => panic!("{error}"),
                },
                Err(_) => sleep(Duration::from_millis(50)),
            }
        }
    }
}

fn main() {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".into());
    let games: u64 = env::var("GAMES").map_or(1000, |games| games.parse().expect("a number"));
    let mut server = Server {
        client: Client::open(url).expect("the address of a server"),
        connection: None,
    };
    let mut scores = BTreeMap::new();
    for game in 0..games {
        let player = format!("player-{:02}", game * 31 % PLAYERS);
        let score: &mut u64 = scores.entry(player.clone()).or_default();
        *score += game * 7919 % 100;
        // The total, not the increment: GT makes it harmless to send it twice.
        let total = *score;
        server.ask(|connection| {
            redis::cmd("ZADD")
                .arg(BOARD)
                .arg("GT")
                .arg(total)
                .arg(&player)
                .exec(connection)
        });
        if game % 100 == 99 {
            println!("played {}", game + 1);
        }
    }
    let mut expected: Vec<(String, u64)> = scores.into_iter().collect();
    expected.sort_by_key(|(player, score)| std::cmp::Reverse((*score, player.clone())));
    let board: Vec<(String, u64)> =
        server.ask(|connection| connection.zrevrange_withscores(BOARD, 0, -1));
    assert_eq!(board, expected, "the board is another one");
    for (player, score) in board.iter().take(3) {
        println!("{player}: {score}");
    }
    println!("all {} scores are as they were accepted", board.len());
}
