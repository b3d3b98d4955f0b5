//! Where csf puts its port rules, and in which form: `csf -r` on the edited csf.conf must make the rules that are there.
//!
//! csf appends, in this order: what comes before, `TCP_IN` item by item, `UDP_IN` item by item, the final jump. So a new
//! item of `TCP_IN` belongs behind the last of its rules, which is behind every ban.

use std::ops::Range;

use super::conf::Conf;
use super::items;
use crate::detect;
use crate::model::ports::PortRange;
use crate::model::reach::Family;
use crate::model::ruleset::{
    Chain, Field, Hook, Operation, Operator, Part, PayloadBase, Rule, Ruleset, Statement, Table,
    TableFamily, Test, Value, Verdict,
};

const TCP: u8 = 6;
const UDP: u8 = 17;
/// First and last.
const EPHEMERAL: (u16, u16) = (32768, 61000);
/// NEW among the states of `ct state`.
const NEW: u32 = 8;

/// Which way a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// To this host.
    In,
    /// From this host.
    Out,
}

impl Direction {
    /// Both of them.
    pub(super) const BOTH: [Self; 2] = [Self::In, Self::Out];

    /// csf's setting with the ports.
    pub(super) fn setting(self, family: Family) -> &'static str {
        match (self, family) {
            (Self::In, Family::Ipv4) => "TCP_IN",
            (Self::In, Family::Ipv6) => "TCP6_IN",
            (Self::Out, Family::Ipv4) => "TCP_OUT",
            (Self::Out, Family::Ipv6) => "TCP6_OUT",
        }
    }

    /// The chain that csf fills from it.
    pub(super) fn chain(self) -> &'static str {
        match self {
            Self::In => "INPUT",
            Self::Out => "OUTPUT",
        }
    }
}

/// The form of csf's port rules of one family and direction, as csf.conf determines it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Form {
    direction: Direction,
    /// The one device; empty for all but loopback.
    device: String,
    /// The match and its option; none without stateful inspection.
    state: Option<&'static str>,
    target: &'static str,
}

impl Form {
    /// The form that `csf -r` would use.
    pub(super) fn of(conf: &Conf, family: Family, direction: Direction) -> Self {
        let device = |name| {
            let text = conf.text(name);
            // An alias such as `eth0:1` is its device.
            text.split(':').next().unwrap_or_default().to_owned()
        };
        let own = match family {
            Family::Ipv4 => String::new(),
            Family::Ipv6 => conf.text("ETH6_DEVICE"),
        };
        let inspects = match family {
            Family::Ipv4 => conf.is_on("LF_SPI"),
            Family::Ipv6 => conf.is_on("IPV6_SPI"),
        };
        let module = if conf.is_on("USE_CONNTRACK") {
            "-m conntrack --ctstate NEW"
        } else {
            "-m state --state NEW"
        };
        Self {
            direction,
            device: if own.is_empty() {
                device("ETH_DEVICE")
            } else {
                own
            },
            state: inspects.then_some(module),
            target: if conf.is_on("WATCH_MODE") {
                "LOGACCEPT"
            } else {
                "ACCEPT"
            },
        }
    }

    /// The rule as `iptables -S` prints it, without the chain.
    pub(super) fn text(&self, ports: PortRange) -> String {
        let option = match self.direction {
            Direction::In => "-i",
            Direction::Out => "-o",
        };
        let device = match self.device.as_str() {
            "" => format!("! {option} lo"),
            device => format!("{option} {device}"),
        };
        let state = self
            .state
            .map(|state| format!(" {state}"))
            .unwrap_or_default();
        let ports = items::item(ports);
        format!(
            "{device} -p tcp{state} -m tcp --dport {ports} -j {}",
            self.target
        )
    }

    /// The rule as the kernel has it.
    pub(super) fn rule(&self, ports: PortRange) -> Rule {
        let compare = |field, length, data: &[u8]| Statement::Match {
            value: Value::field(field, length),
            test: Test::Compare {
                operator: Operator::Equal,
                data: data.to_vec(),
            },
        };
        let mut statements = vec![self.device(), compare(Field::TransportProtocol, 1, &[TCP])];
        if self.state.is_some() {
            statements.push(in_state(NEW));
        }
        statements.push(Statement::Match {
            value: Value::field(
                Field::Payload {
                    base: PayloadBase::Transport,
                    offset: 2,
                },
                2,
            ),
            test: Test::Range {
                negated: false,
                first: ports.first().to_be_bytes().to_vec(),
                last: ports.last().to_be_bytes().to_vec(),
            },
        });
        statements.push(Statement::Verdict(self.verdict()));
        Rule {
            statements: statements.into(),
            ..Rule::default()
        }
    }

    /// `! -i lo` or `-i DEVICE`, and the same on the way out.
    pub(super) fn device(&self) -> Statement {
        let (operator, name) = match self.device.as_str() {
            "" => (Operator::NotEqual, "lo"),
            name => (Operator::Equal, name),
        };
        Statement::Match {
            value: Value::field(self.device_field(), 16),
            test: Test::Compare {
                operator,
                data: name.bytes().chain([0]).collect(),
            },
        }
    }

