//! Reads the kernel's tables: only what a packet of the input path can meet, or everything.

use std::collections::BTreeMap;

use super::attributes::{Attributes, put_text};
use super::body::SetHeader;
use super::decode::RuleDecoder;
use super::decode::objects::{
    RawElement, chain, elements, family, family_number, normalise, set, table,
};
use super::interfaces::interfaces;
use super::ipsets;
use super::netlink::{Dump, Socket, changed};
use super::sample;
use crate::error::{Error, ErrorKind, Result};
use crate::model::ruleset::{
    Chain, ConnectionKey, Elements, Field, Hook, Part, PayloadBase, Rule, Ruleset, Set, Statement,
    Table, TableFamily, Value, Verdict,
};

// enum nf_tables_msg_types
const GET_TABLE: u16 = 1; // NFT_MSG_GETTABLE
const GET_CHAIN: u16 = 4; // NFT_MSG_GETCHAIN
const GET_RULE: u16 = 7; // NFT_MSG_GETRULE
const GET_SET: u16 = 10; // NFT_MSG_GETSET
const GET_ELEMENT: u16 = 13; // NFT_MSG_GETSETELEM

/// Every family (`NFPROTO_UNSPEC`).
const EVERY_FAMILY: u8 = 0;
/// How often the ruleset may change under the reader before it gives up.
const ATTEMPTS: usize = 20;

/// How much of the ruleset is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The chains that packets to and from a local process can meet. Others are listed without their rules.
    InputPath,
    /// Every chain of every table.
    Everything,
}

/// Reads the `nf_tables` ruleset and the interfaces, all of one generation.
///
/// # Errors
///
/// As for [`Socket::open`]; `Changed` when the ruleset keeps changing while it is read.
pub fn read(socket: &mut Socket, scope: Scope) -> Result<Ruleset> {
    for _ in 0..ATTEMPTS {
        let generation = socket.generation()?;
        let tables = match tables(socket, scope) {
            Ok(tables) => tables,
            Err(error) if error.kind() == ErrorKind::Changed => continue,
            // Something that was listed is gone already.
            Err(_) if socket.generation().is_ok_and(|now| now != generation) => continue,
            Err(error) => return Err(error),
        };
        let interfaces = match interfaces() {
            Ok(interfaces) => interfaces,
            Err(error) if error.kind() == ErrorKind::Changed => continue,
            Err(error) => return Err(error),
        };
        if socket.generation()? == generation {
            return Ok(Ruleset {
                generation: Some(generation),
                interfaces,
                tables,
                ..Ruleset::default()
            });
        }
    }
    Err(changed()
        .with_hint("another program keeps editing the firewall; try again when it is done"))
}

/// A table that is being read.
struct Draft {
    table: Table,
    /// The chains by name.
    chains: BTreeMap<String, usize>,
    /// The sets by name.
    sets: BTreeMap<String, usize>,
    headers: BTreeMap<String, SetHeader>,
}

/// The tables by family and name.
type Drafts = BTreeMap<(TableFamily, String), Draft>;

/// Reads the tables once.
fn tables(socket: &mut Socket, scope: Scope) -> Result<Vec<Table>> {
    let mut peek = None;
    let mut tables = tables_of(socket, scope, |draft, socket, set| {
        draft.peek_set(socket, &mut peek, set)
    })?;
    ipsets::read(&mut tables)?;
    Ok(tables)
}

#[cfg(any(test, all(feature = "kernel", feature = "firewalld")))]
/// The tables of a source that may not be the kernel, which alone can be asked for a part of a set.
pub(super) fn tables_from(source: &mut impl Dump, scope: Scope) -> Result<Vec<Table>> {
    tables_of(source, scope, Draft::read_set)
}

