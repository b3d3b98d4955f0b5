//! Zones and policies, read the way firewalld's own handlers do it: element by element, wherever it stands.

use super::elements::{Context, Fault, forward, number, protocol, tcp};
use super::objects::{Forward, Named, Network, Place, Policy, Rules, Source, Target, Zone};
use super::rich::Draft;
use super::text;
use super::xml::{Document, Element, Tag};
use super::{Checked, Schema};
use crate::error::Result;

/// What zones and policies both have: rules.
const RULES: Schema = Schema {
    required: &[
        ("short", &[]),
        ("description", &[]),
        ("service", &["name"]),
        ("port", &["port", "protocol"]),
        ("icmp-block", &["name"]),
        ("icmp-type", &["name"]),
        ("forward-port", &["port", "protocol"]),
        ("rule", &[]),
        ("source", &[]),
        ("destination", &[]),
        ("protocol", &["value"]),
        ("source-port", &["port", "protocol"]),
        ("log", &[]),
        ("nflog", &[]),
        ("audit", &[]),
        ("accept", &[]),
        ("reject", &[]),
        ("drop", &[]),
        ("mark", &["set"]),
        ("limit", &["value"]),
    ],
    optional: &[
        ("forward-port", &["to-port", "to-addr"]),
        ("rule", &["family", "priority"]),
        ("source", &["address", "mac", "invert", "family", "ipset"]),
        ("destination", &["address", "invert", "ipset"]),
        ("log", &["prefix", "level"]),
        ("nflog", &["group", "prefix", "queue-size"]),
        ("reject", &["type"]),
        ("tcp-mss-clamp", &["value"]),
    ],
    since_2: &[("limit", &["burst"])],
};

/// What a zone has besides.
const ZONE: Schema = Schema {
    required: &[
        ("zone", &[]),
        ("forward", &[]),
        ("interface", &["name"]),
        ("icmp-block-inversion", &[]),
    ],
    optional: &[
        ("zone", &["name", "immutable", "target", "version"]),
        ("masquerade", &["enabled"]),
    ],
    since_2: &[("zone", &["ingress-priority", "egress-priority"])],
};

/// What a policy has besides.
const POLICY: Schema = Schema {
    required: &[
        ("policy", &["target"]),
        ("masquerade", &[]),
        ("ingress-zone", &["name"]),
        ("egress-zone", &["name"]),
    ],
    optional: &[("policy", &["version", "priority"])],
    since_2: &[("disable", &[])],
};

