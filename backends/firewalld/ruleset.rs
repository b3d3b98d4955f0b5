//! The ruleset that firewalld writes for its permanent configuration, as far as a new TCP connection to this host, and
//! the reply to it, can meet it.
//!
//! The chains, their order and their names are firewalld's (1.3.3: `core/nftables.py`, `core/ipXtables.py`,
//! `core/fw_policy.py`), so that a verdict names what `nft list ruleset` shows. Left out is what cannot decide: rules
//! about other protocols, logs, marks, helpers, masquerading, forwarding, and the reverse path filter, which passes
//! whoever the routes lead back to. What cannot be told becomes a condition that is not understood, and with it the
//! verdict `unknown`.

mod rules;
mod statements;

use self::rules::Part as Rules;
use self::statements::{End, any_bit, goto, interface, jump, perhaps, verdict};
use super::config::{
    Binding, Configuration, FirewallBackend, Policy, Source, Target, Version, Zone,
};
use crate::model::reach::Family;
use crate::model::ruleset::{
    BaseChain, Chain, ChainKind, Field, Filter, Hook, Interface, Rule, Ruleset, Statement, Table,
    TableFamily, Verdict,
};

/// `established` and `related`.
const STATE_KNOWN: u32 = 2 | 4;
const STATE_INVALID: u32 = 1;
/// `IPS_DST_NAT`
const STATUS_TRANSLATED: u32 = 1 << 5;

/// Which of firewalld's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Filter,
    Nat,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Nat => "nat",
        }
    }

    /// The chain where packets come in, and what firewalld puts before a zone's or policy's name there.
    fn hook(self) -> (&'static str, &'static str) {
        match self {
            Self::Filter => ("INPUT", "IN"),
            Self::Nat => ("PREROUTING", "PRE"),
        }
    }
}

impl Configuration {
    /// The ruleset of a host with these interfaces, once firewalld has started with this configuration.
    pub fn ruleset(&self, interfaces: &[Interface]) -> Ruleset {
        let families: &[Option<Family>] = match self.backend {
            FirewallBackend::Nftables => &[None],
            FirewallBackend::Iptables => &[Some(Family::Ipv4), Some(Family::Ipv6)],
        };
        let tables = families.iter().flat_map(|family| {
            let mut writer = Writer::new(self, *family);
            writer.write();
            writer.tables
        });
        let mut tables: Vec<Table> = tables.collect();
        self.add_direct(&mut tables);
        Ruleset {
            interfaces: interfaces.to_vec(),
            tables,
            ..Ruleset::default()
        }
    }

    /// What of the configuration is not modelled, in words.
    fn doubts(&self) -> Vec<String> {
        let mut doubts: Vec<String> = self
            .direct
            .iter()
            .filter(|line| !line.harmless)
            .map(|line| format!("{} of {}", line.text, line.place))
            .collect();
        for zone in self.zones.values() {
            if let Some((_, place)) = zone.priority.as_ref().filter(|_| zone.combined) {
                doubts.push(format!("priority of a zone in {place}"));
            }
            let macs = zone
                .sources
                .iter()
                .filter(|(source, _)| matches!(source, Source::Mac(_)));
            if self.backend == FirewallBackend::Iptables {
                doubts.extend(macs.map(|(_, place)| {
                    format!("hardware address as a zone's source with iptables in {place}")
                }));
            }
        }
        if self.version == Version::default() {
            let ordered = |zone: &&Zone| {
                let mut interfaces = zone.interfaces.iter();
                zone.target == Target::Continue || interfaces.any(|it| it.name.ends_with('+'))
            };
            let zones = self.zones.values().filter(ordered);
            doubts.extend(zones.map(|zone| {
                let path = zone.path.display();
                format!("order of zones in an unknown version of firewalld, with {path}")
            }));
        }
        for policy in self.policies.values() {
            // firewalld 1 has no such chain to write it to.
            let lost = policy.goes_to("HOST") && !policy.comes_from("ANY");
            if lost && !policy.rules.forwards.is_empty() {
                let path = policy.path.display();
                doubts.push(format!("forwarded port of the policy in {path}"));
            }
        }
        doubts
    }
}

/// Writes the tables of one family, or of both at once.
struct Writer<'a> {
    configuration: &'a Configuration,
    /// The family, of iptables.
    family: Option<Family>,
    tables: Vec<Table>,
}

