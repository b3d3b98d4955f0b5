//! What the units must not break, and what must not break them.

use super::machine::{Machine, eventually};
use crate::support::world::CLIENT;

const RANGE: (u16, u16) = (50_000, 50_010);
const MOVED: (u16, u16) = (51_000, 51_010);
/// The instance for Debian's firewall.
const AFTER_NFTABLES: &str = "pasvsync-fw@nftables.service";

/// A service that stands to nftables as firewalld does (firewalld 1.3, /usr/lib/systemd/system/firewalld.service).
const FIREWALLD: &str = "[Unit]\nBefore=network-pre.target\nWants=network-pre.target\n\
    Conflicts=iptables.service ip6tables.service ebtables.service ipset.service nftables.service\n\
    [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\nExecReload=/bin/true\n\
    [Install]\nWantedBy=multi-user.target\n";

#[test]
fn firewalls_can_be_exchanged_and_failed_runs_are_made_up_for() {
    let Some(mut machine) = Machine::new("failures") else {
        return;
    };
    machine.write("etc/vsftpd.conf", &Machine::vsftpd(RANGE));
    machine.install();
    opens(&machine, RANGE);
    exchanged(&machine);
    a_failed_run(&machine);
    a_burst_of_changes(&machine);
    from_cron(&machine);
    the_boot_unit_alone(&mut machine);
}

fn opens(machine: &Machine, (first, last): (u16, u16)) {
    eventually(&format!("{first}-{last} open"), machine, || {
        [first, last]
            .iter()
            .all(|port| machine.world().connects(CLIENT[0], *port))
    });
}

/// Two firewalls that exclude each other, each with its instance: any of them can be started and restarted.
fn exchanged(machine: &Machine) {
    let restart = ["restart", "firewalld.service"];
    // The machine's programs are the host's, which may have the real one.
    let without = "rm -f /usr/lib/systemd/system/firewalld.service && systemctl daemon-reload";
    machine.must("sh", &["-c", without]);
    // Without such a service and without its instance enabled, nothing of ours is asked.
    assert_eq!(
        machine.command("systemctl", &restart).status.code(),
        Some(5)
    );
    machine.write("etc/systemd/system/firewalld.service", FIREWALLD);
    machine.must("systemctl", &["daemon-reload"]);
    machine.must("systemctl", &restart);
    machine.must("systemctl", &["start", "nftables.service"]);
    opens(machine, RANGE);
    machine.must("systemctl", &["enable", "pasvsync-fw@firewalld.service"]);
    for service in ["firewalld", "nftables", "firewalld", "nftables"] {
        let started = machine.property("pasvsync-fw@firewalld.service", "InvocationID");
        machine.must("systemctl", &["restart", &format!("{service}.service")]);
        let instance = format!("pasvsync-fw@{service}.service");
        eventually(&format!("{instance} active"), machine, || {
            machine.property(&instance, "ActiveState") == "active"
        });
        let again = machine.property("pasvsync-fw@firewalld.service", "InvocationID");
        assert_eq!(started != again, service == "firewalld", "{service}");
    }
    opens(machine, RANGE);
    assert_eq!(
        machine.property("nftables.service", "ActiveState"),
        "active"
    );
}

/// A run that fails is seen, and the units go on.
fn a_failed_run(machine: &Machine) {
    machine.settle();
    machine.overwrite("etc/vsftpd.conf", "listen=YES\nno_such_setting=YES\n");
    eventually("failed", machine, || {
        machine.property("pasvsync.service", "Result") == "exit-code"
    });
    let instance = |name| machine.property(AFTER_NFTABLES, name);
    for (command, setting) in [("reload", "ExecReload"), ("restart", "ExecStart")] {
        machine.must("systemctl", &[command, "nftables.service"]);
        eventually(&format!("a {command} in vain"), machine, || {
            instance(setting).contains("status=1") && instance("ActiveState") == "active"
        });
    }
    let journal = machine.must("journalctl", &["--no-pager", "-u", "pasvsync*"]);
    assert!(journal.contains("no_such_setting"), "{journal}");
    machine.settle();
    machine.overwrite("etc/vsftpd.conf", &Machine::vsftpd(RANGE));
    opens(machine, RANGE);
    // That was the path unit. The instance still follows the firewall too.
    machine.forget_the_edits();
    machine.must("systemctl", &["reload", "nftables.service"]);
    opens(machine, RANGE);
}

