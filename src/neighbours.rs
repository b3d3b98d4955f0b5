//! IPv6's neighbour discovery, without which a port that the firewall lets in is reached by nobody.

use firewall::iptables::is_iptables;
use firewall::model::ruleset::{Filter, Ruleset, Table};
use firewall::proof::unanswered;

use crate::findings::Finding;

/// The finding that rules keep neighbours from looking up this host's IPv6 addresses. It leaves the verdicts alone: a host
/// whose IPv6 nobody uses need not fail for it.
pub fn about_rules(ruleset: &Ruleset) -> Option<Finding> {
    let found = unanswered(ruleset)?;
    let table = ruleset.tables.get(found.table)?;
    let message = format!(
        "over IPv6 nobody can look up where this host is, and none of its ports is reached, open or not: {} stops neighbour \
         {} (ICMPv6 type {})",
        found.because,
        if found.message == 135 {
            "solicitations"
        } else {
            "advertisements"
        },
        found.message
    );
    let hint = format!(
        "a rule for established connections does not let them by: `{}`, and the same in what boot loads",
        command(table, &found.chain)
    );
    Some(Finding::new("no-neighbour-discovery", message).with_hint(hint))
}

/// What lets neighbour discovery by in a chain.
fn command(table: &Table, chain: &str) -> String {
    let name = &table.name;
    let program = match table.filter {
        Filter::Legacy => "ip6tables-legacy",
        Filter::Nftables if is_iptables(table) => "ip6tables",
        Filter::Nftables => {
            let family = table.family.as_str();
            return format!(
                "nft insert rule {family} {name} {chain} \
                 icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert }} accept"
            );
        }
    };
    format!("{program} -t {name} -I {chain} -p icmpv6 -j ACCEPT")
}
