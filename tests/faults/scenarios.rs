//! What is run, on which hosts, with faults everywhere.

use super::ATTRIBUTE;
use crate::support::command::run;
use crate::support::host::{Host, IPTABLES, NFTABLES, plain};

/// A command on a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    /// Makes the host what it is before the command.
    pub(super) prepare: fn(&Host),
    /// The command, which changes something.
    pub(super) command: &'static [&'static str],
    /// What mends it after a fault.
    pub(super) heal: &'static [&'static str],
    /// What takes everything of ours back then.
    pub(super) remove: &'static [&'static str],
}

/// The range that is open, and the one that is wanted now.
const OPEN: (u16, u16) = (50_000, 50_100);
const WANTED: (u16, u16) = (51_000, 51_009);
/// Another daemon's range, which stays open throughout.
const OTHER: (u16, u16) = (52_000, 52_009);

/// The folder of a system that is not running.
const ROOT: &str = "/var/lib/root";

/// `nftables`: the range has moved.
pub(super) const NFTABLES_SYNC: Scenario = Scenario {
    prepare: |host| {
        nftables(host, "");
        configuration(host, "", WANTED);
    },
    command: &["sync"],
    heal: &["sync"],
    remove: &["remove"],
};

/// `nftables`: everything of ours goes.
pub(super) const NFTABLES_REMOVE: Scenario = Scenario {
    prepare: |host| {
        nftables(host, "");
        configuration(host, "", OPEN);
    },
    command: &["remove"],
    heal: &["remove"],
    remove: &["remove"],
};

/// `nftables`: the daemon's configuration gets the range first.
pub(super) const SET_RANGE: Scenario = Scenario {
    command: &["set-range", "51000-51009", "--daemon", "vsftpd"],
    heal: &["set-range", "51000-51009", "--daemon", "vsftpd"],
    ..NFTABLES_REMOVE
};

/// The same on files alone.
pub(super) const SET_RANGE_BELOW_ROOT: Scenario = Scenario {
    prepare: |host| {
        nftables(host, ROOT);
        configuration(host, ROOT, OPEN);
    },
    command: &[
        "set-range",
        "51000-51009",
        "--daemon",
        "vsftpd",
        "--root",
        ROOT,
    ],
    heal: &[
        "set-range",
        "51000-51009",
        "--daemon",
        "vsftpd",
        "--root",
        ROOT,
    ],
    remove: &["remove", "--root", ROOT],
};

/// iptables-nft: the range has moved.
pub(super) const IPTABLES_SYNC: Scenario = Scenario {
    prepare: |host| {
        iptables(host, "nft");
        configuration(host, "", WANTED);
    },
    command: &["sync"],
    heal: &["sync"],
    remove: &["remove"],
};

/// iptables-legacy: the range has moved.
pub(super) const LEGACY_SYNC: Scenario = Scenario {
    prepare: |host| {
        iptables(host, "legacy");
        configuration(host, "", WANTED);
    },
    command: &["sync"],
    heal: &["sync"],
    remove: &["remove"],
};

/// iptables-legacy: everything of ours goes.
pub(super) const LEGACY_REMOVE: Scenario = Scenario {
    prepare: |host| {
        iptables(host, "legacy");
        configuration(host, "", OPEN);
    },
    command: &["remove"],
    heal: &["remove"],
    remove: &["remove"],
};

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
    for file in ["vsftpd.conf", "nftables.conf", "iptables/rules.v4"] {
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
    for (file, program) in [("rules.v4", "iptables"), ("rules.v6", "ip6tables")] {
        host.write(&format!("/etc/iptables/{file}"), &text, 0o640);
        let restore = format!("{program}-{kind}-restore");
        host.run(|| run(&mut plain(&restore), &text))
            .expect_success(&restore);
    }
}
