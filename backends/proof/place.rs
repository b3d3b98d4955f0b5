//! Where an accept belongs: after every ban it can stand after, directly before what closes the ports.

mod refusing;

use crate::backend::{Desired, Refusal};
use crate::detect;
use crate::model::ports::{PortRange, PortSet};
use crate::model::reach::{Family, Reach};
use crate::model::ruleset::{
    Chain, Field, Filter, Hook, Operator, PayloadBase, Rule, Ruleset, Statement, Table,
    TableFamily, Test, Value, Verdict,
};

use super::bans::Bans;
use super::describe;
use super::outcome::{Block, Call, Intent, Spot};
use super::packet::Phase;
use super::verdict::{self, Judgement};

/// More base chains than this one after the other do not close the same port on any host.
const MOST_INSERTIONS: usize = 64;

/// The comment of every rule that is ours.
pub const MARK: &str = "pasvsync";

/// An accept for new connections to some ports, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insertion {
    /// The packet filter that the table lives in: both may have a table of the same name.
    pub filter: Filter,
    /// The table's family.
    pub family: TableFamily,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// How many rules of the chain stand before it.
    pub index: usize,
    /// The handle of the rule it stands before; `None` at the end of the chain.
    pub before: Option<u64>,
    /// The ports.
    pub ports: PortRange,
    /// Only for packets to this host: the chain also sees packets to others.
    pub local_only: bool,
}

impl Insertion {
    /// Whether this is its table.
    pub fn is_in(&self, table: &Table) -> bool {
        table.filter == self.filter && table.family == self.family && table.name == self.table
    }
}

/// Where accepts belong, and which ports none can open.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    /// The accepts.
    pub insertions: Vec<Insertion>,
    /// The ports that stay closed, and why.
    pub refusals: Vec<Refusal>,
}

/// Finds the place for each accept that `desired` needs. The rules of every chain of `ruleset` must have been read.
///
/// The result is proved: with the insertions made, every port that is not refused is judged open.
pub fn place(ruleset: &Ruleset, desired: &Desired) -> Placement {
    let mut refusals: Vec<Refusal> = Vec::new();
    let mut excluded: Vec<(Family, PortSet)> = desired
        .families
        .iter()
        .map(|family| (*family, PortSet::EMPTY))
        .collect();
    loop {
        match attempt(ruleset, desired, &excluded) {
            Ok(insertions) => {
                return Placement {
                    insertions: needed(ruleset, desired, &excluded, insertions),
                    refusals,
                };
            }
            Err((family, refusal)) => {
                for (_, ports) in excluded.iter_mut().filter(|(known, _)| *known == family) {
                    *ports = ports.union(&refusal.ports);
                }
                match refusals
                    .iter_mut()
                    .find(|known| known.code == refusal.code && known.message == refusal.message)
                {
                    Some(known) => known.ports = known.ports.union(&refusal.ports),
                    None => refusals.push(refusal),
                }
            }
        }
    }
}

/// One try: all insertions, or the first ports that cannot be opened.
fn attempt(
    ruleset: &Ruleset,
    desired: &Desired,
    excluded: &[(Family, PortSet)],
) -> Result<Vec<Insertion>, (Family, Refusal)> {
    let mut working = ruleset.clone();
    let mut insertions = Vec::new();
    for (family, excluded) in excluded {
        let wanted = desired.ports.difference(excluded);
        loop {
            let judgement = verdict::judge(&working, *family, &wanted);
            let todo = wanted.difference(&judgement.map.with(Reach::Open));
            if todo.is_empty() {
                break;
            }
            if insertions.len() >= MOST_INSERTIONS {
                return Err((*family, no_place(&judgement, todo)));
            }
            let new = next(&working, &judgement, &todo, desired, excluded)
                .map_err(|refusal| (*family, refusal))?;
            if new.iter().any(|insertion| insertions.contains(insertion)) {
                return Err((*family, no_place(&judgement, todo)));
            }
            for insertion in new {
                apply(&mut working, &insertion);
                insertions.push(insertion);
            }
        }
    }
    Ok(insertions)
}