impl<'a> Writer<'a> {
    fn new(configuration: &'a Configuration, family: Option<Family>) -> Self {
        let table = |name: &str, family| Table {
            family,
            name: name.to_owned(),
            filter: Filter::Nftables,
            owned: false,
            dormant: false,
            chains: Vec::new(),
            sets: Vec::new(),
        };
        let tables = match family {
            None => vec![table("firewalld", TableFamily::Inet)],
            Some(family) => {
                let family = match family {
                    Family::Ipv4 => TableFamily::Ip,
                    Family::Ipv6 => TableFamily::Ip6,
                };
                vec![table("filter", family), table("nat", family)]
            }
        };
        Self {
            configuration,
            family,
            tables,
        }
    }

    fn write(&mut self) {
        self.base(Kind::Nat, ChainKind::Nat, Hook::Prerouting, -100);
        self.dispatch(Kind::Nat);
        self.base(Kind::Filter, ChainKind::Filter, Hook::Input, 0);
        self.input();
        self.dispatch(Kind::Filter);
        for zone in self.configuration.active_zones() {
            self.zone(zone);
        }
        // Of one priority in the order of their names.
        let mut policies: Vec<&Policy> = self.configuration.policies.values().collect();
        policies.sort_by_key(|policy| policy.priority);
        for policy in policies {
            self.policy(policy);
        }
        self.sets();
    }

    /// The base chain. Those of nftables come 10 behind those of iptables (`NFT_HOOK_OFFSET`).
    fn base(&mut self, table: Kind, kind: ChainKind, hook: Hook, priority: i32) {
        let offset = if self.family.is_none() { 10 } else { 0 };
        let name = self.name(table, table.hook().0);
        self.chain(table, name).base = Some(BaseChain {
            kind,
            hook,
            priority: priority + offset,
            policy: crate::model::ruleset::Policy::Accept,
            devices: Vec::new(),
        });
    }

    /// What firewalld calls a chain: its nftables backend has one table for all.
    fn name(&self, table: Kind, chain: &str) -> String {
        match self.family {
            None => format!("{}_{chain}", table.as_str()),
            Some(_) => chain.to_owned(),
        }
    }

    /// What stands for a policy in the names of its chains.
    fn policy_name(&self, policy: &str) -> String {
        match self.family {
            None => format!("policy_{policy}"),
            Some(_) => policy.to_owned(),
        }
    }

    fn table(&mut self, kind: Kind) -> &mut Table {
        let index = usize::from(kind == Kind::Nat && self.tables.len() > 1);
        &mut self.tables[index]
    }

    /// A chain by its full name, made when it is not there yet.
    fn chain(&mut self, kind: Kind, name: String) -> &mut Chain {
        let chains = &mut self.table(kind).chains;
        let index = chains.iter().position(|chain| chain.name == name);
        let index = index.unwrap_or_else(|| {
            chains.push(Chain {
                name,
                handle: 0,
                base: None,
                rules: Some(Vec::new()),
            });
            chains.len() - 1
        });
        &mut chains[index]
    }

    /// Adds a rule to a chain, given without its table's prefix.
    fn add(&mut self, kind: Kind, chain: &str, statements: Vec<Statement>) {
        let name = self.name(kind, chain);
        let rules = self.chain(kind, name).rules.get_or_insert_default();
        rules.push(Rule {
            handle: 0,
            comment: None,
            statements: statements.into(),
        });
    }

    /// `filter_INPUT`
    fn input(&mut self) {
        let accept = || verdict(Verdict::Accept);
        for doubt in self.configuration.doubts() {
            let doubt = Statement::NotDecoded { name: doubt };
            self.add(Kind::Filter, "INPUT", vec![doubt]);
        }
        let known = any_bit(Field::ConnectionState, STATE_KNOWN);
        let translated = any_bit(Field::ConnectionStatus, STATUS_TRANSLATED);
        let invalid = any_bit(Field::ConnectionState, STATE_INVALID);
        self.add(Kind::Filter, "INPUT", vec![known, accept()]);
        self.add(Kind::Filter, "INPUT", vec![translated, accept()]);
        let loopback = interface("lo").into_iter().chain([accept()]);
        self.add(Kind::Filter, "INPUT", loopback.collect());
        self.add(Kind::Filter, "INPUT", vec![invalid, verdict(Verdict::Drop)]);
        self.direct(Kind::Filter, "INPUT");
        let zones = self.name(Kind::Filter, "INPUT_ZONES");
        self.add(Kind::Filter, "INPUT", vec![jump(zones)]);
        let how = match self.family {
            None => "icmpx admin-prohibited",
            Some(Family::Ipv4) => "icmp host-prohibited",
            Some(Family::Ipv6) => "icmpv6 admin-prohibited",
        };
        self.add(
            Kind::Filter,
            "INPUT",
            vec![verdict(Verdict::Reject(how.to_owned()))],
        );
    }

