//! The remembered proof of the permanent configuration: it counts while nothing that it names has changed, and no longer.

use super::lab::Lab;
use super::story::FIRST;
use crate::support::program::Run;

/// What a run says when it does not look any further.
const REMEMBERED: &str = "nothing changed since the permanent layer was proved";

/// Changes by hand: a file of `/etc/firewalld`, what is replaced in it, and with what.
const CHANGES: &[(&str, &str, &str)] = &[
    (
        "zones/public.xml",
        "</zone>",
        "<rule priority=\"-10\"><drop/></rule></zone>",
    ),
    ("zones/public.xml", "<service name=\"pasvsync\"/>", ""),
    ("services/pasvsync.xml", "50000-50100", "50000-50099"),
    (
        "zones/office.xml",
        "",
        "<zone target=\"DROP\"><source address=\"203.0.113.0/24\"/><service name=\"ftp\"/></zone>",
    ),
    (
        "zones/public/more.xml",
        "",
        "<zone><service name=\"ssh\"/></zone>",
    ),
    (
        "policies/shut.xml",
        "",
        "<policy priority=\"-10\" target=\"DROP\"><ingress-zone name=\"ANY\"/><egress-zone name=\"HOST\"/></policy>",
    ),
    (
        "direct.xml",
        "",
        "<direct><rule ipv=\"ipv4\" table=\"filter\" chain=\"INPUT\" priority=\"0\">-j DROP</rule></direct>",
    ),
    (
        "firewalld.conf",
        "FirewallBackend",
        "DefaultZone=drop\nFirewallBackend",
    ),
    ("ipsets/broken.xml", "", "<ipset"),
];

fn check(lab: &Lab) -> Run {
    lab.pasvsync(&["check", "-vv"])
}

/// What a check found of the firewall.
fn found(run: &Run) -> (Option<i32>, String) {
    (run.code, run.report()["backends"].to_string())
}

#[track_caller]
fn assert_remembered(lab: &Lab) {
    let run = check(lab);
    assert!(run.stderr.contains(REMEMBERED), "{run:?}");
}

#[test]
fn a_proof_counts_until_anything_changes() {
    let Some(lab) = Lab::wanting(FIRST) else {
        return;
    };
    lab.pasvsync(&["sync"]).expect(0);
    assert_remembered(&lab);
    for (name, from, to) in CHANGES {
        let path = lab.folder().join("etc").join(name);
        let before = fs_err::read(&path).ok();
        lab.edit(name, |text| {
            assert!(from.is_empty() || text.contains(from), "{name}: {text}");
            if from.is_empty() {
                (*to).to_owned()
            } else {
                text.replace(from, to)
            }
        });
        let (by_memory, anew) = (check(&lab), lab.pasvsync(&["check", "--fresh"]));
        assert!(
            !by_memory.stderr.contains(REMEMBERED),
            "{name}: {by_memory:?}"
        );
        assert_eq!(found(&by_memory), found(&anew), "{name}");
        if let Some(bytes) = before {
            fs_err::write(&path, bytes).unwrap();
        } else {
            fs_err::remove_file(&path).unwrap();
            // Only a folder that nothing else is in was made for it.
            let _ = fs_err::remove_dir(path.parent().unwrap());
        }
        assert_remembered(&lab);
    }
    lab.world.want(FIRST.0, FIRST.1 + 1);
    let run = check(&lab);
    assert!(!run.stderr.contains(REMEMBERED), "{run:?}");
    lab.pasvsync(&["remove"]).expect(0);
    assert!(!lab.folder().join("lib/pasvsync").exists());
}
