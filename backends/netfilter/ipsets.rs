//! The ipsets that matches and targets of iptables refer to: their names, and what is in them.
//!
//! Rules know an ipset by a number of the network namespace that they were loaded in; what is in it is asked for by name.

mod elements;

use netlink_sys::protocols::NETLINK_NETFILTER;

use self::elements::{Entry, entry, fields, merged, shape};
use super::attributes::{Attributes, attributes, put, put_nest, put_text};
use super::netlink::{Channel, FLAG_ACK, FLAG_REQUEST, dump_of, found, netfilter_header, request};
use super::sample::{self, SAMPLES};
use crate::error::{Error, ErrorKind, Result};
use crate::model::reach::Family;
use crate::model::ruleset::{Elements, Ipset, Outside, Set, Statement, Table, TableFamily, Value};

/// `NFNL_SUBSYS_IPSET`.
const SUBSYSTEM: u16 = 6 << 8;
const CREATE: u16 = SUBSYSTEM | 2; // IPSET_CMD_CREATE
const LIST: u16 = SUBSYSTEM | 7; // IPSET_CMD_LIST
const TEST: u16 = SUBSYSTEM | 0x0b; // IPSET_CMD_TEST

// linux/netfilter/ipset/ip_set.h: IPSET_ATTR_*
const ATTRIBUTE_PROTOCOL: u16 = 1;
const ATTRIBUTE_NAME: u16 = 2;
const ATTRIBUTE_TYPE: u16 = 3;
const ATTRIBUTE_REVISION: u16 = 4;
const ATTRIBUTE_FAMILY: u16 = 5;
const ATTRIBUTE_FLAGS: u16 = 6;
const ATTRIBUTE_DATA: u16 = 7;
const ATTRIBUTE_ELEMENTS: u16 = 8; // IPSET_ATTR_ADT
const ATTRIBUTE_NUMBER: u16 = 11; // IPSET_ATTR_INDEX
const DATA_ADDRESS: u16 = 1; // IPSET_ATTR_IP
const DATA_TIMEOUT: u16 = 6; // IPSET_ATTR_TIMEOUT
const DATA_FLAGS: u16 = 8; // IPSET_ATTR_CADT_FLAGS
const DATA_MEMBER: u16 = 18; // IPSET_ATTR_NAME
/// The marker of a value in network byte order (`NLA_F_NET_BYTEORDER`).
const NETWORK_ORDER: u16 = 0x4000;
/// Without elements (`IPSET_FLAG_LIST_HEADER`).
const HEADERS_ONLY: u32 = 1 << 2;
/// `IPSET_FLAG_NOMATCH`.
const EXCEPTION: u32 = 1 << 2;
/// `IPSET_ERR_EXIST`: the answer to a test of what is not there.
const NOT_THERE: i32 = 4103;

/// The kernel's protocol since Linux 2.6.39 (`IPSET_PROTOCOL_MIN`), and the one since 4.20, in which sets have numbers.
const PROTOCOL_OF_OLD: u8 = 6;
const PROTOCOL: u8 = 7;

const FAMILY_IPV4: u8 = 2; // AF_INET
const FAMILY_IPV6: u8 = 10; // AF_INET6
/// The set of sets.
const SET_OF_SETS: &str = "list:set";

/// Creates empty sets of addresses of a family, in the namespace of this thread, for rules that load only where they are.
///
/// # Errors
/// `Unsupported` when the kernel makes no sets, although the host's rules refer to some.
pub(crate) fn create(family: Family, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let family = match family {
        Family::Ipv4 => FAMILY_IPV4,
        Family::Ipv6 => FAMILY_IPV6,
    };
    let mut channel = Channel::open(NETLINK_NETFILTER)?;
    for name in names {
        let mut body = netfilter_header(family).to_vec();
        put(&mut body, ATTRIBUTE_PROTOCOL, &[PROTOCOL_OF_OLD]);
        put_text(&mut body, ATTRIBUTE_NAME, name);
        put_text(&mut body, ATTRIBUTE_TYPE, "hash:ip");
        put(&mut body, ATTRIBUTE_REVISION, &[0]);
        put(&mut body, ATTRIBUTE_FAMILY, &[family]);
        put_nest(&mut body, ATTRIBUTE_DATA, &[]);
        request(&mut channel, CREATE, 0, &body)?.map_err(|error| {
            let message = format!("cannot make a stand-in for the ipset `{name}`");
            Error::new(ErrorKind::Unsupported, message).with_source(error)
        })?;
    }
    Ok(())
}