/// Reads the tables; `start` reads a set of which only the start is wanted.
fn tables_of<D: Dump>(
    source: &mut D,
    scope: Scope,
    mut start: impl FnMut(&mut Draft, &mut D, usize) -> Result<()>,
) -> Result<Vec<Table>> {
    let (order, mut drafts) = listed(source)?;
    match scope {
        Scope::InputPath => {
            for draft in drafts.values_mut() {
                draft.read_path(source)?;
            }
        }
        Scope::Everything => read_everything(source, &mut drafts)?,
    }
    for draft in drafts.values_mut() {
        for set in draft.wanted_sets(Want::Everything) {
            draft.read_set(source, set)?;
        }
        for set in draft.wanted_sets(Want::Start) {
            start(draft, source, set)?;
        }
    }
    let taken = order.into_iter().filter_map(|key| drafts.remove(&key));
    Ok(taken.map(|draft| draft.table).collect())
}

/// Lists tables, chains and sets, without rules and elements; and the tables' keys in the kernel's order.
fn listed(source: &mut impl Dump) -> Result<(Vec<(TableFamily, String)>, Drafts)> {
    let mut order = Vec::new();
    let mut drafts = Drafts::new();
    source.dump(GET_TABLE, EVERY_FAMILY, &[], |number, message| {
        let Some(table) = family(number).and_then(|family| table(family, message)) else {
            return;
        };
        let key = (table.family, table.name.clone());
        order.push(key.clone());
        drafts.insert(key, Draft::new(table));
    })?;
    if drafts.is_empty() {
        return Ok((order, drafts));
    }
    let mut unknown = None;
    source.dump(GET_CHAIN, EVERY_FAMILY, &[], |number, message| {
        let Some(family) = family(number) else {
            return;
        };
        match chain(family, message) {
            Some((table, Ok(chain))) => {
                if let Some(draft) = drafts.get_mut(&(family, table)) {
                    draft.add_chain(chain);
                }
            }
            Some((table, Err(chain))) => unknown = Some((family, table, chain)),
            None => {}
        }
    })?;
    if let Some((family, table, chain)) = unknown {
        let family = family.as_str();
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("{family} {table} {chain}: a base chain of an unknown type, hook or policy"),
        ));
    }
    source.dump(GET_SET, EVERY_FAMILY, &[], |number, message| {
        if let Some(family) = family(number)
            && let Some((table, set, header)) = set(message)
            && let Some(draft) = drafts.get_mut(&(family, table))
        {
            draft.add_set(set, header);
        }
    })?;
    Ok((order, drafts))
}

/// Reads every rule in one dump.
fn read_everything(source: &mut impl Dump, drafts: &mut Drafts) -> Result<()> {
    // The decoders borrow the headers, so the rules are gathered before they go into the tables.
    let mut rules: BTreeMap<(TableFamily, String), BTreeMap<String, Vec<Rule>>> = BTreeMap::new();
    let mut made: BTreeMap<(TableFamily, String), BTreeMap<String, Set>> = BTreeMap::new();
    source.dump(GET_RULE, EVERY_FAMILY, &[], |number, message| {
        let values = Attributes::new(message);
        // NFTA_RULE_TABLE = 1, NFTA_RULE_CHAIN = 2
        let (Some(family), Some(table), Some(chain)) =
            (family(number), values.text(1), values.text(2))
        else {
            return;
        };
        let key = (family, table);
        if let Some(draft) = drafts.get(&key) {
            let mut decoder = RuleDecoder::new(family, &draft.headers);
            let chains = rules.entry(key.clone()).or_default();
            decoder.decode(message, chains.entry(chain).or_default());
            if !decoder.made.is_empty() {
                made.entry(key).or_default().append(&mut decoder.made);
            }
        }
    })?;
    for (key, draft) in drafts {
        let mut chains = rules.remove(key).unwrap_or_default();
        for chain in &mut draft.table.chains {
            chain.rules = Some(chains.remove(&chain.name).unwrap_or_default());
        }
        draft.add_made(made.remove(key).unwrap_or_default());
        for map in draft.wanted_sets(Want::Verdicts) {
            draft.read_set(source, map)?;
        }
    }
    Ok(())
}

