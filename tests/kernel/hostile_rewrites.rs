//! Rules that write into the headers of packets they let through: the connection may come about or not, but is not open
//! when it does not.

use super::judge::compare;
use crate::support::ready;
use crate::support::world::World;

/// What is written, into IPv4's header and TCP's.
const WRITES: [&str; 30] = [
    "ip length set 20",
    "ip hdrlength set 15",
    "ip version set 5",
    "ip frag-off set 0x2000",
    "ip id set 7",
    "ip ttl set 1",
    "ip ttl set 64",
    "ip protocol set 17",
    "ip checksum set 0",
    "ip dscp set cs1",
    "ip ecn set ce",
    "ip saddr set 203.0.113.66",
    "ip daddr set 203.0.113.9",
    "tcp sequence set 7",
    "tcp ackseq set 7",
    "tcp doff set 4",
    "tcp flags set rst",
    "tcp flags set fin|syn",
    "tcp window set 0",
    "tcp checksum set 7",
    "tcp urgptr set 7",
    "tcp sport set 4",
    "tcp dport set 4",
    "tcp option maxseg size set 1000",
    "tcp option maxseg size set 1",
    "tcp option timestamp tsval set 1",
    "tcp option timestamp tsecr set 1",
    "reset tcp option maxseg",
    "reset tcp option sack-perm",
    "reset tcp option timestamp",
];

/// Where: hook and priority.
const PLACES: [&str; 5] = [
    "prerouting priority -300",
    "prerouting priority 0",
    "input priority 0",
    "output priority 0",
    "postrouting priority 300",
];

#[test]
fn headers_that_are_written() {
    if !ready(&["nft", "ip"]) {
        return;
    }
    let mut wrong = Vec::new();
    for place in PLACES {
        let world = World::new();
        let port = if place.contains("put priority 0") && place.starts_with('o')
            || place.starts_with("post")
        {
            "sport"
        } else {
            "dport"
        };
        for write in WRITES {
            let ruleset = format!(
                "flush ruleset
                 table ip t {{ chain c {{ type filter hook {place}; tcp {port} 50000 {write}\n}}\n}}"
            );
            if let Err(message) = world.try_load(&ruleset) {
                wrong.push(format!("{place}, {write}: not loaded: {message}"));
            } else if let Err(message) = compare(&world, &[50_000].into()) {
                wrong.push(format!("{place}, {write}: {message}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
