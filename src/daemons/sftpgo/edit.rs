//! Writing SFTPGo's passive range: the two values in its file, whatever its format.

mod json;
mod yaml;

use std::ops::Range;
use std::path::Path;

use firewall::model::ports::PortRange;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Environment, find, parse};
use crate::daemons::edit::lines;
use crate::daemons::edit::{Draft, Ways, not_editable};
use crate::daemons::{ConfigError, Host};

/// The keys, from the outermost in.
const TABLE: [&str; 2] = ["ftpd", "passive_port_range"];

/// Where the two values stand in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Values {
    start: Range<usize>,
    end: Range<usize>,
}

pub(super) fn ways(host: &Host, chosen: Option<&Path>, range: PortRange) -> Ways {
    let environment = Environment::read(host)?;
    for (end, value) in [("START", range.first()), ("END", range.last())] {
        let name = format!("SFTPGO_FTPD__PASSIVE_PORT_RANGE__{end}");
        if let Some((_, location)) = environment.get(&name) {
            let error = not_editable(&location.path, format!("{name} wins over SFTPGo's file"));
            return Err(error.with_help(format!("write {name}={value} there, or remove it")));
        }
    }
    let path = match chosen {
        Some(path) => Some(path.to_path_buf()),
        None => find(host, &environment)?,
    };
    let Some(path) = path else {
        return Ok(Vec::new());
    };
    let mut draft = Draft::new(&host.disk);
    let bytes = draft.text(&path)?;
    let by_hand = || by_hand(&path, range);
    let text = std::str::from_utf8(bytes).map_err(|_| by_hand())?;
    if let Err(problem) = parse(&path, text) {
        return Err(problem.into_error(&path, text)?);
    }
    *bytes = edited(&path, text, range).ok_or_else(by_hand)?.into_bytes();
    Ok(vec![draft.into_edits()])
}

/// What to write where pasvsync does not.
fn by_hand(path: &Path, range: PortRange) -> ConfigError {
    let message = "ftpd.passive_port_range is not where pasvsync could set it safely";
    not_editable(path, message).with_help(format!(
        "set ftpd.passive_port_range.start to {} and ftpd.passive_port_range.end to {}",
        range.first(),
        range.last()
    ))
}

/// The text with the range; `None` where there is no safe place for it.
fn edited(path: &Path, text: &str, range: PortRange) -> Option<String> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let values = match extension.unwrap_or("json") {
        "json" => json::values(text),
        "toml" => toml_values(text),
        "yaml" | "yml" => yaml::values(text),
        _ => return None,
    };
    if let Some(values) = values {
        return Some(replaced(text, values, range));
    }
    match extension.unwrap_or("json") {
        "json" => json::with(text, range),
        "toml" => toml_with(text, range),
        _ => yaml::with(text, range),
    }
}

/// The text with other values; a value in quotes keeps them.
fn replaced(text: &str, values: Values, range: PortRange) -> String {
    let mut places = [(values.start, range.first()), (values.end, range.last())];
    places.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
    let mut edited = text.to_owned();
    for (place, value) in places {
        let quote = match text.as_bytes().get(place.start) {
            Some(b'"') => "\"",
            Some(b'\'') => "'",
            _ => "",
        };
        edited.replace_range(place, &format!("{quote}{value}{quote}"));
    }
    edited
}

/// A key of a TOML table; viper's keys are case-insensitive.
fn entry<'a>(table: &'a DeTable<'_>, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
    let mut entries = table.iter();
    entries
        .find(|(name, _)| name.get_ref().eq_ignore_ascii_case(key))
        .map(|(_, value)| value)
}

fn toml_values(text: &str) -> Option<Values> {
    let document = DeTable::parse(text).ok()?;
    let outer = entry(document.get_ref(), TABLE[0])?.get_ref().as_table()?;
    let inner = entry(outer, TABLE[1])?.get_ref().as_table()?;
    Some(Values {
        start: entry(inner, "start")?.span(),
        end: entry(inner, "end")?.span(),
    })
}

