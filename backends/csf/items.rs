//! The port lists of csf.conf: `21,22,30000:50000`.
//!
//! csf removes blanks, splits at commas, and wants digits and colons in each item; then iptables has its say. Where
//! either refuses an item, `csf -r` ends with every policy ACCEPT and no rules at all: so nothing is ever written beside
//! an item that is not fully understood.

use super::conf::{Conf, Problem, is_space};
use crate::model::ports::{PortRange, PortSet};

/// A list of ports that is understood as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Items {
    items: Vec<Item>,
}

/// One item of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// As it is written, without blanks.
    pub text: String,
    /// Its ports.
    pub ports: PortRange,
}

impl Items {
    /// Reads the list of a setting.
    ///
    /// # Errors
    /// When the setting is not there, or csf or iptables would refuse one of its items, or take it for something else
    /// than it looks like.
    pub fn of(conf: &Conf, name: &str) -> Result<Self, Problem> {
        let Some(value) = conf.value(name) else {
            let message = format!("there is no setting {name}: csf opens none of its ports");
            return Err(Problem {
                line: None,
                message,
            });
        };
        let packed: Vec<u8> = value
            .iter()
            .copied()
            .filter(|byte| !is_space(*byte))
            .collect();
        let items = packed
            .split(|byte| *byte == b',')
            .filter(|item| !item.is_empty());
        let items = items.map(|item| {
            let text = String::from_utf8_lossy(item).into_owned();
            match ports(&text) {
                Ok(ports) => Ok(Item { text, ports }),
                Err(reason) => Err(Problem {
                    line: conf.line(name),
                    message: format!("the item `{text}` of {name} {reason}"),
                }),
            }
        });
        let items = items.collect::<Result<_, _>>()?;
        Ok(Self { items })
    }

    /// The items in order.
    pub fn iter(&self) -> impl Iterator<Item = &Item> {
        self.items.iter()
    }

    /// Every port of the list.
    pub fn ports(&self) -> PortSet {
        self.items.iter().map(|item| item.ports).collect()
    }
}

/// How csf writes a range.
pub fn item(range: PortRange) -> String {
    match (range.first(), range.last()) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}:{last}"),
    }
}

/// The value with an item more, at the end of the list.
pub fn added(value: &[u8], item: &str) -> Vec<u8> {
    let end = value
        .iter()
        .rposition(|byte| !is_space(*byte))
        .map_or(0, |last| last + 1);
    let (list, blanks) = value.split_at(end);
    let mut edited = list.to_vec();
    match list.last() {
        None => edited.extend(item.bytes()),
        // The comma at the end stays the comma at the end, so that taking the item out again leaves no trace.
        Some(b',') => edited.extend(item.bytes().chain([b','])),
        Some(_) => edited.extend([b','].into_iter().chain(item.bytes())),
    }
    edited.extend(blanks);
    edited
}

/// The value without the last item of just this text; `None` when it has none.
pub fn removed(value: &[u8], item: &str) -> Option<Vec<u8>> {
    let mut start = 0;
    let mut found = None;
    for part in value.split(|byte| *byte == b',') {
        let packed = part.iter().copied().filter(|byte| !is_space(*byte));
        if packed.eq(item.bytes()) {
            found = Some((start, part));
        }
        start += part.len() + 1;
    }
    let (start, part) = found?;
    let blanks = part.iter().take_while(|byte| is_space(**byte)).count();
    let text = part.iter().rposition(|byte| !is_space(*byte))? + 1;
    let (mut from, mut to) = (start + blanks, start + text);
    if value.get(start + part.len()) == Some(&b',') {
        // The blanks before it now belong to the next item.
        to = start + part.len() + 1;
    } else if let Some(comma) = start.checked_sub(1) {
        from = comma;
    }
    let mut edited = value.to_vec();
    edited.drain(from..to);
    Some(edited)
}

