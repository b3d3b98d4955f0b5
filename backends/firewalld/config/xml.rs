//! XML as firewalld's parser (expat) takes it: what expat refuses is refused here, with line and column.

use std::ops::Range;
use std::path::Path;

use quick_xml::errors::Error as XmlError;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::objects::Place;
use super::{Checked, refused, refused_at};
use crate::error::{Error, Result};

/// Deeper nesting is no configuration of firewalld's.
const DEEPEST: usize = 64;

/// A start tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    /// Where the tag is in the file.
    pub(crate) span: Range<usize>,
}

impl Element {
    /// The attribute's value.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        let (_, value) = attributes.find(|(key, _)| key == name)?;
        Some(value)
    }
}

/// What firewalld's handlers are told, in order. An empty element is a start and an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    Start(Element),
    End {
        name: String,
        /// The text since the last start tag, as firewalld keeps it: line ends are blanks.
        text: String,
        /// Where the tag is in the file; that of the start tag for an empty element.
        span: Range<usize>,
    },
}

/// A parsed file.
#[derive(Clone, Debug)]
pub(crate) struct Document<'a> {
    pub(crate) path: &'a Path,
    bytes: &'a [u8],
    /// Where lines start.
    lines: Vec<usize>,
    pub(crate) tags: Vec<Tag>,
}

impl<'a> Document<'a> {
    /// Parses a whole file.
    ///
    /// # Errors
    /// `Refused` with line and column when expat would not take it, or when it has a document type of its own.
    pub(crate) fn parse(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let mut parser = Parser::default();
        let mut reader = Reader::from_reader(bytes);
        reader.config_mut().check_comments = true;
        let mut start = 0;
        let position = |at: u64| usize::try_from(at).unwrap_or(bytes.len()).min(bytes.len());
        let fail = |at: usize, message: &str| Err(refused(path, bytes, at, message));
        loop {
            let event = match reader.read_event() {
                Ok(event) => event,
                Err(error) => return fail(position(reader.error_position()), &error.to_string()),
            };
            let end = position(reader.buffer_position());
            let last = matches!(event, Event::Eof);
            if let Err(message) = parser.event(event, start..end) {
                return fail(start, &message);
            }
            if last {
                break;
            }
            start = end;
        }
        // Expat takes no control characters but tab and line ends.
        let control = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r');
        if let Some(at) = bytes.iter().position(control) {
            return fail(at, "a control character");
        }
        let lines = bytes.iter().enumerate();
        let lines = lines.filter_map(|(at, byte)| (*byte == b'\n').then_some(at + 1));
        Ok(Self {
            path,
            bytes,
            lines: std::iter::once(0).chain(lines).collect(),
            tags: parser.tags,
        })
    }

    /// The place of a byte of the file.
    pub(crate) fn place(&self, at: usize) -> Place {
        let line = self.lines.partition_point(|start| *start <= at);
        let start = self.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.bytes.get(start..at).unwrap_or_default();
        Place {
            path: self.path.to_owned(),
            line: line.max(1),
            column: String::from_utf8_lossy(before).chars().count() + 1,
        }
    }

    /// What firewalld would refuse, at a place in this file.
    pub(crate) fn refused(&self, at: usize, message: &str) -> Error {
        refused_at(&self.place(at), message)
    }
}

#[derive(Debug, Default)]
struct Parser {
    tags: Vec<Tag>,
    open: usize,
    roots: usize,
    text: String,
    begun: bool,
}

