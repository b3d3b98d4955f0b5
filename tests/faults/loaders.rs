//! Loaders that report success and have not loaded what they should: what is empty for that reason filters nothing only
//! in appearance.

use std::collections::BTreeSet;

use nix::errno::Errno;

use super::judge::Expected;
use super::prepared;
use super::scenarios::{IPTABLES_SYNC, LEGACY_SYNC, NFTABLES_SYNC, Scenario};
use super::state::State;
use super::tracer::{Fault, trace};
use crate::support::program::PROGRAM;

/// iptables' programs cannot read, wherever they do.
fn unread(scenario: Scenario) {
    let Some(first) = prepared(scenario) else {
        return;
    };
    let expected = Expected::of(&first, scenario);
    let mut sites = BTreeSet::new();
    let reads = expected.calls.iter().filter(|met| {
        let program = met.point.program.as_str();
        met.point.call == "read"
            && program.starts_with("xtables-")
            && sites.insert((program, met.site))
    });
    let points: Vec<_> = reads.map(|met| &met.point).collect();
    assert!(!points.is_empty());
    for point in points {
        let host = expected.ready(None);
        let fault = Fault::Error(Errno::EIO);
        let run = host.run(|| trace(PROGRAM, scenario.command, Some((point, fault))));
        let mut problems = expected.judge(point, fault, &run, &State::of(&host));
        problems.extend(expected.heals(&host));
        assert_eq!(problems, Vec::<String>::new(), "{point}: {run:?}");
    }
}

#[test]
fn what_iptables_does_not_read() {
    unread(IPTABLES_SYNC);
}

#[test]
fn what_iptables_legacy_does_not_read() {
    unread(LEGACY_SYNC);
}

/// nft takes a folder that it cannot list for an empty one. In this one is what closes the ports at the next boot.
#[test]
fn what_nft_does_not_find() {
    let Some(host) = prepared(NFTABLES_SYNC) else {
        return;
    };
    let first = host.pasvsync(&["sync"]);
    assert!(first.status.success(), "{first:?}");
    let closing = "table inet other {\n\tchain input {\n\t\ttype filter hook input priority 10\n\t\ttcp dport != 22 drop\n\t}\n}\n";
    host.write("/etc/nftables.d/other.nft", closing, 0o644);
    let script = "echo 'include \"/etc/nftables.d/*.nft\"' >>/etc/nftables.conf";
    host.must("sh", &["-ec", script]);
    let check = &["check"];
    let clean = host.run(|| trace(PROGRAM, check, None));
    assert_ne!(clean.code, Some(0), "{clean:?}");
    let listings = clean.calls.iter().map(|met| &met.point);
    let listings: Vec<_> = listings
        .filter(|point| point.call == "getdents64")
        .collect();
    assert!(listings.iter().any(|point| point.program == "nft"));
    for point in listings {
        let fault = Some((point, Fault::Error(Errno::EIO)));
        let run = host.run(|| trace(PROGRAM, check, fault));
        assert_ne!(run.code, Some(0), "{point}: {run:?}");
    }
}
