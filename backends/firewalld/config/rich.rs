//! Rich rules, as elements of a zone or policy.

use super::Checked;
use super::elements::{self, Fault, number};
use super::objects::{Action, Address, ForwardPort, Named, Network, Part, Place, Rich, Source};
use super::text::{self, PortNames};
use super::xml::Element;
use crate::model::reach::Family;

/// How a reject may be made, by family (`REJECT_TYPES` of firewalld).
const REJECTS_IPV4: &[&str] = &[
    "icmp-host-prohibited",
    "host-prohib",
    "icmp-net-unreachable",
    "net-unreach",
    "icmp-host-unreachable",
    "host-unreach",
    "icmp-port-unreachable",
    "port-unreach",
    "icmp-proto-unreachable",
    "proto-unreach",
    "icmp-net-prohibited",
    "net-prohib",
    "tcp-reset",
    "tcp-rst",
    "icmp-admin-prohibited",
    "admin-prohib",
];
const REJECTS_IPV6: &[&str] = &[
    "icmp6-adm-prohibited",
    "adm-prohibited",
    "icmp6-no-route",
    "no-route",
    "icmp6-addr-unreachable",
    "addr-unreach",
    "icmp6-port-unreachable",
    "port-unreach",
    "tcp-reset",
];

/// What a `<limit>` is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limits {
    Action,
    Log,
    Audit,
}

/// A rich rule whose end has not been seen yet.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    rich: Rich,
    icmp_type: Option<Named>,
    audit: bool,
    mark: Option<String>,
    limits: Option<Limits>,
    limited: Vec<Limits>,
    /// Of the limits, that firewalld checks at the end.
    rates: Vec<String>,
    reads_back: bool,
}

impl Draft {
    pub(super) fn new(element: &Element, place: Place) -> Checked<Self, Fault> {
        let family = match element.get("family") {
            None => None,
            Some("ipv4") => Some(Family::Ipv4),
            Some("ipv6") => Some(Family::Ipv6),
            Some(other) => return Err(Fault::Ignored(format!("`{other}` is no family"))),
        };
        let priority = element.get("priority").map_or(Ok(0), number)?;
        Ok(Self {
            rich: Rich {
                place,
                family,
                priority,
                source: None,
                destination: None,
                element: None,
                action: None,
                limited: false,
                logs: false,
            },
            icmp_type: None,
            audit: false,
            mark: None,
            limits: None,
            limited: Vec::new(),
            rates: Vec::new(),
            reads_back: true,
        })
    }

    /// The ICMP type that it names.
    pub(super) fn icmp_type(&self) -> Option<Named> {
        self.icmp_type.clone()
    }

    /// An action, log or audit ends.
    pub(super) fn close(&mut self) {
        self.limits = None;
    }

