//! The real daemons of Debian 12, each in namespaces of its own.
//!
//! The packages conflict with each other: they are downloaded and unpacked below target/, never installed.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pasvsync::passive::Reading;

use super::support::Image;
use crate::support::daemons::unpacked;

/// How often each of PASV and EPSV is asked.
const QUESTIONS: usize = 60;

/// A daemon, or a script with several, that runs in namespaces of its own; ended, by its id, with the value.
pub(super) struct Running {
    pub(super) child: Child,
    output: std::fs::File,
}

impl Drop for Running {
    fn drop(&mut self) {
        // The daemon is the first process of its PID namespace: all others end with it. It must be named itself, since
        // a process that changes its user no longer gets the signal that `--kill-child` asks for.
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        for child in children.unwrap_or_default().split_whitespace() {
            let child = nix::unistd::Pid::from_raw(child.parse().unwrap());
            let _ = nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL);
        }
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub(super) fn said(&mut self) -> String {
        // Whoever writes has the same place in the file: it must not be moved.
        let length = self.output.metadata().unwrap().len();
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        self.output.read_exact_at(&mut bytes, 0).unwrap();
        // As the terminal would show it, byte by byte.
        bytes.iter().map(|&byte| char::from(byte)).collect()
    }

    /// What the daemon of [`image`] answers to PASV and EPSV on a control port.
    #[track_caller]
    pub(super) fn answers(&mut self, path: &str, port: u16) -> Vec<u16> {
        let stream = self.connect(port);
        let mut session = Session::open(stream.unwrap_or_else(|error| panic!("{path}: {error}")));
        let user = if path == PROFTPD { "ann" } else { "anonymous" };
        session.ask(&format!("USER {user}"));
        let login = session.ask("PASS test");
        assert!(login.starts_with("230"), "{path}: {login}");
        let questions = ["PASV", "EPSV"].repeat(QUESTIONS);
        questions
            .iter()
            .map(|question| session.passive(question))
            .collect()
    }

    /// A connection to a port of the daemon's network, made by a thread that enters it.
    fn connect(&mut self, port: u16) -> Result<TcpStream, String> {
        let path = format!("/proc/{}/ns/net", self.child.id());
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let path = path.clone();
            let attempt = std::thread::spawn(move || -> Result<TcpStream, String> {
                let namespace = std::fs::File::open(&path).map_err(|error| error.to_string())?;
                nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)
                    .map_err(|error| error.to_string())?;
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                TcpStream::connect_timeout(&address, Duration::from_secs(2))
                    .map_err(|error| error.to_string())
            });
            match attempt.join().unwrap() {
                Ok(stream) if !same_network(&path_of(self.child.id())) => return Ok(stream),
                Ok(_) | Err(_)
                    if Instant::now() < deadline && self.child.try_wait().unwrap().is_none() =>
                {
                    std::thread::sleep(Duration::from_millis(30));
                }
                Ok(_) => return Err("the daemon has no network of its own".to_owned()),
                Err(error) => {
                    return Err(format!(
                        "port {port}: {error}; the daemon said: {}",
                        self.said()
                    ));
                }
            }
        }
    }
}

fn path_of(id: u32) -> String {
    format!("/proc/{id}/ns/net")
}

/// Whether the child is still in the test's own network: then what answers is not the daemon.
fn same_network(path: &str) -> bool {
    std::fs::read_link(path).ok() == std::fs::read_link("/proc/self/ns/net").ok()
}

/// A control connection.
struct Session {
    reader: BufReader<TcpStream>,
}

impl Session {
    fn open(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(Duration::from_secs(90)))
            .unwrap();
        let mut session = Self {
            reader: BufReader::new(stream),
        };
        session.reply();
        session
    }

    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).unwrap();
            assert!(!line.is_empty(), "the daemon hung up");
            let bytes = line.as_bytes();
            if bytes.len() > 3 && bytes[..3].iter().all(u8::is_ascii_digit) && bytes[3] == b' ' {
                return line;
            }
        }
    }

    fn ask(&mut self, command: &str) -> String {
        self.reader
            .get_mut()
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
        self.reply()
    }

    /// The port of a PASV or EPSV reply.
    fn passive(&mut self, command: &str) -> u16 {
        let reply = self.ask(command);
        let digits: Vec<u32> = reply[4..]
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|word| word.parse().ok())
            .collect();
        match (command, digits.as_slice()) {
            ("PASV", [.., high, low]) if reply.starts_with("227") => {
                u16::try_from(high * 256 + low).unwrap()
            }
            ("EPSV", [port]) if reply.starts_with("229") => u16::try_from(*port).unwrap(),
            _ => panic!("{command}: {reply}"),
        }
    }
}

pub(super) const PROFTPD: &str = "/etc/proftpd/proftpd.conf";
pub(super) const PURE_FTPD: &str = "/etc/pure-ftpd.conf";
pub(super) const WRAPPER: &str = "/etc/pure-ftpd/conf/PassivePortRange";
pub(super) const VSFTPD: &str = "/etc/vsftpd.conf";

/// What lets anyone log in as ann, before the lines of a case.
const PROFTPD_START: &str = "ServerName t\nUser ftp\nGroup nogroup\nDefaultServer on\n<Global>\nAuthUserFile /etc/ftpd.passwd\nRequireValidShell off\nAuthOrder mod_auth_file.c\n</Global>\n";
const VSFTPD_START: &str = "listen=YES\nanonymous_enable=YES\nseccomp_sandbox=NO\n";

