//! The sandbox of the units: tight, and nothing that the program needs is outside.

use super::machine::{Machine, eventually};

const UNITS: [&str; 6] = [
    "pasvsync.service",
    "pasvsync.timer",
    "pasvsync.path",
    "pasvsync@etc-vsftpd.conf.path",
    "pasvsync-fw@nftables.service",
    "pasvsync-fw@firewalld.service",
];
const SERVICE: &str = include_str!("../../examples/systemd/pasvsync.service");
const INSTANCE: &str = include_str!("../../examples/systemd/pasvsync-fw@.service");
/// The highest exposure, by systemd-analyze's own measure from 0 to 10.
const EXPOSURE: f64 = 3.2;

/// What the program does, or has others do, in all its ways; each must work inside.
const NEEDED: &[(&str, &str)] = &[
    (
        "read and edit rules",
        "nft list ruleset && nft add table inet probe && nft delete table inet probe",
    ),
    (
        "iptables-nft",
        "iptables-nft -w 5 -N probe && iptables-nft -w 5 -X probe",
    ),
    (
        "ip6tables-nft",
        "ip6tables-nft -w 5 -N probe && ip6tables-nft -w 5 -X probe",
    ),
    (
        "a network namespace for the proof",
        "unshare --net nft -f /etc/nftables.conf",
    ),
    (
        "the same for iptables",
        "echo '*filter\nCOMMIT' | unshare --net iptables-nft-restore",
    ),
    (
        "a mount namespace for the edited text",
        "cp /etc/nftables.conf /tmp/edited && unshare --net --mount \
        sh -c 'mount --bind /tmp/edited /etc/nftables.conf && nft -f /etc/nftables.conf'",
    ),
    (
        "an interface for the proof",
        "unshare --net ip link add probe0 type bridge",
    ),
    (
        "replace a file by rename",
        "cp -p /etc/nftables.conf /etc/.probe && mv /etc/.probe /etc/nftables.conf",
    ),
    (
        "the lock",
        "touch /run/pasvsync/probe && rm /run/pasvsync/probe",
    ),
    (
        "the state",
        "touch /var/lib/pasvsync/probe && rm /var/lib/pasvsync/probe",
    ),
    (
        "a configuration that only the daemon may read",
        "grep -q x /srv/secret",
    ),
    (
        "folders like csf's, closed to root itself",
        "mkdir -m 600 /etc/probe.d && touch /etc/probe.d/probe && rm -r /etc/probe.d",
    ),
    (
        "the kernel's own ports",
        "cat /proc/sys/net/ipv4/ip_local_port_range",
    ),
    ("others' command lines", "grep -q . /proc/1/cmdline"),
    ("the program itself", "/usr/sbin/pasvsync check"),
];
/// What it never does; each must fail inside.
const REFUSED: &[(&str, &str)] = &[
    ("write a program", "touch /usr/sbin/probe"),
    ("write to a home", "touch /root/probe"),
    ("write elsewhere in /var", "touch /var/lib/probe"),
    ("set the clock", "date -s @0"),
    (
        "a kernel parameter",
        "echo 1 >/proc/sys/net/ipv4/ip_forward",
    ),
    ("a user namespace", "unshare --user true"),
    ("a configuration outside /etc", "echo x >>/srv/secret"),
    ("trace a process", "strace -o /dev/null true"),
];

#[test]
fn the_sandbox_is_tight_and_wide_enough() {
    let Some(machine) = Machine::new("sandbox") else {
        return;
    };
    machine.write("etc/vsftpd.conf", &Machine::vsftpd((50_000, 50_010)));
    machine.install();
    verified(&machine);
    let secret =
        "mkdir -p /srv && echo x >/srv/secret && chown daemon /srv/secret && chmod 600 /srv/secret";
    machine.must("sh", &["-c", secret]);
    for (what, script) in NEEDED {
        let (works, words) = inside(&machine, script);
        assert!(works, "{what} does not work inside: {words}");
    }
    for (what, script) in REFUSED {
        assert!(!inside(&machine, script).0, "{what} works inside");
    }
    a_transfer_is_no_exposed_service(&machine);
    // Newer kernels come without it.
    if machine.command("iptables-legacy", &["-S"]).status.success() {
        // As on a host that has just booted: nobody has made the lock yet.
        machine.must("rm", &["-f", "/run/xtables.lock"]);
        let legacy = "for command in iptables-legacy ip6tables-legacy; \
            do $command -w 5 -N probe && $command -w 5 -X probe || exit; done";
        let (works, words) = inside(&machine, legacy);
        assert!(works, "iptables-legacy does not work inside: {words}");
    }
}

