//! The real fail2ban, banning and unbanning all the time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::neighbours::{address, beside};
use super::{closed, iptables, lines, nftables};
use crate::support::command::{Running, run};
use crate::support::daemons::fail2ban;
use crate::support::host::{Host, plain};
use crate::support::skip;

const PLACES: [&str; 6] = [
    "-c",
    "/etc/fail2ban",
    "-s",
    "/run/fail2ban.sock",
    "-p",
    "/run/fail2ban.pid",
];

/// The server on a host, with one jail.
struct Fail2ban<'a> {
    host: &'a Host,
    root: PathBuf,
    _server: Running,
}

impl<'a> Fail2ban<'a> {
    /// `None`, and it is said why, where it cannot be had.
    fn start(host: &'a Host, action: &str) -> Option<Self> {
        let root = match fail2ban() {
            Ok(root) => root,
            Err(reason) => {
                skip(&format!("fail2ban cannot be had: {reason}"));
                return None;
            }
        };
        for folder in [
            "etc/fail2ban",
            "etc/fail2ban/action.d",
            "etc/fail2ban/filter.d",
        ] {
            import(host, &root, folder);
        }
        let jail = format!(
            "[ftp]\nenabled = true\nbackend = polling\nfilter = vsftpd\nlogpath = /tmp/ftp.log\n\
             action = {action}[name=ftp, port=\"21,50000:50100\", protocol=tcp]\n"
        );
        host.write("/etc/fail2ban/jail.local", &jail, 0o644);
        let settings = "[Definition]\nlogtarget = /tmp/fail2ban.log\ndbfile = :memory:\n";
        host.write("/etc/fail2ban/fail2ban.local", settings, 0o644);
        host.write("/tmp/ftp.log", "", 0o644);
        let server = host.run(|| {
            let mut server = program(&root, "fail2ban-server");
            server
                .arg("-f")
                .args(PLACES)
                .stdout(std::process::Stdio::null());
            Running(server.spawn().expect("fail2ban-server"))
        });
        let started = Self {
            host,
            root,
            _server: server,
        };
        let end = Instant::now() + Duration::from_secs(120);
        while !started.client(&["status", "ftp"]) {
            assert!(Instant::now() < end, "{}", host.read("/tmp/fail2ban.log"));
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(started)
    }

    fn client(&self, command: &[&str]) -> bool {
        let mut client = program(&self.root, "fail2ban-client");
        client.args(PLACES).args(command);
        self.host.run(|| run(&mut client, "")).status.success()
    }

    /// Bans and unbans until it is told to stop; what is banned then.
    fn work(&self, stop: &AtomicBool) -> Vec<String> {
        let mut number = 0;
        loop {
            let banned: Vec<String> = (number..number + 5).map(address).collect();
            let banned: Vec<&str> = banned.iter().map(String::as_str).collect();
            assert!(self.client(&[&["set", "ftp", "banip"], &banned[..]].concat()));
            if stop.load(Ordering::Relaxed) {
                return vec![address(number + 4)];
            }
            assert!(self.client(&[&["set", "ftp", "unbanip"], &banned[..]].concat()));
            number += 5;
        }
    }
}

/// A program of fail2ban's, with its modules.
fn program(root: &Path, name: &str) -> Command {
    let path = root.join("usr/bin").join(name);
    let mut program = plain(path.to_str().expect("a plain path"));
    program.env("PYTHONPATH", root.join("usr/lib/python3/dist-packages"));
    program.env("PYTHONDONTWRITEBYTECODE", "1");
    program
}

/// Copies a folder's files from below a root to the host.
fn import(host: &Host, root: &Path, folder: &str) {
    for entry in fs_err::read_dir(root.join(folder)).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let text = fs_err::read_to_string(&path).expect("a text");
            let path = Path::new("/").join(path.strip_prefix(root).expect("below the root"));
            host.write(path.to_str().expect("a plain path"), &text, 0o644);
        }
    }
}

#[test]
fn with_nftables() {
    let Some(host) = closed(nftables) else {
        return;
    };
    let before = lines(&host);
    let Some(fail2ban) = Fail2ban::start(&host, "nftables-multiport") else {
        return;
    };
    beside("fail2ban with nftables", &host, 1, |stop| {
        fail2ban.work(stop)
    });
    assert!(fail2ban.client(&["stop"]));
    assert_eq!(lines(&host), before);
}

#[test]
fn with_iptables() {
    let Some(host) = closed(iptables) else {
        return;
    };
    let before = lines(&host);
    let Some(fail2ban) = Fail2ban::start(&host, "iptables-multiport") else {
        return;
    };
    beside("fail2ban with iptables", &host, 2, |stop| {
        fail2ban.work(stop)
    });
    assert!(fail2ban.client(&["stop"]));
    assert_eq!(lines(&host), before);
}
