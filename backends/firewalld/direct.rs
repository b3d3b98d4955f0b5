//! direct.xml: what iptables makes of the rules that firewalld only passes on to it.
//!
//! With the nftables backend they stand in iptables' own chains, which a packet meets beside firewalld's; an accept there
//! does not overrule the zones. With the iptables backend those for `INPUT` stand in firewalld's `INPUT_direct`, before
//! the zones, and an accept there is an accept (`core/fw_direct.py` and `core/ipXtables.py`, 1.3.3 to 2.5.0). Either way
//! iptables loads them in a scratch namespace, and what it makes of them is read back.

use std::collections::BTreeMap;
use std::path::Path;

use super::config::{Configuration, Direct, DirectKind, FirewallBackend};
use crate::error::Result;
use crate::model::reach::Family;
use crate::model::ruleset::{Table, TableFamily};
use crate::netfilter::scratch::{View, in_scratch, input, run};

/// netfilter's own chains, by table.
const BUILT_IN: [(&str, &[&str]); 5] = [
    ("filter", &["INPUT", "FORWARD", "OUTPUT"]),
    (
        "mangle",
        &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
    ),
    ("nat", &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]),
    ("raw", &["PREROUTING", "OUTPUT"]),
    ("security", &["INPUT", "FORWARD", "OUTPUT"]),
];

/// Options that are no part of a rule, or ask for what a scratch namespace does not have.
const ELSEWHERE: [&str; 28] = [
    "-t",
    "--table",
    "-A",
    "--append",
    "-I",
    "--insert",
    "-D",
    "--delete",
    "-R",
    "--replace",
    "-N",
    "--new-chain",
    "-X",
    "--delete-chain",
    "-P",
    "--policy",
    "-F",
    "--flush",
    "-E",
    "-Z",
    "-M",
    "--modprobe",
    "-w",
    "--wait",
    "--match-set",
    "--add-set",
    "--del-set",
    "--map-set",
];

/// Behind the name of a chain of netfilter's, that of firewalld's chain with the direct rules.
const SUFFIX: &str = "_direct";

impl Configuration {
    /// The same with the direct rules as iptables takes them. Those that cannot be told stay doubts.
    #[must_use]
    pub fn with_direct(mut self) -> Self {
        if self.direct.iter().all(|line| line.harmless) {
            return self;
        }
        let chains: Vec<&Direct> = self.direct.iter().collect();
        let known = |line: &Direct, chain: &str| {
            chains.iter().any(|other| {
                other.kind == DirectKind::Chain
                    && other.harmless
                    && (other.family, &other.table) == (line.family, &line.table)
                    && other.chain == chain
            })
        };
        let placed = |line: &Direct| command(line, self.backend, |chain| known(line, chain));
        let mut unclear: Vec<Direct> = Vec::new();
        let mut commands: Vec<(&Direct, String)> = Vec::new();
        for line in &self.direct {
            match placed(line) {
                Some(command) => commands.push((line, command)),
                None => unclear.push(Direct {
                    harmless: false,
                    ..line.clone()
                }),
            }
        }
        if !unclear.is_empty() {
            self.direct = unclear;
            return self;
        }
        match load(&commands, self.backend) {
            Ok(tables) => {
                self.direct = Vec::new();
                self.direct_tables = tables;
            }
            Err(error) => {
                self.direct.truncate(1);
                for line in &mut self.direct {
                    line.harmless = false;
                    line.text = format!("direct rules of which iptables says: {error}: those");
                }
            }
        }
        self
    }

    /// Whether packets meet direct rules in a chain of firewalld's iptables backend.
    pub(super) fn has_direct(&self, family: Family, table: &str, chain: &str) -> bool {
        let mut tables = self.direct_tables.iter();
        tables.any(|known| {
            let mut chains = known.chains.iter();
            known.family == of(family) && known.name == table && chains.any(|it| it.name == chain)
        })
    }

    /// Puts what iptables made of the direct rules beside or into what firewalld writes.
    pub(super) fn add_direct(&self, tables: &mut Vec<Table>) {
        for direct in &self.direct_tables {
            let same = |own: &&mut Table| (own.family, &own.name) == (direct.family, &direct.name);
            let Some(own) = tables.iter_mut().find(same) else {
                tables.push(direct.clone());
                continue;
            };
            // firewalld's own base chains lead there; replies leave before any direct rule of the filter's.
            let theirs = |name: &str| match own.name.as_str() {
                "nat" => name == "PREROUTING",
                _ => BUILT_IN.iter().any(|(_, chains)| chains.contains(&name)),
            };
            let chains = direct.chains.iter().filter(|chain| !theirs(&chain.name));
            let chains: Vec<_> = chains.cloned().collect();
            own.chains.extend(chains);
            own.sets.extend(direct.sets.iter().cloned());
        }
    }
}