impl Draft {
    fn new(table: Table) -> Self {
        Self {
            table,
            chains: BTreeMap::new(),
            sets: BTreeMap::new(),
            headers: BTreeMap::new(),
        }
    }

    fn add_chain(&mut self, chain: Chain) {
        self.chains
            .insert(chain.name.clone(), self.table.chains.len());
        self.table.chains.push(chain);
    }

    fn add_set(&mut self, set: Set, header: SetHeader) {
        self.sets.insert(set.name.clone(), self.table.sets.len());
        self.headers.insert(set.name.clone(), header);
        self.table.sets.push(set);
    }

    fn add_made(&mut self, made: BTreeMap<String, Set>) {
        for (name, set) in made {
            if !self.sets.contains_key(&name) {
                self.sets.insert(name, self.table.sets.len());
                self.table.sets.push(set);
            }
        }
    }

    /// Reads the rules of the base chains on the path of packets to and from local processes, and of the chains that
    /// they lead to.
    fn read_path(&mut self, source: &mut impl Dump) -> Result<()> {
        if self.table.dormant {
            return Ok(());
        }
        let bridged = self.table.family == TableFamily::Bridge;
        let on_path = |chain: &Chain| {
            // What comes by a veth pair may have been forwarded through a bridge of this very host.
            chain
                .base
                .as_ref()
                .is_some_and(|base| base.hook != Hook::Forward || bridged)
        };
        let chains = self.table.chains.iter().enumerate();
        let mut pending: Vec<usize> = chains
            .filter(|(_, chain)| on_path(chain))
            .map(|(index, _)| index)
            .collect();
        while let Some(index) = pending.pop() {
            let Some(chain) = self
                .table
                .chains
                .get(index)
                .filter(|chain| chain.rules.is_none())
            else {
                continue;
            };
            let (rules, made) = self.dump_chain(source, &chain.name)?;
            self.add_made(made);
            for rule in &rules {
                for statement in &rule.statements {
                    self.follow(source, statement, &mut pending)?;
                }
            }
            if let Some(chain) = self.table.chains.get_mut(index) {
                chain.rules = Some(rules);
            }
        }
        Ok(())
    }

    /// Dumps and decodes one chain.
    fn dump_chain(
        &self,
        source: &mut impl Dump,
        chain: &str,
    ) -> Result<(Vec<Rule>, BTreeMap<String, Set>)> {
        let mut request = Vec::new();
        put_text(&mut request, 1, &self.table.name); // NFTA_RULE_TABLE
        put_text(&mut request, 2, chain); // NFTA_RULE_CHAIN
        let mut rules = Vec::new();
        let mut decoder = RuleDecoder::new(self.table.family, &self.headers);
        let family = family_number(self.table.family);
        source.dump(GET_RULE, family, &request, |_, message| {
            decoder.decode(message, &mut rules);
        })?;
        rules.shrink_to_fit();
        Ok((rules, decoder.made))
    }

