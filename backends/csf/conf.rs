//! csf.conf as csf 15.10 itself reads it: text to values with their bytes, and an editor that touches no other byte.
//!
//! csf stops at the first line that makes no sense to it (`croak`, exit status 255) and leaves the live rules alone; what
//! it silently ignores is ignored here too. Each case was run through csf itself.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// The settings of a csf.conf, with their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conf {
    bytes: Vec<u8>,
    settings: BTreeMap<String, Setting>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    /// The bytes between the quotes.
    value: Range<usize>,
    /// From 1.
    line: usize,
}

/// What csf would not take, and what it does then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1, if the problem has one.
    pub line: Option<usize>,
    /// Lower case, no final period; ends with what csf does about it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl Conf {
    /// Reads the text.
    ///
    /// # Errors
    /// When csf would stop reading it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let mut settings = BTreeMap::new();
        for (number, span) in lines(bytes) {
            let line = trim(bytes, span);
            let text = bytes.get(line.clone()).unwrap_or_default();
            let equals = text.iter().position(|byte| *byte == b'=');
            // Without a `=` csf takes the line for nothing at all: there is no Include.
            let Some(equals) = equals.filter(|_| !text.starts_with(b"#")) else {
                continue;
            };
            let (name, _) = text.split_at(equals);
            let name: Vec<u8> = name
                .iter()
                .copied()
                .filter(|byte| !is_space(*byte))
                .collect();
            let name = String::from_utf8_lossy(&name).into_owned();
            // Greedy: from the first quote of the line to its last.
            let value = text.get(equals + 1..).unwrap_or_default();
            let first = value.iter().position(|byte| *byte == b'"');
            let last = value.iter().rposition(|byte| *byte == b'"');
            let (Some(first), Some(last)) = (first, last.filter(|last| Some(*last) != first))
            else {
                return Err(Problem {
                    line: Some(number),
                    message: format!(
                        "{name} has no value in double quotes on its line: csf would stop with \"Invalid configuration line\""
                    ),
                });
            };
            let start = line.start + equals + 1;
            let setting = Setting {
                value: start + first + 1..start + last,
                line: number,
            };
            if let Some(before) = settings.insert(name.clone(), setting) {
                let first: &Setting = &before;
                let message = format!(
                    "{name} stands here and on line {}: csf would stop with \"Setting {name} is repeated\"",
                    first.line
                );
                return Err(Problem {
                    line: Some(number),
                    message,
                });
            }
        }
        Ok(Self {
            bytes: bytes.to_vec(),
            settings,
        })
    }

    /// The whole text.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What stands between a setting's quotes; `None` when it is not set.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.bytes.get(self.settings.get(name)?.value.clone())
    }

    /// The value as text, empty when it is not set: csf makes no difference.
    pub fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(self.value(name).unwrap_or_default()).into_owned()
    }

    /// Whether the setting is true, as Perl sees it.
    pub fn is_on(&self, name: &str) -> bool {
        !matches!(self.value(name).unwrap_or_default(), b"" | b"0")
    }

    /// The line that a setting stands on, from 1.
    pub fn line(&self, name: &str) -> Option<usize> {
        self.settings.get(name).map(|setting| setting.line)
    }

    /// The text with other bytes between the quotes of one setting; `None` when it is not set.
    pub fn with(&self, name: &str, value: &[u8]) -> Option<Vec<u8>> {
        let span = self.settings.get(name)?.value.clone();
        let mut bytes = self.bytes.clone();
        bytes.splice(span, value.iter().copied());
        Some(bytes)
    }

    /// Whether this is the other text but for the values of these settings, and still reads the same.
    pub fn differs_only_in(&self, other: &Self, names: &[&str]) -> bool {
        let rest = |conf: &Self| -> Vec<(String, Option<Vec<u8>>)> {
            let names = conf.settings.keys().map(|name| {
                let edited = names.contains(&name.as_str());
                let value = conf.value(name).filter(|_| !edited).map(<[u8]>::to_vec);
                (name.clone(), value)
            });
            names.collect()
        };
        rest(self) == rest(other)
    }
}

/// csf's lines and their numbers. It also splits at a vertical tab, a form feed and the byte 0x85.
fn lines(bytes: &[u8]) -> Vec<(usize, Range<usize>)> {
    let mut lines = Vec::new();
    let (mut start, mut number) = (0, 1);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(byte, b'\r' | b'\n' | 0x0b | 0x0c | 0x85) {
            lines.push((number, start..index));
            start = index + 1;
        }
        // As an editor counts them.
        number += usize::from(*byte == b'\n');
    }
    lines.push((number, start..bytes.len()));
    lines
}

