//! Writing Pure-FTPd's passive range: into its file, or into Debian's folder of options.

use std::path::Path;

use firewall::model::ports::PortRange;

use super::{Way, bounds, find, simpleconf, valid, way};
use crate::daemons::edit::lines::{self, Pair};
use crate::daemons::edit::{Draft, Ways, not_editable};
use crate::daemons::{Host, text};
use crate::findings::Location;

/// The directive.
const NAME: &[u8] = b"PassivePortRange";

pub(super) fn ways(host: &Host, chosen: Option<&Path>, range: PortRange) -> Ways {
    let way = match chosen {
        Some(path) => Some(way(host, path)),
        None => find(host)?,
    };
    let mut draft = Draft::new(&host.disk);
    match way {
        None => {}
        Some(Way::Wrapper(folder)) => {
            let text = draft.text(&folder.join("PassivePortRange"))?;
            option_file(text, range);
        }
        Some(Way::Script(path)) => {
            let Some(source) = host.disk.read(&path)? else {
                return Ok(Vec::new());
            };
            let switches = super::script_switches(&path, &source.bytes);
            let found = switches.iter().rev().find(|s| s.name == "passiveportrange");
            match found {
                Some(switch) => {
                    draft.line(&switch.location, |line| anywhere(line, range))?;
                }
                None => add(draft.text(&path)?, range),
            }
        }
        Some(Way::File(path)) => return file_ways(host, draft, &path, range),
        Some(Way::Arguments(path, _)) => {
            let message = "Pure-FTPd gets its range from its command line";
            let hint = format!(
                "write -p {}:{} there, in place of any -p or --passiveportrange",
                range.first(),
                range.last()
            );
            return Err(not_editable(&path, message).with_help(hint));
        }
    }
    Ok(vec![draft.into_edits()])
}

/// The last line of the last file counts, wherever it is included; a malformed one stops the daemon.
fn file_ways(host: &Host, mut draft: Draft<'_>, path: &Path, range: PortRange) -> Ways {
    let Some(source) = host.disk.read(path)? else {
        return Ok(Vec::new());
    };
    let mut file = simpleconf::Simpleconf::default();
    file.file(host, path, &source.bytes, None, 0)?;
    let mut targets = Vec::new();
    if let Some(error) = &file.refuses
        && let Some(line) = error.location.line
        && error
            .text
            .as_deref()
            .is_some_and(|text| names(text.as_bytes()).is_some())
    {
        targets.push(Location::line(&error.location.path, line));
    }
    let ranges = file.switches.iter().rev();
    let ranges = ranges.filter(|switch| switch.name == "passiveportrange");
    // The daemon also stops at an earlier one that is none.
    for (index, switch) in ranges.enumerate() {
        if index == 0 || valid(bounds(switch)).is_none() {
            targets.push(switch.location.clone());
        }
    }
    if targets.is_empty() {
        add(draft.text(path)?, range);
    }
    for target in targets {
        draft.line(&target, |line| directive(line, range))?;
    }
    Ok(vec![draft.into_edits()])
}

/// The range where there is none yet: in the place of the commented example, or at the end.
fn add(text: &mut Vec<u8>, range: PortRange) {
    let example = lines::spans(text).find_map(|span| {
        let line = lines::uncommented(&text[span.clone()])?;
        let (value, _) = names(&line)?;
        let pair = Pair::parse(&line[value..])?;
        let alone = text::trim(pair.behind()).is_empty();
        alone.then(|| (span, directive(&line, range)))
    });
    match example {
        Some((span, Some(line))) => {
            text.splice(span, line);
        }
        _ => lines::append(text, &[&format!("PassivePortRange {}", lines::pair(range))]),
    }
}

/// Where the value begins in a line with the directive, and whether one separator, as the daemon takes it, is before it.
fn names(line: &[u8]) -> Option<(usize, bool)> {
    let start = line.len() - text::trim_start(line).len();
    let end = start + NAME.len();
    if !line.get(start..end)?.eq_ignore_ascii_case(NAME) {
        return None;
    }
    let mut at = end + blanks(&line[end..]);
    if matches!(line.get(at), Some(b'=' | b':')) {
        at += 1;
        at += blanks(&line[at..]);
    }
    Some((at, at > end))
}

fn blanks(text: &[u8]) -> usize {
    text.len() - text::trim_start(text).len()
}