/// Leaves out the accepts that later ones, further out, have made superfluous.
fn needed(
    ruleset: &Ruleset,
    desired: &Desired,
    excluded: &[(Family, PortSet)],
    mut insertions: Vec<Insertion>,
) -> Vec<Insertion> {
    let mut candidate = 0;
    while candidate < insertions.len() {
        let others = insertions
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != candidate);
        let others: Vec<Insertion> = others.map(|(_, insertion)| insertion.clone()).collect();
        let alone = insertions.get(candidate).is_none_or(|it| {
            let beside = |other: &&Insertion| {
                other.filter == it.filter && other.family == it.family && other.table == it.table
            };
            others.iter().filter(beside).count() == 0
        });
        if !alone {
            let mut working = ruleset.clone();
            let others = again(&mut working, others);
            let open = excluded.iter().all(|(family, excluded)| {
                let wanted = desired.ports.difference(excluded);
                let map = verdict::trace(&working, *family, &wanted);
                map.with(Reach::Open).covers(&wanted)
            });
            if open {
                insertions = others;
                continue;
            }
        }
        candidate += 1;
    }
    insertions
}

/// Makes insertions in memory at the rules that they belong before, and says where that is now.
fn again(ruleset: &mut Ruleset, insertions: Vec<Insertion>) -> Vec<Insertion> {
    let mut made = Vec::with_capacity(insertions.len());
    for mut insertion in insertions {
        let table = ruleset.tables.iter().find(|table| insertion.is_in(table));
        let rules = table
            .and_then(|table| table.chain(&insertion.chain))
            .map(Chain::rules);
        let rules = rules.unwrap_or_default();
        let before = |handle| rules.iter().position(|rule| rule.handle == handle);
        insertion.index = insertion.before.and_then(before).unwrap_or(rules.len());
        apply(ruleset, &insertion);
        made.push(insertion);
    }
    made
}

/// The accepts before the first block of ports that are not open yet.
fn next(
    ruleset: &Ruleset,
    judgement: &Judgement,
    todo: &PortSet,
    desired: &Desired,
    excluded: &PortSet,
) -> Result<Vec<Insertion>, Refusal> {
    let concerned = |block: &&Block| !block.ports.intersection(todo).is_empty();
    let mut blocks = judgement.blocks.iter().filter(concerned);
    let Some(block) =
        blocks.find(|block| block.phase != Phase::Reply && block.intent != Intent::Translated)
    else {
        return Err(no_place(judgement, todo.clone()));
    };
    let ports = block.ports.intersection(todo);
    let (spot, local_only) = stand_before(ruleset, block, desired)
        .and_then(|(spot, local_only)| {
            let spot = refusing::before_refusals(ruleset, judgement, spot, block, desired.force)?;
            Ok((spot, local_only))
        })
        .map_err(|mut refusal| {
            refusal.ports = ports.clone();
            refusal
        })?;
    // The whole wanted range, so that it stays one rule, but nothing that is refused or that a rule names further on.
    let named = judgement
        .blocks
        .iter()
        .filter(|other| other.intent != Intent::CatchAll && !desired.force)
        .fold(excluded.clone(), |named, other| named.union(&other.ports));
    let accept = desired.ports.difference(&named).union(&ports);
    let ranges = accept.ranges().iter();
    Ok(ranges
        .filter(|range| !ports.intersection(&PortSet::from(**range)).is_empty())
        .filter_map(|range| insertion(ruleset, &spot, *range, local_only))
        .collect())
}

fn insertion(
    ruleset: &Ruleset,
    spot: &Spot,
    ports: PortRange,
    local_only: bool,
) -> Option<Insertion> {
    let table = ruleset.tables.get(spot.table)?;
    let chain = table.chains.get(spot.chain)?;
    let rules = chain.rules();
    let mut index = spot.rule.unwrap_or(rules.len());
    // A rule whose match is an "or" is two here, with one handle: nothing stands between them.
    while let (Some(last), Some(rule)) = (index.checked_sub(1), rules.get(index))
        && rule.handle != 0
        && rules
            .get(last)
            .is_some_and(|before| before.handle == rule.handle)
    {
        index = last;
    }
    let following = rules.iter().skip(index);
    Some(Insertion {
        filter: table.filter,
        family: table.family,
        table: table.name.clone(),
        chain: chain.name.clone(),
        index,
        // Accepts that this plan has put here have no handle yet.
        before: following
            .map(|rule| rule.handle)
            .find(|handle| *handle != 0),
        ports,
        local_only,
    })
}

