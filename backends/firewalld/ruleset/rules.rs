//! The rules of a zone or a policy: services, ports, forwarded ports, rich rules.

use super::statements::{
    End, address, family, forward, mac, network, perhaps, ports, tcp, verdict,
};
use super::{Kind, Writer};
use crate::firewalld::config::{
    Action, Address, Configuration, FirewallBackend, IpSet, Network, Part as Element, Protocol,
    Rich, Rules, Source,
};
use crate::model::reach::Family;
use crate::model::ruleset::{Element as SetElement, ElementKey, Elements, Set};
use crate::model::ruleset::{Statement, Uncertainty, Verdict};

/// The rules of a zone or policy in one table.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) rules: &'a Rules,
    /// The chain, whose parts the rules go into.
    pub(super) chain: &'a str,
    pub(super) kind: Kind,
}

/// Whether any port of TCP is forwarded.
pub(super) fn forwards(rules: &Rules) -> bool {
    let rich = |rich: &Rich| matches!(rich.element, Some(Element::Forward(Some(_))));
    !rules.forward_ports.is_empty() || rules.rich.iter().any(rich)
}

impl Writer<'_> {
    pub(super) fn rules(&mut self, part: &Part<'_>) {
        let allow = format!("{}_allow", part.chain);
        let accept = || vec![verdict(Verdict::Accept)];
        if part.kind == Kind::Nat {
            for port in &part.rules.forward_ports {
                let ipv6 = port.to_address.is_some_and(|address| address.is_ipv6());
                let which = if ipv6 { Family::Ipv6 } else { Family::Ipv4 };
                let end = vec![forward(port, which)];
                let ways = vec![ports(End::Destination, port.ports)];
                self.in_family(part.kind, &allow, Some(which), &[ways], &end);
            }
        } else {
            for service in &part.rules.services {
                for ways in self.service(&service.name, None) {
                    self.in_family(part.kind, &allow, None, &[vec![ways]], &accept());
                }
            }
            for range in &part.rules.ports {
                let ways = vec![ports(End::Destination, *range)];
                self.in_family(part.kind, &allow, None, &[ways], &accept());
            }
            for range in &part.rules.source_ports {
                let ways = vec![ports(End::Source, *range)];
                self.in_family(part.kind, &allow, None, &[ways], &accept());
            }
        }
        let mut rich: Vec<&Rich> = part.rules.rich.iter().collect();
        rich.sort_by_key(|rich| rich.priority);
        for rule in rich {
            self.rich(part, rule);
        }
        if part.kind == Kind::Filter {
            for protocol in &part.rules.protocols {
                if let Some(ways) = self.protocol(*protocol) {
                    self.in_family(part.kind, &allow, None, &[vec![ways]], &accept());
                }
            }
        }
    }

    /// Adds a rule for each combination of alternatives, in the family it is for.
    fn in_family(
        &mut self,
        kind: Kind,
        chain: &str,
        only: Option<Family>,
        alternatives: &[Vec<Vec<Statement>>],
        end: &[Statement],
    ) {
        let mut rules = match (only, self.family) {
            (Some(only), Some(own)) if only != own => return,
            (Some(only), None) => vec![vec![family(only)]],
            _ => vec![Vec::new()],
        };
        for ways in alternatives {
            let longer = rules.iter().flat_map(|rule| {
                ways.iter()
                    .map(move |way| [rule.as_slice(), way.as_slice()].concat())
            });
            rules = longer.collect();
        }
        for mut rule in rules {
            rule.extend_from_slice(end);
            self.add(kind, chain, rule);
        }
    }

    /// What lets a service in, itself and those that belong to it: one list of matches for each of its ports.
    fn service(&self, name: &str, only: Option<Family>) -> Vec<Vec<Statement>> {
        let mut ways = Vec::new();
        let mut seen = Vec::new();
        self.include(name, only, &mut seen, &mut ways);
        ways
    }

    fn include(
        &self,
        name: &str,
        only: Option<Family>,
        seen: &mut Vec<String>,
        ways: &mut Vec<Vec<Statement>>,
    ) {
        let Some(service) = self.configuration.services.get(name) else {
            return;
        };
        seen.push(name.to_owned());
        for include in &service.includes {
            if !seen.contains(&include.name) {
                self.include(&include.name, only, seen, ways);
            }
        }
        let mut destinations: Vec<Vec<Statement>> = Vec::new();
        for family in Family::BOTH {
            if only.is_none_or(|only| only == family)
                && let Some(destination) = service.destinations.get(&family)
            {
                destinations.extend(self.network(End::Destination, destination, false));
            }
        }
        if service.destinations.is_empty() {
            destinations.push(Vec::new());
        }
        let transports = service
            .ports
            .iter()
            .map(|range| ports(End::Destination, *range));
        let protocols = service
            .protocols
            .iter()
            .filter_map(|protocol| self.protocol(*protocol));
        let sources = service
            .source_ports
            .iter()
            .map(|range| ports(End::Source, *range));
        let each: Vec<Vec<Statement>> = transports.chain(protocols).chain(sources).collect();
        for destination in &destinations {
            ways.extend(
                each.iter()
                    .map(|way| [destination.as_slice(), way].concat()),
            );
        }
    }

    /// A whole protocol, when TCP is meant.
    fn protocol(&self, protocol: Protocol) -> Option<Vec<Statement>> {
        match protocol {
            Protocol::Tcp => Some(vec![tcp()]),
            // `-p ip` is any protocol to iptables.
            Protocol::Zero if self.family.is_some() => Some(Vec::new()),
            Protocol::Zero | Protocol::Other => None,
        }
    }

    fn rich(&mut self, part: &Part<'_>, rich: &Rich) {
        let forward_port = match &rich.element {
            Some(Element::Forward(port)) => Some(port.as_ref()),
            _ => None,
        };
        let end = match (part.kind, forward_port, &rich.action) {
            (Kind::Nat, Some(Some(port)), _) => {
                vec![forward(port, rich.family.unwrap_or(Family::Ipv4))]
            }
            (Kind::Filter, None, Some(action)) => match action {
                Action::Accept => vec![verdict(Verdict::Accept)],
                Action::Drop => vec![verdict(Verdict::Drop)],
                Action::Reject(how) => {
                    let how = how.as_deref().unwrap_or("icmpx port-unreachable");
                    vec![verdict(Verdict::Reject(how.to_owned()))]
                }
                Action::Mark => return,
            },
            _ => return,
        };
        let ways = match &rich.element {
            None => vec![Vec::new()],
            Some(Element::Service(name)) => self.service(name, rich.family),
            Some(Element::Ports(range)) => range
                .iter()
                .map(|range| ports(End::Destination, *range))
                .collect(),
            Some(Element::SourcePorts(range)) => range
                .iter()
                .map(|range| ports(End::Source, *range))
                .collect(),
            Some(Element::Protocol(protocol)) => self.protocol(*protocol).into_iter().collect(),
            Some(Element::Forward(port)) => port
                .iter()
                .map(|port| ports(End::Destination, port.ports))
                .collect(),
            Some(
                Element::Masquerade
                | Element::IcmpBlock(_)
                | Element::IcmpType(_)
                | Element::MssClamp,
            ) => Vec::new(),
        };
        let end_of = |which: End, address: &Option<Address>| match address {
            None => vec![Vec::new()],
            Some(address) => self.source(which, &address.what, address.inverted),
        };
        let alternatives = [
            end_of(End::Destination, &rich.destination),
            end_of(End::Source, &rich.source),
            ways,
            vec![self.limits(part.rules, rich)],
        ];
        let suffix = match (rich.priority, &rich.action) {
            (..=-1, _) => "pre",
            (1.., _) => "post",
            (0, Some(Action::Drop | Action::Reject(_))) => "deny",
            (0, _) => "allow",
        };
        let chain = format!("{}_{suffix}", part.chain);
        let only = rich.family.or_else(|| self.family_of(rich));
        let only = only.filter(|_| rich.family.is_some() || self.family.is_some());
        self.in_family(part.kind, &chain, only, &alternatives, &end);
    }

    /// The family of the ipset that a rule without a family names.
    fn family_of(&self, rich: &Rich) -> Option<Family> {
        match &rich.source.as_ref()?.what {
            Source::Set(name) => {
                let set = self.configuration.ipsets.get(name)?;
                (set.kind != "hash:mac").then_some(set.family)
            }
            _ => None,
        }
    }

    /// Conditions beside what a rich rule asks for.
    fn limits(&self, rules: &Rules, rich: &Rich) -> Vec<Statement> {
        let mut conditions = Vec::new();
        if rich.limited {
            conditions.push(Statement::Condition {
                uncertainty: Uncertainty::Rate,
                text: "limit rate".to_owned(),
            });
        }
        // firewalld 1 keeps the order of the file, firewalld 2 sorts.
        let opposite = |other: &Rich| {
            other.priority == rich.priority
                && matches!(other.action, Some(Action::Accept))
                    != matches!(rich.action, Some(Action::Accept))
        };
        if rich.priority != 0
            && !self.configuration.version.is_1()
            && rules.rich.iter().any(opposite)
        {
            let text = format!("order of rich rules with priority {}", rich.priority);
            conditions.push(perhaps(text));
        }
        conditions
    }

    /// An address of the table's family, with the family where the table has both.
    fn network(&self, end: End, address: &Network, inverted: bool) -> Option<Vec<Statement>> {
        match self.family {
            None => Some(vec![
                family(address.family),
                network(end, address, inverted),
            ]),
            Some(own) => (own == address.family).then(|| vec![network(end, address, inverted)]),
        }
    }

    /// An end of a packet; no way for an address of the other family.
    pub(super) fn source(&self, end: End, source: &Source, inverted: bool) -> Vec<Vec<Statement>> {
        match source {
            Source::Network(address) => self.network(end, address, inverted).into_iter().collect(),
            Source::Mac(address) => vec![mac(*address, inverted)],
            Source::Set(name) => {
                let set = self.configuration.ipsets.get(name);
                set.and_then(|set| self.set(end, name, set, inverted))
                    .into_iter()
                    .collect()
            }
        }
    }

    fn set(&self, end: End, name: &str, set: &IpSet, inverted: bool) -> Option<Vec<Statement>> {
        let text = || perhaps(format!("ipset {name} of type {}", set.kind));
        if set.kind == "hash:mac" {
            return Some(match (end, mac([0; 6], false).pop()) {
                (End::Source, Some(Statement::Match { value, .. })) => {
                    let mut statements = mac([0; 6], false);
                    statements.pop();
                    statements.push(Statement::Lookup {
                        value,
                        set: name.to_owned(),
                        negated: inverted,
                    });
                    statements
                }
                _ => vec![text()],
            });
        }
        if self.family.is_some_and(|own| own != set.family) {
            return None;
        }
        let mut statements = Vec::new();
        if self.family.is_none() {
            statements.push(family(set.family));
        }
        statements.push(match (set.kind.as_str(), end, inverted) {
            ("hash:ip" | "hash:net", ..) => Statement::Lookup {
                value: address(end, set.family),
                set: name.to_owned(),
                negated: inverted,
            },
            // Of several fields, the remote address among them.
            (_, End::Source, false)
                if set.kind != "hash:net,iface" && set.kind != "hash:ip,mark" =>
            {
                Statement::Condition {
                    uncertainty: Uncertainty::Source,
                    text: format!("source @{name}"),
                }
            }
            _ => text(),
        });
        Some(statements)
    }

    /// The sets that the rules may look into.
    pub(super) fn sets(&mut self) {
        let own = self.family;
        for (name, set) in &self.configuration.ipsets {
            let mac = set.kind == "hash:mac";
            let known = mac || matches!(set.kind.as_str(), "hash:ip" | "hash:net");
            if !known || own.is_some_and(|own| own != set.family && !mac) {
                continue;
            }
            let length = match (mac, set.family) {
                (true, _) => 6,
                (false, Family::Ipv4) => 4,
                (false, Family::Ipv6) => 16,
            };
            let set = Set {
                name: name.clone(),
                anonymous: false,
                verdict_map: false,
                outside: None,
                key_fields: vec![length],
                elements: elements(self.configuration, set),
            };
            self.table(Kind::Filter).sets.push(set.clone());
            if own.is_some() {
                self.table(Kind::Nat).sets.push(set);
            }
        }
    }
}