/// Whose a socket is can be seen inside: what the FTP daemon itself listens on is not taken for something else.
fn a_transfer_is_no_exposed_service(machine: &Machine) {
    machine.write("etc/pasvsync.toml", "refuse-exposed = true\n");
    let listen = "import socket, time; s = socket.create_server(('', 50005)); time.sleep(600)";
    for (name, fits) in [("vsftpd", true), ("database", false)] {
        let program = format!("/usr/sbin/{name}");
        machine.must("cp", &["/usr/bin/python3", &program]);
        let unit = format!("--unit={name}");
        machine.must("systemd-run", &["--quiet", &unit, &program, "-c", listen]);
        eventually("listening", machine, || {
            let sockets = machine.must("cat", &["/proc/net/tcp"]);
            sockets.contains(":C355 00000000:0000 0A")
        });
        let (works, words) = inside(machine, "/usr/sbin/pasvsync check");
        assert_eq!(works, fits, "{words}");
        assert_eq!(words.contains("database (pid"), !fits, "{words}");
        machine.must("systemctl", &["stop", name]);
    }
}

/// systemd finds nothing wrong, and its measure is low.
fn verified(machine: &Machine) {
    for unit in UNITS {
        let output = machine.command("systemd-analyze", &["verify", unit]);
        // Complaints about the host's own units are not ours.
        let about_us = |line: &&str| line.contains("pasvsync");
        let words: Vec<&str> = output.stderr.lines().filter(about_us).collect();
        assert!(
            output.status.success() && words.is_empty(),
            "{unit}: {words:?}"
        );
    }
    for unit in ["pasvsync.service", "pasvsync-fw@nftables.service"] {
        let text = machine.must("systemd-analyze", &["security", "--no-pager", unit]);
        let last = text.lines().last().unwrap_or_default();
        let number = last
            .split_whitespace()
            .find_map(|word| word.parse::<f64>().ok());
        let exposure = number.unwrap_or_else(|| panic!("no number in {last}"));
        assert!(exposure <= EXPOSURE, "{text}");
    }
}

/// Runs a shell script as the service runs the program; whether it succeeded, and what it said.
fn inside(machine: &Machine, script: &str) -> (bool, String) {
    let lines = SERVICE.lines().filter(|line| !line.starts_with("Exec"));
    let unit: String = lines
        .map(|line| match line {
            "[Service]" => {
                "[Service]\nExecStart=/bin/sh /etc/probe\nStandardError=append:/run/probe\n"
                    .to_owned()
            }
            line => format!("{line}\n"),
        })
        .collect();
    machine.write("etc/systemd/system/probe.service", &unit);
    machine.write("etc/probe", &format!("{script}\n"));
    machine.must("sh", &["-c", "rm -f /run/probe; systemctl daemon-reload"]);
    let output = machine.command("systemctl", &["start", "probe.service"]);
    let words = machine.command("cat", &["/run/probe"]).stdout;
    (output.status.success(), words)
}

#[test]
fn both_services_have_the_same_sandbox() {
    let settings = |unit: &str| -> Vec<String> {
        let (_, rest) = unit.split_once("# The sandbox").expect("the sandbox");
        let (rest, _) = rest.split_once("[Install]").expect("its end");
        let lines = rest.lines().skip(1).filter(|line| !line.starts_with('#'));
        lines
            .filter(|line| !line.is_empty())
            .map(ToOwned::to_owned)
            .collect()
    };
    assert_eq!(settings(SERVICE), settings(INSTANCE));
}

#[test]
fn examples_fit_their_places() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    // cron ignores names with a dot, and lines without an end.
    for entry in fs_err::read_dir(format!("{examples}/cron.d")).unwrap() {
        let entry = entry.unwrap();
        assert!(!entry.file_name().to_str().unwrap().contains('.'));
        assert!(
            fs_err::read_to_string(entry.path())
                .unwrap()
                .ends_with('\n')
        );
    }
}