fn hook(table: &Table, spot: &Spot) -> Option<Hook> {
    let base = table.chains.get(spot.base)?;
    base.base.as_ref().map(|base| base.hook)
}

fn no_place(judgement: &Judgement, ports: PortSet) -> Refusal {
    let obstacle = judgement
        .obstacles
        .iter()
        .find(|obstacle| !obstacle.ports.intersection(&ports).is_empty());
    let reason = match obstacle {
        Some(obstacle) => obstacle.because.clone(),
        None => ports
            .ranges()
            .first()
            .and_then(|range| judgement.map.entry(range.first()))
            .map_or_else(|| "the ruleset".to_owned(), |entry| entry.because.clone()),
    };
    Refusal {
        code: "no-accept-opens",
        message: format!(
            "no accept rule can open {ports} over {}: {reason}",
            judgement.map.family
        ),
        hint: Some("change that rule or policy, or choose another passive range".to_owned()),
        ports,
    }
}

/// The place before a block, and whether forwarded packets come by: outward from chains that others share, that are not
/// ours to edit, or that log and drop.
fn stand_before(
    ruleset: &Ruleset,
    block: &Block,
    desired: &Desired,
) -> Result<(Spot, bool), Refusal> {
    let spot = &block.spot;
    let (wanted, force) = (&desired.ports, desired.force);
    let refuse = |code, message: String, hint: String| Refusal {
        code,
        message,
        hint: Some(hint),
        ports: PortSet::EMPTY,
    };
    let Some(table) = ruleset.tables.get(spot.table) else {
        return Err(refuse(
            "no-accept-opens",
            "the table is gone".to_owned(),
            String::new(),
        ));
    };
    let place = describe::spot(ruleset, spot);
    let chains = spot.calls.iter().map(|call| call.chain).chain([spot.chain]);
    let chains = chains.filter_map(|chain| table.chains.get(chain));
    if let Some((manager, what)) = detect::in_charge_of(table, chains) {
        let message = format!(
            "{place} closes the ports, and {} is in charge of {what}",
            manager.name()
        );
        // Whoever is in charge gets every port at once: what keeps the rest closed stands in the same table.
        return Err(refuse("managed-table", message, manager.hint(wanted)));
    }
    if hook(table, spot) == Some(Hook::Ingress) || table.family == TableFamily::Bridge {
        let message = format!("{place} closes the ports before they reach the host");
        let hint = "let them through there; pasvsync edits neither at ingress nor in a bridge";
        let hint = hint.to_owned();
        return Err(refuse("ingress-block", message, hint));
    }
    let (mut outer, intent) = outward(table, spot.clone(), block.intent);
    before_logging(table, &mut outer);
    if !force && intent != Intent::CatchAll {
        let what = match intent {
            Intent::Sources => "admits only some sources",
            _ => "names these ports",
        };
        let message = format!("{place} {what}: that looks intended");
        let hint = "remove the rule, or run again with --force to let the ports in before it";
        return Err(refuse("explicit-deny", message, hint.to_owned()));
    }
    let bans = Bans::new(ruleset);
    let local_only = hook(table, spot) != Some(Hook::Input);
    let mut found = (outer, local_only);
    if !force && let Some(refusal) = lets_in(&bans, table, &found.0, block, &place) {
        // A chain that forwarding shares may hold the bans, too: then the accept stands behind them, for the host alone.
        let mut inner = spot.clone();
        before_logging(table, &mut inner);
        let chain = table.chains.get(inner.chain);
        let alone = chain.is_some_and(|chain| {
            !detect::is_foreign(chain) && !bans.entered_by_some(inner.table, &chain.name)
        });
        if !alone || lets_in(&bans, table, &inner, block, &place).is_some() {
            return Err(refusal);
        }
        found = (inner, true);
    }
    Ok(found)
}