    /// Takes an element of a rule; false for one that is none.
    pub(super) fn take(&mut self, element: &Element, ports: &PortNames) -> Checked<bool, Fault> {
        let get = |name: &str| element.get(name).unwrap_or_default();
        // firewalld writes the rule as one line of text and reads that back.
        let odd = |value: &str| value.contains(['=', '"', '\\', '`']);
        self.reads_back &= !element.attributes.iter().any(|(_, value)| odd(value));
        match element.name.as_str() {
            "service" => self.element(Part::Service(get("name").to_owned()))?,
            "port" | "source-port" => {
                let part = if element.name == "port" {
                    Part::Ports
                } else {
                    Part::SourcePorts
                };
                self.vacant()?;
                let range = elements::tcp(ports, get("port"), get("protocol"));
                self.element(part(ignored(range)?))?;
            }
            "protocol" => {
                self.vacant()?;
                let protocol = ignored(elements::protocol(get("value")))?;
                self.element(Part::Protocol(protocol))?;
            }
            "tcp-mss-clamp" => self.element(Part::MssClamp)?,
            "icmp-block" | "icmp-type" => {
                let name = get("name").to_owned();
                self.element(if element.name == "icmp-block" {
                    Part::IcmpBlock(name.clone())
                } else {
                    Part::IcmpType(name.clone())
                })?;
                let place = self.rich.place.clone();
                self.icmp_type = Some(Named { name, place });
            }
            "masquerade" => self.element(Part::Masquerade)?,
            "forward-port" => {
                self.vacant()?;
                let (forward, _) = ignored(elements::forward(element, ports))?;
                self.element(Part::Forward(forward))?;
            }
            "source" => {
                if self.rich.source.is_some() {
                    return Err(Fault::Ignored("more than one source".to_owned()));
                }
                self.rich.source = Some(end(element)?);
            }
            "destination" => {
                if self.rich.destination.is_some() {
                    return Err(Fault::Ignored("more than one destination".to_owned()));
                }
                self.rich.destination = Some(end(element)?);
            }
            "accept" | "reject" | "drop" | "mark" => self.action(element)?,
            "log" | "nflog" => self.log(element)?,
            "audit" => {
                if std::mem::replace(&mut self.audit, true) {
                    return Err(Fault::Ignored("more than one audit".to_owned()));
                }
                self.limits = Some(Limits::Audit);
            }
            "limit" => {
                let Some(limits) = self.limits else {
                    return Err(Fault::Ignored("a limit of nothing".to_owned()));
                };
                if self.limited.contains(&limits) {
                    return Err(Fault::Ignored("more than one limit".to_owned()));
                }
                self.limited.push(limits);
                self.rates.push(get("value").to_owned());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn vacant(&self) -> Checked<(), Fault> {
        if self.rich.element.is_some() {
            return Err(Fault::Ignored("more than one element in a rule".to_owned()));
        }
        Ok(())
    }

    fn element(&mut self, part: Part) -> Checked<(), Fault> {
        self.vacant()?;
        self.rich.element = Some(part);
        Ok(())
    }

    fn action(&mut self, element: &Element) -> Checked<(), Fault> {
        if self.rich.action.is_some() {
            return Err(Fault::Ignored("more than one action".to_owned()));
        }
        self.rich.action = Some(match element.name.as_str() {
            "accept" => Action::Accept,
            "drop" => Action::Drop,
            "mark" => Action::Mark,
            _ => {
                let how = element.get("type").filter(|how| !how.is_empty());
                Action::Reject(how.map(str::to_owned))
            }
        });
        self.mark = element.get("set").map(str::to_owned);
        self.limits = Some(Limits::Action);
        Ok(())
    }

    fn log(&mut self, element: &Element) -> Checked<(), Fault> {
        const LEVELS: &[&str] = &[
            "emerg", "alert", "crit", "error", "warning", "notice", "info", "debug",
        ];
        if self.rich.logs {
            return Err(Fault::Ignored("more than one log".to_owned()));
        }
        let short = |number: &str| number.parse::<u16>().is_ok();
        let invalid = |name: &str, valid: &dyn Fn(&str) -> bool| {
            element.get(name).is_some_and(|value| !valid(value))
        };
        if invalid("level", &|level| LEVELS.contains(&level))
            || invalid("prefix", &|text| {
                !text.is_empty() && text.chars().count() <= 127
            })
            || invalid("group", &short)
            || invalid("queue-size", &short)
        {
            return Err(Fault::Ignored("an invalid log".to_owned()));
        }
        self.rich.logs = true;
        self.limits = Some(Limits::Log);
        Ok(())
    }

    /// The rule, once firewalld's own checks are passed (`Rich_Rule.check`).
    pub(super) fn finish(mut self) -> Checked<Rich, Fault> {
        self.check().map_err(Fault::Ignored)?;
        if !self.reads_back {
            return Err(Fault::Fatal(
                "a rich rule with `=`, a quote or a backslash in a value, which firewalld cannot read back"
                    .to_owned(),
            ));
        }
        self.rich.limited = self.limited.contains(&Limits::Action);
        Ok(self.rich)
    }

    fn check(&self) -> Checked<()> {
        let rich = &self.rich;
        let fail = |message: &str| Err(message.to_owned());
        let network = |end: &Option<Address>| match end {
            Some(Address {
                what: Source::Network(network),
                ..
            }) => Some(network.family),
            _ => None,
        };
        let source = network(&rich.source);
        let forward = matches!(rich.element, Some(Part::Forward(_)));
        match rich.family {
            None if source.is_some() || rich.destination.is_some() || forward => {
                return fail("the family is missing");
            }
            Some(family) => {
                let ends = [source, network(&rich.destination)];
                if ends.into_iter().flatten().any(|other| other != family) {
                    return fail("an address of the other family");
                }
            }
            None => {}
        }
        if matches!(
            &rich.destination,
            Some(Address {
                what: Source::Mac(_),
                ..
            })
        ) {
            return fail("a hardware address as destination");
        }
        if !(-32768..=32767).contains(&rich.priority) {
            return fail("the priority is out of range");
        }
        let logs = rich.logs || self.audit;
        if rich.element.is_none() && (!rich.logs || rich.priority == 0) {
            if rich.action.is_none() {
                return fail("no element, no action");
            }
            if rich.source.is_none() && rich.destination.is_none() && rich.priority == 0 {
                return fail("no element, no source, no destination");
            }
        }
        let complete = matches!(
            rich.element,
            Some(Part::Forward(_) | Part::Masquerade | Part::MssClamp | Part::IcmpBlock(_))
        );
        if complete && rich.action.is_some() {
            return fail("an action besides what the element does");
        }
        if !complete && !logs && rich.action.is_none() {
            return fail("no action, no log, no audit");
        }
        if self.audit
            && !matches!(
                &rich.action,
                Some(Action::Accept | Action::Drop | Action::Reject(_))
            )
        {
            return fail("audit without accept, drop or reject");
        }
        self.check_element()?;
        self.check_action()?;
        self.rates.iter().try_for_each(|rate| check_rate(rate))
    }

    fn check_element(&self) -> Checked<()> {
        let family = self.rich.family;
        match &self.rich.element {
            Some(Part::Service(name) | Part::IcmpBlock(name) | Part::IcmpType(name))
                if name.is_empty() =>
            {
                Err("a name is missing".to_owned())
            }
            Some(Part::Forward(Some(ForwardPort {
                to_address: Some(address),
                ..
            }))) if Some(Family::Ipv4) != family && address.is_ipv4()
                || Some(Family::Ipv6) != family && address.is_ipv6() =>
            {
                Err("a forward to an address of the other family".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn check_action(&self) -> Checked<()> {
        if let Some(Action::Reject(Some(how))) = &self.rich.action {
            let known = match self.rich.family {
                None => return Err("a type of reject without a family".to_owned()),
                Some(Family::Ipv4) => REJECTS_IPV4,
                Some(Family::Ipv6) => REJECTS_IPV6,
            };
            if !known.contains(&how.as_str()) {
                return Err(format!("`{how}` is no type of reject"));
            }
        }
        if matches!(self.rich.action, Some(Action::Mark)) {
            let number = |text: &str| match text.strip_prefix("0x") {
                Some(digits) => u32::from_str_radix(digits, 16).is_ok(),
                None => text.parse::<u32>().is_ok(),
            };
            let mark = self.mark.as_deref().unwrap_or_default();
            if !mark.split('/').all(number) || mark.split('/').count() > 2 {
                return Err(format!("`{mark}` is no mark"));
            }
        }
        Ok(())
    }
}

/// What firewalld finds wrong only at the end of the rule.
fn ignored<T>(result: Checked<T, Fault>) -> Checked<T, Fault> {
    result.map_err(|fault| match fault {
        Fault::Fatal(message) | Fault::Ignored(message) => Fault::Ignored(message),
    })
}

/// `5/m`, `100/second`.
fn check_rate(rate: &str) -> Checked<()> {
    let fail = || Err(format!("`{rate}` is no limit"));
    let Some((count, duration)) = rate.split_once('/') else {
        return fail();
    };
    let known = ["s", "m", "h", "d", "second", "minute", "hour", "day"];
    match count.parse::<u32>() {
        Ok(0) | Err(_) => fail(),
        Ok(_) if !known.contains(&duration) => fail(),
        Ok(1) if duration.starts_with('d') => fail(),
        Ok(_) => Ok(()),
    }
}

/// The source or destination of a rule.
fn end(element: &Element) -> Checked<Address, Fault> {
    let get = |name: &str| element.get(name).filter(|value| !value.is_empty());
    let inverted = get("invert").is_some_and(|value| {
        value.eq_ignore_ascii_case("yes") || value.eq_ignore_ascii_case("true")
    });
    let what = match (get("address"), get("mac"), get("ipset")) {
        (None, None, None) => {
            return Err(Fault::Fatal(format!(
                "a {} without address, mac and ipset",
                element.name
            )));
        }
        (Some(text), None, None) => {
            let network = Network::parse(text);
            Source::Network(
                network.ok_or_else(|| Fault::Ignored(format!("`{text}` is no address")))?,
            )
        }
        (None, Some(text), None) => {
            let mac = text::mac(text);
            Source::Mac(
                mac.ok_or_else(|| Fault::Ignored(format!("`{text}` is no hardware address")))?,
            )
        }
        (None, None, Some(name)) if name.chars().count() <= 32 => Source::Set(name.to_owned()),
        _ => return Err(Fault::Ignored(format!("an invalid {}", element.name))),
    };
    Ok(Address { what, inverted })
}
