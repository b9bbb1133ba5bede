//! A connection that knows how many bytes it was sent.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use powercut::program::Told;
use testkit::resp::{Value, write_command};

use super::commands::Command;

/// How long a reply may take.
const REPLY_TIME_MAX: Duration = Duration::from_secs(300);

/// A connection to the server.
pub(super) struct Connection {
    input: Counted,
    port: u16,
}

impl Connection {
    /// Connects, and selects a database.
    pub(super) fn new(address: SocketAddr, db: u8) -> io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_TIME_MAX))?;
        let port = stream.local_addr()?.port();
        let input = Counted {
            stream: BufReader::new(stream),
            bytes: 0,
        };
        let mut connection = Connection { input, port };
        connection.call(&command(&["SELECT", &db.to_string()]))?;
        Ok(connection)
    }

    /// This end's port.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// What acknowledges the next command: all replies before it have been read.
    pub(crate) fn told_next(&self) -> Told {
        Told {
            port: self.port,
            before: self.input.bytes,
        }
    }

    /// Sends commands in one piece.
    pub(super) fn send(&mut self, commands: &[Command]) -> io::Result<()> {
        let mut bytes = Vec::new();
        for words in commands {
            write_command(&mut bytes, words);
        }
        self.input.stream.get_mut().write_all(&bytes)
    }

    /// Reads a reply.
    pub(super) fn receive(&mut self) -> io::Result<Value> {
        Value::read(&mut self.input)
    }

    /// Reads so many replies; gives what the last of them acknowledges with.
    pub(crate) fn receive_last(&mut self, count: usize) -> io::Result<Told> {
        for _ in 1..count {
            self.receive()?;
        }
        let told = self.told_next();
        self.receive()?;
        Ok(told)
    }

    /// Sends a command and reads its reply.
    pub(super) fn call(&mut self, words: &Command) -> io::Result<Value> {
        self.send(std::slice::from_ref(words))?;
        self.receive()
    }
}

/// A command of words that are text.
pub(super) fn command(words: &[&str]) -> Command {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// What is read from a stream, counted.
struct Counted {
    stream: BufReader<TcpStream>,
    bytes: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.stream.read(buffer)?;
        self.bytes += len as u64;
        Ok(len)
    }
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.stream.fill_buf()
    }

    fn consume(&mut self, len: usize) {
        self.stream.consume(len);
        self.bytes += len as u64;
    }
}
