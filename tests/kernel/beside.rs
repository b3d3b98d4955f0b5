//! What stops packets before netfilter does: the report says that it is there.

use super::story::FIRST;
use crate::support::program::Run;
use crate::support::world::{CLIENT, World};
use crate::support::{ready, skip};

/// Attaches a program that drops everything.
const PROGRAM: &str = include_str!("beside/xdp.py");
/// Drops TCP to port 50000 over IPv4, as traffic control's classic BPF takes it.
const DROP: &str = "4,40 0 0 36,21 0 1 50000,6 0 0 2,6 0 0 4294967295,";

/// What the report says of it.
fn said(run: &Run) -> Option<String> {
    let report = run.report();
    let mut findings = report["findings"].as_array()?.iter();
    let finding = findings.find(|finding| finding["code"] == "beside-netfilter")?;
    assert_eq!(finding["severity"], "warning", "{finding}");
    Some(finding["message"].as_str()?.to_owned())
}

#[test]
fn filters_of_traffic_control_are_named() {
    if !ready(&["nft", "ip", "tc"]) {
        return;
    }
    for (discipline, side, words) in [
        ("clsact", "ingress", "on the way in (bpf) at eth0"),
        ("ingress", "parent ffff:", "on the way in (bpf) at eth0"),
        ("clsact", "egress", "on the way out (bpf) at eth0"),
    ] {
        let world = World::new();
        world.want(FIRST.0, FIRST.1);
        let tc = |line: &str| world.command("tc", &["-batch", "-"], line);
        let made = tc(&format!("qdisc add dev eth0 {discipline}\n"));
        let filter = format!("filter add dev eth0 {side} bpf da bytecode \"{DROP}\"\n");
        if !made.status.success() {
            return skip(&made.stderr);
        }
        let check = world.pasvsync(&["check"]).expect(0);
        assert_eq!(said(&check), None, "there is no filter yet");
        tc(&filter).expect_success("tc");
        // That is why something must be said.
        let drops = side != "egress";
        assert_ne!(world.connects(CLIENT[0], FIRST.0), drops);
        let check = world.pasvsync(&["check"]).expect(0);
        let message = said(&check).expect("the finding");
        assert!(message.contains(words), "{message}");
        world.pasvsync(&["remove"]).expect(0);
    }
}

#[test]
fn programs_at_an_interface_are_named() {
    if !ready(&["nft", "ip", "python3"]) {
        return;
    }
    let world = World::new();
    world.want(FIRST.0, FIRST.1);
    let attached = world.command("python3", &["-", "eth0"], PROGRAM);
    if !attached.status.success() {
        return skip(&attached.stderr);
    }
    assert!(!world.connects(CLIENT[0], FIRST.0));
    let check = world.pasvsync(&["check"]).expect(0);
    let message = said(&check).expect("the finding");
    assert!(message.contains("an XDP program at eth0"), "{message}");
}
