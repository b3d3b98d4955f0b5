//! Writing ProFTPD's passive range: the directives that count for some server, and one for the servers without.

use std::collections::BTreeSet;
use std::path::Path;

use firewall::model::ports::PortRange;

use super::parse::Parsed;
use super::{Found, ProFtpd, ranges_of, resolve};
use crate::daemons::edit::lines::{self, pair};
use crate::daemons::edit::{Draft, Ways};
use crate::daemons::{Host, text};
use crate::findings::Location;

/// The directive.
const NAME: &[u8] = b"PassivePorts";

pub(super) fn ways(host: &Host, chosen: Option<&Path>, range: PortRange) -> Ways {
    let Some(Found { path, parsed, .. }) = ProFtpd::parsed(host, chosen)? else {
        return Ok(Vec::new());
    };
    let (targets, complete) = targets(&parsed);
    let mut draft = Draft::new(&host.disk);
    for (path, line) in targets {
        let line = counted(draft.text(&path)?, line);
        let location = Location::line(path, line);
        draft.line(&location, |line| directive(line, range))?;
    }
    // Which way reaches every server is proved by reading what it comes to.
    // A refused line that is mended may be all it takes.
    let mut ways = Vec::new();
    let edits = draft.clone().into_edits();
    if !edits.is_empty() {
        ways.push(edits);
    }
    if complete {
        return Ok(ways);
    }
    let added: [fn(&mut Vec<u8>, PortRange) -> bool; 4] =
        [uncomment, into_global, new_global, first_global];
    for add in added {
        let mut way = draft.clone();
        if add(way.text(&path)?, range) {
            ways.push(way.into_edits());
        }
    }
    Ok(ways)
}

/// The number of the line that ProFTPD gives a number to: it does not count the end of the last line when the newline is
/// missing there (RUN).
fn counted(text: &[u8], line: u32) -> u32 {
    let spans: Vec<_> = lines::spans(text).collect();
    let unended = !text.ends_with(b"\n") && spans.len() == line as usize + 1;
    let last = spans.last().map(|span| &text[span.clone()]);
    let here = lines::span(text, line).map(|span| &text[span]);
    let misses = unended && here.is_none_or(|here| value(here).is_none());
    if misses && last.is_some_and(|last| value(last).is_some()) {
        line + 1
    } else {
        line
    }
}

/// The lines that set a range some server uses, one that the daemon refuses included; and whether every server has one.
fn targets(parsed: &Parsed) -> (BTreeSet<(std::path::PathBuf, u32)>, bool) {
    let mut targets = BTreeSet::new();
    if let Some(error) = &parsed.refuses
        && let Some(line) = error.location.line
        && error
            .text
            .as_deref()
            .is_some_and(|text| value(text.as_bytes()).is_some())
    {
        targets.insert((error.location.path.clone(), line));
    }
    let mut complete = true;
    for server in &parsed.servers {
        let settings = &server.settings;
        let silent = resolve(parsed, settings, |s| s.port.as_ref())
            .is_some_and(|(port, _)| *port == 0)
            || resolve(parsed, settings, |s| s.sftp.as_ref()).is_some_and(|on| *on);
        if silent {
            continue;
        }
        complete &= resolve(parsed, settings, |s| s.passive.as_ref()).is_some();
        for range in ranges_of(parsed, settings) {
            let location = range.location;
            targets.extend(location.line.map(|line| (location.path, line)));
        }
    }
    (targets, complete)
}

/// The commented example at its place: what Debian's file is made for, where there is one server.
fn uncomment(text: &mut Vec<u8>, range: PortRange) -> bool {
    let example = lines::spans(text).find_map(|span| {
        let line = lines::uncommented(&text[span.clone()])?;
        let words = &line[value(&line)?..];
        let pair = lines::Pair::parse(words)?;
        let alone = text::trim(pair.behind()).is_empty();
        alone
            .then(|| directive(&line, range))?
            .map(|line| (span, line))
    });
    example.is_some_and(|(span, line)| {
        text.splice(span, line);
        true
    })
}

/// Into the last `<Global>` of the file: its own settings reach every server without one.
fn into_global(text: &mut Vec<u8>, range: PortRange) -> bool {
    let closing = lines::spans(text)
        .filter(|span| is_tag(&text[span.clone()], b"</global>"))
        .last();
    let Some(closing) = closing else {
        return false;
    };
    let before = lines::spans(&text[..closing.start]).last();
    let outer = lines::indent(&text[closing.clone()]).to_vec();
    let inner = before
        .map(|span| &text[span])
        .filter(|line| !is_tag(line, b"<global>") && !text::trim(line).is_empty())
        .map_or_else(
            || [&outer, b"  ".as_slice()].concat(),
            |line| lines::indent(line).to_vec(),
        );
    let inner = String::from_utf8_lossy(&inner);
    let line = format!("{inner}PassivePorts {}", pair(range));
    lines::insert(text, closing.start, &[&line]);
    true
}

fn is_tag(line: &[u8], tag: &[u8]) -> bool {
    text::trim(line).eq_ignore_ascii_case(tag)
}

/// Into a `<Global>` of its own at the end.
fn new_global(text: &mut Vec<u8>, range: PortRange) -> bool {
    let line = format!("  PassivePorts {}", pair(range));
    lines::append(text, &["<Global>", &line, "</Global>"]);
    true
}

