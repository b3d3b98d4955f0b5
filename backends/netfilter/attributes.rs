//! Netlink attributes: reading what the kernel sent, writing what it is asked.

use netlink_packet_core::NlasIterator;

/// Bytes of an attribute's header (`NLA_HDRLEN`).
const HEADER: usize = 4;

/// The marker of an attribute that holds attributes (`NLA_F_NESTED`).
const NESTED: u16 = 0x8000;

/// The kinds that any table of attributes here holds; the kernel's highest is 19 (`NFTA_SET_EXPRESSIONS` and younger).
const KINDS: usize = 24;

/// The attributes of a message in order, each with its kind; ends early at the first malformed one.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(|attribute| {
        let attribute = attribute.ok()?;
        let (kind, length) = (attribute.kind(), usize::from(attribute.length()));
        Some((kind, attribute.into_inner().get(HEADER..length)?))
    })
}

/// The attributes of one message or nest, by kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes<'a> {
    values: [Option<&'a [u8]>; KINDS],
}

impl<'a> Attributes<'a> {
    /// Sorts the attributes by kind; unknown high kinds are left out, of equal kinds the last counts.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut values = [None; KINDS];
        for (kind, value) in attributes(bytes) {
            if let Some(slot) = values.get_mut(usize::from(kind)) {
                *slot = Some(value);
            }
        }
        Self { values }
    }

    /// The value of that kind.
    pub(super) fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.values.get(usize::from(kind)).copied().flatten()
    }

    /// The nest of that kind.
    pub(super) fn nest(&self, kind: u16) -> Option<Attributes<'a>> {
        self.get(kind).map(Attributes::new)
    }

    /// A 32-bit number in network byte order.
    pub(super) fn number(&self, kind: u16) -> Option<u32> {
        be32(self.get(kind)?)
    }

    /// A 64-bit number in network byte order.
    pub(super) fn long(&self, kind: u16) -> Option<u64> {
        let bytes = self.get(kind)?.first_chunk()?;
        Some(u64::from_be_bytes(*bytes))
    }

    /// A string, which the kernel ends with NUL.
    pub(super) fn text(&self, kind: u16) -> Option<String> {
        self.get(kind).map(text)
    }
}

/// A 32-bit number in network byte order, from the start of the bytes.
pub(super) fn be32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// The text before the first NUL.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0);
    let bytes = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or(bytes);
    String::from_utf8_lossy(bytes).into_owned()
}

/// Appends an attribute, padded to four bytes.
pub(crate) fn put(buffer: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(HEADER + value.len()).unwrap_or(u16::MAX);
    buffer.extend_from_slice(&length.to_ne_bytes());
    buffer.extend_from_slice(&kind.to_ne_bytes());
    buffer.extend_from_slice(value);
    buffer.resize(buffer.len().next_multiple_of(4), 0);
}

/// Appends a string with its closing NUL.
pub(crate) fn put_text(buffer: &mut Vec<u8>, kind: u16, value: &str) {
    let mut bytes = Vec::with_capacity(value.len() + 1);
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(0);
    put(buffer, kind, &bytes);
}

/// Appends a nest.
pub(crate) fn put_nest(buffer: &mut Vec<u8>, kind: u16, value: &[u8]) {
    put(buffer, kind | NESTED, value);
}
