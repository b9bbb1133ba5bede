//! Another server, spoken to as MIGRATE does: all commands at once, then their replies.

use crate::error::CmdError;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// A connection on which each step takes as long as the timeout at most.
pub(super) struct Peer {
    stream: TcpStream,
    /// Commands that are still to be sent.
    commands: Vec<u8>,
}

const NO_CONNECTION: CmdError =
    CmdError::text_only("IOERR error or timeout connecting to the client");
const NOT_WRITTEN: CmdError =
    CmdError::text_only("IOERR error or timeout writing to target instance");
const NOT_READ: CmdError = CmdError::text_only("IOERR error or timeout reading to target instance");

/// The longest reply's line; what is longer is cut.
const LINE_MAX: u64 = 1024;

impl Peer {
    /// Connects.
    ///
    /// # Errors
    /// `IOERR`, as MIGRATE has it.
    pub(super) fn connect(host: &str, port: u16, timeout: Duration) -> Result<Peer, CmdError> {
        let addresses = (host, port).to_socket_addrs();
        let mut addresses = addresses.map_err(|_| NO_CONNECTION)?;
        let stream = addresses.find_map(|to| TcpStream::connect_timeout(&to, timeout).ok());
        let stream = stream.ok_or(NO_CONNECTION)?;
        let set = stream
            .set_read_timeout(Some(timeout))
            .and_then(|()| stream.set_write_timeout(Some(timeout)))
            .and_then(|()| stream.set_nodelay(true));
        set.map_err(|_| NO_CONNECTION)?;
        Ok(Peer {
            stream,
            commands: Vec::new(),
        })
    }

    /// Adds a command to those that are sent.
    pub(super) fn add(&mut self, words: &[&[u8]]) {
        self.commands
            .extend(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            self.commands
                .extend(format!("${}\r\n", word.len()).as_bytes());
            self.commands.extend(*word);
            self.commands.extend(b"\r\n");
        }
    }

    /// Sends all commands.
    ///
    /// # Errors
    /// `IOERR`.
    pub(super) fn send(mut self) -> Result<Replies, CmdError> {
        let written = self.stream.write_all(&self.commands);
        written.map_err(|_| NOT_WRITTEN)?;
        Ok(Replies(BufReader::new(self.stream)))
    }
}

/// Replies of one line each, in the order of the commands.
pub(super) struct Replies(BufReader<TcpStream>);

impl Replies {
    /// The next reply: what the other server says if it is an error.
    ///
    /// # Errors
    /// `IOERR`: none has come.
    pub(super) fn receive(&mut self) -> Result<Result<(), String>, CmdError> {
        let mut line = Vec::new();
        let read = (&mut self.0).take(LINE_MAX).read_until(b'\n', &mut line);
        match read {
            Ok(1..) if line.ends_with(b"\n") => {}
            _ => return Err(NOT_READ),
        }
        Ok(match line.strip_prefix(b"-") {
            Some(error) => Err(String::from_utf8_lossy(error).trim_end().to_owned()),
            None => Ok(()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    const SOON: Duration = Duration::from_millis(200);

    #[test]
    fn commands_are_sent_at_once_and_each_reply_is_told() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let other = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut got = [0; 43];
            stream.read_exact(&mut got).unwrap();
            stream.write_all(b"+OK\r\n-ERR no\r\n").unwrap();
            got
        });
        let mut peer = Peer::connect("127.0.0.1", port, Duration::from_secs(60)).unwrap();
        peer.add(&[b"SELECT", b"1"]);
        peer.add(&[b"DEL", b"k"]);
        let mut replies = peer.send().unwrap();
        assert_eq!(replies.receive(), Ok(Ok(())));
        assert_eq!(replies.receive(), Ok(Err("ERR no".to_owned())));
        let expected = b"*2\r\n$6\r\nSELECT\r\n$1\r\n1\r\n*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n";
        assert_eq!(other.join().unwrap(), *expected);
        assert_eq!(replies.receive(), Err(NOT_READ), "the other side is gone");
    }

    #[test]
    fn nobody_there_and_nobody_answering_are_errors() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut silent = Peer::connect("127.0.0.1", port, SOON).unwrap();
        silent.add(&[b"PING"]);
        assert_eq!(silent.send().unwrap().receive(), Err(NOT_READ));
        drop(listener);
        let gone = Peer::connect("127.0.0.1", port, SOON);
        assert_eq!(gone.err(), Some(NO_CONNECTION));
    }
}
