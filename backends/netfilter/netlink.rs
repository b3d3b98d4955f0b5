//! The netlink sockets: requests, dumps and batches, with the kernel's answers as typed errors.

use std::io;
use std::time::Duration;

use netlink_sys::{Socket as RawSocket, SocketAddr, protocols};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::attributes::Attributes;
use crate::error::{Error, ErrorKind, Result};

/// The kernel sends dumps in pieces as large as the largest receive so far, at most 32 KiB; a rule larger than the
/// piece is silently left out (`netlink_dump`, `max_recvmsg_len`).
const RECEIVE: usize = 64 * 1024;
/// How long the kernel may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// `struct nlmsghdr`.
const MESSAGE_HEADER: usize = 16;
/// `struct nfgenmsg`.
const NETFILTER_HEADER: usize = 4;

// Message types and flags of linux/netlink.h.
const MESSAGE_ERROR: u16 = 2; // NLMSG_ERROR
const MESSAGE_DONE: u16 = 3; // NLMSG_DONE
pub(super) const FLAG_REQUEST: u16 = 0x1; // NLM_F_REQUEST
pub(super) const FLAG_ACK: u16 = 0x4; // NLM_F_ACK
const FLAG_DUMP_INTERRUPTED: u16 = 0x10; // NLM_F_DUMP_INTR
const FLAG_DUMP: u16 = 0x300; // NLM_F_DUMP
const FLAG_CAPPED: u16 = 0x100; // NLM_F_CAPPED
const FLAG_ACK_ATTRIBUTES: u16 = 0x200; // NLM_F_ACK_TLVS
const ERROR_ATTRIBUTE_MESSAGE: u16 = 1; // NLMSGERR_ATTR_MSG

// recv(2) flags.
const RECEIVE_TRUNCATED: i32 = 0x20; // MSG_TRUNC
const RECEIVE_NO_WAIT: i32 = 0x40; // MSG_DONTWAIT

/// The subsystem of `nf_tables` in a message type (`NFNL_SUBSYS_NFTABLES << 8`).
pub(super) const SUBSYSTEM: u16 = 10 << 8;
const GET_GENERATION: u16 = 16; // NFT_MSG_GETGEN
const GENERATION_ID: u16 = 1; // NFTA_GEN_ID

// Errors that mean something special here.
const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EINTR: i32 = 4;
const EAGAIN: i32 = 11;
const EINVAL: i32 = 22;
const EACCES: i32 = 13;
const ERESTART: i32 = 85;
const EPROTONOSUPPORT: i32 = 93;
const EOPNOTSUPP: i32 = 95;
const EAFNOSUPPORT: i32 = 97;

/// What answers the reader: the kernel, or what it once said.
pub(super) trait Dump {
    /// Dumps objects; `each` gets the family and the attributes of every one.
    fn dump(
        &mut self,
        message: u16,
        family: u8,
        request: &[u8],
        each: impl FnMut(u8, &[u8]),
    ) -> Result<()>;
}

/// A socket that talks to `nf_tables`.
#[derive(Debug)]
pub struct Socket {
    channel: Channel,
}

impl Socket {
    /// Opens a socket to the kernel's `nf_tables`, and makes its dumps come in large pieces.
    ///
    /// # Errors
    ///
    /// `Permission` without `CAP_NET_ADMIN`, `Unsupported` without `nf_tables`.
    pub fn open() -> Result<Self> {
        let mut socket = Self {
            channel: Channel::open(protocols::NETLINK_NETFILTER)?,
        };
        // The first receive decides how large the pieces of a dump may be.
        socket.generation()?;
        Ok(socket)
    }

    /// A socket whose dumps come in small pieces of one page, for a look at the start of a large set.
    pub(super) fn open_small() -> Result<Self> {
        let channel = Channel::open_small()?;
        Ok(Self { channel })
    }

