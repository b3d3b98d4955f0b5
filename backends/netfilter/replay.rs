//! The kernel's answers, kept as bytes and read again as if it gave them now.

use super::attributes::Attributes;
use super::interfaces::Links;
use super::ipsets;
use super::netlink::{Dump, Message, SUBSYSTEM, messages};
use super::read::{Scope, tables_from};
use crate::error::Result;
use crate::model::ruleset::Ruleset;

const NEW_LINK: u16 = 16; // RTM_NEWLINK
const NEW_ADDRESS: u16 = 20; // RTM_NEWADDR

/// What the kernel once said: netlink messages one behind the other, in any order.
struct Replay<'a> {
    messages: Vec<Message<'a>>,
}

impl Dump for Replay<'_> {
    fn dump(
        &mut self,
        message: u16,
        family: u8,
        request: &[u8],
        mut each: impl FnMut(u8, &[u8]),
    ) -> Result<()> {
        let asked = Attributes::new(request);
        for answer in &self.messages {
            answer.check()?;
            // The number of an answer is one less than that of its request (enum nf_tables_msg_types).
            if answer.kind != SUBSYSTEM | (message - 1) || family != 0 && family != answer.family()
            {
                continue;
            }
            // Those who ask for one chain's rules or one set's elements name the table, then the chain or set.
            let given = Attributes::new(answer.attributes());
            let named = |kind| asked.get(kind).is_none() || asked.get(kind) == given.get(kind);
            if named(1) && named(2) {
                each(answer.family(), answer.attributes());
            }
        }
        Ok(())
    }
}

/// The ruleset and the interfaces that the kernel's messages tell of.
///
/// # Errors
/// What the kernel's own error messages among them say; `Unsupported` for a base chain of an unknown kind.
pub(crate) fn replay(bytes: &[u8], scope: Scope) -> Result<Ruleset> {
    let messages: Vec<Message<'_>> = messages(bytes).collect();
    let mut links = Links::default();
    for message in &messages {
        match message.kind {
            NEW_LINK => links.add(message.body),
            NEW_ADDRESS => links.add_address(message.body),
            _ => {}
        }
    }
    Ok(Ruleset {
        interfaces: links.finish(),
        tables: tables_from(&mut Replay { messages }, scope)?,
        ..Ruleset::default()
    })
}

/// Decodes what the messages tell of ipsets, whoever refers to them.
pub(crate) fn decode_ipsets(bytes: &[u8]) {
    for message in messages(bytes).filter(|message| ipsets::is_about(message.kind)) {
        ipsets::decode(message.attributes());
    }
}
