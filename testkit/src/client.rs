//! A connection to a server: one command at a time, or pipelined.

use crate::resp::{Value, write_command};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a reply may take before a test gives up on the server.
const REPLY_TIMEOUT: Duration = Duration::from_secs(300);

/// A connection that sends RESP commands and reads exact replies.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    unsent: Vec<u8>,
}

impl Client {
    /// Connects to the server at `address`; replies take at most five minutes.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        Ok(Self {
            stream: BufReader::with_capacity(64 << 10, stream),
            unsent: Vec::new(),
        })
    }

    /// The address of this end, by which CLIENT LIST names the connection.
    ///
    /// # Panics
    /// If the socket is gone.
    pub(crate) fn local_address(&self) -> SocketAddr {
        self.stream
            .get_ref()
            .local_addr()
            .expect("a connected socket")
    }

    /// Adds a command to those that the next [`send`](Self::send) sends.
    pub fn queue<A: AsRef<[u8]>>(&mut self, words: &[A]) {
        write_command(&mut self.unsent, words);
    }

    /// Sends all queued commands.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn send(&mut self) -> io::Result<()> {
        let sent = self.stream.get_mut().write_all(&self.unsent);
        self.unsent.clear();
        sent
    }

    /// Reads the next reply.
    ///
    /// # Errors
    /// Those of the socket, a timeout among them, and those of [`Value::read`].
    pub fn receive(&mut self) -> io::Result<Value> {
        Value::read(&mut self.stream)
    }

    /// Reads and forgets what comes, until nothing has come for `quiet`; returns how many bytes
    /// that were.
    ///
    /// # Errors
    /// Those of the socket; `UnexpectedEof` if the server closes it.
    pub fn discard_arrivals(&mut self, quiet: Duration) -> io::Result<usize> {
        self.stream.get_ref().set_read_timeout(Some(quiet))?;
        let mut discarded = 0;
        loop {
            match self.stream.fill_buf() {
                Ok([]) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(bytes) => {
                    let len = bytes.len();
                    self.stream.consume(len);
                    discarded += len;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.stream
            .get_ref()
            .set_read_timeout(Some(REPLY_TIMEOUT))?;
        Ok(discarded)
    }

    /// Reads the RDB file that answers SYNC, and the empty lines before it; commands follow.
    ///
    /// # Errors
    /// Those of the socket; `InvalidData` if something else comes.
    pub fn receive_snapshot(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            let Some(len) = line.strip_prefix('$') else {
                if line.is_empty() {
                    continue;
                }
                return Err(io::Error::new(io::ErrorKind::InvalidData, line.to_owned()));
            };
            let mut file = Vec::new();
            match len.strip_prefix("EOF:") {
                // Sent as it is made: up to a mark of 40 bytes.
                Some(mark) if mark.len() == 40 => {
                    while !file.ends_with(mark.as_bytes()) {
                        let last = mark.as_bytes()[mark.len() - 1];
                        if self.stream.read_until(last, &mut file)? == 0 {
                            return Err(io::ErrorKind::UnexpectedEof.into());
                        }
                    }
                    file.truncate(file.len() - mark.len());
                }
                _ => {
                    let len = len.parse().map_err(io::Error::other)?;
                    file.resize(len, 0);
                    self.stream.read_exact(&mut file)?;
                }
            }
            return Ok(file);
        }
    }

    /// Sends one command (and what is queued before it) and reads one reply.
    ///
    /// # Errors
    /// Those of [`send`](Self::send) and [`receive`](Self::receive). A reply that is an error is
    /// a reply.
    pub fn try_call<A: AsRef<[u8]>>(&mut self, words: &[A]) -> io::Result<Value> {
        self.queue(words);
        self.send()?;
        self.receive()
    }

    /// Sends one command and returns its reply, for tests whose server has no reason to be gone.
    ///
    /// # Panics
    /// If the connection breaks; the message names the command.
    pub fn call<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Value {
        self.try_call(words).unwrap_or_else(|error| {
            let name = words
                .first()
                .map(|word| word.as_ref().escape_ascii().to_string());
            panic!("{}: no reply: {error}", name.unwrap_or_default())
        })
    }

    /// Sends several commands in one write and reads all their replies.
    ///
    /// # Errors
    /// Those of [`send`](Self::send) and [`receive`](Self::receive).
    pub fn pipeline<A: AsRef<[u8]>>(&mut self, commands: &[Vec<A>]) -> io::Result<Vec<Value>> {
        for command in commands {
            self.queue(command);
        }
        self.send()?;
        commands.iter().map(|_| self.receive()).collect()
    }
}