    fn device_field(&self) -> Field {
        match self.direction {
            Direction::In => Field::InputInterfaceName,
            Direction::Out => Field::OutputInterfaceName,
        }
    }

    fn verdict(&self) -> Verdict {
        match self.target {
            "ACCEPT" => Verdict::Accept,
            chain => Verdict::Jump(chain.to_owned()),
        }
    }

    /// The ports of a rule that is of this form, and of no other.
    pub(super) fn ports_of(&self, rule: &Rule) -> Option<PortRange> {
        self.ports_for(rule, TCP)
    }

    fn ports_for(&self, rule: &Rule, protocol: u8) -> Option<PortRange> {
        if rule.comment.is_some() {
            return None;
        }
        let (mut device, mut transport, mut state, mut decided) = (false, false, false, false);
        let (mut first, mut last) = (None, None);
        for statement in &rule.statements {
            match statement {
                Statement::Neutral { text } if text == "counter" => {}
                Statement::Verdict(verdict) if *verdict == self.verdict() => decided = true,
                Statement::Match { value, test } => {
                    let [part] = value.parts.as_slice() else {
                        return None;
                    };
                    if is_transport(part) {
                        transport = is_equal(test, &[protocol]);
                        transport.then_some(())?;
                    } else if part.field == self.device_field() {
                        device = same_device(statement, &self.device());
                        device.then_some(())?;
                    } else if part.field == Field::ConnectionState {
                        state = *statement == in_state(NEW);
                        state.then_some(())?;
                    } else if is_destination_port(part) {
                        bounds(test, &mut first, &mut last)?;
                    } else {
                        return None;
                    }
                }
                _ => return None,
            }
        }
        let whole = device && transport && decided && state == self.state.is_some();
        PortRange::new(first?, last?).filter(|_| whole)
    }

    /// csf's rules of this form that stand in a row, up to the last of them in the chain.
    pub(super) fn block(&self, chain: &Chain) -> Range<usize> {
        let rules = chain.rules();
        let start = self.start(rules);
        let own = |rule: &Rule| self.ports_of(rule).is_some();
        let Some(last) = rules.iter().skip(start).rposition(own) else {
            return 0..0;
        };
        let last = start + last;
        let before = rules.iter().take(last).skip(start).rev();
        let row = before.take_while(|rule| own(rule)).count();
        last - row..last + 1
    }

    /// Behind the accept for loopback: what csf appends stands behind it, what it puts to the head of the chain (name
    /// servers, devices to skip) before it.
    fn start(&self, rules: &[Rule]) -> usize {
        let loopback = Self {
            device: "lo".to_owned(),
            ..self.clone()
        };
        let accepts = |verdict: &Verdict| *verdict == self.verdict();
        let found = rules
            .iter()
            .rposition(|rule| loopback.is_bare(rule, accepts));
        found.map_or(0, |index| index + 1)
    }

    /// Where csf would put the rule of one more item at the end of the list, counted in rules; `None` where the chain is
    /// not as csf makes it.
    pub(super) fn place(&self, chain: &Chain) -> Option<usize> {
        let block = self.block(chain);
        if !block.is_empty() {
            return Some(block.end);
        }
        let rules = chain.rules();
        let start = self.start(rules);
        // Without stateful inspection csf lets answers in by these ports, before its lists.
        let udp = |rule: &Rule| {
            self.ports_for(rule, UDP)
                .is_some_and(|ports| (ports.first(), ports.last()) != EPHEMERAL)
        };
        let udp = rules.iter().skip(start).position(udp);
        let udp = udp.map(|index| start + index);
        udp.or_else(|| {
            let end = rules.iter().rposition(|rule| self.is_bare(rule, is_end))?;
            // Without stateful inspection all that goes out is accepted right before.
            let open = |rule: &Rule| self.is_bare(rule, |verdict| *verdict == self.verdict());
            let before = end
                .checked_sub(1)
                .filter(|index| rules.get(*index).is_some_and(open));
            Some(before.unwrap_or(end))
        })
    }

    /// Whether the rule has the device and such a verdict, and nothing else.
    fn is_bare(&self, rule: &Rule, verdict: impl Fn(&Verdict) -> bool) -> bool {
        let mut statements = rule.statements.iter();
        let decides = rule
            .statements
            .iter()
            .any(|it| matches!(it, Statement::Verdict(found) if verdict(found)));
        decides
            && statements.all(|statement| match statement {
                Statement::Match { .. } => same_device(statement, &self.device()),
                Statement::Neutral { .. } | Statement::Verdict(_) => true,
                _ => false,
            })
    }
}

