//! The range is open after everything that loads the firewall's rules anew or moves the range, and nothing else is.

use std::collections::BTreeSet;

use super::machine::{Machine, eventually};
use crate::support::world::{BANNED, CLIENT};

const FIRST: (u16, u16) = (50_000, 50_010);
const SECOND: (u16, u16) = (51_000, 51_010);
const THIRD: (u16, u16) = (52_000, 52_010);
/// The firewall's own accept.
const LOGIN: u16 = 21;
/// Beside the ranges, and others that must not come along.
const BYSTANDERS: [u16; 8] = [49_999, 50_011, 50_999, 51_011, 51_999, 52_011, 3306, 40_000];

#[test]
fn the_range_stays_open() {
    let Some(mut machine) = Machine::new("story") else {
        return;
    };
    machine.write("etc/vsftpd.conf", &Machine::vsftpd(FIRST));
    assert_eq!(reached(&machine, None), BTreeSet::from([LOGIN]));
    machine.install();
    opens(&machine, FIRST, "the units were enabled");

    machine.forget_the_edits();
    machine.must("systemctl", &["restart", "nftables.service"]);
    opens(&machine, FIRST, "the firewall was restarted");
    machine.forget_the_edits();
    machine.must("systemctl", &["reload", "nftables.service"]);
    opens(&machine, FIRST, "the firewall was reloaded");

    machine.settle();
    machine.write("etc/vsftpd.conf", &Machine::vsftpd(SECOND));
    opens(&machine, SECOND, "the configuration was replaced");
    machine.settle();
    machine.overwrite("etc/vsftpd.conf", &Machine::vsftpd(THIRD));
    opens(&machine, THIRD, "the configuration was overwritten");

    machine.forget_the_edits();
    machine.reboot();
    opens(&machine, THIRD, "a reboot");
    machine.forget_the_edits();
    machine.must("systemctl", &["reload", "nftables.service"]);
    opens(
        &machine,
        THIRD,
        "the firewall was reloaded after the reboot",
    );
}

/// Everything that is asked for.
fn everything() -> Vec<u16> {
    let ranges = [FIRST, SECOND, THIRD].map(inside).concat();
    [&ranges, &BYSTANDERS[..], &[LOGIN]].concat()
}

fn inside((first, last): (u16, u16)) -> Vec<u16> {
    vec![first, u16::midpoint(first, last), last]
}

/// The ports that a client reaches over both families alike.
#[track_caller]
fn reached(machine: &Machine, range: Option<(u16, u16)>) -> BTreeSet<u16> {
    let wanted = range.map(inside).unwrap_or_default();
    let ports = everything();
    let expected = |_, port: u16| port == LOGIN || wanted.contains(&port);
    let [four, six] = machine.world().reached_both([&ports, &ports], expected);
    assert_eq!(four, six, "IPv4 and IPv6 differ");
    four
}

/// Panics unless the range opens, alone, to all but the banned.
#[track_caller]
fn opens(machine: &Machine, range: (u16, u16), when: &str) {
    let (ends, port) = (inside(range), LOGIN);
    eventually(&format!("open after {when}"), machine, || {
        ends.iter()
            .all(|port| machine.world().connects(CLIENT[0], *port))
    });
    let expected: BTreeSet<u16> = ends.iter().copied().chain([port]).collect();
    assert_eq!(reached(machine, Some(range)), expected, "after {when}");
    for address in BANNED {
        let through = machine.world().reached(address, &everything(), |_| false);
        assert!(through.is_empty(), "{address} after {when}: {through:?}");
    }
}
