//! Writing `FileZilla` Server's passive range: the two elements in settings.xml.

use std::ops::Range;
use std::path::{Path, PathBuf};

use firewall::model::ports::PortRange;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::{PATH, ends};
use crate::daemons::Host;
use crate::daemons::edit::{Draft, Ways, not_editable};

pub(super) fn ways(host: &Host, chosen: Option<&Path>, range: PortRange) -> Ways {
    let path = chosen.map_or_else(|| PathBuf::from(PATH), Path::to_path_buf);
    let mut draft = Draft::new(&host.disk);
    let text = draft.text(&path)?;
    let Some(edited) = edited(text, range) else {
        let message = "there is no <pasv> element to set a port range in";
        let error = not_editable(&path, message);
        return Err(error.with_help(format!(
            "set the custom port range {range} in the administration interface, under Protocols settings, Passive mode"
        )));
    };
    *text = edited;
    Ok(vec![draft.into_edits()])
}

/// Where things stand in the text.
#[derive(Debug, Default)]
struct Places {
    minimum: Vec<Range<usize>>,
    maximum: Vec<Range<usize>>,
    /// Behind `<pasv>` of the FTP server's session.
    inside: Option<usize>,
}

fn edited(text: &[u8], range: PortRange) -> Option<Vec<u8>> {
    let places = places(text)?;
    let mut edited = text.to_vec();
    let values = |places: Vec<Range<usize>>, value: u16| {
        places
            .into_iter()
            .map(move |place| (place, value.to_string()))
    };
    let mut replaced: Vec<(Range<usize>, String)> = values(places.minimum, range.first())
        .chain(values(places.maximum, range.last()))
        .collect();
    if replaced.is_empty() {
        let inside = places.inside?;
        let element = format!(
            "<port_range><min>{}</min><max>{}</max></port_range>",
            range.first(),
            range.last()
        );
        let rest = &text[inside..];
        let blanks = rest
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        // In front of a closing tag, the blanks are those of the tag outside.
        let indent = if rest[blanks..].starts_with(b"</") {
            0
        } else {
            blanks
        };
        let element = [&rest[..indent], element.as_bytes()].concat();
        replaced.push((inside..inside, String::from_utf8(element).ok()?));
    }
    replaced.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
    for (place, value) in replaced {
        edited.splice(place, value.into_bytes());
    }
    Some(edited)
}

/// Every place where the reader takes a bound from; `None` when the text is no XML.
fn places(text: &[u8]) -> Option<Places> {
    let mut places = Places::default();
    let mut reader = Reader::from_reader(text);
    let mut path: Vec<String> = Vec::new();
    let mut start = 0;
    loop {
        let event = reader.read_event().ok()?;
        let end = usize::try_from(reader.buffer_position())
            .ok()?
            .min(text.len());
        match event {
            Event::Start(element) => {
                path.push(element.local_name().as_ref().to_owned());
                if ends(&path, &["pasv"]) {
                    places.inside.get_or_insert(end);
                }
            }
            Event::End(_) => {
                path.pop();
            }
            Event::Text(_) => {
                let written = &text[start..end];
                let blank = |byte: &&u8| byte.is_ascii_whitespace();
                let before = written.iter().take_while(blank).count();
                let behind = written.iter().rev().take_while(blank).count();
                let place = start + before..(end - behind).max(start + before);
                if ends(&path, &["pasv", "port_range", "min"]) {
                    places.minimum.push(place);
                } else if ends(&path, &["pasv", "port_range", "max"]) {
                    places.maximum.push(place);
                }
            }
            Event::Eof => return Some(places),
            _ => {}
        }
        start = end;
    }
}

#[cfg(test)]
mod tests {
    use firewall::model::ports::PortRange;

    use super::edited;

    fn twice(text: &str) -> Option<String> {
        let range = PortRange::new(51_000, 51_099).unwrap();
        let once = edited(text.as_bytes(), range)?;
        assert_eq!(edited(&once, range), Some(once.clone()));
        Some(String::from_utf8(once).unwrap())
    }

    #[test]
    fn the_two_numbers_change() {
        let text = "<?xml version=\"1.0\"?>\r\n<f><!-- <min>1</min> --><ftp_server><session><pasv>\r\n<port_range><min> 50000 </min>\r\n<max>50100</max></port_range></pasv></session></ftp_server></f>";
        let expected = text.replace("50000", "51000").replace("50100", "51099");
        assert_eq!(twice(text).unwrap(), expected);
    }

    #[test]
    fn a_missing_range_is_put_into_pasv() {
        assert_eq!(
            twice("<f><pasv>\n\t<host_override/>\n</pasv></f>").unwrap(),
            "<f><pasv>\n\t<port_range><min>51000</min><max>51099</max></port_range>\n\t<host_override/>\n</pasv></f>"
        );
        assert_eq!(twice("<f></f>"), None);
        assert_eq!(twice("<f><pasv/></f>"), None);
    }
}
