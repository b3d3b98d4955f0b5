//! What stands before or beside the zones: named, and never gone round.

use super::lab::{Lab, possible};
use super::story::{FIRST, codes, in_sync, message};
use crate::support::world::BANNED;

/// Something closes the whole range: the error is of that code, names `what`, and nothing is added to what runs.
#[track_caller]
fn blocked(lab: &Lab, code: &str, what: &str) {
    let ports = lab.firewall_cmd(&["--zone=public", "--list-ports"]);
    let check = lab.pasvsync(&["check"]).expect(3);
    assert!(message(&check, code).contains(what), "{what}: {check:?}");
    let sync = lab.pasvsync(&["sync"]).expect(1);
    assert!(message(&sync, code).contains(what), "{what}: {sync:?}");
    assert!(!in_sync(&sync, "runtime"), "{sync:?}");
    assert_eq!(lab.firewall_cmd(&["--zone=public", "--list-ports"]), ports);
    lab.assert_open(&[FIRST.0, FIRST.1], false);
}

fn tell(backend: &str) {
    let lab = Lab::start(backend, |_| {});
    lab.world.want(FIRST.0, FIRST.1);

    // A rich rule about the range.
    let rule = "rule port port=50000-50100 protocol=tcp drop";
    lab.firewall_cmd(&[&format!("--add-rich-rule={rule}")]);
    blocked(&lab, "firewalld-rule", "public_deny");
    lab.firewall_cmd(&[&format!("--remove-rich-rule={rule}")]);

    // About a part of it: the rest is opened.
    let rule = "rule port port=50050 protocol=tcp reject";
    lab.firewall_cmd(&[&format!("--add-rich-rule={rule}")]);
    let sync = lab.pasvsync(&["sync"]).expect(1);
    assert!(
        message(&sync, "firewalld-rule").contains("public_deny"),
        "{sync:?}"
    );
    lab.assert_open(&[FIRST.0, 50_049, 50_051, FIRST.1], true);
    lab.assert_open(&[50_050], false);
    lab.firewall_cmd(&[&format!("--remove-rich-rule={rule}")]);
    lab.pasvsync(&["sync"]).expect(0);
    lab.assert_open(&[FIRST.0, 50_050, FIRST.1], true);
    lab.pasvsync(&["remove"]).expect(0);

    // Panic mode.
    lab.firewall_cmd(&["--panic-on"]);
    blocked(&lab, "firewalld-panic", "panic mode");
    lab.firewall_cmd(&["--panic-off"]);

    // Rules of somebody else's, beside firewalld's.
    lab.world.load(
        "table inet mine {
            chain input {
                type filter hook input priority -5; policy drop;
                ct state established accept
                iif lo accept
                tcp dport 21 accept
                icmpv6 type != 1 accept
            }
        }",
    );
    blocked(&lab, "beside-firewalld", "inet mine input");
    lab.world.load("delete table inet mine");

    // A policy before the zones; the zone itself is as it should be.
    for arguments in [
        &["--new-policy=shut"][..],
        &["--policy=shut", "--add-ingress-zone=ANY"],
        &["--policy=shut", "--add-egress-zone=HOST"],
        &["--policy=shut", "--set-priority=-1"],
        &["--policy=shut", "--set-target=DROP"],
    ] {
        lab.firewall_cmd(&[&["--permanent"], arguments].concat());
    }
    lab.firewall_cmd(&["--reload"]);
    blocked(&lab, "firewalld-rule", "policy shut");
    let check = lab.pasvsync(&["check"]).expect(3);
    assert!(!in_sync(&check, "permanent"), "{check:?}");
    lab.firewall_cmd(&["--permanent", "--delete-policy=shut"]);
    lab.firewall_cmd(&["--reload"]);
    lab.pasvsync(&["sync"]).expect(0);
    lab.assert_open(&[FIRST.0, FIRST.1], true);
}

#[test]
fn what_closes_the_ports_is_named_with_nftables() {
    if possible() {
        tell("nftables");
    }
}

#[test]
fn what_closes_the_ports_is_named_with_iptables() {
    if possible() {
        tell("iptables");
    }
}

/// An admin's wider range swallows ours while it is there; then it is theirs, and stays.
#[test]
fn a_range_that_swallows_ours_is_the_admins() {
    let Some(lab) = Lab::wanting(FIRST) else {
        return;
    };
    lab.pasvsync(&["sync"]).expect(0);
    lab.firewall_cmd(&["--add-port=49152-65534/tcp"]);
    assert_eq!(
        lab.firewall_cmd(&["--zone=public", "--list-ports"]),
        "49152-65534/tcp"
    );
    let sync = lab.pasvsync(&["sync"]).expect(0);
    assert!(!sync.changed(), "{sync:?}");
    lab.pasvsync(&["remove"]).expect(0);
    assert_eq!(
        lab.firewall_cmd(&["--zone=public", "--list-ports"]),
        "49152-65534/tcp"
    );
    lab.assert_open(&[49_152, FIRST.0], true);
    assert!(!lab.folder().join("lib/pasvsync").exists());
}

