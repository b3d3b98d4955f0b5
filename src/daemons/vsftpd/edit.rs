//! Writing vsftpd's passive range: `pasv_min_port` and `pasv_max_port`, where the last of each stands.

use std::path::{Path, PathBuf};

use firewall::model::ports::PortRange;

use super::settings::{Setting, Settings};
use super::{Instance, Part, find};
use crate::daemons::edit::lines;
use crate::daemons::edit::{Draft, Ways, not_editable};
use crate::daemons::{ConfigError, Host, text};
use crate::findings::Location;
use crate::terminal::clean;

/// The two variables.
const MINIMUM: &str = "pasv_min_port";
const MAXIMUM: &str = "pasv_max_port";

pub(super) fn ways(host: &Host, chosen: Option<&Path>, range: PortRange) -> Ways {
    let instances = find(host, chosen)?;
    // Several are refused by the caller, who asks for a name.
    let [instance] = instances.as_slice() else {
        return Ok(Vec::new());
    };
    let mut settings = Settings::default();
    let mut last_file = None;
    for part in &instance.parts {
        match part {
            Part::Setting(setting) => {
                settings.line(setting.as_bytes(), &Location::file(&instance.unit));
            }
            Part::File(path) => {
                if let Some(source) = host.disk.read(path)? {
                    settings.load(path, &source.bytes);
                    last_file = Some(path.clone());
                }
            }
        }
    }
    let Some(file) = last_file else {
        return Ok(Vec::new());
    };
    let mut draft = Draft::new(&host.disk);
    let missing = rewrite(instance, &settings, &mut draft, range)?;
    users(host, &settings, &mut draft, range)?;
    if missing.is_empty() {
        return Ok(vec![draft.into_edits()]);
    }
    // vsftpd reads only so much of a file: where the end is out of its reach, the beginning is not.
    let mut beginning = draft.clone();
    add(draft.text(&file)?, &missing);
    let written: Vec<String> = missing
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let written: Vec<&str> = written.iter().map(String::as_str).collect();
    lines::insert(beginning.text(&file)?, 0, &written);
    Ok(vec![draft.into_edits(), beginning.into_edits()])
}

/// Rewrites the variables that are set, and gives those that are not.
fn rewrite(
    instance: &Instance,
    settings: &Settings,
    draft: &mut Draft<'_>,
    range: PortRange,
) -> Result<Vec<(&'static str, u16)>, ConfigError> {
    let mut missing = Vec::new();
    for (key, value) in [(MINIMUM, range.first()), (MAXIMUM, range.last())] {
        let Some(Setting { location, .. }) = settings.last(key) else {
            missing.push((key, value));
            continue;
        };
        if location.line.is_none() {
            let message = format!("{key} is set on vsftpd's command line");
            return Err(not_editable(&instance.unit, message)
                .with_help(format!("write -o{key}={value} there")));
        }
        draft.line(location, |line| assignment(line, key, value))?;
    }
    Ok(missing)
}

/// RUN: A file of `user_config_dir` overrides the range: where it does, it gets the new one.
fn users(
    host: &Host,
    settings: &Settings,
    draft: &mut Draft<'_>,
    range: PortRange,
) -> Result<(), ConfigError> {
    let Some(folder) = settings.last("user_config_dir") else {
        return Ok(());
    };
    let folder = PathBuf::from(clean(&folder.value));
    for name in host.disk.list(&folder)?.unwrap_or_default() {
        let path = folder.join(name);
        let Some(source) = host.disk.read(&path)? else {
            continue;
        };
        let mut own = Settings::default();
        own.load(&path, &source.bytes);
        for (key, value) in [(MINIMUM, range.first()), (MAXIMUM, range.last())] {
            if let Some(setting) = own.last(key) {
                draft.line(&setting.location, |line| assignment(line, key, value))?;
            }
        }
    }
    Ok(())
}

/// The line with another number: blanks before it and what vsftpd ignores behind it stay.
fn assignment(line: &[u8], key: &str, value: u16) -> Option<Vec<u8>> {
    let equals = line.iter().position(|&byte| byte == b'=')?;
    if text::trim_start(&line[..equals]) != key.as_bytes() {
        return None;
    }
    let (head, rest) = line.split_at(equals + 1);
    let blanks = rest.len() - text::trim_start(rest).len();
    let (before, written) = rest.split_at(blanks);
    let quoted = matches!(written.first(), Some(b'"' | b'\''));
    let length = if quoted {
        text::trim_end(written).len()
    } else {
        let ends = |&byte: &u8| text::is_space(byte) || byte == b'#' || byte == 0;
        written.iter().position(ends).unwrap_or(written.len())
    };
    let number = value.to_string();
    Some([head, before, number.as_bytes(), &written[length..]].concat())
}