    /// Where firewalld's iptables backend has direct rules.
    fn direct(&mut self, kind: Kind, chain: &str) {
        let direct = format!("{chain}_direct");
        let there = |family| {
            self.configuration
                .has_direct(family, kind.as_str(), &direct)
        };
        if self.family.is_some_and(there) {
            self.add(kind, chain, vec![jump(direct)]);
        }
    }

    /// Which zone a packet belongs to: sources by the zones' names, then interfaces, then the default zone.
    fn dispatch(&mut self, kind: Kind) {
        let configuration = self.configuration;
        let (hook, prefix) = kind.hook();
        if kind == Kind::Nat {
            self.direct(kind, hook);
            let zones = self.name(kind, &format!("{hook}_ZONES"));
            self.add(kind, hook, vec![jump(zones)]);
        }
        let mut entries: Vec<(&str, End, Vec<Statement>)> = Vec::new();
        for zone in configuration.zones.values() {
            for (source, _) in &zone.sources {
                let ways = self.source(End::Source, source, false);
                entries.extend(
                    ways.into_iter()
                        .map(|way| (zone.name.as_str(), End::Source, way)),
                );
            }
        }
        for (binding, zone) in configuration.interfaces().into_iter().rev() {
            let way = match binding {
                Bound::To(name) => interface(name).into_iter().collect(),
                Bound::By(path) => vec![perhaps(format!("interface of the connection in {path}"))],
            };
            entries.push((zone, End::Destination, way));
        }
        configuration.sort(&mut entries);
        entries.push((&configuration.default_zone, End::Destination, Vec::new()));
        let list = format!("{hook}_ZONES");
        for (zone, _, mut statements) in entries {
            let chain = self.name(kind, &format!("{prefix}_{zone}"));
            // From a zone that decides nothing the packet comes back, and firewalld 2 tries the next; for what is translated
            // it does since 2.5.
            let next = match kind {
                Kind::Filter => !configuration.version.is_1(),
                Kind::Nat => configuration.version.is_2_5(),
            };
            statements.push(if next { jump(chain) } else { goto(chain) });
            self.add(kind, &list, statements);
        }
    }

    /// The chains of a zone.
    fn zone(&mut self, zone: &Zone) {
        for kind in [Kind::Filter, Kind::Nat] {
            let (hook, prefix) = kind.hook();
            let chain = format!("{prefix}_{}", zone.name);
            self.around(kind, &chain, Some(hook));
            let rules = Rules {
                rules: &zone.rules,
                chain: &chain,
                kind,
            };
            self.rules(&rules);
        }
        let chain = format!("IN_{}", zone.name);
        self.target(&chain, zone.target);
    }

    /// The jumps to the parts of a zone's or policy's chain; a zone's has those of the policies around them.
    fn around(&mut self, kind: Kind, chain: &str, hook: Option<&str>) {
        let parts = ["pre", "log", "deny", "allow", "post"].map(|part| format!("{chain}_{part}"));
        let policies = |order: &str| hook.map(|hook| format!("{hook}_POLICIES_{order}"));
        let before = policies("pre").into_iter();
        for part in before.chain(parts).chain(policies("post")) {
            let part = self.name(kind, &part);
            self.chain(kind, part.clone());
            self.add(kind, chain, vec![jump(part)]);
        }
    }

    fn target(&mut self, chain: &str, target: Target) {
        let end = match (target, self.family) {
            (Target::Continue, _) => return,
            (Target::Accept, _) => Verdict::Accept,
            (Target::Drop, _) => Verdict::Drop,
            (Target::Default | Target::Reject, None) => {
                Verdict::Reject("icmpx admin-prohibited".to_owned())
            }
            (Target::Default, Some(Family::Ipv4)) => {
                Verdict::Reject("icmp port-unreachable".to_owned())
            }
            (Target::Default, Some(Family::Ipv6)) => {
                Verdict::Reject("icmpv6 port-unreachable".to_owned())
            }
            (Target::Reject, Some(Family::Ipv4)) => {
                Verdict::Reject("icmp host-prohibited".to_owned())
            }
            (Target::Reject, Some(Family::Ipv6)) => {
                Verdict::Reject("icmpv6 admin-prohibited".to_owned())
            }
        };
        self.add(Kind::Filter, chain, vec![verdict(end)]);
    }

    /// The chains of a policy on the way in.
    fn policy(&mut self, policy: &Policy) {
        if policy.disabled {
            return;
        }
        let name = self.policy_name(&policy.name);
        if policy.goes_to("HOST") {
            let chain = format!("IN_{name}");
            self.around(Kind::Filter, &chain, None);
            self.rules(&Rules {
                rules: &policy.rules,
                chain: &chain,
                kind: Kind::Filter,
            });
            self.target(&chain, policy.target);
            self.entrances(Kind::Filter, policy);
        }
        let reached = policy.goes_to("ANY") || policy.comes_from("ANY") || !policy.goes_to("HOST");
        if rules::forwards(&policy.rules) && !policy.comes_from("HOST") && reached {
            let chain = format!("PRE_{name}");
            self.around(Kind::Nat, &chain, None);
            self.rules(&Rules {
                rules: &policy.rules,
                chain: &chain,
                kind: Kind::Nat,
            });
            self.entrances(Kind::Nat, policy);
        }
    }