/// However often a file is written and the service started, the path units go on, and the last text counts.
fn a_burst_of_changes(machine: &Machine) {
    for _ in 0..10 {
        // Five starts in ten seconds would be the limit.
        machine.must("systemctl", &["restart", "--no-block", "pasvsync.service"]);
    }
    for last in 1..=200 {
        machine.overwrite("etc/vsftpd.conf", &Machine::vsftpd((50_000, 50_000 + last)));
    }
    machine.overwrite("etc/vsftpd.conf", &Machine::vsftpd(MOVED));
    opens(machine, MOVED);
    for path in ["pasvsync.path", "pasvsync@etc-vsftpd.conf.path"] {
        assert_eq!(machine.property(path, "ActiveState"), "active", "{path}");
    }
    eventually("waiting for the timer", machine, || {
        let next = machine.property("pasvsync.timer", "NextElapseUSecMonotonic");
        !["", "0", "infinity"].contains(&next.as_str())
    });
}

/// The line for cron, run by a shell as cron would, with nothing of systemd's.
fn from_cron(machine: &Machine) {
    machine.must("systemctl", &["stop", "pasvsync.path", "pasvsync.timer"]);
    // With what they have started.
    machine.must("systemctl", &["stop", "pasvsync.service", AFTER_NFTABLES]);
    let watching = machine.must(
        "systemctl",
        &["list-units", "--no-legend", "pasvsync*.path"],
    );
    assert!(!watching.contains("active"), "{watching}");
    machine.forget_the_edits();
    machine.must("nft", &["-f", "/etc/nftables.conf"]);
    assert!(!machine.world().connects(CLIENT[0], MOVED.0));

    let table = include_str!("../../examples/cron.d/pasvsync");
    let path = table.lines().find_map(|line| line.strip_prefix("PATH="));
    let job = |when: &str| {
        let job = table.lines().find_map(|line| line.strip_prefix(when));
        let job = job.and_then(|rest| rest.trim_start().strip_prefix("root "));
        job.expect("a job of root's").trim().to_owned()
    };
    // Found before the real one: nobody wants to wait here.
    let nap = "printf '#!/bin/sh\\n' >/usr/local/bin/sleep && chmod +x /usr/local/bin/sleep";
    machine.must("sh", &["-c", nap]);
    let environment = format!("PATH={}", path.expect("a path"));
    for when in ["*/10 * * * *", "@reboot"] {
        machine.must("nft", &["-f", "/etc/nftables.conf"]);
        let job = job(when);
        assert!(
            !job.contains('%'),
            "to cron that is the end of the line: {job}"
        );
        let arguments = ["-i", &environment, "/bin/sh", "-c", &job];
        let output = machine.command("env", &arguments);
        let words = (output.stdout.as_str(), output.stderr.as_str());
        let line = "changed and proved: 51000-51010 open over IPv4 and IPv6\n";
        assert_eq!(
            (output.status.code(), words),
            (Some(0), (line, "")),
            "{job}"
        );
        assert!(machine.world().connects(CLIENT[0], MOVED.0), "{job}");
        // Once nothing is to be done, cron has nothing to mail.
        let output = machine.command("env", &arguments);
        let words = (output.stdout.as_str(), output.stderr.as_str());
        assert_eq!((output.status.code(), words), (Some(0), ("", "")), "{job}");
        machine.forget_the_edits();
    }
}

/// Where nothing else is wanted, `pasvsync.service` is enough for the next boot.
fn the_boot_unit_alone(machine: &mut Machine) {
    let others = ["pasvsync.path", "pasvsync.timer", AFTER_NFTABLES];
    machine.must("systemctl", &[&["disable"], &others[..]].concat());
    machine.must("systemctl", &["disable", "pasvsync-fw@firewalld.service"]);
    machine.reboot();
    opens(machine, MOVED);
    for unit in others {
        assert_eq!(machine.property(unit, "ActiveState"), "inactive", "{unit}");
    }
}
