//! Rules in nft's words, for people. What iptables wrote and nft has no words for is in iptables' words.

mod bytes;
mod names;
mod values;

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

pub(crate) use self::names::payload_name;
use self::names::{Context, part_name};
use self::values::operand;
use super::ruleset::{
    Element, ElementKey, Elements, Field, Mark, Operator, Part, PayloadBase, Rule, Set, Statement,
    Table, Test, Value, Verdict,
};

/// How many elements of an anonymous set are shown.
const SHOWN_ELEMENTS: usize = 12;

/// Text from the kernel or a file, safe for a terminal: without control characters.
#[derive(Clone, Copy, Debug)]
pub struct Clean<'a>(pub &'a str);

impl Display for Clean<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for part in self.0.split(char::is_control) {
            formatter.write_str(part)?;
        }
        Ok(())
    }
}

/// A rule with its table at hand, so that anonymous sets are shown with their elements.
#[derive(Clone, Copy, Debug)]
pub struct RuleText<'a> {
    rule: &'a Rule,
    table: Option<&'a Table>,
}

impl Rule {
    /// The rule in nft's words, anonymous sets with their elements from the rule's table.
    pub fn text<'a>(&'a self, table: &'a Table) -> RuleText<'a> {
        RuleText {
            rule: self,
            table: Some(table),
        }
    }
}

impl Display for Rule {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let text = RuleText {
            rule: self,
            table: None,
        };
        text.fmt(formatter)
    }
}

impl Display for RuleText<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        let mut context = Context::default();
        let mut rest = self.rule.statements.as_slice();
        while let [statement, behind @ ..] = rest {
            rest = behind;
            context.learn(statement);
            if is_implied(statement, behind) {
                continue;
            }
            if let Some((text, behind)) = interval(statement, behind, context) {
                words.push(text);
                rest = behind;
                continue;
            }
            words.push(statement_text(statement, context, self.table));
        }
        if let Some(comment) = &self.rule.comment {
            words.push(format!("comment \"{}\"", Clean(comment)));
        }
        formatter.write_str(&words.join(" "))
    }
}

impl Display for Statement {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let mut context = Context::default();
        context.learn(self);
        formatter.write_str(&statement_text(self, context, None))
    }
}

impl Display for Verdict {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => formatter.write_str("accept"),
            Self::Drop => formatter.write_str("drop"),
            Self::Reject(how) => write!(formatter, "reject with {}", Clean(how)),
            Self::Continue => formatter.write_str("continue"),
            Self::Return => formatter.write_str("return"),
            Self::Jump(chain) => write!(formatter, "jump {}", Clean(chain)),
            Self::Goto(chain) => write!(formatter, "goto {}", Clean(chain)),
            Self::Queue(how) => write!(formatter, "queue {}", Clean(how)),
            Self::Stolen(how) => write!(formatter, "{}", Clean(how)),
        }
    }
}

/// Whether a test only prepares a later one that says it anyway: `meta l4proto tcp` before `tcp dport`.
fn is_implied(statement: &Statement, behind: &[Arc<Statement>]) -> bool {
    // A load that only has to succeed compares nothing.
    if matches!(statement, Statement::Match { test: Test::Compare { data, .. }, .. } if data.is_empty())
    {
        return true;
    }
    let Statement::Match {
        value,
        test: Test::Compare {
            operator: Operator::Equal,
            data,
        },
    } = statement
    else {
        return false;
    };
    let [part] = value.parts.as_slice() else {
        return false;
    };
    let wanted = match part.field {
        Field::TransportProtocol
        | Field::Payload {
            base: PayloadBase::Network,
            offset: 9,
        } => PayloadBase::Transport,
        Field::NetworkFamily | Field::EtherType => PayloadBase::Network,
        Field::InputInterfaceType if data.first() == Some(&1) => PayloadBase::Link,
        _ => return false,
    };
    behind.iter().any(|statement| match statement.as_ref() {
        Statement::Match { value, .. }
        | Statement::Lookup { value, .. }
        | Statement::VerdictMap { value, .. } => value
            .parts
            .iter()
            .any(|part| matches!(part.field, Field::Payload { base, .. } if base == wanted)),
        _ => false,
    })
}

/// `dport >= 1 dport <= 2` as `dport 1-2`, and the statements behind it.
fn interval<'a>(
    statement: &Statement,
    behind: &'a [Arc<Statement>],
    context: Context,
) -> Option<(String, &'a [Arc<Statement>])> {
    let (value, first) = compared(statement, Operator::GreaterOrEqual)?;
    let (next, behind) = behind.split_first()?;
    let (other, last) = compared(next, Operator::LessOrEqual)?;
    if value != other || value.parts.len() != 1 {
        return None;
    }
    let (first, last) = (
        data_text(value, first, context),
        data_text(value, last, context),
    );
    Some((
        format!("{} {first}-{last}", value_name(value, context)),
        behind,
    ))
}

/// The value and the bytes of a comparison.
fn compared(statement: &Statement, wanted: Operator) -> Option<(&Value, &[u8])> {
    match statement {
        Statement::Match {
            value,
            test: Test::Compare { operator, data },
        } if *operator == wanted => Some((value, data)),
        _ => None,
    }
}