/// The ports of an item.
fn ports(text: &str) -> Result<PortRange, String> {
    const OPENED: &str = "set every policy to ACCEPT and flush all rules";
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b':')
    {
        return Err(format!(
            "has more than digits and a colon: csf would stop with \"Invalid port\", {OPENED}"
        ));
    }
    let refused = |why: &str| format!("{why}: iptables would refuse it, and csf {OPENED}");
    let number = |digits: &str, missing: u16| match digits {
        "" => Ok(missing),
        "0" => Ok(0),
        _ if digits.starts_with('0') => {
            Err("has a leading zero, which iptables takes for an octal number".to_owned())
        }
        _ => digits.parse().map_err(|_| refused("is above 65535")),
    };
    let (first, last) = match text.split_once(':') {
        None => (text, text),
        Some(("", "")) => return Err("is a colon alone: csf would open every port".to_owned()),
        Some((_, last)) if last.contains(':') => return Err(refused("has two colons")),
        Some(ends) => ends,
    };
    let (low, high) = (number(first, 0)?, number(last, u16::MAX)?);
    PortRange::new(low, high).ok_or_else(|| refused("has the larger port first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(value: &str) -> Result<Vec<(u16, u16)>, String> {
        let text = format!("TCP_IN = \"{value}\"\n");
        let conf = Conf::parse(text.as_bytes()).unwrap();
        let items = Items::of(&conf, "TCP_IN").map_err(|problem| problem.message)?;
        Ok(items
            .iter()
            .map(|item| (item.ports.first(), item.ports.last()))
            .collect())
    }

    /// What csf 15.10 made of each value when it was run.
    #[test]
    fn each_value_reads_as_csf_reads_it() {
        assert_eq!(
            items("21, 22 ,  49152:65534 ").unwrap(),
            [(21, 21), (22, 22), (49152, 65534)]
        );
        assert_eq!(items("21,").unwrap(), [(21, 21)]);
        assert_eq!(items("21,,22").unwrap(), [(21, 21), (22, 22)]);
        assert_eq!(
            items("21,21,20:22").unwrap(),
            [(21, 21), (21, 21), (20, 22)]
        );
        assert_eq!(items("49152:").unwrap(), [(49152, 65535)]);
        assert_eq!(items(":1023").unwrap(), [(0, 1023)]);
        assert_eq!(items("0").unwrap(), [(0, 0)]);
        assert_eq!(items("2 1").unwrap(), [(21, 21)]);
        assert_eq!(items("").unwrap(), []);
        let many: Vec<String> = (1..=200).map(|port: u16| port.to_string()).collect();
        assert_eq!(items(&many.join(",")).unwrap().len(), 200);
        for (value, reason) in [
            ("21,49152-65534", "more than digits"),
            ("abc", "more than digits"),
            ("ftp", "more than digits"),
            ("21\" # \"FTP", "more than digits"),
            ("60000:50000", "larger port first"),
            ("50000:70000", "above 65535"),
            ("65536", "above 65535"),
            ("1:2:3", "two colons"),
            ("049152:065534", "leading zero"),
            ("021", "leading zero"),
            (":", "every port"),
        ] {
            let problem = items(value).unwrap_err();
            assert!(problem.contains(reason), "{value}: {problem}");
            assert!(problem.contains("of TCP_IN"), "{problem}");
        }
    }

    #[test]
    fn coverage_counts_not_text() {
        let covers = |value: &str, first, last| {
            let text = format!("TCP_IN = \"{value}\"\n");
            let conf = Conf::parse(text.as_bytes()).unwrap();
            let range = PortRange::new(first, last).unwrap();
            Items::of(&conf, "TCP_IN")
                .unwrap()
                .ports()
                .covers(&range.into())
        };
        assert!(covers("21,20000:60000", 30000, 50000));
        assert!(covers("30000:35000,35001:50000", 30000, 50000));
        assert!(!covers("30000:35000", 30000, 50000));
        assert!(!covers("21,15000:51000", 5000, 5100));
    }

    #[test]
    fn what_is_added_goes_without_a_trace() {
        for (value, expected) in [
            ("21,22", "21,22,30000:50000"),
            ("21, 22 ", "21, 22,30000:50000 "),
            ("21,", "21,30000:50000,"),
            ("21 , ", "21 ,30000:50000, "),
            ("", "30000:50000"),
            ("  ", "30000:50000  "),
        ] {
            let edited = added(value.as_bytes(), "30000:50000");
            assert_eq!(String::from_utf8_lossy(&edited), expected);
            let back = removed(&edited, "30000:50000").unwrap();
            assert_eq!(String::from_utf8_lossy(&back), value);
        }
    }

    #[test]
    fn only_just_this_item_is_removed() {
        let removed = |value: &str| {
            removed(value.as_bytes(), "5000:5100").map(|bytes| String::from_utf8(bytes).unwrap())
        };
        assert_eq!(removed("15000:5100,5000:51000"), None);
        assert_eq!(removed("21,5000:5100,22").unwrap(), "21,22");
        assert_eq!(removed("5000:5100, 22").unwrap(), " 22");
        assert_eq!(removed("21, 5000:5100 ").unwrap(), "21 ");
        assert_eq!(removed("5000:5100,21,5000:5100").unwrap(), "5000:5100,21");
    }
}
