//! Real connections: listeners in the server's namespace, probes from the client's.
//!
//! A port counts as open only when what its listener writes behind the accepted connection reaches the client: the
//! first packet, the reply and the client's next packet have then all come through, and to this very port.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, sockopt};

use super::namespace::Namespace;

/// The number that the accepting thread knows its stop signal by; no port has it.
const STOP: u64 = 1 << 16;

/// Listeners on any number of ports, dual stack, that greet every connection with their host and number.
#[derive(Debug)]
pub(crate) struct Listeners {
    sockets: Arc<Mutex<BTreeMap<u16, TcpListener>>>,
    epoll: Arc<OwnedFd>,
    stop: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Listeners {
    /// No listener yet on this host, and the thread that will accept for them.
    pub(crate) fn new(host: u8) -> Self {
        allow_many_files();
        let sockets = Arc::new(Mutex::new(BTreeMap::new()));
        let epoll = Arc::new(epoll::create(CreateFlags::CLOEXEC).expect("epoll"));
        let stop = eventfd(0, EventfdFlags::CLOEXEC).expect("eventfd");
        epoll::add(&*epoll, &stop, EventData::new_u64(STOP), EventFlags::IN).expect("epoll");
        let thread = {
            let (sockets, epoll) = (Arc::clone(&sockets), Arc::clone(&epoll));
            std::thread::spawn(move || accept(host, &sockets, &epoll))
        };
        Self {
            sockets,
            epoll,
            stop,
            thread: Some(thread),
        }
    }

    /// Listens on those of `ports` where nothing listens yet.
    pub(crate) fn add(&self, namespace: &Namespace, ports: &[u16]) {
        let mut sockets = self.sockets.lock().expect("the listeners");
        let missing: Vec<u16> = ports
            .iter()
            .copied()
            .filter(|port| *port != 0 && !sockets.contains_key(port))
            .collect();
        let opened = namespace.run(|| missing.iter().map(|port| listen(*port)).collect::<Vec<_>>());
        for (port, listener) in missing.into_iter().zip(opened) {
            let data = EventData::new_u64(u64::from(port));
            epoll::add(&*self.epoll, &listener, data, EventFlags::IN).expect("epoll");
            sockets.insert(port, listener);
        }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        rustix::io::write(&self.stop, &1_u64.to_ne_bytes()).expect("signal the thread");
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the accepting thread");
        }
    }
}

/// Raises the soft limit of open files to the hard one: every probed port has a listener.
fn allow_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("raise the limit of open files");
}

fn listen(port: u16) -> TcpListener {
    let listener = TcpListener::bind(("::", port)).unwrap_or_else(|error| {
        panic!("listen on port {port}: {error}");
    });
    listener.set_nonblocking(true).expect("non-blocking");
    listener
}

fn accept(host: u8, sockets: &Mutex<BTreeMap<u16, TcpListener>>, epoll: &OwnedFd) {
    let mut events = Vec::with_capacity(64);
    loop {
        match epoll::wait(epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("epoll: {error}"),
        }
        for event in events.drain(..) {
            let number = event.data.u64();
            if number == STOP {
                return;
            }
            let sockets = sockets.lock().expect("the listeners");
            let port = u16::try_from(number).expect("a port");
            // A failed accept or write is a connection that did not come through: the client will notice.
            if let Some((mut stream, _)) = sockets.get(&port).and_then(|it| it.accept().ok()) {
                let _ = stream.write_all(&greeting(host, port));
            }
        }
    }
}

/// One connection to try.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// The client's address.
    pub(crate) from: IpAddr,
    /// The server's address.
    pub(crate) to: IpAddr,
    /// The host that must answer.
    pub(crate) host: u8,
    /// The port.
    pub(crate) port: u16,
}

/// How far a connection has come.
#[derive(Debug)]
enum Attempt {
    Connecting(OwnedFd),
    Connected(OwnedFd),
    Done(bool),
}

/// Tries all connections at once from the calling thread's namespace; `true` where the greeting came.
///
/// Returns as soon as every attempt is decided; what is still silent after `limit` counts as closed. All of them leave
/// from `source`: with a port of its own for every call, connection tracking never takes an attempt for a part of an
/// earlier one, whose end a later ruleset has swallowed.
pub(crate) fn probe(targets: &[Target], source: u16, limit: Duration) -> Vec<bool> {
    let mut attempts: Vec<Attempt> = targets.iter().map(|target| start(target, source)).collect();
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let waiting: Vec<usize> = (0..attempts.len())
            .filter(|index| !matches!(attempts[*index], Attempt::Done(_)))
            .collect();
        if waiting.is_empty() || left.is_zero() {
            break;
        }
        for index in ready(&attempts, &waiting, left) {
            let attempt = std::mem::replace(&mut attempts[index], Attempt::Done(false));
            attempts[index] = advance(attempt, &targets[index]);
        }
    }
    attempts
        .iter()
        .map(|attempt| matches!(attempt, Attempt::Done(true)))
        .collect()
}

/// Sends the first packet.
fn start(target: &Target, source: u16) -> Attempt {
    let family = match target.from {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket =
        rustix::net::socket_with(family, SocketType::STREAM, flags, None).expect("a socket");
    sockopt::set_socket_reuseaddr(&socket, true).expect("share the source port");
    rustix::net::bind(&socket, &SocketAddr::new(target.from, source))
        .unwrap_or_else(|error| panic!("bind to {}: {error}", target.from));
    match rustix::net::connect(&socket, &SocketAddr::new(target.to, target.port)) {
        Ok(()) => Attempt::Connected(socket),
        Err(Errno::INPROGRESS) => Attempt::Connecting(socket),
        // An ICMP error or a reset that came back before the call did.
        Err(_) => Attempt::Done(false),
    }
}

/// Which of the waiting attempts have news.
fn ready(attempts: &[Attempt], waiting: &[usize], left: Duration) -> Vec<usize> {
    let mut descriptors: Vec<PollFd<'_>> = waiting
        .iter()
        .filter_map(|index| match &attempts[*index] {
            Attempt::Connecting(socket) => Some(PollFd::new(socket, PollFlags::OUT)),
            Attempt::Connected(socket) => Some(PollFd::new(socket, PollFlags::IN)),
            Attempt::Done(_) => None,
        })
        .collect();
    let timeout = Timespec::try_from(left).expect("a short time");
    match poll(&mut descriptors, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => panic!("poll: {error}"),
    }
    waiting
        .iter()
        .zip(&descriptors)
        .filter(|(_, descriptor)| !descriptor.revents().is_empty())
        .map(|(index, _)| *index)
        .collect()
}

/// What a listener writes to whoever connects.
fn greeting(host: u8, port: u16) -> [u8; 3] {
    let [high, low] = port.to_be_bytes();
    [host, high, low]
}

/// One step further. Another greeting comes from where nat has sent the connection instead.
fn advance(attempt: Attempt, target: &Target) -> Attempt {
    match attempt {
        Attempt::Connecting(socket) => match sockopt::socket_error(&socket) {
            Ok(Ok(())) => Attempt::Connected(socket),
            _ => Attempt::Done(false),
        },
        Attempt::Connected(socket) => {
            let mut answer = [0_u8; 3];
            let received = rustix::net::recv(&socket, &mut answer, RecvFlags::empty());
            Attempt::Done(received.is_ok() && answer == greeting(target.host, target.port))
        }
        done @ Attempt::Done(_) => done,
    }
}
