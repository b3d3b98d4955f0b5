//! The FTP client's side of the demo: connects when told to, and says what came of it.
//!
//! It talks to the server's side over its standard input and output, a line of JSON a time.

use std::fmt;
use std::io::{self, BufRead as _, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use super::must;
use crate::exit::ExitStatus;

/// How long to wait for an answer that a firewall is expected to drop: the two sides are on one machine, so that this
/// is long enough.
const BRIEF: Duration = Duration::from_millis(200);

/// How long to wait for one that is expected, however busy the machine is: the kernel sends again after a second.
const PATIENT: Duration = Duration::from_secs(5);

/// What the listeners send to whoever gets through to them.
pub(super) const GREETING: &[u8] = b"150 here comes the directory listing\r\n";

/// What the client is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Set up the interface, by these arguments of `ip`.
    Configure(Vec<String>),
    /// Try to connect, to all at once.
    Connect(Vec<Attempt>),
}

/// A connection to try.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// The client's address.
    pub from: IpAddr,
    /// The server's address and port.
    pub to: SocketAddr,
    /// What is expected of it.
    pub expected: Contact,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Contact {
    /// Connected, and data came through.
    Connected,
    /// No answer: a firewall drops the packets.
    Silence,
    /// Refused.
    Refused,
}

impl fmt::Display for Contact {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Connected => "connected",
            Self::Silence => "no answer",
            Self::Refused => "refused",
        })
    }
}

/// Runs the client's side until the server's side hangs up.
pub(super) fn run() -> anyhow::Result<ExitStatus> {
    let mut stdout = io::stdout().lock();
    // The first line says that this process is in its own namespace now.
    writeln!(stdout, "[]")?;
    for line in io::stdin().lock().lines() {
        let answers = match serde_json::from_str(&line?)? {
            Order::Configure(commands) => {
                for command in commands {
                    must("ip", &command)?;
                }
                Vec::new()
            }
            Order::Connect(attempts) => connect_all(&attempts),
        };
        writeln!(stdout, "{}", serde_json::to_string(&answers)?)?;
    }
    Ok(ExitStatus::Success)
}

fn connect_all(attempts: &[Attempt]) -> Vec<Contact> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = attempts
            .iter()
            .map(|attempt| scope.spawn(|| connect(*attempt)))
            .collect();
        threads
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(Ok(())) => Contact::Connected,
                Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Contact::Refused,
                _ => Contact::Silence,
            })
            .collect()
    })
}

/// Connects from one address to another, and waits for the greeting.
fn connect(attempt: Attempt) -> io::Result<()> {
    let family = match attempt.to {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // The time limit for sending is the one for connecting, too.
    let limit = match attempt.expected {
        Contact::Silence => BRIEF,
        Contact::Connected | Contact::Refused => PATIENT,
    };
    set_socket_timeout(&socket, Timeout::Send, Some(limit))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(limit))?;
    rustix::net::bind(&socket, &SocketAddr::new(attempt.from, 0))?;
    rustix::net::connect(&socket, &attempt.to)?;
    let mut greeting = vec![0; GREETING.len()];
    TcpStream::from(socket).read_exact(&mut greeting)
}