/// The variables where they are not set yet: in the place of a commented example, else beside the other, else at the end.
fn add(text: &mut Vec<u8>, missing: &[(&'static str, u16)]) {
    let mut appended = Vec::new();
    for (key, value) in missing {
        let example = lines::spans(text).find_map(|span| {
            let line = lines::uncommented(&text[span.clone()])?;
            let digits = line.strip_prefix(key.as_bytes())?.strip_prefix(b"=")?;
            let number = text::trim_end(digits);
            let plain = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
            plain
                .then(|| assignment(&line, key, *value))?
                .map(|line| (span, line))
        });
        if let Some((span, line)) = example {
            text.splice(span, line);
        } else {
            appended.push((key, format!("{key}={value}")));
        }
    }
    for (key, line) in appended {
        let other = if *key == MINIMUM { MAXIMUM } else { MINIMUM };
        let beside = lines::spans(text)
            .filter(|span| {
                text[span.clone()]
                    .strip_prefix(other.as_bytes())
                    .is_some_and(|rest| rest.starts_with(b"="))
            })
            .last();
        match beside {
            // Behind a last line without a newline there is nothing to put a line before.
            Some(span) if *key == MINIMUM => lines::insert(text, span.start, &[&line]),
            Some(span) if span.end < text.len() => lines::insert(text, span.end + 1, &[&line]),
            _ => lines::append(text, &[&line]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{add, assignment};

    const BOTH: &[(&str, u16)] = &[("pasv_min_port", 51_000), ("pasv_max_port", 51_099)];

    #[test]
    fn a_line_keeps_all_but_the_number() {
        for (line, expected) in [
            ("pasv_min_port=50000", "pasv_min_port=51000"),
            (
                "  pasv_min_port= 0141520 # c\r",
                "  pasv_min_port= 51000 # c\r",
            ),
            ("pasv_min_port=\"50000\"\r", "pasv_min_port=51000\r"),
            ("pasv_min_port=50000abc", "pasv_min_port=51000"),
            ("pasv_min_port=50000\0junk", "pasv_min_port=51000\0junk"),
            ("pasv_min_port=50000#c", "pasv_min_port=51000#c"),
        ] {
            let edited = assignment(line.as_bytes(), "pasv_min_port", 51_000).unwrap();
            assert_eq!(String::from_utf8(edited.clone()).unwrap(), expected);
            assert_eq!(
                assignment(&edited, "pasv_min_port", 51_000).unwrap(),
                edited
            );
        }
        assert_eq!(
            assignment(b"pasv_max_port=1", "pasv_min_port", 51_000),
            None
        );
    }

    #[test]
    fn missing_variables_are_put_where_they_belong() {
        for (missing, before, after) in [
            (
                BOTH,
                "listen=YES",
                "listen=YES\npasv_min_port=51000\npasv_max_port=51099\n",
            ),
            (
                BOTH,
                "#pasv_min_port=40000\n# pasv_max_port=40100\nx=1\n",
                "pasv_min_port=51000\npasv_max_port=51099\nx=1\n",
            ),
            (
                BOTH,
                "a=1\r\n",
                "a=1\r\npasv_min_port=51000\r\npasv_max_port=51099\r\n",
            ),
            (
                BOTH,
                "# pasv_min_port=PORT is the first\n",
                "# pasv_min_port=PORT is the first\npasv_min_port=51000\npasv_max_port=51099\n",
            ),
            (
                &BOTH[..1],
                "a=1\npasv_max_port=51099\nb=1\n",
                "a=1\npasv_min_port=51000\npasv_max_port=51099\nb=1\n",
            ),
            (
                &BOTH[1..],
                "pasv_min_port=51000\nb=1\n",
                "pasv_min_port=51000\npasv_max_port=51099\nb=1\n",
            ),
            (
                &BOTH[1..],
                "pasv_min_port=51000",
                "pasv_min_port=51000\npasv_max_port=51099\n",
            ),
        ] {
            let mut text = before.as_bytes().to_vec();
            add(&mut text, missing);
            assert_eq!(String::from_utf8(text).unwrap(), after);
        }
    }
}