/// Why an accept at a place would let in whom other rules keep out.
fn lets_in(
    bans: &Bans<'_>,
    table: &Table,
    spot: &Spot,
    block: &Block,
    place: &str,
) -> Option<Refusal> {
    let refusal = |code, message, hint: &str| Refusal {
        code,
        message,
        hint: Some(hint.to_owned()),
        ports: PortSet::EMPTY,
    };
    if let Some(rule) = bans.implied_before(spot, &block.ports) {
        let message = format!(
            "rule `{rule}` (handle {}) keeps some sources from being accepted: an accept before {place} would let them in",
            rule.handle
        );
        let hint = "turn those sources away by a rule of their own, or run again with --force";
        return Some(refusal("implied-ban", message, hint));
    }
    let ban = ban_behind(bans, table, spot, &block.ports)?;
    let message = format!(
        "rule `{ban}` (handle {}) bans sources, but stands behind {place}: an accept there would let them in",
        ban.handle
    );
    let hint = "move the ban before the block, or run again with --force";
    Some(refusal("ban-behind-block", message, hint))
}

fn outward(table: &Table, mut spot: Spot, mut intent: Intent) -> (Spot, Intent) {
    while let Some(call) = spot.calls.last().copied() {
        let Some(chain) = table.chains.get(spot.chain) else {
            break;
        };
        let leave = detect::is_foreign(chain)
            || shared(table, chain, call)
            || logs_and_drops(chain, spot.rule);
        if !leave {
            break;
        }
        if call.source && intent == Intent::CatchAll {
            intent = Intent::Sources;
        }
        spot.calls.pop();
        spot.chain = call.chain;
        spot.rule = Some(call.rule);
    }
    (spot, intent)
}

/// The rules that log what is about to be dropped belong to the drop.
fn before_logging(table: &Table, spot: &mut Spot) {
    let Some(chain) = table.chains.get(spot.chain) else {
        return;
    };
    let end = spot.rule.unwrap_or(chain.rules().len());
    let before = chain.rules().iter().take(end).rev();
    let logging = before
        .take_while(|rule| rule.statements.iter().any(logs) && !rule.statements.iter().any(acts));
    match logging.count() {
        0 => {}
        count => spot.rule = Some(end - count),
    }
}

fn logs(statement: &Statement) -> bool {
    matches!(statement, Statement::Neutral { text } if text.to_ascii_lowercase().contains("log"))
}

/// Whether a statement does anything to the packet or to what later rules see.
fn acts(statement: &Statement) -> bool {
    !matches!(
        statement,
        Statement::Match { .. }
            | Statement::Lookup { .. }
            | Statement::Condition { .. }
            | Statement::Neutral { .. }
    )
}

/// Whether anything but this call leads into the chain: another hook, a ban, another rule.
fn shared(table: &Table, chain: &Chain, call: Call) -> bool {
    table.chains.iter().enumerate().any(|(index, other)| {
        let Some(rules) = &other.rules else {
            // A chain whose rules are not known might lead here.
            return true;
        };
        rules.iter().enumerate().any(|(position, rule)| {
            let this_call = index == call.chain && position == call.rule;
            let calls = targets(table, rule)
                .filter(|target| *target == chain.name)
                .count();
            calls > usize::from(this_call)
        })
    })
}

/// The chains that a rule can send a packet to.
fn targets<'a>(table: &'a Table, rule: &'a Rule) -> impl Iterator<Item = &'a str> {
    use crate::model::ruleset::Elements;
    let of_verdict = |verdict: &'a Verdict| match verdict {
        Verdict::Jump(chain) | Verdict::Goto(chain) => Some(chain.as_str()),
        _ => None,
    };
    rule.statements.iter().flat_map(move |statement| {
        let elements = match statement {
            Statement::VerdictMap { map, .. } => match table.set(map).map(|set| &set.elements) {
                Some(Elements::Read(elements)) => elements.as_slice(),
                _ => &[],
            },
            _ => &[],
        };
        let direct = match statement {
            Statement::Verdict(verdict) => of_verdict(verdict),
            _ => None,
        };
        let mapped = elements
            .iter()
            .filter_map(move |element| element.verdict.as_ref().and_then(of_verdict));
        direct.into_iter().chain(mapped)
    })
}