/// An image with one case's configuration; extra files for includes.
pub(super) fn image(path: &str, text: &str) -> Image {
    let start = match path {
        PROFTPD => PROFTPD_START,
        VSFTPD => VSFTPD_START,
        _ => "",
    };
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap();
    let others: Vec<&str> = accounts
        .lines()
        .filter(|line| !line.starts_with("ftp:"))
        .collect();
    let accounts = others.join("\n");
    let image = Image::new()
        .with(path, [start.as_bytes(), text.as_bytes()].concat())
        .with(
            "/etc/passwd",
            format!("{accounts}\nftp:x:999:65534::/srv/ftp:/bin/sh\n"),
        )
        .with(
            "/etc/ftpd.passwd",
            "ann:$1$ab$GR5WgfqnahyU5qOIirFwN0:999:65534::/srv/ftp:/bin/sh\n",
        )
        .with("/etc/services", "ftp 21/tcp\nftps 990/tcp\n")
        .with("/etc/inc/10.conf", "PassivePorts 51000 51009\n")
        .with("/etc/inc/9.conf", "PassivePorts 52000 52009\n")
        .with("/etc/inc/bad.inc", "Bogus on\nPassivePorts 53000 53009\n")
        .with("/etc/inc/pure.inc", "PassivePortRange 51000 51009\n")
        .with(
            "/etc/users/ftp",
            "pasv_min_port=54000\npasv_max_port=54009\n",
        );
    std::fs::set_permissions(
        image.path("/etc/ftpd.passwd"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    image
}

pub(super) fn command(path: &str, reading: &Reading) -> String {
    match path {
        PROFTPD => "proftpd -n -c /etc/proftpd/proftpd.conf".to_owned(),
        VSFTPD => "vsftpd /etc/vsftpd.conf".to_owned(),
        WRAPPER => {
            let option = reading
                .passive
                .first()
                .map(|range| format!("-p {}:{}", range.ports.first(), range.ports.last()));
            format!("pure-ftpd {}", option.unwrap_or_default())
        }
        _ => format!("pure-ftpd {path}"),
    }
}

/// Starts a script as root of a host of its own: the image's /etc, writable, over the packages' and the machine's; the
/// packages' programs; no other process, no network but loopback.
pub(super) fn start(root: &Path, image: &Image, script: &str) -> Running {
    let output = tempfile::tempfile().unwrap();
    let root = root.display();
    let etc = image.path("/etc");
    let setup = format!(
        "set -e; mount -t tmpfs tmpfs /mnt; mkdir /mnt/up /mnt/work; \
         mount -t overlay overlay -o lowerdir={etc}:{root}/etc:/etc,upperdir=/mnt/up,workdir=/mnt/work /etc; \
         mount -t overlay overlay -o lowerdir={root}/usr:/usr /usr; \
         for d in /run /srv /var/log; do mount -t tmpfs tmpfs $d; done; \
         mkdir -p /run/vsftpd/empty /run/pure-ftpd /run/proftpd /var/log/proftpd /var/log/pure-ftpd /srv/ftp; chmod 555 /srv/ftp; \
         ip link set lo up; export LD_LIBRARY_PATH={root}/usr/lib/x86_64-linux-gnu:{root}/lib/x86_64-linux-gnu; \
         set +e; pasvsync() {{ {program} \"$@\"; }}; {script}",
        etc = etc.display(),
        program = env!("CARGO_BIN_EXE_pasvsync"),
    );
    // vsftpd writes its last words to descriptor 0.
    let child = Command::new("unshare")
        .args([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
        ])
        .arg(setup)
        .env("NO_COLOR", "1")
        .stdin(Stdio::from(output.try_clone().unwrap()))
        .stdout(Stdio::from(output.try_clone().unwrap()))
        .stderr(Stdio::from(output.try_clone().unwrap()))
        .spawn()
        .unwrap();
    Running { child, output }
}

/// Waits until the script has said a word, and gives all that it said.
#[track_caller]
pub(super) fn wait_for(running: &mut Running, word: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let said = running.said();
        if said.contains(word) {
            return said;
        }
        let ended = running.child.try_wait().unwrap();
        assert!(
            ended.is_none() && Instant::now() < deadline,
            "{ended:?} {said}"
        );
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// What was said between two marks.
#[track_caller]
pub(super) fn part<'a>(said: &'a str, mark: &str) -> &'a str {
    let start = said
        .find(&format!("== {mark}\n"))
        .unwrap_or_else(|| panic!("no {mark}: {said}"));
    let rest = &said[start + mark.len() + 4..];
    &rest[..rest.find("\n== ").unwrap_or(rest.len())]
}

/// The packages, or a reason to skip; a failure in CI.
pub(super) fn packages() -> Option<PathBuf> {
    let unpacked = if nix::unistd::geteuid().is_root() {
        unpacked()
    } else {
        Err("only root can start an FTP daemon".to_owned())
    };
    match unpacked {
        Ok(root) => Some(root),
        Err(reason) => {
            assert!(std::env::var("CI").is_err(), "{reason}");
            eprintln!("skipped: {reason}");
            None
        }
    }
}