/// The elements of a set when it is a plain one; other programs fill those that expire.
fn elements(configuration: &Configuration, set: &IpSet) -> Elements {
    let keys: Option<Vec<ElementKey>> = set
        .entries
        .iter()
        .map(|entry| key(set, &entry.name))
        .collect();
    match keys {
        Some(keys) if !set.timeout && configuration.backend == FirewallBackend::Nftables => {
            let elements = keys.into_iter().map(|key| SetElement {
                key,
                verdict: None,
                uncertainty: None,
            });
            Elements::Read(elements.collect())
        }
        _ => Elements::NotRead,
    }
}

fn key(set: &IpSet, entry: &str) -> Option<ElementKey> {
    if set.kind == "hash:mac" {
        let octets = entry.split(':').map(|octet| u8::from_str_radix(octet, 16));
        return octets
            .collect::<Result<Vec<u8>, _>>()
            .ok()
            .map(ElementKey::Single);
    }
    let network = Network::parse(entry).filter(|network| network.family == set.family)?;
    let last = network.address.iter().zip(network.mask());
    let last: Vec<u8> = last.map(|(byte, mask)| byte | !mask).collect();
    Some(if last == network.address {
        ElementKey::Single(last)
    } else {
        ElementKey::Range(network.address, last)
    })
}
