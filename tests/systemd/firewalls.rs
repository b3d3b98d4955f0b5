//! Firewalls besides nftables' own, opened by the service from inside its sandbox.

use super::machine::{Machine, eventually};
use crate::support::world::{BANNED, CLIENT};

const RANGE: (u16, u16) = (50_000, 50_010);
const CSF_CONF: &str = include_str!("../kernel/csf/csf.conf");
const CSF_RULES: &str = include_str!("../kernel/csf/rules.v4");
/// What iptables-legacy loads, over either family.
const LEGACY: &str = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
    -A INPUT -i lo -j ACCEPT\n-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\n\
    -A INPUT -p ipv6-icmp -j ACCEPT\n-A INPUT -p tcp --dport 21 -j ACCEPT\nCOMMIT\n";

/// A machine whose firewall is still to come, and the service installed.
fn machine(name: &str) -> Option<Machine> {
    let machine = Machine::new(name)?;
    machine.write("etc/vsftpd.conf", &Machine::vsftpd(RANGE));
    machine.must("systemctl", &["disable", "--now", "nftables.service"]);
    let install =
        "install -m 644 /root/examples/systemd/* /etc/systemd/system/ && systemctl daemon-reload";
    machine.must("sh", &["-c", install]);
    Some(machine)
}

/// Closed; then the service opens it, in one run, and the next one has nothing to do.
fn opened_by_the_service(machine: &Machine, rules: &str) {
    let ports = [RANGE.0, RANGE.1];
    assert!(
        !machine.world().connects(CLIENT[0], RANGE.0),
        "open already"
    );
    machine.must("systemctl", &["start", "pasvsync.service"]);
    let all = machine.world().reached_both([&ports, &ports], |_, _| true);
    assert!(all.iter().all(|open| open.iter().eq(&ports)), "{all:?}");
    let opened = machine.must("sh", &["-c", rules]);
    machine.must("systemctl", &["start", "pasvsync.service"]);
    assert_eq!(machine.must("sh", &["-c", rules]), opened);
}

#[test]
fn csf_whose_folders_only_root_with_all_its_powers_can_enter() {
    let Some(machine) = machine("csf") else {
        return;
    };
    machine.must(
        "sh",
        &[
            "-c",
            "mkdir -p -m 600 /etc/csf /var/lib/csf /var/lib/csf/backup",
        ],
    );
    machine.write("etc/csf/csf.conf", CSF_CONF);
    machine.write("root/rules.v4", CSF_RULES);
    let v6 = CSF_RULES
        .replace("-p icmp ", "-p ipv6-icmp ")
        .replace("icmp-port-unreachable", "icmp6-port-unreachable")
        .replace("203.0.113.66/32", "2001:db8::66/128");
    machine.write("root/rules.v6", &v6);
    let load = "chmod 600 /etc/csf/csf.conf; iptables-nft-restore /root/rules.v4 && ip6tables-nft-restore /root/rules.v6";
    machine.must("sh", &["-c", load]);
    opened_by_the_service(
        &machine,
        "iptables-nft -S; ip6tables-nft -S; cat /etc/csf/csf.conf",
    );
    for address in BANNED {
        assert!(!machine.world().connects(address, RANGE.0), "{address}");
    }
    let conf = machine.must("cat", &["/etc/csf/csf.conf"]);
    assert_eq!(conf.matches("50000:50010").count(), 4, "{conf}");
    let kept = machine.must("sh", &["-c", "cat /var/lib/csf/backup/*_pasvsync"]);
    assert_eq!(kept, CSF_CONF);
    let modes = machine.must(
        "stat",
        &[
            "-c",
            "%a %U",
            "/etc/csf",
            "/etc/csf/csf.conf",
            "/var/lib/csf/backup",
        ],
    );
    assert_eq!(modes, "600 root\n600 root\n600 root\n");
}

#[test]
fn firewalld_over_the_bus() {
    if !crate::firewalld::lab::possible() {
        return;
    }
    let Some(machine) = machine("firewalld") else {
        return;
    };
    machine.must("mkdir", &["-p", "/etc/firewalld"]);
    let systemctl = |command: &str| {
        machine.must("systemctl", &[command, "firewalld.service"]);
        // systemd takes it for started when it has its name on the bus; it answers when it has loaded its rules.
        machine.must("firewall-cmd", &["--state"]);
    };
    systemctl("start");
    let listed = "firewall-cmd --list-all; firewall-cmd --permanent --list-all";
    opened_by_the_service(&machine, listed);
    let owned = machine.must("cat", &["/var/lib/pasvsync/firewalld.owned"]);
    assert!(owned.contains("public"), "{owned}");
    // What its next start needs is in its files.
    systemctl("restart");
    assert!(machine.world().connects(CLIENT[0], RANGE.1));
    // Gone from there, it is put back as soon as firewalld has started.
    machine.must("systemctl", &["enable", "pasvsync-fw@firewalld.service"]);
    machine.must("sh", &["-c", "rm -r /etc/firewalld/*"]);
    systemctl("restart");
    eventually("open again", &machine, || {
        machine.world().connects(CLIENT[0], RANGE.1)
    });
}

/// Its lock is the one that all who use it have.
#[test]
fn iptables_legacy_with_its_lock() {
    let Some(machine) = machine("legacy") else {
        return;
    };
    if !machine.command("iptables-legacy", &["-S"]).status.success() {
        return crate::support::skip("this kernel has no iptables-legacy");
    }
    machine.write("root/rules", LEGACY);
    let load =
        "sed /icmp/d /root/rules | iptables-legacy-restore && ip6tables-legacy-restore /root/rules";
    machine.must("sh", &["-c", load]);
    // As on a host that has just booted: nobody has made the lock yet.
    machine.must("rm", &["-f", "/run/xtables.lock"]);
    opened_by_the_service(&machine, "iptables-legacy -S; ip6tables-legacy -S");
    machine.must("test", &["-e", "/run/xtables.lock"]);
}