/// Gives the ipsets that the tables' rules refer to their names and elements, as they are in this thread's namespace.
/// One that cannot be read is left as it is: rules that look into it are not understood.
///
/// # Errors
/// When the kernel does not list its sets.
pub(crate) fn read(tables: &mut [Table]) -> Result<()> {
    let is_ipset = |set: &Set| matches!(set.outside, Some(Outside::Ipset(_)));
    if !tables.iter().flat_map(|table| &table.sets).any(is_ipset) {
        return Ok(());
    }
    let mut reader = Reader::open()?;
    for table in tables {
        for index in 0..table.sets.len() {
            let Some(set) = table.sets.get_mut(index).filter(|set| is_ipset(set)) else {
                continue;
            };
            let before = set.name.clone();
            let value = reader.fill(table.family, set);
            let after = set.name.clone();
            change_rules(table, &before, &after, value.as_ref());
        }
    }
    Ok(())
}

/// Lets the rules of a table refer to a set by its new name, and look up what its elements are made of.
fn change_rules(table: &mut Table, before: &str, after: &str, by: Option<&Value>) {
    let refers = |statement: &Statement| match statement {
        Statement::Lookup { set, .. } | Statement::UpdateSet { set, .. } => set == before,
        _ => false,
    };
    let rules = table
        .chains
        .iter_mut()
        .filter_map(|chain| chain.rules.as_mut());
    for rule in rules.flatten() {
        if !rule.statements.iter().any(refers) {
            continue;
        }
        for statement in rule.statements.iter_mut().filter(|it| refers(it)) {
            match statement {
                Statement::Lookup { value, set, .. } => {
                    after.clone_into(set);
                    if let Some(by) = by {
                        *value = by.clone();
                    }
                }
                Statement::UpdateSet { set, text, .. } => {
                    after.clone_into(set);
                    after.clone_into(text);
                }
                _ => {}
            }
        }
    }
}

/// What the kernel says of an ipset besides its elements.
#[derive(Clone, Debug)]
struct Header {
    name: String,
    number: Option<u16>,
    kind: String,
    /// 0 for sets of anything else than addresses.
    family: u8,
    /// How many bits of an address count (`netmask`); `None` for all.
    prefix: Option<u8>,
    /// Options that change what an element stands for, and are not understood.
    odd: bool,
    /// It is gone after a while from the set of sets that it is looked up in, with all that is in it.
    expires: bool,
}

/// Asks the kernel.
struct Reader {
    channel: Channel,
    headers: Vec<Header>,
}

impl Reader {
    fn open() -> Result<Self> {
        let mut channel = Channel::open(NETLINK_NETFILTER)?;
        // Before 4.20 the kernel knows no such protocol, and tells no numbers.
        let headers =
            headers(&mut channel, PROTOCOL).or_else(|_| headers(&mut channel, PROTOCOL_OF_OLD))?;
        Ok(Self { channel, headers })
    }

    fn header(&self, ipset: &Ipset) -> Option<&Header> {
        self.headers.iter().find(|header| match ipset.number {
            Some(_) => header.number == ipset.number,
            None => header.name == ipset.name,
        })
    }

    /// Names a set and reads it; returns what rules look up in it.
    fn fill(&mut self, family: TableFamily, set: &mut Set) -> Option<Value> {
        let Some(Outside::Ipset(ipset)) = &mut set.outside else {
            return None;
        };
        let header = self.header(ipset).cloned()?;
        if let Some(number) = ipset.number.take() {
            let numbered = Ipset::numbered(number);
            set.name = set.name.replacen(&numbered, &header.name, 1);
            ipset.name.clone_from(&header.name);
        }
        set.elements = Elements::NotRead;
        let contents = self.contents(family, &header, ipset);
        let contents = contents.unwrap_or_else(|error| {
            tracing::debug!("the ipset `{}` cannot be read: {error}", header.name);
            None
        });
        let (value, elements) = contents?;
        set.key_fields = value.parts.iter().map(|part| part.length).collect();
        set.elements = elements;
        Some(value)
    }