    /// The rules that lead to a policy's chain.
    fn entrances(&mut self, kind: Kind, policy: &Policy) {
        let (hook, prefix) = kind.hook();
        let order = if policy.priority < 0 { "pre" } else { "post" };
        let list = format!("{hook}_POLICIES_{order}");
        let chain = format!("{prefix}_{}", self.policy_name(&policy.name));
        let chain = self.name(kind, &chain);
        for mut statements in self.ingress(policy) {
            // firewalld 2 goes by the egress zones that are in use.
            let any = policy.goes_to("ANY") && self.configuration.version.is_1();
            if kind == Kind::Nat && !policy.goes_to("HOST") && !any {
                statements.push(perhaps(format!("egress zone of policy {}", policy.name)));
            }
            statements.push(jump(chain.clone()));
            self.add(kind, &list, statements);
        }
    }

    /// Who comes into a policy; nobody where firewalld does not apply it.
    fn ingress(&mut self, policy: &Policy) -> Vec<Vec<Statement>> {
        if policy.comes_from("ANY") {
            return vec![Vec::new()];
        }
        let configuration = self.configuration;
        let mut ways = Vec::new();
        for zone in configuration.zones.values() {
            if !policy.comes_from(&zone.name) {
                continue;
            }
            for (bound, owner) in configuration.interfaces() {
                if owner == zone.name {
                    ways.push(match bound {
                        Bound::To(name) => interface(name).into_iter().collect(),
                        Bound::By(path) => vec![perhaps(format!("connection in {path}"))],
                    });
                }
            }
            for (source, _) in &zone.sources {
                ways.extend(self.source(End::Source, source, false));
            }
            // Since firewalld 2 the default zone counts with nothing bound to it, and from 2.5 on the packet's zone
            // does, however it got into it.
            if zone.name == configuration.default_zone {
                ways.push(vec![perhaps(format!(
                    "default zone in policy {}",
                    policy.name
                ))]);
            }
        }
        if !configuration.version.is_1() {
            for way in &mut ways {
                way.push(perhaps(format!("ingress zone of policy {}", policy.name)));
            }
        }
        ways
    }
}

/// What is bound to a zone.
#[derive(Clone, Debug)]
enum Bound<'a> {
    /// An interface, by its name.
    To(&'a str),
    /// Whatever interface a connection in this file comes up on.
    By(String),
}

impl Configuration {
    /// Brings what leads to zones into firewalld's order. firewalld 1 binds sources by the zones' names, and the
    /// interface that was bound last comes first; firewalld 2 sorts by the zones' priorities, sources before interfaces,
    /// then by the zones' names (`_policy_dispatch_sort_key`, since 2.5 `_zone_ingress_dispatch_sort_key`).
    fn sort<T>(&self, entries: &mut [(&str, End, T)]) {
        if self.version.is_1() {
            return;
        }
        let priority = |zone: &str| {
            let zone = self.zones.get(zone);
            zone.and_then(|zone| zone.priority.as_ref())
                .map_or(0, |(priority, _)| *priority)
        };
        entries.sort_by_key(|(zone, end, _)| {
            let interface = *end != End::Source;
            (priority(zone), interface, (*zone).to_owned())
        });
    }

    /// Interfaces with their zones, in the order firewalld binds them. What brings an interface up has the last word.
    fn interfaces(&self) -> Vec<(Bound<'_>, &str)> {
        let named = |name: &str| {
            let mut bindings = self.bindings.iter();
            bindings.any(|binding| binding.interface.as_deref() == Some(name))
        };
        let known = self
            .bindings
            .iter()
            .filter(|binding| self.zones.contains_key(&binding.zone));
        let own = self.zones.values().flat_map(|zone| {
            let interfaces = zone
                .interfaces
                .iter()
                .filter(|interface| !named(&interface.name));
            interfaces.map(|interface| (Bound::To(interface.name.as_str()), zone.name.as_str()))
        });
        let brought = known.map(
            |Binding {
                 path,
                 zone,
                 interface,
             }| {
                let bound = match interface {
                    Some(name) => Bound::To(name.as_str()),
                    None => Bound::By(path.display().to_string()),
                };
                (bound, zone.as_str())
            },
        );
        own.chain(brought).collect()
    }
}