/// A zone's file.
pub(super) fn zone(document: &Document<'_>, name: &str, context: Context<'_>) -> Result<Zone> {
    let mut zone = Zone {
        name: name.to_owned(),
        path: document.path.to_owned(),
        combined: false,
        target: Target::Default,
        rules: Rules::default(),
        interfaces: Vec::new(),
        sources: Vec::new(),
        priority: None,
    };
    let mut own = |element: &Element, place: Place, in_rule: bool| -> Checked<bool, Fault> {
        match element.name.as_str() {
            "zone" => {
                if let Some(target) = element.get("target") {
                    zone.target = zone_target(target)?;
                }
                for (name, incoming) in [("ingress-priority", true), ("egress-priority", false)] {
                    let Some(value) = element.get(name) else {
                        continue;
                    };
                    let value = number(value)?;
                    if i16::try_from(value).is_err() {
                        let message = format!("the {name} of a zone is -32768 to 32767");
                        return Err(Fault::Fatal(message));
                    }
                    if incoming && value != 0 {
                        zone.priority = Some((value, place.clone()));
                    }
                }
            }
            "forward" | "icmp-block-inversion" => {}
            "interface" if in_rule => {
                return Err(Fault::Ignored("an interface in a rule".to_owned()));
            }
            "interface" => {
                let name = element.get("name").unwrap_or_default();
                if !zone.interfaces.iter().any(|known| known.name == name) {
                    let name = name.to_owned();
                    zone.interfaces.push(Named { name, place });
                }
            }
            "source" => {
                let source = binding(element)?;
                if !zone.sources.iter().any(|(known, _)| *known == source) {
                    zone.sources.push((source, place));
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    };
    let rules = read(document, &ZONE, context, &mut own)?;
    zone.rules = rules;
    Ok(zone)
}

fn zone_target(target: &str) -> Checked<Target, Fault> {
    match target {
        "ACCEPT" => Ok(Target::Accept),
        "DROP" => Ok(Target::Drop),
        "%%REJECT%%" => Ok(Target::Reject),
        "{chain}_{zone}" => Ok(Target::Default),
        "default" => Ok(Target::Continue),
        _ => Err(Fault::Fatal(format!("`{target}` is no target of a zone"))),
    }
}

/// A source that a zone is bound to.
fn binding(element: &Element) -> Checked<Source, Fault> {
    let (text, set) = (element.get("address"), element.get("ipset"));
    if element.get("invert").is_some() && text.is_some() != set.is_some() {
        return Err(Fault::Ignored(
            "a zone's source cannot be inverted".to_owned(),
        ));
    }
    match (text, set) {
        (None, None) => Err(Fault::Ignored(
            "a source without address and ipset".to_owned(),
        )),
        (Some(_), Some(_)) => Err(Fault::Ignored("a source with address and ipset".to_owned())),
        (None, Some(set)) => Ok(Source::Set(set.to_owned())),
        (Some(text), None) => address(text)
            .ok_or_else(|| Fault::Fatal(format!("`{text}` is no address that is understood"))),
    }
}

/// An address, a network or a hardware address.
fn address(text: &str) -> Option<Source> {
    Network::parse(text)
        .map(Source::Network)
        .or_else(|| text::mac(text).map(Source::Mac))
}

/// A policy's file.
pub(super) fn policy(document: &Document<'_>, name: &str, context: Context<'_>) -> Result<Policy> {
    let mut policy = Policy {
        name: name.to_owned(),
        path: document.path.to_owned(),
        priority: -1,
        target: Target::Continue,
        rules: Rules::default(),
        ingress: Vec::new(),
        egress: Vec::new(),
        disabled: false,
    };
    let mut own = |element: &Element, place: Place, in_rule: bool| -> Checked<bool, Fault> {
        match element.name.as_str() {
            "policy" => {
                if let Some(priority) = element.get("priority") {
                    policy.priority = number(priority)?;
                }
                policy.target = policy_target(element.get("target").unwrap_or_default())?;
            }
            "ingress-zone" | "egress-zone" => {
                let zones = if element.name == "ingress-zone" {
                    &mut policy.ingress
                } else {
                    &mut policy.egress
                };
                let name = element.get("name").unwrap_or_default();
                if !zones.iter().any(|zone| zone.name == name) {
                    let name = name.to_owned();
                    zones.push(Named { name, place });
                }
            }
            "disable" => policy.disabled = true,
            "source" if !in_rule => {
                return Err(Fault::Ignored("a source outside of a rule".to_owned()));
            }
            _ => return Ok(false),
        }
        Ok(true)
    };
    let rules = read(document, &POLICY, context, &mut own)?;
    policy.rules = rules;
    Ok(policy)
}

fn policy_target(target: &str) -> Checked<Target, Fault> {
    match target {
        "ACCEPT" => Ok(Target::Accept),
        "DROP" => Ok(Target::Drop),
        "REJECT" => Ok(Target::Reject),
        "CONTINUE" => Ok(Target::Continue),
        _ => Err(Fault::Fatal(format!("`{target}` is no target of a policy"))),
    }
}

/// What an element of a zone or policy alone does; whether it is one.
type Own<'a> = dyn FnMut(&Element, Place, bool) -> Checked<bool, Fault> + 'a;

fn read(
    document: &Document<'_>,
    schema: &Schema,
    context: Context<'_>,
    own: &mut Own<'_>,
) -> Result<Rules> {
    let mut reader = RulesReader {
        context,
        rules: Rules::default(),
        rule: None,
        broken: false,
    };
    for tag in &document.tags {
        match tag {
            Tag::Start(element) => {
                if reader.broken {
                    continue;
                }
                let fatal = |message: String| document.refused(element.span.start, &message);
                let schema = if RULES.knows(element) { &RULES } else { schema };
                schema.check(element, context.version).map_err(fatal)?;
                let place = document.place(element.span.start);
                match reader.start(element, place.clone(), own) {
                    Ok(()) => {}
                    Err(Fault::Ignored(message)) if context.version.is_1() => {
                        reader.ignore(element, &place, &message);
                    }
                    Err(Fault::Fatal(message) | Fault::Ignored(message)) => {
                        return Err(fatal(message));
                    }
                }
            }
            Tag::End { name, span, .. } => {
                let fatal = |message: String| document.refused(span.start, &message);
                match reader.end(name) {
                    Ok(()) => {}
                    Err(Fault::Ignored(message)) if context.version.is_1() => {
                        let place = document.place(span.start);
                        tracing::debug!("{place}: firewalld ignores the rule: {message}");
                    }
                    Err(Fault::Fatal(message) | Fault::Ignored(message)) => {
                        return Err(fatal(message));
                    }
                }
            }
        }
    }
    Ok(reader.rules)
}

/// What firewalld's handlers keep between elements.
struct RulesReader<'a> {
    context: Context<'a>,
    rules: Rules,
    rule: Option<Draft>,
    /// The rule at hand is ignored up to its end.
    broken: bool,
}

impl RulesReader<'_> {
    /// firewalld 1 passes by the rest of a rule with such an element, and outside of a rule whatever comes up to the
    /// next rule's end; a zone's source alone does no such harm.
    fn ignore(&mut self, element: &Element, place: &Place, message: &str) {
        tracing::debug!("{place}: firewalld ignores this: {message}");
        let harmless = match element.name.as_str() {
            "source" => self.rule.is_none() && !message.contains("outside"),
            "log" | "nflog" => self.rule.is_none() || message.starts_with("more than one"),
            "tcp-mss-clamp" | "icmp-type" | "audit" => self.rule.is_none(),
            "destination" => self.rule.is_some(),
            _ => false,
        };
        self.broken = !harmless;
    }

    fn start(&mut self, element: &Element, place: Place, own: &mut Own<'_>) -> Checked<(), Fault> {
        if element.name == "rule" {
            self.rule = Some(Draft::new(element, place)?);
            return Ok(());
        }
        let ports = self.context.ports;
        if let Some(rule) = &mut self.rule
            && rule.take(element, ports)?
        {
            return Ok(());
        }
        let in_rule = self.rule.is_some();
        if own(element, place.clone(), in_rule)? {
            return Ok(());
        }
        self.plain(element, place)
    }

    /// An element outside of a rule.
    fn plain(&mut self, element: &Element, place: Place) -> Checked<(), Fault> {
        let get = |name: &str| element.get(name).unwrap_or_default();
        let rules = &mut self.rules;
        match element.name.as_str() {
            "service" => {
                let name = get("name").to_owned();
                if !rules.services.iter().any(|known| known.name == name) {
                    rules.services.push(Named { name, place });
                }
            }
            "port" => {
                if let Some(range) = tcp(self.context.ports, get("port"), get("protocol"))? {
                    text::coalesce(&mut rules.ports, range);
                }
            }
            "source-port" => {
                if let Some(range) = tcp(self.context.ports, get("port"), get("protocol"))? {
                    text::coalesce(&mut rules.source_ports, range);
                }
            }
            "protocol" => rules.protocols.push(protocol(get("value"))?),
            "icmp-block" => {
                let name = get("name").to_owned();
                rules.icmp_types.push(Named { name, place });
            }
            "masquerade" => rules.masquerade = Some(place),
            "forward-port" => {
                let (forward, to_address) = forward(element, self.context.ports)?;
                rules.forwards.push(Forward { to_address, place });
                rules.forward_ports.extend(forward);
            }
            "accept" | "reject" | "drop" | "mark" | "destination" | "limit" | "log" | "nflog"
            | "audit" | "icmp-type" | "tcp-mss-clamp" => {
                let message = format!("{} outside of a rule", element.name);
                return Err(Fault::Ignored(message));
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, name: &str) -> Checked<(), Fault> {
        match name {
            "rule" => {
                let broken = std::mem::take(&mut self.broken);
                if let Some(rule) = self.rule.take().filter(|_| !broken) {
                    let named = rule.icmp_type();
                    self.rules.rich.push(rule.finish()?);
                    self.rules.icmp_types.extend(named);
                }
            }
            "accept" | "reject" | "drop" | "mark" | "log" | "audit" => {
                if let Some(rule) = &mut self.rule {
                    rule.close();
                }
            }
            _ => {}
        }
        Ok(())
    }
}