/// Whether the chain only logs before it drops: an accept inside would leave log lines of accepted packets behind.
fn logs_and_drops(chain: &Chain, rule: Option<usize>) -> bool {
    let Some(block) = rule else { return false };
    let rules = chain.rules().iter().take(block + 1);
    let logs = |statement: &Statement| matches!(statement, Statement::Neutral { text } if text.to_ascii_lowercase().contains("log"));
    let mut logging = false;
    for (index, rule) in rules.enumerate() {
        logging |= rule.statements.iter().any(logs);
        if index < block && rule.statements.iter().any(decides) {
            return false;
        }
    }
    logging
}

fn decides(statement: &Statement) -> bool {
    match statement {
        Statement::Verdict(verdict) => *verdict != Verdict::Continue,
        Statement::VerdictMap { .. }
        | Statement::Nat(_)
        | Statement::Tproxy { .. }
        | Statement::NotDecoded { .. } => true,
        _ => false,
    }
}

/// The first rule behind the place, on the way to the end of the base chain, that bans sources from the ports.
fn ban_behind<'a>(
    bans: &Bans<'a>,
    table: &'a Table,
    spot: &Spot,
    ports: &PortSet,
) -> Option<&'a Rule> {
    let mut positions: Vec<(usize, usize)> = Vec::new();
    positions.extend(spot.rule.map(|rule| (spot.chain, rule)));
    positions.extend(
        spot.calls
            .iter()
            .rev()
            .take_while(|call| !call.goto)
            .map(|call| (call.chain, call.rule + 1)),
    );
    positions.iter().find_map(|(chain, from)| {
        let rules = table.chains.get(*chain)?.rules();
        let mut behind = rules.iter().skip(*from);
        behind.find(|rule| bans.in_rule(spot.table, rule, ports))
    })
}

/// Makes the insertion in memory.
pub fn apply(ruleset: &mut Ruleset, insertion: &Insertion) {
    let table = ruleset
        .tables
        .iter_mut()
        .find(|table| insertion.is_in(table));
    let chain = table.and_then(|table| {
        let mut chains = table.chains.iter_mut();
        chains.find(|chain| chain.name == insertion.chain)
    });
    if let Some(rules) = chain.and_then(|chain| chain.rules.as_mut()) {
        let index = insertion.index.min(rules.len());
        rules.insert(index, accept(insertion.ports, insertion.local_only));
    }
}

/// `[fib daddr type local] tcp dport PORTS accept comment "pasvsync"`.
pub fn accept(ports: PortRange, local_only: bool) -> Rule {
    let field = |field, length| Value::field(field, length);
    let compare = |operator, data: &[u8]| Test::Compare {
        operator,
        data: data.to_vec(),
    };
    let mut statements = Vec::new();
    if local_only {
        let address_type = Field::Fib {
            destination: true,
            input_interface: false,
            result: crate::model::ruleset::FibResult::AddressType,
            present: false,
        };
        statements.push(Statement::Match {
            value: field(address_type, 4),
            test: compare(Operator::Equal, &2_u32.to_ne_bytes()),
        });
    }
    statements.push(Statement::Match {
        value: field(Field::TransportProtocol, 1),
        test: compare(Operator::Equal, &[6]),
    });
    let destination_port = Field::Payload {
        base: PayloadBase::Transport,
        offset: 2,
    };
    let port = field(destination_port, 2);
    let (first, last) = (ports.first().to_be_bytes(), ports.last().to_be_bytes());
    if first == last {
        statements.push(Statement::Match {
            value: port,
            test: compare(Operator::Equal, &first),
        });
    } else {
        statements.push(Statement::Match {
            value: port.clone(),
            test: compare(Operator::GreaterOrEqual, &first),
        });
        statements.push(Statement::Match {
            value: port,
            test: compare(Operator::LessOrEqual, &last),
        });
    }
    statements.push(Statement::Verdict(Verdict::Accept));
    Rule {
        handle: 0,
        comment: Some(MARK.to_owned()),
        statements: statements.into(),
    }
}
