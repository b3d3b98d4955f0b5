//! Which zones are opened: by interface, by source, by name.

use super::lab::{Lab, possible};
use super::story::{FIRST, codes, message};
use crate::support::world::{BANNED, World};

/// Does the same now and for the next start.
fn both(lab: &Lab, arguments: &[&str]) {
    lab.firewall_cmd(arguments);
    lab.firewall_cmd(&[&["--permanent"], arguments].concat());
}

/// Whether the host behind the server, on the other interface, reaches the range.
fn reached_from_inside(lab: &Lab, expected: bool) -> bool {
    let ports = [FIRST.0, FIRST.1];
    let reached = lab
        .world
        .reached_from_inside([&ports, &ports], |_, _| expected);
    let [ipv4, ipv6] = reached.expect("a host behind the server");
    assert_eq!(ipv4.len(), ipv6.len());
    ipv4.len() == ports.len()
}

fn interfaces(backend: &str) {
    let lab = Lab::start_in(World::with_inside(), backend, |_| {});
    lab.world.want(FIRST.0, FIRST.1);
    let before = lab.everything();
    both(&lab, &["--zone=dmz", "--change-interface=eth1"]);

    // No FTP there: left out, and said so.
    let sync = lab.pasvsync(&["sync"]).expect(0);
    let said = message(&sync, "zone-left-out");
    assert!(said.contains("zone dmz") && said.contains("eth1"), "{said}");
    lab.assert_open(&[FIRST.0, FIRST.1], true);
    assert!(!reached_from_inside(&lab, false));

    // The control port is let in there: now it matters, after a start as well.
    both(&lab, &["--zone=dmz", "--add-service=ftp"]);
    lab.pasvsync(&["check"]).expect(3);
    let sync = lab.pasvsync(&["sync"]).expect(0);
    assert!(
        !codes(&sync).contains(&"zone-left-out".to_owned()),
        "{sync:?}"
    );
    assert!(reached_from_inside(&lab, true));
    lab.restart();
    assert!(reached_from_inside(&lab, true));
    lab.assert_open(&[FIRST.0, FIRST.1], true);
    assert!(!lab.pasvsync(&["sync"]).expect(0).changed());

    // One zone by name, and no other.
    lab.pasvsync(&["sync", "--zone", "dmz"]).expect(0);
    assert!(reached_from_inside(&lab, true));
    lab.assert_open(&[FIRST.0, FIRST.1], false);
    assert!(!lab.query(&["--permanent", "--zone=public", "--query-service=pasvsync"]));

    lab.pasvsync(&["remove"]).expect(0);
    assert!(!reached_from_inside(&lab, false));
    both(&lab, &["--zone=dmz", "--remove-service=ftp"]);
    both(&lab, &["--zone=dmz", "--remove-interface=eth1"]);
    assert_eq!(lab.everything(), before);
}

#[test]
fn a_zone_of_an_interface_with_nftables() {
    if possible() {
        interfaces("nftables");
    }
}

#[test]
fn a_zone_of_an_interface_with_iptables() {
    if possible() {
        interfaces("iptables");
    }
}

/// A zone that nothing comes in by yet is asked about as if it did.
#[test]
fn a_zone_of_an_interface_that_is_down() {
    if !possible() {
        return;
    }
    let lab = Lab::start_in(World::with_inside(), "nftables", |_| {});
    lab.world.want(FIRST.0, FIRST.1);
    lab.world
        .command("ip", &["link", "set", "eth1", "down"], "")
        .expect_success("ip");
    both(&lab, &["--zone=public", "--add-service=ftp"]);
    both(&lab, &["--zone=dmz", "--change-interface=eth1"]);
    lab.pasvsync(&["sync"]).expect(0);
    assert!(!lab.query(&["--zone=dmz", "--query-port=50000-50100/tcp"]));
    assert!(!lab.query(&["--permanent", "--zone=dmz", "--query-service=pasvsync"]));
    both(&lab, &["--zone=dmz", "--add-service=ftp"]);
    lab.pasvsync(&["sync"]).expect(0);
    assert!(lab.query(&["--zone=dmz", "--query-port=50000-50100/tcp"]));
    assert!(lab.query(&["--permanent", "--zone=dmz", "--query-service=pasvsync"]));
}

fn sources(backend: &str) {
    let lab = Lab::start(backend, |_| {});
    lab.world.want(FIRST.0, FIRST.1);
    for source in BANNED {
        both(
            &lab,
            &["--zone=internal", &format!("--add-source={source}")],
        );
    }
    both(&lab, &["--zone=internal", "--add-service=ftp"]);
    lab.firewall_cmd(&["--add-port=50000-50100/tcp"]);
    lab.firewall_cmd(&["--permanent", "--add-port=50000-50100/tcp"]);

    // Everybody gets through but those clients: that is drift.
    lab.assert_open(&[FIRST.0], true);
    for source in BANNED {
        assert!(!lab.world.connects(source, FIRST.0));
    }
    let check = lab.pasvsync(&["check"]).expect(3);
    assert_eq!(check.verdict("ipv4", FIRST.0), "restricted");
    lab.pasvsync(&["sync"]).expect(0);
    for restarted in [false, true] {
        for source in BANNED {
            assert!(
                lab.world.connects(source, FIRST.1),
                "restarted: {restarted}"
            );
        }
        assert!(!lab.pasvsync(&["sync"]).expect(0).changed());
        lab.restart();
    }
    assert!(!lab.query(&["--permanent", "--zone=public", "--query-service=pasvsync"]));

    // A ban of the very clients that the zone is for is not gone round.
    let rule = format!("rule family=ipv4 source address={} drop", BANNED[0]);
    lab.firewall_cmd(&["--zone=internal", &format!("--add-rich-rule={rule}")]);
    let sync = lab.pasvsync(&["sync"]).expect(1);
    assert!(
        message(&sync, "firewalld-rule").contains(BANNED[0]),
        "{sync:?}"
    );
    assert!(!lab.world.connects(BANNED[0], FIRST.0));
    lab.pasvsync(&["remove"]).expect(0);
    assert!(!lab.world.connects(BANNED[1], FIRST.0));
}

