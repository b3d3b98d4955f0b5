//! Our service in a zone's file: put in and taken out so that every other byte stays.

use std::ops::Range;
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::firewalld::SERVICE;
use crate::firewalld::config::xml::{Document, Element, Tag};

/// How deep the text stands in a file that has no line of its own to go by.
const INDENT: &str = "  ";

/// An element of a file, from its start tag to its end.
#[derive(Debug)]
struct Child<'a> {
    element: &'a Element,
    span: Range<usize>,
}

/// A zone's file, as far as it must be known to edit it.
#[derive(Debug)]
struct Layout<'a> {
    /// The start tag of the zone.
    open: Range<usize>,
    /// Its end tag; the same as the start tag of an empty zone.
    close: Range<usize>,
    children: Vec<Child<'a>>,
}

impl<'a> Layout<'a> {
    fn of(document: &'a Document<'_>) -> Self {
        let mut layout = Self {
            open: 0..0,
            close: 0..0,
            children: Vec::new(),
        };
        let mut stack: Vec<&Element> = Vec::new();
        for tag in &document.tags {
            match tag {
                Tag::Start(element) => stack.push(element),
                Tag::End { span, .. } => match (stack.pop(), stack.len()) {
                    (Some(element), 0) => {
                        layout.open = element.span.clone();
                        layout.close = span.clone();
                    }
                    (Some(element), 1) => layout.children.push(Child {
                        element,
                        span: element.span.start..span.end,
                    }),
                    _ => {}
                },
            }
        }
        layout
    }

    fn ours(&self) -> Option<&Child<'a>> {
        let mut children = self.children.iter();
        children.find(|child| {
            child.element.name == "service" && child.element.get("name") == Some(SERVICE)
        })
    }

    /// The element that ours comes behind: the last service, as firewalld orders them, else what describes the zone.
    fn before(&self) -> Option<&Child<'a>> {
        let last = |names: &[&str]| {
            let mut children = self.children.iter().rev();
            children.find(|child| names.contains(&child.element.name.as_str()))
        };
        last(&["service"]).or_else(|| last(&["short", "description"]))
    }
}

/// A file's new text, and the number of the line that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::firewalld) struct Edited {
    pub(in crate::firewalld) bytes: Vec<u8>,
    pub(in crate::firewalld) line: usize,
}

/// The element that we put into a zone.
pub(super) fn element() -> String {
    format!("<service name=\"{SERVICE}\"/>")
}

/// The text with our service in it. The blanks in front of it are those of the element before it, so that it can be
/// taken out again with all that came with it.
///
/// # Errors
/// `Refused` for what is no zone's file.
pub(in crate::firewalld) fn with_service(path: &Path, bytes: &[u8]) -> Result<Edited> {
    let document = Document::parse(path, bytes)?;
    let layout = Layout::of(&document);
    let element = element();
    let (place, text) = match layout.before() {
        Some(child) => {
            let blanks = &bytes[indent(bytes, child.span.start)];
            (
                child.span.end..child.span.end,
                [blanks, element.as_bytes()].concat(),
            )
        }
        // An empty zone: what stands between its tags then tells that it was one.
        None if layout.open == layout.close => {
            let slash = layout.open.end.saturating_sub(2);
            let text = format!("><{}</{}>", &element[1..], root_name(&document));
            (slash..layout.open.end, text.into_bytes())
        }
        None => {
            let end = if bytes.windows(2).any(|pair| pair == b"\r\n") {
                "\r\n"
            } else {
                "\n"
            };
            let text = format!("{end}{INDENT}{element}");
            (layout.open.end..layout.open.end, text.into_bytes())
        }
    };
    let line =
        document.place(place.start).line + text.iter().filter(|byte| is_newline(**byte)).count();
    let mut edited = bytes.to_vec();
    edited.splice(place, text);
    Ok(Edited {
        bytes: edited,
        line,
    })
}

