//! How commands reach a server, and when it answers them: Redis sends replies at several places of
//! its event loop, and at each of them what they tell must be durable.

use std::io;

use powercut::program::ProgramRecorder;
use testkit::server::Server;

use super::commands::{Command, Way};
use super::connection::{Connection, command};

/// Bytes of a reply that keeps a connection busy: a few of them are sent in one event-loop cycle.
const ECHO_BYTES: usize = 16 << 10;

/// One who sends, and one who sees to the circumstances.
pub(super) struct Driver<'a> {
    /// The server.
    pub server: &'a Server,
    /// It is being recorded.
    pub recorder: &'a mut ProgramRecorder,
    /// Sends the commands.
    pub connection: &'a mut Connection,
    /// Another connection.
    pub observer: &'a mut Connection,
}

impl Driver<'_> {
    /// Sends commands and reads their replies, of which the last acknowledges all.
    ///
    /// # Errors
    /// Those of the connections.
    pub(super) fn tell(&mut self, way: Way, sent: &[Command]) -> io::Result<()> {
        match way {
            Way::Plain => self.tell_now(sent),
            Way::Stalled => self.tell_stalled(sent),
            Way::Paused => self.tell_paused(sent),
            Way::Unblocked => self.tell_unblocked(sent),
        }
    }

    fn tell_now(&mut self, sent: &[Command]) -> io::Result<()> {
        let connection = &mut *self.connection;
        self.recorder.conversation(|| {
            connection.send(sent)?;
            connection.receive_last(sent.len())
        })
    }

    /// The server gets the commands in the same event-loop cycle in which it can go on sending.
    fn tell_stalled(&mut self, sent: &[Command]) -> io::Result<()> {
        let echo = [command(&["ECHO", &"x".repeat(ECHO_BYTES)])];
        let reply_bytes = (ECHO_BYTES + format!("${ECHO_BYTES}\r\n\r\n").len()) as u64;
        let mut owed = 0;
        let arrived = loop {
            // The first answer may be of the event-loop cycle that ends with sending.
            while !(self.has_unsent()? && self.has_unsent()?) {
                self.connection.send(&echo)?;
                owed += 1;
            }
            self.server.pause();
            let sent = self.recorder.sent_to(self.connection.port())?;
            let on_the_way = sent - self.connection.told_next().before;
            if on_the_way < owed * reply_bytes {
                break on_the_way / reply_bytes;
            }
            // It has found room for it after all.
            self.server.resume();
        };
        for _ in 0..arrived {
            self.connection.receive()?;
        }
        let (server, connection) = (self.server, &mut *self.connection);
        self.recorder.conversation(|| {
            connection.send(sent)?;
            server.resume();
            connection.receive_last((owed - arrived) as usize + sent.len())
        })
    }

    /// Whether the server has something that the connection does not take.
    fn has_unsent(&mut self) -> io::Result<bool> {
        let clients = self.observer.call(&command(&["CLIENT", "LIST"]))?;
        let clients = String::from_utf8_lossy(clients.bytes().unwrap_or_default()).into_owned();
        let address = format!(":{} ", self.connection.port());
        let line = clients.lines().find(|line| line.contains(&address));
        let line = line.ok_or_else(|| io::Error::other("the server does not know us"))?;
        Ok(!(line.contains(" obl=0 ") && line.contains(" oll=0 ")))
    }

    /// The server runs the commands when it goes on, in the order in which they came.
    fn tell_paused(&mut self, sent: &[Command]) -> io::Result<()> {
        let (connection, observer) = (&mut *self.connection, &mut *self.observer);
        observer.call(&command(&["CLIENT", "PAUSE", "60000", "WRITE"]))?;
        self.recorder.conversation(|| {
            connection.send(sent)?;
            // Once this is answered, the server has seen the others.
            observer.call(&command(&["PING"]))?;
            observer.call(&command(&["CLIENT", "UNPAUSE"]))?;
            connection.receive_last(sent.len())
        })
    }

    /// The server runs the commands when the one before them is served, by a push of another
    /// client.
    fn tell_unblocked(&mut self, sent: &[Command]) -> io::Result<()> {
        const LIST: &str = "a native list";
        let (connection, observer) = (&mut *self.connection, &mut *self.observer);
        let mut pipeline = vec![command(&["BLPOP", LIST, "0"])];
        pipeline.extend_from_slice(sent);
        self.recorder.conversation(|| {
            connection.send(&pipeline)?;
            // Once this is answered, the server has seen the others.
            observer.call(&command(&["PING"]))?;
            observer.call(&command(&["LPUSH", LIST, "element"]))?;
            connection.receive_last(pipeline.len())
        })
    }
}