/// Whether the rule lets anybody in, by a port of TCP or whatever comes: what csf makes of its lists, in any form, and
/// what was typed by hand.
pub(super) fn lets_anybody_in(rule: &Rule) -> bool {
    let accept = |verdict: &Verdict| {
        matches!(verdict, Verdict::Accept)
            || matches!(verdict, Verdict::Jump(to) if to == "LOGACCEPT")
    };
    let mut conditions = Vec::new();
    let mut accepts = false;
    for statement in &rule.statements {
        match statement {
            Statement::Verdict(verdict) => accepts = accept(verdict),
            Statement::Neutral { .. } => {}
            Statement::Match { value, test } => match value.parts.as_slice() {
                [part] if is_transport(part) && !is_equal(test, &[TCP]) => return false,
                [part] => conditions.push(part),
                _ => return false,
            },
            _ => return false,
        }
    }
    let port = conditions.iter().any(|part| is_destination_port(part));
    let plain = conditions.iter().all(|part| {
        let devices = [Field::InputInterfaceName, Field::ConnectionState];
        is_transport(part) || is_destination_port(part) || devices.contains(&part.field)
    });
    accepts && (conditions.is_empty() || port && plain)
}

/// The final rule of csf's base chains.
fn is_end(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Drop | Verdict::Reject(_) => true,
        Verdict::Jump(chain) => matches!(chain.as_str(), "LOGDROPIN" | "LOGDROPOUT"),
        _ => false,
    }
}

/// `ct state` in one of these.
pub(super) fn in_state(states: u32) -> Statement {
    Statement::Match {
        value: Value {
            parts: vec![Part {
                field: Field::ConnectionState,
                length: 4,
                operations: vec![Operation::Bitwise {
                    mask: states.to_ne_bytes().to_vec(),
                    xor: vec![0; 4],
                }],
            }]
            .into(),
        },
        test: Test::Compare {
            operator: Operator::NotEqual,
            data: vec![0; 4],
        },
    }
}

fn is_transport(part: &Part) -> bool {
    let header = |offset| Field::Payload {
        base: PayloadBase::Network,
        offset,
    };
    let fields = [Field::TransportProtocol, header(9), header(6)];
    part.length == 1 && part.operations.is_empty() && fields.contains(&part.field)
}

fn is_destination_port(part: &Part) -> bool {
    let field = Field::Payload {
        base: PayloadBase::Transport,
        offset: 2,
    };
    part.field == field && part.length == 2 && part.operations.is_empty()
}

fn is_equal(test: &Test, expected: &[u8]) -> bool {
    matches!(test, Test::Compare { operator: Operator::Equal, data } if data == expected)
}

/// Names are padded with NUL, to different lengths.
fn same_device(one: &Statement, other: &Statement) -> bool {
    let parts = |statement: &Statement| match statement {
        Statement::Match {
            value,
            test: Test::Compare { operator, data },
        } => {
            let name: Vec<u8> = data.iter().copied().take_while(|byte| *byte != 0).collect();
            // Without an end it is the beginning of a name (`eth+`).
            Some((
                value.parts.first()?.field.clone(),
                *operator,
                data.contains(&0),
                name,
            ))
        }
        _ => None,
    };
    parts(one).is_some() && parts(one) == parts(other)
}

fn bounds(test: &Test, first: &mut Option<u16>, last: &mut Option<u16>) -> Option<()> {
    let port = |data: &[u8]| data.try_into().ok().map(u16::from_be_bytes);
    match test {
        Test::Compare { operator, data } => match operator {
            Operator::Equal => (*first, *last) = (port(data), port(data)),
            Operator::GreaterOrEqual => *first = port(data),
            Operator::LessOrEqual => *last = port(data),
            _ => return None,
        },
        Test::Range {
            negated: false,
            first: low,
            last: high,
        } => {
            (*first, *last) = (port(low), port(high));
        }
        Test::Range { .. } => return None,
    }
    Some(())
}

/// csf's table of a family: the one with its chains, entered from the base chain as csf enters them.
pub(super) fn table(ruleset: &Ruleset, family: Family) -> Option<&Table> {
    let wanted = match family {
        Family::Ipv4 => TableFamily::Ip,
        Family::Ipv6 => TableFamily::Ip6,
    };
    let mut tables = ruleset.tables.iter();
    tables.find(|table| table.family == wanted && table.name == "filter" && is_csf(table))
}

/// Whether the table is as csf fills it.
pub(super) fn is_csf(table: &Table) -> bool {
    let enters = |hook: Hook, direction: Direction, target: &str| {
        let chain = table.chain(direction.chain());
        let based = |chain: &&Chain| chain.base.as_ref().is_some_and(|base| base.hook == hook);
        let calls = |rule: &Rule| {
            let jump = |it: &Statement| matches!(it, Statement::Verdict(Verdict::Jump(to)) if to == target);
            rule.statements.iter().any(jump)
        };
        chain
            .filter(based)
            .is_some_and(|chain| chain.rules().iter().any(calls))
    };
    detect::is_managed_by(table, "csf")
        && enters(Hook::Input, Direction::In, "LOCALINPUT")
        && enters(Hook::Output, Direction::Out, "LOCALOUTPUT")
}