/// The text without our service, as it was before [`with_service`].
///
/// # Errors
/// `Refused` for what is no zone's file; `NotOurs` where our service is not an element of the zone itself.
pub(in crate::firewalld) fn without_service(path: &Path, bytes: &[u8]) -> Result<Edited> {
    let document = Document::parse(path, bytes)?;
    let layout = Layout::of(&document);
    let Some(own) = layout.ours() else {
        let message = format!(
            "`{}`: the service `{SERVICE}` does not stand where it could be taken out",
            path.display()
        );
        return Err(Error::new(ErrorKind::NotOurs, message).with_hint("take it out by hand"));
    };
    let alone = layout.open.end == own.span.start && own.span.end == layout.close.start;
    let (place, text) = if alone {
        (layout.open.end.saturating_sub(1)..layout.close.end, "/>")
    } else {
        (indent(bytes, own.span.start).start..own.span.end, "")
    };
    let line = document.place(own.span.start).line;
    let mut edited = bytes.to_vec();
    edited.splice(place, text.bytes());
    Ok(Edited {
        bytes: edited,
        line,
    })
}

/// The last line end in front of a place, and the blanks behind it; nothing where there is something else between.
fn indent(bytes: &[u8], place: usize) -> Range<usize> {
    let before = bytes.get(..place).unwrap_or_default();
    let text = before.iter().rposition(|byte| !byte.is_ascii_whitespace());
    let blanks = text.map_or(0, |last| last + 1);
    match before.iter().rposition(|byte| is_newline(*byte)) {
        Some(newline) if newline >= blanks => {
            let carriage = newline > blanks && before.get(newline - 1) == Some(&b'\r');
            newline - usize::from(carriage)..place
        }
        _ => place..place,
    }
}

fn is_newline(byte: u8) -> bool {
    byte == b'\n'
}

fn root_name<'a>(document: &'a Document<'_>) -> &'a str {
    match document.tags.first() {
        Some(Tag::Start(element)) => &element.name,
        _ => "zone",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round(text: &str) -> String {
        let path = Path::new("zone.xml");
        let edited = with_service(path, text.as_bytes()).unwrap();
        let back = without_service(path, &edited.bytes).unwrap();
        assert_eq!(String::from_utf8_lossy(&back.bytes), text);
        assert_eq!(back.line, edited.line);
        String::from_utf8(edited.bytes).unwrap()
    }

    #[test]
    fn it_stands_behind_the_last_service_on_a_line_of_its_own() {
        let zone = "<zone>\n  <short>x</short>\n  <service name=\"ssh\"/>\n  <port port=\"1\" protocol=\"tcp\"/>\n</zone>\n";
        assert_eq!(
            round(zone),
            "<zone>\n  <short>x</short>\n  <service name=\"ssh\"/>\n  <service name=\"pasvsync\"/>\n  <port port=\"1\" protocol=\"tcp\"/>\n</zone>\n"
        );
        assert_eq!(
            round("<zone/>"),
            "<zone><service name=\"pasvsync\"/></zone>"
        );
        assert_eq!(
            round("<zone target=\"DROP\" />\n"),
            "<zone target=\"DROP\" ><service name=\"pasvsync\"/></zone>\n"
        );
        assert_eq!(
            round("<zone></zone>"),
            "<zone>\n  <service name=\"pasvsync\"/></zone>"
        );
        assert!(
            round("<zone>\r\n\t<short>x</short>\r\n</zone>\r\n")
                .contains("\r\n\t<service name=\"pasvsync\"/>\r\n</zone>")
        );
        // A service in a rule is none of the zone's.
        let rule = "<zone><rule><service name=\"pasvsync\"/><accept/></rule></zone>";
        assert!(round(rule).starts_with("<zone>\n  <service name=\"pasvsync\"/><rule>"));
    }

    fn piece() -> impl Strategy<Value = &'static str> {
        prop_oneof![
            Just("\n"),
            Just("\r\n"),
            Just("  "),
            Just("\t"),
            Just("\n  "),
            Just("<!-- a <service> of its own -->"),
            Just("<service name=\"ssh\"/>"),
            Just("<service name='ssh'></service>"),
            Just("<short>a &amp; b</short>"),
            Just("<description>\n two\n lines </description>"),
            Just("<port protocol=\"tcp\" port=\"1\"/>"),
            Just("<rule><service name=\"ftp\"/>\n<accept/></rule>"),
            Just("<masquerade/>"),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn whatever_the_file_looks_like_it_comes_back_byte_for_byte(
            pieces in prop::collection::vec(piece(), 0..9),
            head in prop_oneof![Just(""), Just("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"), Just("<?xml version=\"1.0\"?><!-- x -->")],
            tail in prop_oneof![Just(""), Just("\n"), Just("\r\n\r\n"), Just("<!-- end -->\n")],
        ) {
            let text = format!("{head}<zone target=\"DROP\">{}</zone>{tail}", pieces.concat());
            round(&text);
        }
    }
}