fn trim(bytes: &[u8], span: Range<usize>) -> Range<usize> {
    let Range { mut start, mut end } = span;
    while start < end && bytes.get(start).is_some_and(|byte| is_space(*byte)) {
        start += 1;
    }
    while start < end && bytes.get(end - 1).is_some_and(|byte| is_space(*byte)) {
        end -= 1;
    }
    start..end
}

/// Perl's `\s` on bytes.
pub(super) fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(line: &str) -> Result<Option<String>, String> {
        let text = format!("TESTING = \"0\"\n{line}\nTCP_OUT = \"20\"\n");
        let conf = Conf::parse(text.as_bytes()).map_err(|problem| problem.message)?;
        let value = conf.value("TCP_IN").map(String::from_utf8_lossy);
        Ok(value.map(std::borrow::Cow::into_owned))
    }

    /// What csf 15.10 made of each line when it was run: the value, none, or that it stopped.
    #[test]
    fn each_line_reads_as_csf_reads_it() {
        let taken = [
            ("TCP_IN=\"21,22\"", "21,22"),
            ("  TCP_IN =   \"21,22\"", "21,22"),
            ("\tTCP_IN\t=\t\"21\"\t", "21"),
            ("TCP_IN = \"21\"   ", "21"),
            ("TCP_IN = \"21\"\r", "21"),
            ("TCP_IN = \"21\" # comment", "21"),
            ("T CP_IN = \"21\"", "21"),
            ("TCP_IN = x\"21\"", "21"),
            ("TCP_IN = \"\"", ""),
            // A quote in the comment joins the value, and csf then refuses the port.
            ("TCP_IN = \"21\" # \"FTP\"", "21\" # \"FTP"),
            ("#TCP_IN = \"1\"\nTCP_IN = \"2\"", "2"),
            ("hello\nInclude /etc/other\nTCP_IN = \"2\"", "2"),
            ("UNKNOWN_KEY = \"x\"\nTCP_IN = \"2\"", "2"),
        ];
        for (line, expected) in taken {
            assert_eq!(value(line), Ok(Some(expected.to_owned())), "{line:?}");
        }
        for line in ["tcp_in = \"21\"", "", "#TCP_IN = \"21\""] {
            assert_eq!(value(line), Ok(None), "{line:?}");
        }
        for line in [
            "TCP_IN = 21,22",
            "TCP_IN = '21,22'",
            "TCP_IN = \"21,\n22\"",
            "TCP_IN = \"21,\\\n22\"",
            "TCP_IN =",
            "X = 1",
            "TCP_IN = \"21",
        ] {
            let problem = value(line).unwrap_err();
            assert!(problem.contains("Invalid configuration line"), "{problem}");
        }
        let problem = value("TCP_IN = \"21\"\nTCP_IN = \"22\"").unwrap_err();
        assert!(problem.contains("stands here and on line 2"), "{problem}");
        assert!(problem.contains("Setting TCP_IN is repeated"), "{problem}");
    }

    #[test]
    fn lines_end_where_csf_ends_them() {
        let text = b"# caf\xc3\x85X = 1\nTCP_IN = \"1\"\n";
        assert_eq!(Conf::parse(text).unwrap_err().line, Some(1));
        let text = b"# one\x0bTCP_IN = \"1\"\rTCP_OUT = \"2\"";
        let conf = Conf::parse(text).unwrap();
        assert_eq!(
            (conf.text("TCP_IN"), conf.text("TCP_OUT")),
            ("1".into(), "2".into())
        );
    }

    #[test]
    fn an_edit_changes_the_bytes_between_the_quotes_and_no_others() {
        let text = "# gr\u{fc}n\r\n TCP_IN =\t\"21, 22\"  # FTP \r\nX=\"1\" \r\nTCP6_IN = \"\"";
        let conf = Conf::parse(text.as_bytes()).unwrap();
        let edited = conf.with("TCP_IN", b"21, 22,30000:50000").unwrap();
        let expected = text.replace("21, 22", "21, 22,30000:50000");
        assert_eq!(edited, expected.as_bytes());
        let edited = Conf::parse(&edited).unwrap();
        assert!(edited.differs_only_in(&conf, &["TCP_IN"]));
        assert!(!edited.differs_only_in(&conf, &["TCP6_IN"]));
        assert_eq!(edited.with("TCP_IN", b"21, 22").unwrap(), text.as_bytes());
        assert_eq!(conf.with("TCP_OUT", b"1"), None);
    }
}