    /// Notes the chains that a statement leads to.
    fn follow(
        &mut self,
        source: &mut impl Dump,
        statement: &Statement,
        pending: &mut Vec<usize>,
    ) -> Result<()> {
        match statement {
            Statement::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain)) => {
                pending.extend(self.chains.get(chain));
            }
            Statement::VerdictMap { map, .. } => {
                let Some(&map) = self.sets.get(map) else {
                    return Ok(());
                };
                self.read_set(source, map)?;
                let Some(Elements::Read(elements)) =
                    self.table.sets.get(map).map(|set| &set.elements)
                else {
                    return Ok(());
                };
                for element in elements {
                    if let Some(Verdict::Jump(chain) | Verdict::Goto(chain)) = &element.verdict {
                        pending.extend(self.chains.get(chain));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The sets that the rules that were read look up, and of which so much is wanted.
    fn wanted_sets(&self, want: Want) -> Vec<usize> {
        let mut sets = Vec::new();
        let chains = self
            .table
            .chains
            .iter()
            .filter_map(|chain| chain.rules.as_ref());
        for statement in chains.flatten().flat_map(|rule| &rule.statements) {
            let name = match statement {
                Statement::Lookup { set, value, .. } if wanted(value) == want => set,
                Statement::VerdictMap { map, .. } if want == Want::Verdicts => map,
                _ => continue,
            };
            sets.extend(self.sets.get(name));
        }
        sets.sort_unstable();
        sets.dedup();
        sets
    }

    /// Reads all elements of a set, once.
    fn read_set(&mut self, source: &mut impl Dump, index: usize) -> Result<()> {
        let Some((set, interval)) = self.unread(index) else {
            return Ok(());
        };
        let mut raw = Vec::new();
        let (family, request) = self.element_request(&set.name);
        source.dump(GET_ELEMENT, family, &request, |_, message| {
            elements(message, &mut raw);
        })?;
        self.put_elements(index, raw, interval);
        Ok(())
    }

    /// Reads the elements of a set when they fit one page; else asks how many remote addresses they stand for.
    fn peek_set(
        &mut self,
        socket: &mut Socket,
        peek: &mut Option<Socket>,
        index: usize,
    ) -> Result<()> {
        let Some((set, interval)) = self.unread(index) else {
            return Ok(());
        };
        let mut raw = Vec::new();
        let (family, request) = self.element_request(&set.name);
        let mut small = match peek.take() {
            Some(small) => small,
            None => Socket::open_small()?,
        };
        let complete = small.dump_pieces(1, GET_ELEMENT, family, &request, |_, message| {
            elements(message, &mut raw);
        })?;
        if complete {
            self.put_elements(index, raw, interval);
            // A dump that was left in the middle ends with its socket.
            *peek = Some(small);
            return Ok(());
        }
        let length = self.headers.get(&set.name).map_or(0, |it| it.key_length);
        let name = (self.table.family, self.table.name.as_str(), &*set.name);
        match sample::share(socket, name, length, interval)? {
            Some(share) => self.put(index, Elements::Addresses { share }),
            None => self.read_set(socket, index)?,
        }
        Ok(())
    }

    /// A set of the kernel that has not been read, and whether it holds intervals.
    fn unread(&self, index: usize) -> Option<(&Set, bool)> {
        let set = self.table.sets.get(index)?;
        let header = self.headers.get(&set.name)?;
        (set.elements == Elements::NotRead).then_some((set, header.interval))
    }

    fn put_elements(&mut self, index: usize, raw: Vec<RawElement>, interval: bool) {
        self.put(index, Elements::Read(normalise(raw, interval)));
    }

    fn put(&mut self, index: usize, elements: Elements) {
        if let Some(set) = self.table.sets.get_mut(index) {
            set.elements = elements;
        }
    }

    /// The request for a set's elements.
    fn element_request(&self, set: &str) -> (u8, Vec<u8>) {
        let mut request = Vec::new();
        put_text(&mut request, 1, &self.table.name); // NFTA_SET_ELEM_LIST_TABLE
        put_text(&mut request, 2, set); // NFTA_SET_ELEM_LIST_SET
        (family_number(self.table.family), request)
    }
}

/// How much of a set is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// The start: only remote addresses are looked up.
    Start,
    /// All: ports, protocols, interfaces, states are looked up.
    Everything,
    /// All, since the elements lead to chains.
    Verdicts,
}

/// How much of a set is wanted for looking up a value.
fn wanted(value: &Value) -> Want {
    match value.parts.as_slice() {
        [part] if is_remote_address(part) => Want::Start,
        _ => Want::Everything,
    }
}

/// Whether a field is the sender's address, all of it: a few elements may stand for many whose bits are masked.
fn is_remote_address(part: &Part) -> bool {
    match part.field {
        _ if !part.operations.is_empty() => false,
        Field::Payload {
            base: PayloadBase::Network,
            offset,
        } => matches!((offset, part.length), (12, 4) | (8, 16)),
        Field::Connection { key, direction } => {
            key == ConnectionKey::SourceAddress && direction != Some(1)
        }
        _ => false,
    }
}
