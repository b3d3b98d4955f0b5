//! Rules for packets that no ordinary client sends: they stop nobody, and the opposite of them stops everybody.

use firewall::model::reach::Reach::{self, Closed, Open};

use super::judge::{compare, verdicts};
use crate::support::ready;
use crate::support::world::World;

/// Each rule with what it makes of port 50000, IPv4 first; real connections agree.
#[track_caller]
fn judged(rules: &[(&str, [Reach; 2])]) {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let mut wrong = Vec::new();
    for (rule, expected) in rules {
        let world = World::new();
        world.load(&format!(
            "table inet t {{ chain c {{ type filter hook input priority 0;
                tcp dport 50000 {rule}\n}}\n}}"
        ));
        if let Err(message) = compare(&world, &[50_000].into()) {
            wrong.push(format!("{rule}: {message}"));
        }
        let maps = verdicts(&world).expect("the ruleset is read");
        let found = [0, 1].map(|family: usize| maps[family].reach(50_000));
        if found != expected.map(Some) {
            wrong.push(format!("{rule}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn extension_headers_and_options_of_ip() {
    judged(&[
        ("exthdr frag exists drop", [Open, Open]),
        ("exthdr frag missing drop", [Open, Closed]),
        ("exthdr hbh missing drop", [Open, Closed]),
        ("rt type 0 drop", [Open, Open]),
        ("rt type != 0 drop", [Open, Open]),
        ("hbh nexthdr 6 drop", [Open, Open]),
        ("dst nexthdr != 6 drop", [Open, Open]),
        ("mh type 1 drop", [Open, Open]),
        ("ip option rr exists drop", [Open, Open]),
        ("ip option lsrr missing drop", [Closed, Open]),
        ("ip option rr type 7 drop", [Open, Open]),
    ]);
}