/// The same at the beginning: behind an `Include` that fails, ProFTPD reads nothing.
fn first_global(text: &mut Vec<u8>, range: PortRange) -> bool {
    let line = format!("  PassivePorts {}", pair(range));
    lines::insert(text, 0, &["<Global>", &line, "</Global>"]);
    true
}

/// Where the words behind the directive begin; `None` when the line is about something else.
fn value(line: &[u8]) -> Option<usize> {
    let start = line.len() - text::trim_start(line).len();
    let end = start + NAME.len();
    let named = line.get(start..end)?.eq_ignore_ascii_case(NAME);
    let rest = &line[end..];
    let blanks = rest.len() - text::trim_start(rest).len();
    (named && (blanks > 0 || rest.is_empty())).then_some(end + blanks)
}

/// The line with the range in the place of its first two words; comments and further words stay.
fn directive(line: &[u8], range: PortRange) -> Option<Vec<u8>> {
    let at = value(line)?;
    // A line that goes on behind a backslash is not all here.
    if text::trim_end(line).ends_with(b"\\") {
        return None;
    }
    let (head, mut rest) = line.split_at(at);
    let mut edited = head.to_vec();
    if rest.is_empty() && !edited.last().is_some_and(|&byte| text::is_space(byte)) {
        edited.push(b' ');
    }
    for (number, separator) in [(range.first(), b"".as_slice()), (range.last(), b" ")] {
        let blanks = rest.len() - text::trim_start(rest).len();
        let written = word(&rest[blanks..]);
        if written.is_empty() {
            // One word too few: the second number goes before the comment or the line's end.
            edited.extend_from_slice(separator);
            edited.extend_from_slice(number.to_string().as_bytes());
            continue;
        }
        edited.extend_from_slice(&rest[..blanks]);
        edited.extend_from_slice(number.to_string().as_bytes());
        rest = &rest[blanks + written.len()..];
        if let Some(comment) = written.iter().position(|&byte| byte == b'#') {
            edited.push(b' ');
            edited.extend_from_slice(&written[comment..]);
        }
    }
    edited.extend_from_slice(rest);
    Some(edited)
}

/// The word that a text begins with; none when it is a comment.
fn word(text: &[u8]) -> &[u8] {
    match text.first() {
        None | Some(b'#') => &[],
        Some(b'"') => {
            let end = text[1..].iter().position(|&byte| byte == b'"');
            &text[..end.map_or(text.len(), |end| end + 2)]
        }
        Some(_) => {
            let end = text.iter().position(|&byte| text::is_space(byte));
            &text[..end.unwrap_or(text.len())]
        }
    }
}

#[cfg(test)]
mod tests {
    use firewall::model::ports::PortRange;

    use super::{directive, first_global, into_global, new_global, uncomment};

    fn range() -> PortRange {
        PortRange::new(51_000, 51_099).unwrap()
    }

    fn edited(add: fn(&mut Vec<u8>, PortRange) -> bool, text: &str) -> Option<String> {
        let mut bytes = text.as_bytes().to_vec();
        add(&mut bytes, range()).then(|| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_line_keeps_all_but_the_numbers() {
        for (line, expected) in [
            ("PassivePorts 50000 50009", "PassivePorts 51000 51099"),
            (
                "\tpassiveports   \"50000\"\t050009abc 9 # more\r",
                "\tpassiveports   51000\t51099 9 # more\r",
            ),
            (
                "PassivePorts 4295017296 50009#c",
                "PassivePorts 51000 51099 #c",
            ),
            ("PassivePorts 50000-50009", "PassivePorts 51000 51099"),
            ("PassivePorts 50000 # one", "PassivePorts 51000 51099 # one"),
            ("PassivePorts", "PassivePorts 51000 51099"),
        ] {
            let edited = directive(line.as_bytes(), range()).unwrap();
            assert_eq!(String::from_utf8(edited.clone()).unwrap(), expected);
            assert_eq!(directive(&edited, range()).unwrap(), edited);
        }
        assert_eq!(directive(b"PassivePortsX 1 2", range()), None);
        assert_eq!(directive(b"PassivePorts 1 \\", range()), None);
    }

    #[test]
    fn a_missing_range_finds_a_place() {
        assert_eq!(
            edited(
                uncomment,
                "Port 21\n# PassivePorts                  49152 65534\n"
            )
            .unwrap(),
            "Port 21\nPassivePorts                  51000 51099\n"
        );
        assert_eq!(edited(uncomment, "# PassivePorts are below\n"), None);
        assert_eq!(
            edited(into_global, "<Global>\r\n\tUmask 022\r\n</Global>\r\n").unwrap(),
            "<Global>\r\n\tUmask 022\r\n\tPassivePorts 51000 51099\r\n</Global>\r\n"
        );
        assert_eq!(
            edited(into_global, " <global>\n </GLOBAL>").unwrap(),
            " <global>\n   PassivePorts 51000 51099\n </GLOBAL>"
        );
        assert_eq!(edited(into_global, "Port 21\n"), None);
        assert_eq!(
            edited(new_global, "Port 21").unwrap(),
            "Port 21\n<Global>\n  PassivePorts 51000 51099\n</Global>\n"
        );
        assert_eq!(
            edited(first_global, "Port 21\n").unwrap(),
            "<Global>\n  PassivePorts 51000 51099\n</Global>\nPort 21\n"
        );
    }
}