/// The line with the range. What the daemon would stumble over goes, but for a comment, which gets a line of its own.
fn directive(line: &[u8], range: PortRange) -> Option<Vec<u8>> {
    let (value, separated) = names(line)?;
    let (head, written) = line.split_at(value);
    if separated
        && let Some(pair) = Pair::parse(written)
        && text::trim(text::c_string(pair.behind())).is_empty()
    {
        return Some([head, &pair.with(range)].concat());
    }
    let end: &[u8] = if line.ends_with(b"\r") { b"\r" } else { b"" };
    let start = blanks(line);
    let name = &line[..start + NAME.len()];
    let rewritten = [name, b" ", lines::pair(range).as_bytes(), end].concat();
    let comment = written.iter().position(|&byte| byte == b'#');
    Some(match comment {
        Some(at) => {
            let comment = text::trim_end(&written[at..]);
            [&line[..start], comment, end, b"\n", &rewritten].concat()
        }
        None => rewritten,
    })
}

/// SRC: pure-config.pl finds the directive anywhere in a line and ignores what follows the numbers.
fn anywhere(line: &[u8], range: PortRange) -> Option<Vec<u8>> {
    let at = line.windows(NAME.len()).position(|window| window == NAME)? + NAME.len();
    let value = at + blanks(&line[at..]);
    Some([&line[..value], &Pair::parse(&line[value..])?.with(range)].concat())
}

/// A file of Debian's folder: the first line that is neither blank nor a comment is the value.
fn option_file(text: &mut Vec<u8>, range: PortRange) {
    let found = lines::spans(text).find(|span| {
        let line = text::trim(&text[span.clone()]);
        !line.is_empty() && line[0] != b'#'
    });
    let Some(span) = found else {
        lines::append(text, &[&lines::pair(range)]);
        return;
    };
    let line = &text[span.clone()];
    let value = text::trim(line);
    let start = blanks(line);
    let rewritten = match Pair::parse(value).filter(|pair| pair.behind().is_empty()) {
        Some(pair) => pair.with(range),
        None => lines::pair(range).into_bytes(),
    };
    let value = span.start + start..span.start + start + value.len();
    text.splice(value, rewritten);
}

#[cfg(test)]
mod tests {
    use firewall::model::ports::PortRange;

    use super::{add, anywhere, directive, option_file};

    fn range() -> PortRange {
        PortRange::new(51_000, 51_099).unwrap()
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_keeps_all_but_the_numbers() {
        for (line, expected) in [
            (
                "PassivePortRange 50000 50009",
                "PassivePortRange 51000 51099",
            ),
            (
                "  passiveportrange\t=\t50000\t\t50009  \r",
                "  passiveportrange\t=\t51000\t\t51099  \r",
            ),
            (
                "PassivePortRange: 050000 50009",
                "PassivePortRange: 51000 51099",
            ),
            (
                "PassivePortRange 50000-50009",
                "PassivePortRange 51000 51099",
            ),
            (
                "PassivePortRange \"50000 50009\"\r",
                "PassivePortRange 51000 51099\r",
            ),
            (
                "PassivePortRange == 50000 50009",
                "PassivePortRange 51000 51099",
            ),
            ("PassivePortRange", "PassivePortRange 51000 51099"),
            (
                " PassivePortRange 1 2 # ours",
                " # ours\n PassivePortRange 51000 51099",
            ),
        ] {
            let edited = directive(line.as_bytes(), range()).unwrap();
            assert_eq!(text(edited.clone()), expected);
            let last = text(edited).lines().last().unwrap().to_owned();
            assert_eq!(text(directive(last.as_bytes(), range()).unwrap()), last);
        }
        assert_eq!(directive(b"Bind ,21", range()), None);
        let scripted = anywhere(b"x PassivePortRange   1  2 # c", range()).unwrap();
        assert_eq!(text(scripted), "x PassivePortRange   51000  51099 # c");
    }

    #[test]
    fn a_missing_range_takes_the_place_of_the_example() {
        for (before, after) in [
            (
                "# Ports\n# PassivePortRange             30000 50000\nBind ,21\n",
                "# Ports\nPassivePortRange             51000 51099\nBind ,21\n",
            ),
            ("Bind ,21", "Bind ,21\nPassivePortRange 51000 51099\n"),
            (
                "# PassivePortRange is below\r\n",
                "# PassivePortRange is below\r\nPassivePortRange 51000 51099\r\n",
            ),
            ("", "PassivePortRange 51000 51099\n"),
        ] {
            let mut edited = before.as_bytes().to_vec();
            add(&mut edited, range());
            assert_eq!(text(edited), after);
        }
    }

    #[test]
    fn an_option_file_keeps_its_comments() {
        for (before, after) in [
            ("50000 50009\n", "51000 51099\n"),
            (
                "\n# ours\n  50000\t50009 \r\nignored\n",
                "\n# ours\n  51000\t51099 \r\nignored\n",
            ),
            ("# none", "# none\n51000 51099\n"),
            ("50000:50009", "51000 51099"),
            ("", "51000 51099\n"),
        ] {
            let mut edited = before.as_bytes().to_vec();
            option_file(&mut edited, range());
            assert_eq!(text(edited.clone()), after);
            option_file(&mut edited, range());
            assert_eq!(text(edited), after);
        }
    }
}
