//! What firewalld checks once it has read everything, and does not start without (`full_check_config`), and what it
//! stumbles over when it writes its rules.

use std::collections::BTreeMap;

use super::objects::{Action, Address, Named, Part, Place, Rich, Rules, Source};
use super::text::Protocol;
use super::{Configuration, FirewallBackend, HINT, refused_at};
use crate::error::{Error, ErrorKind, Result};

/// The types of ipsets that can be a source.
const SOURCES: &[&str] = &[
    "hash:ip",
    "hash:ip,port",
    "hash:ip,mark",
    "hash:net",
    "hash:net,port",
    "hash:net,iface",
    "hash:mac",
];

/// Checks what only shows between files.
pub(super) fn check(configuration: &Configuration, icmp_types: &[String]) -> Result<()> {
    for name in ["block", "drop", "trusted"] {
        if !configuration.zones.contains_key(name) {
            let message = format!("firewalld needs a zone `{name}`, and there is none");
            return Err(Error::new(ErrorKind::Refused, message).with_hint(HINT));
        }
    }
    let checker = Checker {
        configuration,
        icmp_types,
    };
    for service in configuration.services.values() {
        for include in &service.includes {
            checker.service(include)?;
        }
    }
    checker.zones()?;
    checker.policies()?;
    checker.ipsets()
}

struct Checker<'a> {
    configuration: &'a Configuration,
    icmp_types: &'a [String],
}

