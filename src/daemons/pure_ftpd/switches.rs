//! Switches from where they are written as such: command lines, and the script of old versions.

use std::path::Path;

use super::Switch;
use crate::daemons::text;
use crate::findings::Location;

/// SRC: pure-config.pl: expressions without anchors; what follows the value and what is unknown is ignored.
pub(super) fn script_switches(path: &Path, bytes: &[u8]) -> Vec<Switch> {
    let mut switches = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
        let line = text::trim(line);
        if line.first().is_none_or(|&byte| byte == b'#') {
            continue;
        }
        for (key, name) in [
            ("PassivePortRange", "passiveportrange"),
            ("Bind", "bind"),
            ("ForcePassiveIP", "forcepassiveip"),
            ("MaxClientsNumber", "maxclientsnumber"),
            ("NATmode", "natmode"),
            ("CallUploadScript", "uploadscript"),
        ] {
            let Some(at) = line
                .windows(key.len())
                .position(|window| window == key.as_bytes())
            else {
                continue;
            };
            let rest = &line[at + key.len()..];
            let separated = rest.first().is_some_and(|&byte| text::is_space(byte));
            if let Some(value) = script_value(name, rest).filter(|_| separated) {
                switches.push(Switch {
                    name,
                    value,
                    location: Location::line(path, number),
                });
            }
        }
    }
    switches
}

/// The value of a switch from what stands behind its key; `None` where the script finds none.
fn script_value(name: &str, rest: &[u8]) -> Option<Vec<u8>> {
    let mut words = rest
        .split(|&byte| text::is_space(byte))
        .filter(|word| !word.is_empty());
    let leading = |word: &[u8]| {
        word.iter()
            .copied()
            .take_while(u8::is_ascii_digit)
            .collect::<Vec<u8>>()
    };
    match (name, words.next(), words.next()) {
        ("passiveportrange", Some(first), Some(last)) => {
            let (first, last) = (
                first.iter().all(u8::is_ascii_digit).then_some(first),
                leading(last),
            );
            first
                .filter(|_| !last.is_empty())
                .map(|first| [first, &last].join(&b':'))
        }
        (_, None, _) | ("passiveportrange", ..) => None,
        ("natmode" | "uploadscript", Some(word), _) => {
            word.to_ascii_lowercase().starts_with(b"yes").then(Vec::new)
        }
        ("maxclientsnumber", Some(word), _) => {
            Some(leading(word)).filter(|digits| !digits.is_empty())
        }
        (_, Some(word), _) => Some(word.to_vec()),
    }
}

/// The switches of a command line; only those that matter here.
pub(super) fn argument_switches(path: &Path, arguments: &[String]) -> Vec<Switch> {
    const KNOWN: &[(&str, char, bool)] = &[
        ("passiveportrange", 'p', true),
        ("bind", 'S', true),
        ("forcepassiveip", 'P', true),
        ("maxclientsnumber", 'c', true),
        ("natmode", 'N', false),
        ("uploadscript", 'o', false),
        ("brokenclientscompatibility", 'b', false),
    ];
    /// The other short switches that take a value (SRC) `GETOPT_OPTIONS`.
    const WITH_VALUE: &str = "23aCfFgIklLmnOqQtTUuVvyYJ89";
    let mut switches = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        let mut push = |name, value: &str| {
            switches.push(Switch {
                name,
                value: value.as_bytes().to_vec(),
                location: Location::file(path),
            });
        };
        if let Some(long) = word.strip_prefix("--") {
            let (given, value) = long
                .split_once('=')
                .map_or((long, None), |(given, value)| (given, Some(value)));
            let found = KNOWN
                .iter()
                .find(|(name, ..)| given.len() > 2 && name.starts_with(given));
            if let Some((name, _, takes)) = found {
                let value = value.or_else(|| {
                    if *takes {
                        words.next().map(String::as_str)
                    } else {
                        None
                    }
                });
                push(*name, value.unwrap_or_default());
            }
            continue;
        }
        let Some(short) = word.strip_prefix('-') else {
            continue;
        };
        for (at, c) in short.char_indices() {
            let rest = &short[at + c.len_utf8()..];
            let known = KNOWN.iter().find(|(_, letter, _)| *letter == c);
            if known.is_some_and(|(.., takes)| *takes) || WITH_VALUE.contains(c) {
                let value = if rest.is_empty() {
                    words.next().map(String::as_str).unwrap_or_default()
                } else {
                    rest
                };
                if let Some((name, ..)) = known {
                    push(*name, value);
                }
                break;
            }
            if let Some((name, ..)) = known {
                push(*name, "");
            }
        }
    }
    switches
}