    /// The generation id, which every committed change of a ruleset raises.
    ///
    /// # Errors
    ///
    /// As for [`Socket::open`].
    pub fn generation(&mut self) -> Result<u32> {
        let message_type = SUBSYSTEM | GET_GENERATION;
        self.channel
            .request(message_type, FLAG_REQUEST, &netfilter_header(0))?;
        let mut generation = None;
        self.channel.receive(0)?;
        for message in messages(&self.channel.buffer) {
            // A kernel without nf_tables does not know the subsystem.
            message.failure().map_err(|failure| match failure.number {
                EINVAL | EOPNOTSUPP => unsupported(failure.system()),
                _ => failure.plain(),
            })?;
            generation = Attributes::new(message.attributes()).number(GENERATION_ID);
        }
        generation.ok_or_else(|| Error::new(ErrorKind::Protocol, "nf_tables sent no generation id"))
    }

    /// Dumps at most so many pieces; says whether that was all. If not, the socket cannot be used any more.
    pub(super) fn dump_pieces(
        &mut self,
        pieces: usize,
        message: u16,
        family: u8,
        request: &[u8],
        mut each: impl FnMut(u8, &[u8]),
    ) -> Result<bool> {
        let mut body = netfilter_header(family).to_vec();
        body.extend_from_slice(request);
        let flags = FLAG_REQUEST | FLAG_DUMP;
        self.channel.request(SUBSYSTEM | message, flags, &body)?;
        self.channel.collect(pieces, |message| {
            each(message.family(), message.attributes());
        })
    }

    /// Asks for objects one by one; says how many of them are there.
    pub(super) fn found(&mut self, message: u16, family: u8, requests: &[Vec<u8>]) -> Result<u32> {
        let requests = requests.iter().map(|request| {
            let mut body = netfilter_header(family).to_vec();
            body.extend_from_slice(request);
            body
        });
        let requests: Vec<Vec<u8>> = requests.collect();
        let kind = SUBSYSTEM | message;
        let found = found(&mut self.channel, (kind, FLAG_REQUEST), &requests, ENOENT)?;
        let found = found.iter().filter(|found| **found).count();
        Ok(found as u32)
    }

    /// Sends a batch, as `nftables::batch` encodes it, and collects the kernel's answers.
    ///
    /// The kernel takes all of a batch or nothing.
    ///
    /// # Errors
    ///
    /// `Changed` when the ruleset is no longer of the batch's generation; `Refused` with the number of the message that
    /// the kernel does not accept; `Permission`.
    pub fn send_batch(&mut self, batch: &[u8]) -> Result<()> {
        let first = messages(batch).next().map(|message| message.sequence);
        let first = first.unwrap_or_default();
        self.channel.send(batch)?;
        // The kernel has worked through the whole batch when the send returns, so every answer is there.
        let mut outcome = Ok(());
        let mut answered = false;
        while self.channel.receive_more()? {
            for message in messages(&self.channel.buffer) {
                answered = true;
                if let Err(failure) = message.failure() {
                    let index = message.sequence.wrapping_sub(first);
                    outcome = outcome.and(Err(failure.in_batch(index)));
                }
            }
        }
        // Between the messages that begin and end a batch each asks for an answer.
        if !answered && messages(batch).count() > 2 {
            return Err(Error::new(
                ErrorKind::Protocol,
                "nf_tables did not answer to a batch",
            ));
        }
        outcome
    }
}

impl Dump for Socket {
    fn dump(
        &mut self,
        message: u16,
        family: u8,
        request: &[u8],
        each: impl FnMut(u8, &[u8]),
    ) -> Result<()> {
        self.dump_pieces(usize::MAX, message, family, request, each)?;
        Ok(())
    }
}

/// Sends a request of another subsystem and waits for its answer; the answer's error number where it is one.
pub(super) fn request(
    channel: &mut Channel,
    message: u16,
    flags: u16,
    body: &[u8],
) -> Result<std::result::Result<(), io::Error>> {
    channel.request(message, FLAG_REQUEST | FLAG_ACK | flags, body)?;
    channel.receive(0)?;
    let mut answers = messages(&channel.buffer).map(|answer| answer.failure());
    Ok(answers
        .find_map(std::result::Result::err)
        .map_or(Ok(()), |failure| Err(failure.system())))
}

