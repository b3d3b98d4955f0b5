//! What is run, on which hosts, with faults everywhere.

use super::ATTRIBUTE;
use super::state::Steps;
use crate::firewalld::lab::{self, BUS, wait};
use crate::kernel::like_csf;
use crate::support::command::run;
use crate::support::host::{Host, IPTABLES, NFTABLES, plain};

/// A command on a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    firewall: Firewall,
    /// The folder of a system that is not running.
    root: &'static str,
    /// What had been run while the range was another one; where nothing was, what is ours is there from the start.
    earlier: &'static [&'static str],
    /// The range that is configured now.
    configured: (u16, u16),
    /// The command, which changes something.
    pub(super) command: &'static [&'static str],
    /// What mends it after a fault.
    pub(super) heal: &'static [&'static str],
    /// What takes everything of ours back then.
    pub(super) remove: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Firewall {
    Nftables,
    /// Of iptables' two packet filters the one of that name.
    Iptables(&'static str),
    /// csf itself is not involved: chains and a csf.conf like csf's.
    Csf,
    /// A real one, with a bus of its own.
    Firewalld,
}

/// The range that is open, and the one that is wanted now.
const OPEN: (u16, u16) = (50_000, 50_100);
const WANTED: (u16, u16) = (51_000, 51_009);
/// Another daemon's range, which stays open throughout.
const OTHER: (u16, u16) = (52_000, 52_009);

/// The folder of a system that is not running.
const ROOT: &str = "/var/lib/root";

/// The range has moved.
const fn sync(name: &'static str, firewall: Firewall) -> Scenario {
    Scenario {
        name,
        firewall,
        root: "",
        earlier: &[],
        configured: WANTED,
        command: &["sync"],
        heal: &["sync"],
        remove: &["remove"],
    }
}

/// Everything of ours goes.
const fn remove(name: &'static str, firewall: Firewall) -> Scenario {
    Scenario {
        configured: OPEN,
        command: &["remove"],
        heal: &["remove"],
        ..sync(name, firewall)
    }
}

/// Where no mark tells what is ours, an earlier run has to have put it there.
const fn after(earlier: &'static [&'static str], scenario: Scenario) -> Scenario {
    Scenario {
        earlier,
        ..scenario
    }
}

pub(super) const NFTABLES_SYNC: Scenario = sync("sync on nftables", Firewall::Nftables);
pub(super) const NFTABLES_REMOVE: Scenario = remove("remove on nftables", Firewall::Nftables);

/// The daemon's configuration gets the range first.
pub(super) const SET_RANGE: Scenario = Scenario {
    name: "set-range",
    command: &["set-range", "51000-51009", "--daemon", "vsftpd"],
    heal: &["set-range", "51000-51009", "--daemon", "vsftpd"],
    ..NFTABLES_REMOVE
};

const SET_RANGE_THERE: &[&str] = &[
    "set-range",
    "51000-51009",
    "--daemon",
    "vsftpd",
    "--root",
    ROOT,
];

/// The same on files alone.
pub(super) const SET_RANGE_BELOW_ROOT: Scenario = Scenario {
    name: "set-range --root",
    root: ROOT,
    command: SET_RANGE_THERE,
    heal: SET_RANGE_THERE,
    remove: &["remove", "--root", ROOT],
    ..SET_RANGE
};

pub(super) const IPTABLES_SYNC: Scenario = sync("sync on iptables-nft", Firewall::Iptables("nft"));
pub(super) const IPTABLES_REMOVE: Scenario =
    remove("remove on iptables-nft", Firewall::Iptables("nft"));
pub(super) const LEGACY_SYNC: Scenario =
    sync("sync on iptables-legacy", Firewall::Iptables("legacy"));
pub(super) const LEGACY_REMOVE: Scenario =
    remove("remove on iptables-legacy", Firewall::Iptables("legacy"));

pub(super) const CSF_SYNC: Scenario = after(&["sync"], sync("sync on CSF", Firewall::Csf));
pub(super) const CSF_REMOVE: Scenario = after(&["sync"], remove("remove on CSF", Firewall::Csf));