/// What an admin saves (`--runtime-to-permanent`) is theirs from then on.
#[test]
fn what_is_saved_by_the_admin_stays() {
    let Some(lab) = Lab::wanting(FIRST) else {
        return;
    };
    lab.pasvsync(&["sync"]).expect(0);
    lab.firewall_cmd(&["--permanent", "--add-port=50000-50100/tcp"]);
    lab.pasvsync(&["remove"]).expect(0);
    assert!(!lab.query(&["--permanent", "--query-service=pasvsync"]));
    assert_eq!(
        lab.firewall_cmd(&["--permanent", "--list-ports"]),
        "50000-50100/tcp"
    );
    assert_eq!(
        lab.firewall_cmd(&["--zone=public", "--list-ports"]),
        "50000-50100/tcp"
    );
}

/// A service of the same name that somebody else made is left alone; what runs is opened all the same.
#[test]
fn a_service_of_that_name_is_somebody_elses() {
    let Some(lab) = Lab::wanting(FIRST) else {
        return;
    };
    lab.firewall_cmd(&["--permanent", "--new-service=pasvsync"]);
    lab.firewall_cmd(&["--permanent", "--service=pasvsync", "--add-port=8080/tcp"]);
    lab.firewall_cmd(&["--reload"]);
    let sync = lab.pasvsync(&["sync"]).expect(1);
    assert!(
        message(&sync, "service-name-taken").contains("pasvsync.xml"),
        "{sync:?}"
    );
    assert!(in_sync(&sync, "runtime"), "{sync:?}");
    let ports = ["--permanent", "--service=pasvsync", "--get-ports"];
    assert_eq!(lab.firewall_cmd(&ports), "8080/tcp");
    lab.pasvsync(&["remove"]).expect(0);
    assert_eq!(lab.firewall_cmd(&ports), "8080/tcp");
}

/// A file that was just edited by hand is not overwritten with what firewalld remembers of it.
#[test]
fn an_edit_by_hand_is_not_undone() {
    if !possible() {
        return;
    }
    // Up to 2.3 firewalld reads a changed file of its own accord, if the zones' folder was there when it started; 2.5
    // waits to be told.
    for watched in [true, false] {
        let lab = Lab::start("nftables", |lab| {
            if watched {
                fs_err::create_dir(lab.folder().join("etc/zones")).expect("the folder");
            }
        });
        lab.world.want(FIRST.0, FIRST.1);
        lab.firewall_cmd(&["--permanent", "--add-port=2222/tcp"]);
        lab.edit("zones/public.xml", |text| {
            let line = "  <port port=\"7777\" protocol=\"tcp\"/>\n</zone>";
            text.replace("</zone>", line)
        });
        let version = lab.firewall_cmd(&["--version"]);
        let waits = ["2.4", "2.5"].iter().any(|it| version.starts_with(it));
        if waits || !watched {
            let sync = lab.pasvsync(&["sync"]).expect(1);
            let said = message(&sync, "boot-file-not-written");
            assert!(said.contains("zones/public.xml"), "{said}");
            lab.firewall_cmd(&["--reload"]);
        }
        lab.pasvsync(&["sync"]).expect(0);
        let path = lab.folder().join("etc/zones/public.xml");
        let text = fs_err::read_to_string(path).expect("the zone's file");
        for wanted in ["\"pasvsync\"", "\"2222\"", "\"7777\""] {
            assert!(text.contains(wanted), "{wanted} is gone: {text}");
        }
    }
}

/// The control port comes with firewalld's own service, helper and all; locked down, root still may.
#[test]
fn the_control_port_comes_with_its_helper() {
    if !possible() {
        return;
    }
    let lab = Lab::start("nftables", |lab| {
        // As the package has it.
        lab.edit("lockdown-whitelist.xml", |_| {
            "<whitelist><user id=\"0\"/></whitelist>\n".to_owned()
        });
    });
    lab.world.want(FIRST.0, FIRST.1);
    let before = lab.everything();
    lab.firewall_cmd(&["--lockdown-on"]);
    lab.pasvsync(&["sync", "--control"]).expect(0);
    for restarted in [false, true] {
        lab.assert_open(&[21, FIRST.0, FIRST.1], true);
        let helper = "tcp dport 21 ct helper set \"helper-ftp-tcp\"";
        assert!(
            lab.world.exact().text.contains(helper),
            "restarted: {restarted}"
        );
        let again = lab.pasvsync(&["sync", "--control"]).expect(0);
        assert!(!again.changed(), "{again:?}");
        lab.restart();
    }
    // Without the flag the control port is nobody's wish any more.
    lab.pasvsync(&["sync"]).expect(0);
    lab.assert_open(&[21], false);
    lab.assert_open(&[FIRST.0, FIRST.1], true);
    lab.pasvsync(&["remove"]).expect(0);
    lab.firewall_cmd(&["--lockdown-off"]);
    assert_eq!(lab.everything(), before);
}

/// The helper alone lets data connections in until the control connection is encrypted: that is worth a word.
#[test]
fn the_helper_alone_is_not_enough() {
    let Some(lab) = Lab::wanting(FIRST) else {
        return;
    };
    lab.firewall_cmd(&["--add-service=ftp"]);
    let check = lab.pasvsync(&["check"]).expect(3);
    assert!(
        codes(&check).contains(&"helper-only".to_owned()),
        "{check:?}"
    );
    let [banned, _] = BANNED;
    assert!(lab.world.connects(banned, 21));
}