impl Parser {
    fn event(&mut self, event: Event<'_>, span: Range<usize>) -> Checked<()> {
        let first = !std::mem::replace(&mut self.begun, true);
        match event {
            Event::Start(element) => {
                self.start(&element, span)?;
                self.open += 1;
                if self.open > DEEPEST {
                    return Err("elements are nested too deep".to_owned());
                }
            }
            Event::Empty(element) => {
                self.start(&element, span.clone())?;
                self.end(element.name().as_ref(), span);
            }
            Event::End(element) => {
                self.open = self.open.saturating_sub(1);
                self.end(element.name().as_ref(), span);
            }
            Event::Text(text) => {
                if text.as_ref().contains("]]>") {
                    return Err("`]]>` outside of a CDATA section".to_owned());
                }
                self.characters(&text.xml10_content())?;
            }
            Event::CData(text) => {
                if self.open == 0 {
                    return Err("text outside of the element".to_owned());
                }
                self.characters(&text.xml10_content())?;
            }
            Event::GeneralRef(reference) => {
                let known = reference.resolve_char_ref().map_err(in_words)?;
                let text = match known {
                    Some(letter) => letter.to_string(),
                    None => entity(&reference)
                        .ok_or_else(|| format!("the entity `&{};` is not defined", &*reference))?
                        .to_owned(),
                };
                if self.open == 0 {
                    return Err("text outside of the element".to_owned());
                }
                self.characters(&text)?;
            }
            Event::Decl(declaration) => {
                if !first {
                    return Err("the XML declaration is not at the start".to_owned());
                }
                declaration.version().map_err(in_words)?;
                if let Some(encoding) = declaration.encoding() {
                    let encoding = encoding.map_err(|error| error.to_string())?;
                    if !encoding.eq_ignore_ascii_case("utf-8")
                        && !encoding.eq_ignore_ascii_case("us-ascii")
                    {
                        return Err(format!("the encoding {encoding} is not understood here"));
                    }
                }
            }
            Event::DocType(_) => {
                return Err("a document type of its own is not understood here".to_owned());
            }
            Event::Eof if self.open > 0 => return Err("the file ends inside an element".to_owned()),
            Event::Eof if self.roots == 0 => return Err("there is no element".to_owned()),
            Event::Comment(_) | Event::PI(_) | Event::Eof => {}
        }
        Ok(())
    }

    fn start(&mut self, element: &BytesStart<'_>, span: Range<usize>) -> Checked<()> {
        if self.open == 0 {
            self.roots += 1;
            if self.roots > 1 {
                return Err("a second element behind the first".to_owned());
            }
        }
        let name = element.name().as_ref().to_owned();
        check_name(&name)?;
        let raw = element.attributes_raw();
        check_blanks(raw)?;
        let mut attributes = Vec::new();
        for attribute in element.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let key = attribute.key.as_ref().to_owned();
            check_name(&key)?;
            if attribute.value.contains('<') {
                return Err(format!("`<` in the value of `{key}`"));
            }
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            let value = value.map_err(in_words)?;
            attributes.push((key, value.into_owned()));
        }
        self.text.clear();
        self.tags.push(Tag::Start(Element {
            name,
            attributes,
            span,
        }));
        Ok(())
    }

    fn end(&mut self, name: &str, span: Range<usize>) {
        let (name, text) = (name.to_owned(), self.text.clone());
        self.tags.push(Tag::End { name, text, span });
    }

    fn characters(&mut self, text: &str) -> Checked<()> {
        if self.open == 0 {
            let blank = |letter: char| matches!(letter, ' ' | '\t' | '\n' | '\r' | '\u{feff}');
            return if text.chars().all(blank) {
                Ok(())
            } else {
                Err("text outside of the element".to_owned())
            };
        }
        self.text.push_str(&text.replace('\n', " "));
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn in_words(error: XmlError) -> String {
    error.to_string()
}

/// The entities that every parser knows.
fn entity(name: &str) -> Option<&'static str> {
    quick_xml::escape::resolve_predefined_entity(name)
}

/// Names of elements and attributes; firewalld's own are letters and dashes.
fn check_name(name: &str) -> Checked<()> {
    let start = |letter: char| letter.is_alphabetic() || matches!(letter, '_' | ':');
    let later = |letter: char| start(letter) || letter.is_numeric() || matches!(letter, '-' | '.');
    if name.starts_with(start) && name.chars().all(later) {
        Ok(())
    } else {
        Err(format!("`{name}` is no name"))
    }
}

/// Attributes are apart by blanks.
fn check_blanks(raw: &str) -> Checked<()> {
    let mut quote = None;
    let mut closed = false;
    for letter in raw.chars() {
        if closed && !letter.is_ascii_whitespace() {
            return Err("a blank is missing between two attributes".to_owned());
        }
        closed = false;
        match (quote, letter) {
            (None, '"' | '\'') => quote = Some(letter),
            (Some(mark), _) if mark == letter => {
                quote = None;
                closed = true;
            }
            _ => {}
        }
    }
    Ok(())
}
