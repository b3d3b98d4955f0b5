//! Firewalls that write their rules from a configuration of their own: theirs are the rules, the advice is how to open
//! ports with them, and what they load at boot is never taken for proved. The rulesets are what the tools wrote.

use super::story::{FIRST, Story, inside};
use crate::support::host::{Host, NFTABLES};
use crate::support::program::{FAMILIES, Run};
use crate::support::ready;
use crate::support::world::{BANNED, World};

/// What a firewall says of ports that it closes: its table is left alone.
#[track_caller]
fn left_alone(world: &World, advice: &str) {
    let story = Story::begin(world);
    let check = world.pasvsync(&["check"]).expect(3);
    for (name, opened) in FAMILIES.iter().zip(story.connects(FIRST.0)) {
        for port in inside(FIRST) {
            let verdict = check.verdict(name, port);
            assert_eq!(verdict == "open", opened, "{name} port {port}: {verdict}");
        }
    }
    let sync = world.pasvsync(&["sync"]).expect(1);
    assert!(sync.stdout.contains("managed-table"), "{sync:?}");
    assert!(
        sync.stdout.contains(advice),
        "{advice} is missing: {sync:?}"
    );
    story.assert_untouched();
    world.pasvsync(&["remove"]).expect(0);
    story.assert_untouched();
}

/// After the advice was followed nothing is left to do, and who was banned is still out.
#[track_caller]
fn opened_by_its_owner(world: &World) {
    world.want(FIRST.0, FIRST.1);
    let before = world.exact();
    let ports = inside(FIRST);
    let reached = world.reached_both([&ports, &ports], |_, _| true);
    assert_eq!(reached, [ports.into(), ports.into()]);
    let sync = world.pasvsync(&["sync"]).expect(0);
    assert!(!sync.changed(), "{sync:?}");
    assert_eq!(world.exact(), before);
    for from in BANNED {
        let reached = world.reached(from, &ports, |_| false);
        assert!(reached.is_empty(), "{from} is let in at {reached:?}");
    }
}

#[test]
fn shorewall() {
    if !ready(&["nft", "ip", "iptables-nft-restore"]) {
        return;
    }
    let [four, six] = [
        include_str!("rulesets/shorewall.v4"),
        include_str!("rulesets/shorewall.v6"),
    ];
    let world = World::new();
    world.load_iptables(four, six);
    left_alone(&world, "ACCEPT net $FW tcp 50000:50100");
    let follow = |text: &str| text.replace("--dports 21,22", "--dports 21,22,50000:50100");
    let world = World::new();
    world.load_iptables(&follow(four), &follow(six));
    opened_by_its_owner(&world);
}

#[test]
fn foomuuri() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let rules = include_str!("rulesets/foomuuri.nft");
    let world = World::new();
    world.load(rules);
    left_alone(&world, "tcp 50000-50100 accept");
    let world = World::new();
    world.load(&rules.replace("{ 21, 22 }", "{ 21, 22, 50000-50100 }"));
    opened_by_its_owner(&world);
}

#[test]
fn openwrt() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let rules = include_str!("rulesets/openwrt.nft");
    let world = World::new();
    world.load(rules);
    left_alone(&world, "/etc/config/firewall");
}

/// Chains of its own in a table that others use: Felix puts its jump before whatever is put before it.
#[test]
fn calico() {
    if !ready(&["nft", "ip", "iptables-nft-restore"]) {
        return;
    }
    let world = World::new();
    world.load_iptables(include_str!("rulesets/calico.v4"), "");
    left_alone(&world, "GlobalNetworkPolicy");
}

/// The verdict that a run has for the next boot.
fn next_boot(run: &Run) -> String {
    let report = run.report();
    let entry = &report["backends"][0]["layers"]["permanent"]["reach"][0];
    entry["verdict"].as_str().unwrap_or_default().to_owned()
}

/// A script beside the usual loader may close what the loader's file lets in.
#[test]
fn a_script_beside_the_loader_leaves_the_next_boot_unknown() {
    let Some(host) = Host::on_its_own(&["iptables-nft"]) else {
        return;
    };
    let text = format!(
        "listen=YES\npasv_min_port={}\npasv_max_port={}\n",
        FIRST.0, FIRST.1
    );
    host.write("/etc/vsftpd.conf", &text, 0o644);
    host.write("/etc/nftables.conf", NFTABLES, 0o755);
    host.enable("", "nftables");
    host.must("nft", &["-f", "/etc/nftables.conf"]);
    let run = |command: &str| Run::from(host.pasvsync(&[command, "--output", "json"]));
    assert!(run("sync").expect(0).changed());
    assert_eq!(next_boot(&run("check").expect(0)), "open");
    let script = "#!/bin/sh\nIPTABLES=/usr/sbin/iptables\n$IPTABLES -P INPUT DROP\n";
    host.write("/etc/firewall.sh", script, 0o755);
    let unit =
        "[Service]\nExecStart=/etc/firewall.sh start\n[Install]\nWantedBy=multi-user.target\n";
    host.write("/etc/systemd/system/firewall.service", unit, 0o644);
    assert_eq!(
        next_boot(&run("check").expect(0)),
        "open",
        "nothing starts it"
    );
    host.enable("", "firewall");
    let check = run("check").expect(3);
    assert_eq!(next_boot(&check), "unknown");
    assert!(check.stdout.contains("firewall.service"), "{check:?}");
    assert!(!run("sync").expect(1).changed());
    for command in ["check", "sync", "status"] {
        let said = host.pasvsync(&[command]).stdout;
        assert!(said.contains("not everything is known"), "{said}");
    }
    let explain = host.pasvsync(&["explain", "50000", "--boot"]);
    assert!(
        !explain.status.success() && explain.stderr.contains("firewall.service"),
        "{explain:?}"
    );
    // The boot unit does at boot what nobody can prove beforehand: then nothing is wrong, and nothing is claimed.
    let unit = include_str!("../../examples/systemd/pasvsync.service");
    host.write("/etc/systemd/system/pasvsync.service", unit, 0o644);
    host.enable("", "pasvsync");
    let check = run("check").expect(0);
    assert!(check.stdout.contains("boot-unit"), "{check:?}");
    assert_eq!(next_boot(&check), "");
    let said = host.pasvsync(&["check"]).stdout;
    assert!(said.contains("the next boot was not judged"), "{said}");
    assert!(!run("sync").expect(0).changed());
    // What is in the file is still kept in step.
    host.write("/etc/nftables.conf", NFTABLES, 0o755);
    run("check").expect(3);
    assert!(run("sync").expect(0).changed());
    assert_ne!(host.read("/etc/nftables.conf"), NFTABLES);
    assert!(!run("sync").expect(0).changed());
    // Whether its rules are known does not matter to what is taken away.
    assert!(run("remove").expect(0).changed());
    assert_eq!(host.read("/etc/nftables.conf"), NFTABLES);
}
