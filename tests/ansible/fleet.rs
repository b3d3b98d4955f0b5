//! Twenty hosts, twice: the ports are opened once, by real rules, and the second run changes nothing.

use super::controller::Controller;
use super::hosts::{Host, RANGE};
use super::readme::playbook;

/// The ends of the range, and what lies beside it.
const PORTS: [u16; 2] = [RANGE.0, RANGE.1];
const BESIDE: [u16; 2] = [RANGE.0 - 1, RANGE.1 + 1];

#[test]
fn twenty_hosts_are_changed_once() {
    let Some(controller) = Controller::new(20) else {
        return;
    };
    let hosts = &controller.hosts;
    controller.write("site.yml", playbook());
    let state = |host: &Host| (host.ruleset(), host.read("etc/nftables.conf"));
    let states = || hosts.iter().map(state).collect::<Vec<_>>();
    let before = states();
    assert_eq!(controller.reached(hosts, &PORTS, false), 0);

    let checked = controller.play("site.yml", &["--check"]);
    checked.changed(hosts, 1);
    assert_eq!(states(), before, "check mode has changed something");

    controller.play("site.yml", &[]).changed(hosts, 1);
    // Both ports over both families.
    assert_eq!(controller.reached(hosts, &PORTS, true), 4 * hosts.len());
    assert_eq!(controller.reached(hosts, &BESIDE, false), 0);
    for (_, boot) in states() {
        assert!(
            boot.contains("\ttcp dport 50000-50009 accept comment \"pasvsync\"\n"),
            "{boot}"
        );
    }

    let opened = states();
    controller.play("site.yml", &[]).changed(hosts, 0);
    let checked = controller.play("site.yml", &["--check", "--diff"]);
    checked.changed(hosts, 0);
    assert_eq!(states(), opened, "the second run has changed something");
}