/// Nothing of ours is there yet.
pub(super) const FIREWALLD_FIRST_SYNC: Scenario =
    sync("first sync on firewalld", Firewall::Firewalld);
/// The range has moved, and a second zone has come.
pub(super) const FIREWALLD_SYNC: Scenario = after(
    &["sync", "--zone", "public"],
    sync("sync on firewalld", Firewall::Firewalld),
);
pub(super) const FIREWALLD_REMOVE: Scenario = after(
    &["sync"],
    remove("remove on firewalld", Firewall::Firewalld),
);

impl Scenario {
    /// The tools it takes.
    pub(super) fn tools(&self) -> &'static [&'static str] {
        match self.firewall {
            Firewall::Nftables => &[],
            Firewall::Iptables("legacy") => {
                &["iptables-legacy-restore", "ip6tables-legacy-restore"]
            }
            Firewall::Iptables(_) | Firewall::Csf => {
                &["iptables-nft-restore", "ip6tables-nft-restore"]
            }
            Firewall::Firewalld => &lab::TOOLS,
        }
    }

    /// In which steps the running rules become what is wanted.
    pub(super) fn steps(&self) -> Steps {
        match self.firewall {
            Firewall::Nftables | Firewall::Iptables("nft") => Steps::One,
            Firewall::Iptables(_) => Steps::AddedThenRemoved,
            Firewall::Csf => Steps::Tables,
            Firewall::Firewalld => Steps::Lines,
        }
    }

    /// Makes a new host what it is before the command.
    pub(super) fn prepare(&self, host: &Host) {
        match self.firewall {
            Firewall::Nftables => nftables(host, self.root),
            Firewall::Iptables(kind) => iptables(host, kind),
            Firewall::Csf => csf(host),
            Firewall::Firewalld => firewalld(host),
        }
        self.settle(host);
    }

    /// Has the program itself make a host what it was before the command. Whether it is, only a look at all of it tells;
    /// where it takes longer than a new host, it is not tried.
    pub(super) fn prepare_again(&self, host: &Host) -> bool {
        let tried = self.firewall == Firewall::Firewalld;
        if tried {
            host.pasvsync(self.remove);
            self.settle(host);
        }
        tried
    }

    fn settle(&self, host: &Host) {
        if !self.earlier.is_empty() {
            configuration(host, self.root, OPEN);
            let run = host.pasvsync(self.earlier);
            assert!(run.status.success(), "{run:?}");
        }
        configuration(host, self.root, self.configured);
    }
}

/// Two daemons, one of them with an included file; and what is special about the files that are edited.
fn configuration(host: &Host, root: &str, (first, last): (u16, u16)) {
    let text = format!("listen=YES\n# the range\npasv_min_port={first}\npasv_max_port={last}\n");
    host.write(&format!("{root}/etc/vsftpd.conf"), &text, 0o640);
    let text = "ServerType standalone\nPort 2121\nInclude /etc/proftpd/conf.d/*.conf\n";
    host.write(&format!("{root}/etc/proftpd/proftpd.conf"), text, 0o644);
    let text = format!("PassivePorts {} {}\n", OTHER.0, OTHER.1);
    host.write(
        &format!("{root}/etc/proftpd/conf.d/passive.conf"),
        &text,
        0o644,
    );
    for file in [
        "vsftpd.conf",
        "nftables.conf",
        "iptables/rules.v4",
        "csf/csf.conf",
    ] {
        let path = format!("{root}/etc/{file}");
        host.run(|| {
            if std::path::Path::new(&path).exists() {
                let flags = rustix::fs::XattrFlags::empty();
                rustix::fs::setxattr(&path, ATTRIBUTE, b"kept", flags).expect("an attribute");
                let (owner, group) = (rustix::fs::Uid::ROOT, rustix::fs::Gid::from_raw(3));
                rustix::fs::chown(&path, Some(owner), Some(group)).expect("a group");
            }
        });
    }
}

