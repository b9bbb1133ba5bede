//! Ports on loopback for servers to listen at.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};

/// A port that nobody listens at, nor 10,000 above, where a cluster's bus has its port.
///
/// # Errors
/// If no socket can be had.
pub fn free_port() -> io::Result<u16> {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        if port < 55_000 && is_free(port + 10_000)? {
            return Ok(port);
        }
    }
}

/// The same for who listens there again after being down, or never: both ports are below those that
/// the kernel gives to whoever asks for any.
///
/// # Errors
/// If no socket can be had.
pub fn kept_port() -> io::Result<u16> {
    loop {
        let port = fastrand::u16(11_000..21_000);
        if is_free(port)? && is_free(port + 10_000)? {
            return Ok(port);
        }
    }
}

fn is_free(port: u16) -> io::Result<bool> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Err(error) if error.kind() != ErrorKind::AddrInUse => Err(error),
        bound => Ok(bound.is_ok()),
    }
}