    /// What rules of that family look up in the set, and what is in it, as far as it can match at all (`ip_set_test`).
    fn contents(
        &mut self,
        family: TableFamily,
        header: &Header,
        ipset: &mut Ipset,
    ) -> Result<Option<(Value, Elements)>> {
        let number = match family {
            TableFamily::Ip => FAMILY_IPV4,
            TableFamily::Ip6 => FAMILY_IPV6,
            TableFamily::Inet | TableFamily::Netdev | TableFamily::Bridge => return Ok(None),
        };
        let mut members = if header.kind == SET_OF_SETS {
            self.members(&header.name)?
        } else {
            vec![header.clone()]
        };
        ipset.members = members.iter().map(|member| member.name.clone()).collect();
        members.retain(|member| {
            let dimensions = fields(&member.kind).map_or(0, |fields| fields.len());
            dimensions <= ipset.sources.len() && [0, number].contains(&member.family)
        });
        let mut value = None;
        for member in &members {
            let Some(shape) = shape(family, member, &ipset.sources) else {
                return Ok(None);
            };
            if value.get_or_insert_with(|| shape.clone()) != &shape {
                return Ok(None);
            }
        }
        let Some(value) = value else {
            // Nothing of this family: it holds no address of it.
            let value = super::xtables::matches::address(family, false);
            return Ok(value.map(|value| (value, Elements::Read(Vec::new()))));
        };
        let addresses = members.iter().all(|member| {
            fields(&member.kind).is_some_and(|it| it == [elements::Dimension::Address])
        });
        let mut entries = Vec::new();
        let mut read = !ipset.exceptions;
        for member in &members {
            read = read && self.entries(member, addresses, &mut entries)?;
        }
        if read && entries.iter().all(|entry| !entry.exception) {
            return Ok(Some((value, Elements::Read(merged(entries)))));
        }
        if !addresses {
            return Ok(None);
        }
        let share = self.share(&members, number, ipset.exceptions)?;
        Ok(share.map(|share| (value, Elements::Addresses { share })))
    }

    /// The sets in a set of sets.
    fn members(&mut self, name: &str) -> Result<Vec<Header>> {
        let mut members = Vec::new();
        let (channel, headers) = (&mut self.channel, &self.headers);
        dump_of(channel, usize::MAX, LIST, &list(name), |message| {
            each_data(message, |data| {
                let name = data.text(DATA_MEMBER);
                let header = headers
                    .iter()
                    .find(|header| Some(&header.name) == name.as_ref());
                members.extend(header.map(|header| Header {
                    expires: expires(data),
                    ..header.clone()
                }));
            });
        })?;
        Ok(members)
    }

    /// Reads the elements of a set; false where they are too many, or not understood.
    fn entries(&mut self, header: &Header, few: bool, into: &mut Vec<Entry>) -> Result<bool> {
        let mut understood = true;
        let mut take = |message: &[u8]| {
            each_data(message, |data| {
                understood &= entry(header, data, into).is_some();
            });
        };
        let request = list(&header.name);
        let complete = if few {
            dump_of(&mut Channel::open_small()?, 1, LIST, &request, &mut take)?
        } else {
            dump_of(&mut self.channel, usize::MAX, LIST, &request, &mut take)?
        };
        Ok(complete && understood)
    }