/// Asks for objects one by one, each with one answer; says for each whether it is there, which the number of an error
/// denies.
pub(super) fn found(
    channel: &mut Channel,
    (message, flags): (u16, u16),
    requests: &[Vec<u8>],
    absent: i32,
) -> Result<Vec<bool>> {
    /// More answers at once would not fit the socket's buffer.
    const AT_ONCE: usize = 16;
    let mut found = Vec::with_capacity(requests.len());
    for several in requests.chunks(AT_ONCE) {
        for body in several {
            channel.request(message, flags, body)?;
        }
        let all = found.len() + several.len();
        while found.len() < all {
            channel.receive(0)?;
            for answer in messages(&channel.buffer) {
                found.push(match answer.failure() {
                    Ok(()) => true,
                    Err(failure) if failure.number == absent => false,
                    Err(failure) => return Err(failure.plain()),
                });
            }
        }
    }
    Ok(found)
}

/// Dumps at most so many pieces of another subsystem; `each` gets the attributes of every message. Says whether that was
/// all; if not, the channel cannot be used any more.
pub(super) fn dump_of(
    channel: &mut Channel,
    pieces: usize,
    message: u16,
    request: &[u8],
    mut each: impl FnMut(&[u8]),
) -> Result<bool> {
    channel.request(message, FLAG_REQUEST | FLAG_DUMP, request)?;
    channel.collect(pieces, |message| each(message.attributes()))
}

/// A dump over a socket of that netlink protocol (`NETLINK_SOCK_DIAG` and others); `each` gets the body of every message.
///
/// # Errors
/// When the socket cannot be opened, or the kernel refuses; the system's own error is behind it.
pub fn dump(protocol: isize, message: u16, request: &[u8], each: impl FnMut(&[u8])) -> Result<()> {
    dump_route(&mut Channel::open(protocol)?, message, request, each)
}

/// A dump over a routing socket (`NETLINK_ROUTE`); `each` gets the body of every message.
pub(super) fn dump_route(
    channel: &mut Channel,
    message: u16,
    request: &[u8],
    mut each: impl FnMut(&[u8]),
) -> Result<()> {
    channel.request(message, FLAG_REQUEST | FLAG_DUMP, request)?;
    channel.collect(usize::MAX, |message| each(message.body))?;
    Ok(())
}