/// A table of its own at the end is never part of another.
fn toml_with(text: &str, range: PortRange) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    let (start, end) = (
        format!("start = {}", range.first()),
        format!("end = {}", range.last()),
    );
    lines::append(&mut bytes, &["", "[ftpd.passive_port_range]", &start, &end]);
    String::from_utf8(bytes).ok()
}

/// The path of an example, for the tests of the formats.
#[cfg(test)]
fn example(extension: &str) -> std::path::PathBuf {
    format!("/etc/sftpgo/sftpgo.{extension}").into()
}

#[cfg(test)]
mod tests {
    use firewall::model::ports::PortRange;

    use super::{edited, example};

    /// Edits once, and again to see that nothing more changes.
    fn twice(extension: &str, text: &str) -> Option<String> {
        let range = PortRange::new(51_000, 51_099).unwrap();
        let once = edited(&example(extension), text, range)?;
        assert_eq!(
            edited(&example(extension), &once, range).as_ref(),
            Some(&once)
        );
        Some(once)
    }

    #[test]
    fn json() {
        let text = "{\r\n  \"FTPD\": {\"x\": [1, {\"ftpd\": 2}], \"passive_port_range\": {\"start\": 50000,\"end\" : \"50100\"}}\r\n}";
        let expected = text.replace("50000", "51000").replace("50100", "51099");
        assert_eq!(twice("json", text).unwrap(), expected);
        assert_eq!(
            twice("json", "{\n  \"ftpd\": {\n    \"bindings\": []\n  }\n}\n").unwrap(),
            "{\n  \"ftpd\": {\n    \"passive_port_range\": {\"start\": 51000, \"end\": 51099},\n    \"bindings\": []\n  }\n}\n"
        );
        assert_eq!(
            twice("json", "{\"ftpd\":{}}").unwrap(),
            "{\"ftpd\":{\"passive_port_range\": {\"start\": 51000, \"end\": 51099}}}"
        );
        assert_eq!(
            twice(
                "json",
                "{\"ftpd\": {\"passive_port_range\": {\"start\": 1}}}"
            ),
            None
        );
        assert_eq!(
            twice("json", "{\"ftpd\\u0020\": {}, \"a\\\"ftpd\": {}}"),
            None
        );
    }

    #[test]
    fn toml() {
        let text = "# c\n[ftpd]\npassive_port_range = { start = 50000, end=50_100 } # ours\n";
        let expected = text.replace("50000", "51000").replace("50_100", "51099");
        assert_eq!(twice("toml", text).unwrap(), expected);
        let text = "[ftpd.passive_port_range]\r\nstart = \"50000\"\r\nend = 50100\r\n";
        let expected = text.replace("50000", "51000").replace("50100", "51099");
        assert_eq!(twice("toml", text).unwrap(), expected);
        assert_eq!(
            twice("toml", "[[ftpd.bindings]]\nport = 21").unwrap(),
            "[[ftpd.bindings]]\nport = 21\n\n[ftpd.passive_port_range]\nstart = 51000\nend = 51099\n"
        );
    }

    #[test]
    fn yaml() {
        let text = "# c\nftpd:\n  bindings:\n    - port: 21\n  passive_port_range: # ours\n    start: 50000   # first\n    end: '50100'\nhttpd:\n  start: 1\n";
        let expected = text.replace("50000", "51000").replace("50100", "51099");
        assert_eq!(twice("yaml", text).unwrap(), expected);
        let text = "ftpd:\r\n  passive_port_range: {start: 50000, end: 50100}\r\n";
        let expected = text.replace("50000", "51000").replace("50100", "51099");
        assert_eq!(twice("yml", text).unwrap(), expected);
        assert_eq!(
            twice("yaml", "ftpd:\n    bindings:\n      - port: 21\n").unwrap(),
            "ftpd:\n    passive_port_range:\n        start: 51000\n        end: 51099\n    bindings:\n      - port: 21\n"
        );
        assert_eq!(twice("yaml", "ftpd: {}\n"), None);
        assert_eq!(twice("yaml", "a: &x\n  start: 1\n"), None);
    }
}
