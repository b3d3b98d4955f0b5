//! The real daemons of Debian 12, each in namespaces of its own: every port that they answer to PASV and EPSV lies in
//! what was read, and what they refuse is refused in the same words.
//!
//! The packages conflict with each other: they are downloaded and unpacked below target/, never installed.

use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pasvsync::passive::Reading;

use super::support::Image;
use crate::support::daemons::unpacked;

/// How often each of PASV and EPSV is asked.
const QUESTIONS: usize = 60;

/// A daemon that runs in namespaces of its own; ended, by its id, with the value.
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) output: std::fs::File,
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
    /// Starts `command` with the image's /etc over the host's.
    fn start(root: &Path, image: &Image, command: &str) -> Self {
        let root = root.display();
        let etc = image.path("/etc");
        let script = format!(
            "set -e; mount -t overlay overlay -o lowerdir={etc}:{root}/etc:/etc /etc; mount -t overlay overlay -o lowerdir={root}/usr:/usr /usr; \
             for d in /run /srv /var/log; do mount -t tmpfs tmpfs $d; done; mkdir -p /run/vsftpd/empty /run/pure-ftpd /run/proftpd /var/log/proftpd /srv/ftp; \
             chmod 555 /srv/ftp; ip link set lo up; export LD_LIBRARY_PATH={root}/usr/lib/x86_64-linux-gnu:{root}/lib/x86_64-linux-gnu; exec {command}",
            etc = etc.display(),
        );
        let output = tempfile::tempfile().unwrap();
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
                &script,
            ])
            .stdin(Stdio::from(output.try_clone().unwrap()))
            .stdout(Stdio::from(output.try_clone().unwrap()))
            .stderr(Stdio::from(output.try_clone().unwrap()))
            .spawn()
            .unwrap();
        Self { child, output }
    }

    pub(super) fn said(&mut self) -> String {
        let mut bytes = Vec::new();
        self.output.rewind().unwrap();
        self.output.read_to_end(&mut bytes).unwrap();
        // As the terminal would show it, byte by byte.
        bytes.iter().map(|&byte| char::from(byte)).collect()
    }

    /// A connection to a port of the daemon's network, made by a thread that enters it.
    pub(super) fn connect(&mut self, port: u16) -> Result<TcpStream, String> {
        let path = format!("/proc/{}/ns/net", self.child.id());
        let deadline = Instant::now() + Duration::from_secs(10);
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
pub(super) struct Session {
    reader: BufReader<TcpStream>,
}

impl Session {
    pub(super) fn open(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
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

    pub(super) fn ask(&mut self, command: &str) -> String {
        self.reader
            .get_mut()
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
        self.reply()
    }

    /// The port of a PASV or EPSV reply.
    pub(super) fn passive(&mut self, command: &str) -> u16 {
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

/// Configurations under which each daemon starts.
pub(super) const STARTING: &[(&str, &str)] = &[
    (PROFTPD, "PassivePorts 50000 50009\n"),
    (PROFTPD, ""),
    (PROFTPD, "passiveports \"50000\" 050009abc 9 # more\n"),
    (PROFTPD, "PassivePorts 4295017296 50009#c\r\nPort 2121\r\n"),
    (
        PROFTPD,
        "PassivePorts 50000 50009\nPassivePorts 51000 51009\n",
    ),
    (
        PROFTPD,
        "<Global>\nPassivePorts 50000 50009\n</Global>\n<Global>\nPassivePorts 51000 51009\nPassivePorts 52000 52009\n</Global>\n",
    ),
    (
        PROFTPD,
        "<Global>\nPassivePorts 50000 50009\n</Global>\nPassivePorts 51000 51009\n",
    ),
    (PROFTPD, "Include /etc/inc/*.conf\n"),
    (PROFTPD, "Include /etc/*/9.conf\n"),
    (
        PROFTPD,
        "Include /etc/inc/bad.inc\nPassivePorts 50000 50009\n",
    ),
    (
        PROFTPD,
        "Include /etc/inc/*.inc\nPassivePorts 50000 50009\n",
    ),
    (
        PROFTPD,
        "Include /none\n<IfModule !mod_tls.c>\nPassivePorts 50000 50009\n</IfModule>\nPassivePorts 51000 51009\n",
    ),
    (
        PROFTPD,
        "Define A\n<IfDefine A>\nPassive\\\nPorts 50000 50009\n</IfDefine>\n",
    ),
    (
        PROFTPD,
        "<IfModule ! mod_core.c>\nPassivePorts 50000 50009\n</IfModule>\n",
    ),
    (
        PROFTPD,
        "ServerAdmin x\0lost\nPassivePorts 50000 50009\nPassivePorts 51000 51009\n",
    ),
    (PURE_FTPD, "PassivePortRange 50000 50009\n"),
    (PURE_FTPD, ""),
    (PURE_FTPD, "passiveportrange = 050000 4295017305\r\n"),
    (
        PURE_FTPD,
        "PassivePortRange: 50000 50009\nPassivePortRange 51000 51009\n",
    ),
    (
        PURE_FTPD,
        "Bind ,2121\nInclude /etc/inc/pure.inc\nInclude /none\n",
    ),
    (
        PURE_FTPD,
        "Bind 70000\nPassivePortRange 50000 50009\0 junk\n",
    ),
    (WRAPPER, "\n# ports\n 50000\t50009 \r\nignored\n"),
    (VSFTPD, "pasv_min_port=50000\npasv_max_port=50009\n"),
    (VSFTPD, ""),
    (VSFTPD, "pasv_min_port=60000\n"),
    (VSFTPD, "pasv_max_port=6000\n"),
    (VSFTPD, "pasv_min_port=60000\npasv_max_port=50000\n"),
    (VSFTPD, "pasv_min_port=20\npasv_max_port=1030\n"),
    (VSFTPD, "pasv_min_port=0\npasv_max_port=0\n"),
    (VSFTPD, "pasv_min_port=65000\npasv_max_port=70000\n"),
    (
        VSFTPD,
        "pasv_min_port=0141520\npasv_max_port=0141531\nlisten_port=65557\n",
    ),
    (
        VSFTPD,
        "pasv_min_port= 50000 # c\npasv_max_port=50009abc\nlisten_port=2121\n",
    ),
    (
        VSFTPD,
        "pasv_min_port=50000\npasv_max_port=50009\nuser_config_dir=/etc/users\n",
    ),
    (VSFTPD, "pasv_min_port=50000\0junk\npasv_max_port=50009\n"),
];

/// Configurations that each daemon refuses.
const REFUSED: &[(&str, &str)] = &[
    (PROFTPD, "PassivePorts 50009 50000\n"),
    (PROFTPD, "PassivePorts 1000 50000\n"),
    (PROFTPD, "PassivePorts 50000\n"),
    (PROFTPD, "PassivePorts '50000 50009'\n"),
    (PROFTPD, "IdentLookups off\n"),
    (PROFTPD, "PasivePorts 50000 50009\n"),
    (PROFTPD, "LoadModule mod_vroot.c\n"),
    (
        PROFTPD,
        "<Anonymous /x>\nPassivePorts 50000 50009\n</Anonymous>\n",
    ),
    (PROFTPD, "<IfModule mod_x.c>\n</IfModule> # end\n"),
    (PROFTPD, "<Global>\n"),
    (PROFTPD, "Include inc/10.conf\n"),
    (
        PROFTPD,
        "<VirtualHost 127.0.0.1>\nInclude /etc/inc/bad.inc\n</VirtualHost>\n",
    ),
    (PROFTPD, "Port 70000\n"),
    (PURE_FTPD, "PassivePortRange 50000\n"),
    (PURE_FTPD, "PassivePortRange \"50000 50009\"\n"),
    (PURE_FTPD, "PassivePortRange == 50000 50009\n"),
    (PURE_FTPD, "PassivePortRange 50000 50009 # c\n"),
    (PURE_FTPD, "PassivePortRange 50000-50009\n"),
    (PURE_FTPD, "ChrootEveryone maybe\n"),
    (PURE_FTPD, "Umask 133 022\nAnonymousBandwidth 8\nBogus\n"),
    (PURE_FTPD, "FileSystemCharset UTF-8\n"),
    (PURE_FTPD, "Bind \"127.0.0.1,21\"\n"),
    (PURE_FTPD, "Include /etc/pure-ftpd.conf\n"),
    (VSFTPD, "pasv_min_port =50000\n"),
    (VSFTPD, " # c\n"),
    (VSFTPD, "pasv_enable=on\n"),
    (VSFTPD, "pasv_enable=YES\r\n"),
    (VSFTPD, "pasv_min_port\n"),
    (VSFTPD, "listen_ipv6=YES\n"),
];

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

#[test]
fn every_port_of_a_real_daemon_lies_in_what_was_read() {
    let Some(root) = packages() else {
        return;
    };
    let (mut cases, mut answers) = (0, 0);
    for (path, text) in STARTING {
        let image = image(path, text);
        let reading = image.reading();
        assert!(reading.refuses.is_none(), "{text:?}: {:?}", reading.refuses);
        let mut running = Running::start(&root, &image, &command(path, &reading));
        for &port in &reading.control {
            let stream = running
                .connect(port)
                .unwrap_or_else(|error| panic!("{path} {text:?}: {error}"));
            let mut session = Session::open(stream);
            let user = if *path == PROFTPD { "ann" } else { "anonymous" };
            session.ask(&format!("USER {user}"));
            let login = session.ask("PASS test");
            assert!(login.starts_with("230"), "{path} {text:?}: {login}");
            for command in ["PASV", "EPSV"] {
                for _ in 0..QUESTIONS {
                    let answer = session.passive(command);
                    assert!(
                        reading.effective.contains(answer),
                        "{path} {text:?}: {command} says {answer}, not in {}",
                        reading.effective
                    );
                    answers += 1;
                }
            }
        }
        cases += 1;
    }
    println!("{answers} answers of real daemons under {cases} configurations lie in what was read");
}

#[test]
fn what_a_real_daemon_refuses_is_refused_in_its_words() {
    let Some(root) = packages() else {
        return;
    };
    for (path, text) in REFUSED {
        let image = image(path, text);
        let reading = image.reading();
        let error = reading
            .refuses
            .clone()
            .unwrap_or_else(|| panic!("{path} {text:?} is taken"));
        let mut running = Running::start(&root, &image, &command(path, &reading));
        let deadline = Instant::now() + Duration::from_secs(10);
        while running.child.try_wait().unwrap().is_none() {
            assert!(
                Instant::now() < deadline,
                "{path} {text:?}: the daemon runs; it said: {}",
                running.said()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let said = running.said().replace('\t', " ");
        assert!(
            said.contains(error.message.trim()),
            "{path} {text:?}: {:?}, not {said:?}",
            error.message
        );
    }
    println!(
        "{} configurations are refused in the words of the real daemons",
        REFUSED.len()
    );
}

/// Values for Debian's folder of options.
const OPTION_FILES: &[(&str, &str)] = &[
    ("PassivePortRange", "50000 50009"),
    ("PassivePortRange", "\n# c\n\t50000   50009 \r\n1 2\n"),
    ("PassivePortRange", "50009 50000"),
    ("PassivePortRange", "50000 99999"),
    ("PassivePortRange", "50000:50009"),
    ("PassivePortRange", "50000-50009"),
    ("PassivePortRange", "50000 50009 # c"),
    ("PassivePortRange", "\"50000 50009\""),
    ("PassivePortRange", "\u{feff}50000 50009"),
    ("PassivePortRange", "50000 50009\0"),
    ("PassivePortRange", "50000"),
    ("PassivePortRange", "# nothing\n"),
    ("passiveportrange", "50000 50009"),
    ("PassivePortRange.bak", "x"),
    ("Unknown", "x"),
    ("NoAnonymous", "Yes"),
    ("NoAnonymous", "no\nyes\n"),
    ("NoAnonymous", "maybe"),
    ("MaxClientsNumber", "50x"),
    ("Bind", "192.0.2.1, 2121"),
    ("Bind", ",2121"),
    ("ForcePassiveIP", "10.0.0.1"),
    ("Umask", "133 022"),
    ("Umask", "0133 022"),
    ("TrustedIP", "300.1.1.1"),
    ("LimitRecursion", "-1 8"),
    ("UserBandwidth", "8:"),
    ("UserBandwidth", "x"),
    ("SyslogFacility", "f-p"),
    ("FSCharset", "anything at all"),
];

#[test]
fn the_wrapper_takes_and_refuses_the_same_files() {
    let Some(root) = packages() else {
        return;
    };
    for (name, value) in OPTION_FILES {
        let image =
            image(&format!("/etc/pure-ftpd/conf/{name}"), value).with_folder("/etc/pure-ftpd/auth");
        // The package's own options are in the layer below.
        let reading = image.reading();
        let mut running = Running::start(&root, &image, "pure-ftpd-wrapper --show-options");
        let status = running.child.wait().unwrap();
        let said = running.said();
        let refused = reading
            .refuses
            .as_ref()
            .filter(|error| !error.message.starts_with("421"));
        assert_eq!(
            status.success(),
            refused.is_none(),
            "{name} {value:?}: {refused:?}, not {said:?}"
        );
        if let Some(error) = refused {
            // A byte order mark is a blank to us, and three bytes to the script.
            let printed = |text: &str| {
                text.chars()
                    .filter(char::is_ascii_graphic)
                    .collect::<String>()
            };
            let (ours, theirs) = (printed(&error.message), printed(&said));
            assert!(
                theirs.contains(&ours),
                "{name} {value:?}: {ours}, not {theirs}"
            );
        }
        if let Some(range) = reading.passive.first() {
            let option = format!("-p {}:{}", range.ports.first(), range.ports.last());
            assert!(said.contains(&option), "{name} {value:?}: {said:?}");
        }
    }
    println!(
        "{} option files are taken or refused as by pure-ftpd-wrapper",
        OPTION_FILES.len()
    );
}
