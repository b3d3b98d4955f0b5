//! direct.xml: rules of iptables that firewalld only passes on.
//!
//! With one that iptables does not take, wherever it stands, firewalld starts in the state FAILED. What iptables takes is
//! for iptables to say: it need not be asked only when no packet on its way in meets a rule and every word of it is plain.

use super::elements::Context;
use super::objects::{Direct, DirectKind};
use super::xml::{Document, Element, Tag};
use super::{Network, Place, Schema, others, text};
use crate::error::Result;
use crate::model::reach::Family;

const SCHEMA: Schema = Schema {
    required: &[
        ("direct", &[]),
        ("chain", &["ipv", "table", "chain"]),
        ("rule", &["ipv", "table", "chain", "priority"]),
        ("passthrough", &["ipv"]),
    ],
    optional: &[],
    since_2: &[],
};

/// The chains that a new connection to this host, and the reply to it, does not meet, by table.
const ELSEWHERE: [(&str, &str); 4] = [
    ("filter", "FORWARD"),
    ("mangle", "FORWARD"),
    ("nat", "POSTROUTING"),
    ("nat", "OUTPUT"),
];

/// How the names of netfilter's and firewalld's own chains begin.
const TAKEN: [&str; 10] = [
    "INPUT",
    "FORWARD",
    "OUTPUT",
    "PREROUTING",
    "POSTROUTING",
    "IN_",
    "FWD",
    "OUT_",
    "PRE_",
    "POST_",
];

/// As many letters has the name of a chain.
const LONGEST_CHAIN: usize = 28;

/// As many bytes has the name of an interface (`IFNAMSIZ`, without the NUL).
const LONGEST_NAME: usize = 15;

/// Every line of the file.
pub(super) fn read(document: &Document<'_>, context: Context<'_>) -> Result<Vec<Direct>> {
    others::check(document, &SCHEMA, context)?;
    let mut lines = Vec::new();
    let mut open: Option<&Element> = None;
    for tag in &document.tags {
        match tag {
            Tag::Start(element) => open = Some(element),
            Tag::End { name, text, .. } => {
                let Some(element) = open.filter(|element| element.name == *name) else {
                    continue;
                };
                open = None;
                if name == "direct" {
                    continue;
                }
                let shown =
                    ["ipv", "table", "chain"].map(|name| element.get(name).unwrap_or_default());
                let shown = [&shown[..], &[text.trim()]].concat().join(" ");
                lines.push(line(
                    element,
                    text,
                    document.place(element.span.start),
                    &text::one_line(&shown),
                ));
            }
        }
    }
    Ok(lines)
}

/// A line, taken apart.
fn line(element: &Element, text: &str, place: Place, shown: &str) -> Direct {
    let get = |name: &str| element.get(name).unwrap_or_default().to_owned();
    let mut words: Vec<&str> = text.split_ascii_whitespace().collect();
    let (mut table, mut chain) = (get("table"), get("chain"));
    let (kind, harmless) = match element.name.as_str() {
        "chain" => (Some(DirectKind::Chain), is_plain_chain(element)),
        "rule" => {
            let priority = get("priority").parse().ok();
            (priority.map(DirectKind::Rule), is_harmless(element, text))
        }
        _ => {
            "filter".clone_into(&mut table);
            if let Some(["-t" | "--table", named]) = words.get(..2) {
                (*named).clone_into(&mut table);
                words.drain(..2);
            }
            let sign = match words.first().copied().unwrap_or_default() {
                "-A" | "--append" => Some('A'),
                "-I" | "--insert" => Some('I'),
                _ => None,
            };
            if sign.is_some() && words.len() > 1 {
                words[1].clone_into(&mut chain);
                words.drain(..2);
            }
            (sign.map(DirectKind::Passthrough), false)
        }
    };
    let family = match get("ipv").as_str() {
        "ipv4" => Some(Family::Ipv4),
        "ipv6" => Some(Family::Ipv6),
        _ => None,
    };
    Direct {
        place,
        text: format!("direct rule `{shown}`"),
        harmless,
        family: family.filter(|_| kind.is_some()),
        kind: kind.unwrap_or(DirectKind::Chain),
        table,
        chain,
        words: words.join(" "),
    }
}

/// Whether no packet on its way in meets the rule, and iptables takes it for certain.
fn is_harmless(element: &Element, text: &str) -> bool {
    let get = |name: &str| element.get(name).unwrap_or_default();
    let family = match get("ipv") {
        "ipv4" => Family::Ipv4,
        "ipv6" => Family::Ipv6,
        _ => return false,
    };
    let (table, chain) = (get("table"), get("chain"));
    ELSEWHERE.contains(&(table, chain))
        && get("priority").parse::<i32>().is_ok()
        && is_plain(text, table, chain, family)
}

/// Whether a chain is just another one, which nothing meets before some rule leads there.
fn is_plain_chain(element: &Element) -> bool {
    let get = |name: &str| element.get(name).unwrap_or_default();
    let odd = |letter: char| !letter.is_ascii_alphanumeric() && !"_-".contains(letter);
    let (table, chain) = (get("table"), get("chain"));
    matches!(get("ipv"), "ipv4" | "ipv6")
        && matches!(table, "filter" | "mangle" | "nat" | "raw")
        && chain.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && chain.len() <= LONGEST_CHAIN
        && !chain.contains(odd)
        && !TAKEN.iter().any(|start| chain.starts_with(start))
}

/// Whether a rule says nothing but where packets come from and go to, and what becomes of them.
fn is_plain(text: &str, table: &str, chain: &str, family: Family) -> bool {
    let mut words = text.split_ascii_whitespace();
    let mut seen: Vec<&str> = Vec::new();
    while let Some(option) = words.next() {
        let Some(value) = words.next() else {
            return false;
        };
        let option = match option {
            "--in-interface" => "-i",
            "--out-interface" => "-o",
            "--source" => "-s",
            "--destination" => "-d",
            "--jump" => "-j",
            option => option,
        };
        let fits = match option {
            "-i" => chain == "FORWARD" && is_interface(value),
            "-o" => is_interface(value),
            "-s" | "-d" => {
                let network = Network::parse(value).filter(|_| !value.contains('['));
                network.is_some_and(|network| network.family == family)
            }
            "-j" => match table {
                "filter" => matches!(value, "ACCEPT" | "DROP" | "RETURN"),
                "nat" => value == "RETURN" || value == "MASQUERADE" && chain == "POSTROUTING",
                _ => matches!(value, "ACCEPT" | "RETURN"),
            },
            _ => false,
        };
        if !fits || seen.contains(&option) {
            return false;
        }
        seen.push(option);
    }
    seen.contains(&"-j")
}

fn is_interface(name: &str) -> bool {
    let odd = |letter: char| !letter.is_ascii_alphanumeric() && !"._-".contains(letter);
    let plain = name.strip_suffix('+').unwrap_or(name);
    !plain.is_empty() && name.len() <= LONGEST_NAME && !plain.contains(odd)
}