    /// How many of `2^32` remote addresses are in one of the sets, about; `None` where there are none to ask for.
    fn share(&mut self, members: &[Header], family: u8, exceptions: bool) -> Result<Option<u64>> {
        let (length, kind) = if family == FAMILY_IPV4 {
            (4, 1)
        } else {
            (16, 2)
        };
        let Some(mut rest) = sample::addresses(length) else {
            return Ok(None);
        };
        for member in members {
            let requests = rest.iter().map(|address| {
                let (mut nest, mut data) = (Vec::new(), Vec::new());
                put(&mut nest, kind | NETWORK_ORDER, address); // IPSET_ATTR_IPADDR_IPV4, _IPV6
                put_nest(&mut data, DATA_ADDRESS, &nest);
                if exceptions && member.kind.contains("net") {
                    put(
                        &mut data,
                        DATA_FLAGS | NETWORK_ORDER,
                        &EXCEPTION.to_be_bytes(),
                    );
                }
                let mut body = list(&member.name);
                put_nest(&mut body, ATTRIBUTE_DATA, &data);
                body
            });
            let requests: Vec<Vec<u8>> = requests.collect();
            let kind = (TEST, FLAG_REQUEST | FLAG_ACK);
            let there = found(&mut self.channel, kind, &requests, NOT_THERE)?;
            let mut there = there.into_iter();
            rest.retain(|_| !there.next().unwrap_or_default());
        }
        let found = u64::from(SAMPLES) - rest.len() as u64;
        Ok(Some((found << 32) / u64::from(SAMPLES)))
    }
}

/// A request about a set.
fn list(name: &str) -> Vec<u8> {
    let mut body = netfilter_header(0).to_vec();
    put(&mut body, ATTRIBUTE_PROTOCOL, &[PROTOCOL_OF_OLD]);
    put_text(&mut body, ATTRIBUTE_NAME, name);
    body
}

/// The sets of this thread's namespace.
fn headers(channel: &mut Channel, protocol: u8) -> Result<Vec<Header>> {
    let mut body = netfilter_header(0).to_vec();
    put(&mut body, ATTRIBUTE_PROTOCOL, &[protocol]);
    let flags = HEADERS_ONLY.to_be_bytes();
    put(&mut body, ATTRIBUTE_FLAGS | NETWORK_ORDER, &flags);
    let mut headers = Vec::new();
    dump_of(channel, usize::MAX, LIST, &body, |message| {
        headers.extend(header(&Attributes::new(message)));
    })?;
    Ok(headers)
}

fn header(message: &Attributes<'_>) -> Option<Header> {
    let byte = |bytes: &[u8]| bytes.first().copied();
    let number = message
        .get(ATTRIBUTE_NUMBER)
        .and_then(|bytes| bytes.first_chunk());
    let options = message.nest(ATTRIBUTE_DATA)?;
    // IPSET_ATTR_NETMASK = 20, IPSET_ATTR_BITMASK = 12, IPSET_ATTR_MARKMASK = 11
    let whole_mark = options.number(11).is_none_or(|mask| mask == u32::MAX);
    Some(Header {
        name: message.text(ATTRIBUTE_NAME)?,
        number: number.map(|bytes| u16::from_be_bytes(*bytes)),
        kind: message.text(ATTRIBUTE_TYPE)?,
        family: message.get(ATTRIBUTE_FAMILY).and_then(byte)?,
        prefix: options.get(20).and_then(byte),
        odd: options.get(12).is_some() || !whole_mark,
        expires: false,
    })
}

/// Whether an element is gone after a while; one that stays has a timeout of 0, or none.
fn expires(data: &Attributes<'_>) -> bool {
    data.number(DATA_TIMEOUT).is_some_and(|left| left != 0)
}

/// Every element of a message.
fn each_data(message: &[u8], mut each: impl FnMut(&Attributes<'_>)) {
    let list = Attributes::new(message).get(ATTRIBUTE_ELEMENTS);
    for (kind, data) in attributes(list.unwrap_or_default()) {
        if kind == ATTRIBUTE_DATA {
            each(&Attributes::new(data));
        }
    }
}

#[cfg(any(test, all(feature = "kernel", feature = "firewalld")))]
/// Whether a netlink message is about ipsets, by its kind.
pub(super) fn is_about(kind: u16) -> bool {
    kind & 0xff00 == SUBSYSTEM
}

#[cfg(any(test, all(feature = "kernel", feature = "firewalld")))]
/// Decodes a message with all that it has: what a set is, its elements, and what rules look up in it.
pub(super) fn decode(message: &[u8]) {
    let Some(header) = header(&Attributes::new(message)) else {
        return;
    };
    let mut entries = Vec::new();
    each_data(message, |data| {
        entry(&header, data, &mut entries);
    });
    merged(entries);
    for family in [TableFamily::Ip, TableFamily::Ip6] {
        shape(family, &header, &[true, false, true]);
    }
}