#[test]
fn a_zone_of_sources_with_nftables() {
    if possible() {
        sources("nftables");
    }
}

#[test]
fn a_zone_of_sources_with_iptables() {
    if possible() {
        sources("iptables");
    }
}

/// An ipset's clients cannot be asked about one by one; their zone is opened, and the report says what it says nothing of.
#[test]
fn a_zone_of_an_ipset() {
    let Some(lab) = Lab::wanting(FIRST) else {
        return;
    };
    lab.firewall_cmd(&["--permanent", "--new-ipset=office", "--type=hash:ip"]);
    lab.firewall_cmd(&[
        "--permanent",
        "--ipset=office",
        &format!("--add-entry={}", BANNED[0]),
    ]);
    lab.firewall_cmd(&["--permanent", "--zone=work", "--add-source=ipset:office"]);
    lab.firewall_cmd(&["--permanent", "--zone=work", "--add-service=ftp"]);
    lab.firewall_cmd(&["--reload"]);
    assert!(!lab.world.connects(BANNED[0], FIRST.0));
    let sync = lab.pasvsync(&["sync"]).expect(0);
    assert!(
        message(&sync, "zone-source-not-proved").contains("ipset:office"),
        "{sync:?}"
    );
    assert!(lab.world.connects(BANNED[0], FIRST.0));
    lab.assert_open(&[FIRST.0, FIRST.1], true);
    lab.firewall_cmd(&["--reload"]);
    assert!(lab.world.connects(BANNED[0], FIRST.0));
    let again = lab.pasvsync(&["sync"]).expect(0);
    assert!(!again.changed(), "{again:?}");
}

/// What the default zone lets in says nothing of a zone that an ipset leads to, be it chosen by name.
#[test]
fn a_chosen_zone_of_an_ipset() {
    let Some(lab) = Lab::wanting(FIRST) else {
        return;
    };
    lab.firewall_cmd(&["--permanent", "--new-ipset=office", "--type=hash:ip"]);
    let entry = format!("--add-entry={}", BANNED[0]);
    lab.firewall_cmd(&["--permanent", "--ipset=office", &entry]);
    lab.firewall_cmd(&["--permanent", "--zone=work", "--add-source=ipset:office"]);
    lab.firewall_cmd(&["--permanent", "--add-port=50000-50100/tcp"]);
    lab.firewall_cmd(&["--reload"]);
    lab.assert_open(&[FIRST.0, FIRST.1], true);
    assert!(!lab.world.connects(BANNED[0], FIRST.0));
    let zones = ["--zone", "public", "--zone", "work"];
    lab.pasvsync(&[&["check"], &zones[..]].concat()).expect(3);
    lab.pasvsync(&[&["sync"], &zones[..]].concat()).expect(0);
    for reloaded in [false, true] {
        assert!(
            lab.world.connects(BANNED[0], FIRST.0),
            "reloaded: {reloaded}"
        );
        let again = lab.pasvsync(&[&["sync"], &zones[..]].concat()).expect(0);
        assert!(!again.changed(), "{again:?}");
        lab.firewall_cmd(&["--reload"]);
    }
}

/// A zone that accepts everything needs nothing; one that is not there is an error with the names of those that are.
#[test]
fn zones_by_name() {
    let Some(lab) = Lab::wanting(FIRST) else {
        return;
    };
    let wrong = lab.pasvsync(&["sync", "--zone", "nowhere"]).expect(1);
    let error = &wrong.report()["error"];
    assert!(
        error["message"].as_str().unwrap().contains("`nowhere`"),
        "{wrong:?}"
    );
    assert!(
        error["hint"].as_str().unwrap().contains("public"),
        "{wrong:?}"
    );
    both(&lab, &["--zone=trusted", "--change-interface=eth0"]);
    lab.firewall_cmd(&["--set-default-zone=trusted"]);
    let sync = lab.pasvsync(&["sync"]).expect(0);
    assert!(!sync.changed(), "{sync:?}");
    lab.assert_open(&[FIRST.0, FIRST.1], true);
    // A zone that nothing belongs to yet.
    lab.pasvsync(&["sync", "--zone", "work", "--zone", "trusted"])
        .expect(0);
    assert!(lab.query(&["--zone=work", "--query-port=50000-50100/tcp"]));
    let again = lab
        .pasvsync(&["sync", "--zone", "work", "--zone", "trusted"])
        .expect(0);
    assert!(!again.changed(), "{again:?}");
}