impl Checker<'_> {
    fn service(&self, named: &Named) -> Result<()> {
        if self.configuration.services.contains_key(&named.name) {
            return Ok(());
        }
        let message = format!("there is no service `{}`", named.name);
        Err(refused_at(&named.place, &message))
    }

    fn zones(&self) -> Result<()> {
        let (longest, _) = self.configuration.version.longest_names();
        let mut interfaces: BTreeMap<&str, &str> = BTreeMap::new();
        let mut sources: Vec<(&Source, &str)> = Vec::new();
        for (name, zone) in &self.configuration.zones {
            let start = Place {
                path: zone.path.clone(),
                line: 1,
                column: 1,
            };
            if name.chars().count() > longest {
                let message = format!("the name `{name}` is longer than {longest} letters");
                return Err(refused_at(&start, &message));
            }
            if self.configuration.policies.contains_key(name) {
                return Err(refused_at(&start, "a policy has the same name"));
            }
            self.rules(&zone.rules)?;
            for Named { name, place } in &zone.interfaces {
                let odd = name.is_empty() || name.chars().count() > 16;
                if odd || name.contains([' ', '/', '!', '*']) {
                    return Err(refused_at(place, &format!("`{name}` is no interface")));
                }
                if let Some(other) = interfaces.insert(name, &zone.name) {
                    let message =
                        format!("the interface `{name}` is bound to zone {other} already");
                    return Err(refused_at(place, &message));
                }
            }
            for (source, place) in &zone.sources {
                if let Some((_, other)) = sources.iter().find(|(known, _)| *known == source) {
                    let message = format!("the source is bound to zone {other} already");
                    return Err(refused_at(place, &message));
                }
                sources.push((source, name));
                self.source(source, place)?;
            }
        }
        Ok(())
    }

    fn source(&self, source: &Source, place: &Place) -> Result<()> {
        let Source::Set(name) = source else {
            return Ok(());
        };
        match self.configuration.ipsets.get(name) {
            None => Err(refused_at(place, &format!("there is no ipset `{name}`"))),
            Some(set) if !SOURCES.contains(&set.kind.as_str()) => {
                let message = format!("an ipset of type {} cannot be a source", set.kind);
                Err(refused_at(place, &message))
            }
            Some(_) => Ok(()),
        }
    }

    fn rules(&self, rules: &Rules) -> Result<()> {
        for service in &rules.services {
            self.service(service)?;
        }
        for icmp_type in &rules.icmp_types {
            if !self.icmp_types.contains(&icmp_type.name) {
                let message = format!("there is no ICMP type `{}`", icmp_type.name);
                return Err(refused_at(&icmp_type.place, &message));
            }
        }
        for rich in &rules.rich {
            self.writable(rich)?;
            if let Some(Part::Service(name)) = &rich.element {
                let (name, place) = (name.clone(), rich.place.clone());
                self.service(&Named {
                    name: name.clone(),
                    place,
                })?;
                let service = self.configuration.services.get(&name);
                let bound = service.is_some_and(|service| !service.destinations.is_empty());
                if bound && rich.destination.is_some() {
                    let message = "a destination besides that of the service";
                    return Err(refused_at(&rich.place, message));
                }
            }
            if let Some(source) = &rich.source {
                self.source(&source.what, &rich.place)?;
                if let Source::Set(name) = &source.what
                    && let Some(set) = self.configuration.ipsets.get(name)
                    && rich.family.is_some_and(|family| family != set.family)
                    && set.kind != "hash:mac"
                {
                    return Err(refused_at(&rich.place, "an ipset of the other family"));
                }
            }
            if let Some(Source::Set(name)) = rich.destination.as_ref().map(|end| &end.what)
                && !self.configuration.ipsets.contains_key(name)
            {
                return Err(refused_at(
                    &rich.place,
                    &format!("there is no ipset `{name}`"),
                ));
            }
        }
        Ok(())
    }

    /// What nft or iptables would not take.
    fn writable(&self, rich: &Rich) -> Result<()> {
        let iptables = self.configuration.backend == FirewallBackend::Iptables;
        let nobody = |end: &Option<Address>| match end {
            Some(Address {
                what: Source::Network(network),
                inverted: true,
            }) => network.prefix == 0,
            _ => false,
        };
        if iptables && (nobody(&rich.source) || nobody(&rich.destination)) {
            return Err(refused_at(&rich.place, "every address, inverted"));
        }
        let Some(Action::Reject(Some(how))) = &rich.action else {
            return Ok(());
        };
        let tcp = match &rich.element {
            None => !iptables,
            Some(Part::Ports(range) | Part::SourcePorts(range)) => range.is_some(),
            Some(Part::Protocol(protocol)) => *protocol == Protocol::Tcp,
            Some(Part::Service(name)) => {
                let service = self.configuration.services.get(name);
                service.is_some_and(|service| !service.others && service.includes.is_empty())
            }
            Some(_) => false,
        };
        if how.starts_with("tcp-r") && !tcp {
            return Err(refused_at(
                &rich.place,
                "a TCP reset for what is not TCP alone",
            ));
        }
        Ok(())
    }

    fn policies(&self) -> Result<()> {
        for policy in self.configuration.policies.values() {
            let start = Place {
                path: policy.path.clone(),
                line: 1,
                column: 1,
            };
            let fail = |message: &str| Err(refused_at(&start, message));
            let range = -32768..=32767;
            if !range.contains(&policy.priority) {
                return fail("the priority of a policy is -32768 to 32767");
            }
            if policy.priority == 0 && !self.configuration.version.is_1() {
                return fail("firewalld 2 takes no policy with priority 0");
            }
            let (_, longest) = self.configuration.version.longest_names();
            if policy.name.chars().count() > longest {
                return fail("the name of the policy is too long");
            }
            for zones in [&policy.ingress, &policy.egress] {
                self.ends(zones)?;
            }
            let (host, out) = (policy.goes_to("HOST"), policy.comes_from("HOST"));
            if host && out {
                return fail("`HOST` on both ends of the policy");
            }
            if let Some(place) = policy.rules.masquerade.as_ref().filter(|_| host || out) {
                return Err(refused_at(place, "masquerading to or from `HOST`"));
            }
            self.rules(&policy.rules)?;
            for forward in &policy.rules.forwards {
                let wrong = if host {
                    forward.to_address
                } else {
                    !policy.egress.is_empty() && !forward.to_address
                };
                if wrong {
                    let message =
                        "`to-addr` of a forwarded port goes with egress zones other than HOST only";
                    return Err(refused_at(&forward.place, message));
                }
            }
            for rich in &policy.rules.rich {
                if matches!(rich.element, Some(Part::Masquerade)) && (host || out) {
                    return Err(refused_at(&rich.place, "masquerading to or from `HOST`"));
                }
            }
        }
        Ok(())
    }

    /// Zones that exist, or `ANY` or `HOST` alone.
    fn ends(&self, zones: &[Named]) -> Result<()> {
        for zone in zones {
            let symbolic = matches!(zone.name.as_str(), "ANY" | "HOST");
            if !symbolic && !self.configuration.zones.contains_key(&zone.name) {
                return Err(refused_at(
                    &zone.place,
                    &format!("there is no zone `{}`", zone.name),
                ));
            }
            if symbolic && zones.len() > 1 {
                let message = format!("`{}` stands alone or not at all", zone.name);
                return Err(refused_at(&zone.place, &message));
            }
        }
        Ok(())
    }

    /// nftables takes no intervals that overlap.
    fn ipsets(&self) -> Result<()> {
        if self.configuration.backend != FirewallBackend::Nftables {
            return Ok(());
        }
        for set in self
            .configuration
            .ipsets
            .values()
            .filter(|set| !set.timeout)
        {
            let ranges = set.entries.iter().filter_map(|entry| {
                let network = super::Network::parse(&entry.name)?;
                let last = network.address.iter().zip(network.mask());
                let last: Vec<u8> = last.map(|(byte, mask)| byte | !mask).collect();
                Some((network.address, last, &entry.place))
            });
            let mut ranges: Vec<_> = ranges.collect();
            ranges.sort();
            for pair in ranges.windows(2) {
                if let [(first, before, _), (next, _, place)] = pair
                    && next <= before
                    && first.len() == next.len()
                {
                    return Err(refused_at(place, "the entry overlaps another one"));
                }
            }
        }
        Ok(())
    }
}