/// A bound netlink socket with its receive buffer.
pub(super) struct Channel {
    socket: RawSocket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Channel")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

impl Channel {
    /// Opens and binds a socket of that netlink protocol.
    pub(super) fn open(protocol: isize) -> Result<Self> {
        let mut socket = RawSocket::new(protocol).map_err(|error| system_error(error, "socket"))?;
        socket
            .bind(&SocketAddr::new(0, 0))
            .map_err(|error| system_error(error, "bind"))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE)).map_err(io::Error::from)?;
        // Without these an error carries the whole request, and no words.
        socket.set_cap_ack(true)?;
        socket.set_ext_ack(true)?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: Vec::with_capacity(RECEIVE),
        })
    }

    /// A channel to netfilter whose dumps come in small pieces of one page.
    pub(super) fn open_small() -> Result<Self> {
        let mut channel = Self::open(protocols::NETLINK_NETFILTER)?;
        channel.buffer = Vec::with_capacity(4096);
        Ok(channel)
    }

    /// Sends one message.
    pub(super) fn request(&mut self, message_type: u16, flags: u16, body: &[u8]) -> Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = u32::try_from(MESSAGE_HEADER + body.len()).unwrap_or(u32::MAX);
        let mut message = Vec::with_capacity(MESSAGE_HEADER + body.len());
        message.extend_from_slice(&length.to_ne_bytes());
        message.extend_from_slice(&message_type.to_ne_bytes());
        message.extend_from_slice(&flags.to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&0_u32.to_ne_bytes());
        message.extend_from_slice(body);
        self.send(&message)
    }

    /// Sends bytes to the kernel.
    fn send(&self, bytes: &[u8]) -> Result<()> {
        loop {
            match self.socket.send_to(bytes, &SocketAddr::new(0, 0), 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.raw_os_error() == Some(EINTR) => {}
                Err(error) => return Err(system_error(error, "send")),
            }
        }
    }

    /// Receives one datagram into the buffer.
    fn receive(&mut self, flags: i32) -> Result<()> {
        loop {
            self.buffer.clear();
            let capacity = self.buffer.capacity();
            match self
                .socket
                .recv(&mut self.buffer, flags | RECEIVE_TRUNCATED)
            {
                Ok(length) if length > capacity => {
                    return Err(Error::new(
                        ErrorKind::Protocol,
                        format!("netlink: a message of {length} bytes does not fit {capacity}"),
                    ));
                }
                Ok(_) => return Ok(()),
                Err(error) if error.raw_os_error() == Some(EINTR) => {}
                Err(error) => return Err(system_error(error, "receive")),
            }
        }
    }

    /// Receives what is there already; false when nothing is.
    fn receive_more(&mut self) -> Result<bool> {
        match self.receive(RECEIVE_NO_WAIT) {
            Ok(()) => Ok(true),
            Err(error) if would_block(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Receives the answers to a dump to its end, or to so many pieces; says whether the end was seen.
    pub(super) fn collect(
        &mut self,
        pieces: usize,
        mut each: impl FnMut(&Message<'_>),
    ) -> Result<bool> {
        let mut interrupted = false;
        // The end comes in a piece of its own.
        for _ in 0..pieces.saturating_add(1) {
            self.receive(0)?;
            for message in messages(&self.buffer) {
                if message.sequence != self.sequence {
                    continue;
                }
                interrupted |= message.flags & FLAG_DUMP_INTERRUPTED != 0;
                message.check()?;
                match message.kind {
                    MESSAGE_DONE if interrupted => return Err(changed()),
                    MESSAGE_DONE => return Ok(true),
                    MESSAGE_ERROR => {}
                    _ => each(&message),
                }
            }
        }
        Ok(false)
    }
}

/// The error of a dump that a change of the ruleset ran into.
pub(super) fn changed() -> Error {
    Error::new(ErrorKind::Changed, "the ruleset changed while it was read")
}

/// One message of a datagram.
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    flags: u16,
    sequence: u32,
    pub(super) body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The family in `struct nfgenmsg`.
    pub(super) fn family(&self) -> u8 {
        self.body.first().copied().unwrap_or_default()
    }

    /// The attributes behind `struct nfgenmsg`.
    pub(super) fn attributes(&self) -> &'a [u8] {
        self.body.get(NETFILTER_HEADER..).unwrap_or_default()
    }

    /// The error that the message carries, if it does.
    fn failure(&self) -> std::result::Result<(), Failure> {
        if self.kind != MESSAGE_ERROR && self.kind != MESSAGE_DONE {
            return Ok(());
        }
        let number = self
            .body
            .first_chunk()
            .map_or(0, |bytes| i32::from_ne_bytes(*bytes));
        if number == 0 {
            return Ok(());
        }
        Err(Failure {
            number: number.saturating_neg(),
            words: self.words(),
        })
    }

    /// The kernel's own words behind an error (`NLMSGERR_ATTR_MSG`).
    fn words(&self) -> Option<String> {
        if self.flags & FLAG_ACK_ATTRIBUTES == 0 || self.kind != MESSAGE_ERROR {
            return None;
        }
        let request = self.body.get(4..)?;
        let length = if self.flags & FLAG_CAPPED == 0 {
            u32::from_ne_bytes(*request.first_chunk()?) as usize
        } else {
            MESSAGE_HEADER
        };
        let attributes = request.get(length.next_multiple_of(4)..)?;
        Attributes::new(attributes).text(ERROR_ATTRIBUTE_MESSAGE)
    }

    /// The error that the message carries, for a reader.
    pub(super) fn check(&self) -> Result<()> {
        self.failure().map_err(|failure| failure.plain())
    }
}

/// The messages of a datagram, up to the first malformed one.
pub(super) fn messages(buffer: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = buffer;
    std::iter::from_fn(move || {
        // struct nlmsghdr: length, type, flags, sequence number, port.
        let length = u32::from_ne_bytes(*rest.first_chunk()?) as usize;
        let short = |offset: usize| Some(u16::from_ne_bytes(*rest.get(offset..)?.first_chunk()?));
        let message = Message {
            kind: short(4)?,
            flags: short(6)?,
            sequence: u32::from_ne_bytes(*rest.get(8..)?.first_chunk()?),
            body: rest.get(MESSAGE_HEADER..length)?,
        };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// An error number with the kernel's words.
struct Failure {
    number: i32,
    words: Option<String>,
}

impl Failure {
    /// The system's own error.
    fn system(&self) -> io::Error {
        io::Error::from_raw_os_error(self.number)
    }

    /// The error of a reading request.
    fn plain(&self) -> Error {
        match self.number {
            EPERM | EACCES => permission(self.system()),
            EINTR | EAGAIN | ERESTART => changed(),
            _ => Error::new(
                ErrorKind::Refused,
                format!("the kernel refuses to list the firewall: {}", self.text()),
            )
            .with_source(self.system()),
        }
    }

    /// The error of a message in a batch; number 0 is the batch's beginning.
    fn in_batch(&self, index: u32) -> Error {
        let text = self.text();
        match (self.number, index) {
            (ERESTART, _) => {
                Error::new(ErrorKind::Changed, "the ruleset changed since it was read")
            }
            (EPERM | EACCES, 0) => permission(self.system()),
            // The kernel lets nobody but the owner touch a table with the flag `owner` (`nft_table_lookup`).
            (EPERM, index) => Error::new(
                ErrorKind::NotOurs,
                format!("nf_tables refuses message {index} of the batch: {text}"),
            )
            .with_hint("a running program owns the table (flag owner); use that program")
            .with_source(self.system()),
            (_, index) => Error::new(
                ErrorKind::Refused,
                format!("nf_tables refuses message {index} of the batch: {text}"),
            )
            .with_source(self.system()),
        }
    }

    /// The system's words, and the kernel's if there are any.
    fn text(&self) -> String {
        match &self.words {
            Some(words) => format!("{}: {words}", self.system()),
            None => self.system().to_string(),
        }
    }
}

/// `struct nfgenmsg` of a request.
pub(super) fn netfilter_header(family: u8) -> [u8; NETFILTER_HEADER] {
    [family, 0, 0, 0]
}

/// An error of a system call on a netlink socket.
fn system_error(source: io::Error, call: &str) -> Error {
    match source.raw_os_error() {
        Some(EPERM | EACCES) => permission(source),
        Some(EPROTONOSUPPORT | EAFNOSUPPORT) => unsupported(source),
        _ => Error::new(ErrorKind::Io, format!("netlink {call}: {source}")).with_source(source),
    }
}

/// Without `CAP_NET_ADMIN` the ruleset can be neither read nor written.
fn permission(source: io::Error) -> Error {
    Error::new(
        ErrorKind::Permission,
        "not permitted to use the firewall (nf_tables)",
    )
    .with_hint("run as root, or with CAP_NET_ADMIN in the network namespace")
    .with_source(source)
}

/// A kernel without `nf_tables` does not know the subsystem.
fn unsupported(source: io::Error) -> Error {
    Error::new(ErrorKind::Unsupported, "this kernel has no nf_tables")
        .with_hint("load the module nf_tables, or run a kernel that has it")
        .with_source(source)
}

/// Whether a receive found nothing.
fn would_block(error: &Error) -> bool {
    system(error).is_some_and(|source| source.kind() == io::ErrorKind::WouldBlock)
}

/// Whether the kernel does not know the message at all.
pub(super) fn is_not_supported(error: &Error) -> bool {
    system(error).is_some_and(|source| source.raw_os_error() == Some(EOPNOTSUPP))
}

/// The system's own error behind another.
fn system(error: &Error) -> Option<&io::Error> {
    std::error::Error::source(error)?.downcast_ref()
}