/// One statement.
fn statement_text(statement: &Statement, context: Context, table: Option<&Table>) -> String {
    match statement {
        Statement::Match { value, test } => match_text(value, test, context),
        Statement::Lookup {
            value,
            set,
            negated,
        } => lookup_text(value, set, *negated, context, table),
        Statement::VerdictMap { value, map } => {
            let map = set_text(map, value, context, table);
            format!("{} vmap {map}", value_name(value, context))
        }
        Statement::Verdict(verdict) => verdict.to_string(),
        Statement::Condition { text, .. }
        | Statement::Tproxy { text }
        | Statement::Rewrite { text, .. }
        | Statement::SetSegmentSize { text }
        | Statement::UpdateSet { text, .. }
        | Statement::Neutral { text } => Clean(text).to_string(),
        Statement::SetMark { mark, value } => {
            let name = match mark {
                Mark::Packet => "meta mark",
                Mark::Connection => "ct mark",
            };
            match value {
                Some(value) => format!("{name} set {value:#010x}"),
                None => format!("{name} set (computed)"),
            }
        }
        Statement::Notrack => String::from("notrack"),
        Statement::Nat(nat) => Clean(&nat.text).to_string(),
        Statement::NotDecoded { name } => format!("({}: not understood)", Clean(name)),
    }
}

/// A test.
fn match_text(value: &Value, test: &Test, context: Context) -> String {
    if let Some(text) = values::special(value, test, context) {
        return text;
    }
    let name = value_name(value, context);
    match test {
        Test::Compare { operator, data } => {
            let sign = match operator {
                Operator::Equal => "",
                Operator::NotEqual => "!= ",
                Operator::Less => "< ",
                Operator::LessOrEqual => "<= ",
                Operator::Greater => "> ",
                Operator::GreaterOrEqual => ">= ",
            };
            format!("{name} {sign}{}", data_text(value, data, context))
        }
        Test::Range {
            negated,
            first,
            last,
        } => {
            let sign = if *negated { "!= " } else { "" };
            let (first, last) = (
                data_text(value, first, context),
                data_text(value, last, context),
            );
            format!("{name} {sign}{first}-{last}")
        }
    }
}

/// A lookup in a set. Lists out of iptables' matches carry their text as the set's name.
fn lookup_text(
    value: &Value,
    set: &str,
    negated: bool,
    context: Context,
    table: Option<&Table>,
) -> String {
    let not = if negated { "!= " } else { "" };
    if let Some(words) = set.strip_prefix("-m ") {
        let not = if negated { "! " } else { "" };
        return format!("{not}-m {}", Clean(words));
    }
    let name = value_name(value, context);
    format!("{name} {not}{}", set_text(set, value, context, table))
}

/// A set: its name, or when it has none its elements.
fn set_text(name: &str, value: &Value, context: Context, table: Option<&Table>) -> String {
    if name.starts_with('{') {
        return Clean(name).to_string();
    }
    let set = table
        .and_then(|table| table.set(name))
        .filter(|set| set.anonymous);
    match set {
        Some(Set {
            elements: Elements::Read(elements),
            ..
        }) => elements_text(elements, value, context),
        _ => format!("@{}", Clean(name)),
    }
}

/// The elements of an anonymous set.
fn elements_text(elements: &[Element], value: &Value, context: Context) -> String {
    let mut words = Vec::new();
    // The kernel keeps most sets as hashes.
    let mut elements: Vec<&Element> = elements.iter().collect();
    elements.sort_by_key(|element| match &element.key {
        ElementKey::Single(key) | ElementKey::Range(key, _) => (false, key.as_slice()),
        ElementKey::CatchAll => (true, [].as_slice()),
    });
    for element in elements.iter().take(SHOWN_ELEMENTS) {
        let mut text = match &element.key {
            ElementKey::Single(key) => data_text(value, key, context),
            ElementKey::Range(first, last) => range_text(value, first, last, context),
            ElementKey::CatchAll => String::from("*"),
        };
        if let Some(verdict) = &element.verdict {
            text = format!("{text} : {verdict}");
        }
        words.push(text);
    }
    if elements.len() > SHOWN_ELEMENTS {
        words.push(format!("... {} more", elements.len() - SHOWN_ELEMENTS));
    }
    format!("{{ {} }}", words.join(", "))
}

/// An interval of a set, in a concatenation field by field.
fn range_text(value: &Value, first: &[u8], last: &[u8], context: Context) -> String {
    let mut words = Vec::new();
    for (part, range) in fields(value, first.len()) {
        let (first, last) = (first.get(range.clone()), last.get(range));
        let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
        words.push(values::interval(part, first, last, context));
    }
    words.join(" . ")
}

/// The name of a value.
fn value_name(value: &Value, context: Context) -> String {
    let names: Vec<String> = value
        .parts
        .iter()
        .map(|part| part_name(part, context))
        .collect();
    names.join(" . ")
}

/// Bytes that a value is compared with.
fn data_text(value: &Value, data: &[u8], context: Context) -> String {
    let mut words = Vec::new();
    for (part, range) in fields(value, data.len()) {
        words.push(operand(part, data.get(range).unwrap_or_default(), context));
    }
    words.join(" . ")
}

/// The fields of a concatenation, each with its place in the bytes.
fn fields(value: &Value, length: usize) -> impl Iterator<Item = (&Part, std::ops::Range<usize>)> {
    let single = value.parts.len() == 1;
    let mut start = 0;
    value.parts.iter().map(move |part| {
        let end = if single {
            length
        } else {
            start + part.length as usize
        };
        let range = start.min(length)..end.min(length);
        start = end.next_multiple_of(4);
        (part, range)
    })
}

#[cfg(test)]
mod tests;