/// What is ours is in the file at first, and what boot loads is loaded.
fn nftables(host: &Host, root: &str) {
    let own = [OPEN, OTHER]
        .map(|(first, last)| format!("\t\ttcp dport {first}-{last} accept comment \"pasvsync\"\n"));
    let own = own.concat();
    let (before, behind) = NFTABLES.rsplit_once("\t}").expect("the end of the chain");
    let text = format!("{before}{own}\t}}{behind}");
    host.write(&format!("{root}/etc/nftables.conf"), &text, 0o750);
    host.enable(root, "nftables");
    if root.is_empty() {
        host.must("nft", &["-f", "/etc/nftables.conf"]);
    }
}

/// The same of iptables, in either packet filter.
fn iptables(host: &Host, kind: &str) {
    let own = [OPEN, OTHER].map(|(first, last)| {
        format!(
            "-A INPUT -p tcp -m tcp --dport {first}:{last} -m comment --comment pasvsync -j ACCEPT\n"
        )
    });
    let text = IPTABLES.replace("COMMIT", &(own.concat() + "COMMIT"));
    // Where the package is not installed, boot would not start it.
    let unit = "[Service]\nExecStart=/usr/sbin/netfilter-persistent start\n";
    host.write(
        "/etc/systemd/system/netfilter-persistent.service",
        unit,
        0o644,
    );
    host.enable("", "netfilter-persistent");
    for file in ["rules.v4", "rules.v6"] {
        host.write(&format!("/etc/iptables/{file}"), &text, 0o640);
    }
    restore(host, kind, [&text, &text]);
}

/// Loads the rules of both families.
fn restore(host: &Host, kind: &str, rules: [&str; 2]) {
    for (program, text) in ["iptables", "ip6tables"].into_iter().zip(rules) {
        let restore = format!("{program}-{kind}-restore");
        host.run(|| run(&mut plain(&restore), text))
            .expect_success(&restore);
    }
}

fn csf(host: &Host) {
    host.write("/etc/csf/csf.conf", like_csf::CONF, 0o600);
    let folders = ["/etc/csf", "/var/lib/csf", "/var/lib/csf/backup"];
    host.must("mkdir", &["-p", folders[2]]);
    host.must("chmod", &[&["0600"], &folders[..]].concat());
    let [v4, v6] = like_csf::rules();
    restore(host, "nft", [&v4, &v6]);
}

/// Two zones that let the control port in, with an interface each; boot starts firewalld.
fn firewalld(host: &Host) {
    host.must(
        "ip",
        &[
            "link", "add", "eth0", "type", "veth", "peer", "name", "eth1",
        ],
    );
    for interface in ["eth0", "eth1"] {
        host.must("ip", &["link", "set", interface, "up"]);
        let zone = if interface == "eth0" {
            "public"
        } else {
            "internal"
        };
        // As firewalld itself writes it.
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<zone>\n  <short>{zone}</short>\n  \
             <service name=\"ftp\"/>\n  <interface name=\"{interface}\"/>\n</zone>\n"
        );
        host.write(&format!("/etc/firewalld/zones/{zone}.xml"), &text, 0o644);
    }
    host.write(
        "/etc/firewalld/firewalld.conf",
        "DefaultZone=public\nFirewallBackend=nftables\n",
        0o644,
    );
    host.enable("", "firewalld");
    host.write("/run/dbus/bus.conf", BUS, 0o644);
    // What firewalld makes once and keeps.
    host.must("mkdir", &["/run/firewalld", "/etc/firewalld/services"]);
    let bus = "--config-file=/run/dbus/bus.conf";
    host.start("dbus-daemon", &[bus, "--nofork", "--nopidfile"]);
    let socket = "/run/dbus/system_bus_socket";
    wait("the bus", || {
        host.run(|| std::path::Path::new(socket).exists())
    });
    let log = "--log-target=console";
    host.start("/usr/sbin/firewalld", &["--nofork", "--nopid", log]);
    wait("firewalld", || {
        let state = host.command("dbus-send", &lab::STATE);
        state.stdout.contains("RUNNING")
    });
}