fn of(family: Family) -> TableFamily {
    match family {
        Family::Ipv4 => TableFamily::Ip,
        Family::Ipv6 => TableFamily::Ip6,
    }
}

/// What iptables is told of a line; `None` where that, or where it will stand, is not certain.
fn command(
    line: &Direct,
    backend: FirewallBackend,
    known: impl Fn(&str) -> bool,
) -> Option<String> {
    line.family?;
    let (_, built_in) = BUILT_IN.iter().find(|(table, _)| *table == line.table)?;
    let plain = line.chain.strip_suffix(SUFFIX);
    let bare = plain.filter(|chain| built_in.contains(chain));
    let bare = bare.unwrap_or(&line.chain);
    let is_built_in = built_in.contains(&bare);
    let chain = match (backend, is_built_in) {
        (FirewallBackend::Iptables, true) => format!("{bare}{SUFFIX}"),
        _ => bare.to_owned(),
    };
    let told = |sign: char, chain: &str| format!("-{sign} {chain} {}", line.words);
    match line.kind {
        DirectKind::Chain => line.harmless.then(|| format!("-N {chain}")),
        DirectKind::Rule(_) => {
            (is_plain(&line.words) && (is_built_in || known(bare))).then(|| told('A', &chain))
        }
        DirectKind::Passthrough(sign) => {
            // With the iptables backend, among firewalld's own rules.
            let alone =
                backend == FirewallBackend::Nftables && built_in.contains(&line.chain.as_str());
            let there = alone || known(&line.chain);
            (is_plain(&line.words) && there).then(|| told(sign, &line.chain))
        }
    }
}

/// Whether the words reach iptables as they stand.
fn is_plain(words: &str) -> bool {
    let odd = |letter: char| matches!(letter, '\'' | '\\' | '%' | '`');
    let mut each = words.split_ascii_whitespace();
    !words.contains(odd)
        && !each.any(|word| ELSEWHERE.contains(&word.split('=').next().unwrap_or(word)))
}

/// Has iptables load the commands where nobody sees it.
fn load(commands: &[(&Direct, String)], backend: FirewallBackend) -> Result<Vec<Table>> {
    let texts: Vec<(&str, String)> = Family::BOTH
        .into_iter()
        .map(|family| {
            let of_family = commands
                .iter()
                .filter(|(line, _)| line.family == Some(family));
            let program = match family {
                Family::Ipv4 => "iptables-nft-restore",
                Family::Ipv6 => "ip6tables-nft-restore",
            };
            (program, text(of_family, backend))
        })
        .collect();
    let view = View {
        interfaces: &[],
        named: &[],
        root: Path::new("/"),
        replaced: &[],
    };
    let scratch = in_scratch(view, || {
        for (program, text) in texts.iter().filter(|(_, text)| !text.is_empty()) {
            run(program, &["-n"], Some(input(text.as_bytes())?))?;
        }
        Ok(())
    })?;
    let mut tables = scratch.tables;
    for chain in tables.iter_mut().flat_map(|table| &mut table.chains) {
        chain.handle = 0;
        for rule in chain.rules.iter_mut().flatten() {
            rule.handle = 0;
        }
    }
    Ok(tables)
}

/// The commands of one family in the order in which firewalld gives them: chains, rules by priority, passthroughs.
fn text<'d>(
    commands: impl Iterator<Item = &'d (&'d Direct, String)>,
    backend: FirewallBackend,
) -> String {
    let mut commands: Vec<&(&Direct, String)> = commands.collect();
    commands.sort_by_key(|(line, _)| match line.kind {
        DirectKind::Chain => (0, 0),
        DirectKind::Rule(priority) => (1, priority),
        DirectKind::Passthrough(_) => (2, 0),
    });
    let mut tables: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (line, command) in commands {
        let lines = tables
            .entry(&line.table)
            .or_insert_with(|| skeleton(&line.table, backend));
        if !lines.contains(command) {
            lines.push(command.clone());
        }
    }
    let tables = tables.iter();
    tables
        .map(|(table, lines)| format!("*{table}\n{}\nCOMMIT\n", lines.join("\n")))
        .collect()
}

/// The chains of firewalld's iptables backend for direct rules.
fn skeleton(table: &str, backend: FirewallBackend) -> Vec<String> {
    if backend == FirewallBackend::Nftables {
        return Vec::new();
    }
    let chains = BUILT_IN.iter().filter(|(known, _)| *known == table);
    let chains = chains.flat_map(|(_, chains)| chains.iter());
    chains
        .flat_map(|chain| {
            [
                format!("-N {chain}{SUFFIX}"),
                format!("-A {chain} -j {chain}{SUFFIX}"),
            ]
        })
        .collect()
}
