//! What a zone's file holds, against what firewalld takes the zone to hold.

use super::bus::{self, Settings};
use super::config::xml::{Document, Tag};

/// What a zone holds, as far as a comparison needs it: each kind of thing with its names, sorted; of rich rules and
/// forwarded ports only the number.
pub(super) type Listing = Vec<(&'static str, Vec<String>)>;

/// The elements of a zone's file, the attribute that names each, and the setting that lists them.
const NAMED: [(&str, &str, &str); 5] = [
    ("service", "name", "services"),
    ("interface", "name", "interfaces"),
    ("protocol", "value", "protocols"),
    ("icmp-block", "name", "icmp_blocks"),
    ("port", "port", "ports"),
];
const COUNTED: [(&str, &str); 2] = [("rule", "rules_str"), ("source", "sources")];

/// What a zone's file holds.
pub(super) fn written(document: &Document<'_>) -> Listing {
    let mut content: Listing = NAMED
        .iter()
        .map(|(.., key)| *key)
        .chain(COUNTED.iter().map(|(_, key)| *key))
        .map(|key| (key, Vec::new()))
        .collect();
    let mut add = |key: &str, value: String| {
        if let Some((_, values)) = content.iter_mut().find(|(known, _)| *known == key) {
            values.push(value);
        }
    };
    let mut depth = 0;
    for tag in &document.tags {
        match tag {
            Tag::Start(element) => {
                depth += 1;
                if depth != 2 {
                    continue;
                }
                for (name, attribute, key) in NAMED {
                    if element.name == name {
                        let value = element.get(attribute).unwrap_or_default();
                        let protocol = element.get("protocol").unwrap_or_default();
                        add(key, format!("{value} {protocol}").trim().to_owned());
                    }
                }
                for (name, key) in COUNTED {
                    if element.name == name {
                        add(key, String::new());
                    }
                }
            }
            Tag::End { .. } => depth -= 1,
        }
    }
    sorted(content)
}

/// What firewalld takes a zone to hold.
pub(super) fn remembered(settings: &Settings) -> Listing {
    let mut content: Listing = Vec::new();
    for (.., key) in NAMED {
        let values = if key == "ports" {
            let pairs = bus::pairs(settings, key).into_iter();
            pairs
                .map(|(ports, kind)| format!("{ports} {kind}"))
                .collect()
        } else {
            bus::strings(settings, key)
        };
        content.push((key, values));
    }
    for (_, key) in COUNTED {
        let count = bus::strings(settings, key).len();
        content.push((key, vec![String::new(); count]));
    }
    sorted(content)
}

fn sorted(mut content: Listing) -> Listing {
    for (_, values) in &mut content {
        values.sort();
    }
    content
}
