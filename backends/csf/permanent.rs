//! What csf will make of csf.conf at the next boot, as a ruleset.
//!
//! csf itself cannot be asked: it has no dry run. Its live chains are the best witness of everything that csf.conf and
//! csf's other files and scripts add up to; only their port rules are replaced by those that csf.conf has now. Where there
//! are no such chains, the least that csf makes stands in for them, and what cannot be known is unknown.

use std::path::Path;

use super::conf::{Conf, Problem};
use super::file;
use super::items::Items;
use super::live::{self, Direction, Form, in_state};
use crate::host::file::read_dir;
use crate::iptables;
use crate::model::reach::Family;
use crate::model::ruleset::{
    BaseChain, Chain, ChainKind, Field, Filter, Hook, Operator, Policy, Rule, Ruleset, Statement,
    Table, TableFamily, Test, Value, Verdict,
};

/// RELATED and ESTABLISHED among the states of `ct state`.
const ESTABLISHED: u32 = 2 | 4;

/// Scripts that csf runs before and after it makes its rules.
const SCRIPTS: [&str; 4] = [
    "/usr/local/csf/bin/csfpre.sh",
    "/etc/csf/csfpre.sh",
    "/usr/local/csf/bin/csfpost.sh",
    "/etc/csf/csfpost.sh",
];
/// A fork's scripts run what is in these.
const FOLDERS: [&str; 2] = [
    "/usr/local/include/csf/pre.d",
    "/usr/local/include/csf/post.d",
];
/// What tells the fork's own scripts, which do nothing else, from an admin's.
const LOADER: [&str; 2] = [
    "app_repo=\"Aetherinox/csf-firewall\"",
    "initialization scripts",
];

/// The admin's own scripts that csf runs: what they do to its rules is known from the running rules only.
pub(super) fn scripts(root: &Path) -> Vec<String> {
    let there = |path: &&str| file::path(root, path).exists();
    let acts = |path: &&str| match std::fs::read(file::path(root, path)) {
        Ok(text) => acts(&String::from_utf8_lossy(&text)),
        // It might do anything.
        Err(_) => true,
    };
    let scripts = SCRIPTS.into_iter().filter(there).filter(acts);
    let mut scripts: Vec<String> = scripts.map(str::to_owned).collect();
    for folder in FOLDERS {
        let entries = match read_dir(&file::path(root, folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            // There might be anything.
            Err(_) => {
                scripts.push(folder.to_owned());
                continue;
            }
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "sh") {
                let name = entry.file_name();
                scripts.push(format!("{folder}/{}", name.display()));
            }
        }
    }
    scripts
}

/// Whether a script may do anything to the rules.
fn acts(text: &str) -> bool {
    let lines = text.lines().map(str::trim);
    let mut commands = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    if LOADER.iter().all(|words| text.contains(words)) {
        let words = ["tables", "nft", "ipset"];
        return commands.any(|line| words.iter().any(|word| line.contains(word)));
    }
    commands.next().is_some()
}

/// csf's other files that may close ports to everybody, as far as they say anything.
fn closing_files(root: &Path) -> Vec<String> {
    type Closes = fn(&str) -> bool;
    let any: Closes = |_| true;
    // A plain address is a ban; ports, and what other files say, are more.
    let ports: Closes = |line| line.contains('|') || line.starts_with("Include");
    let files = [
        ("/etc/csf/csf.redirect", any),
        ("/etc/csf/csf.sips", any),
        ("/etc/csf/csf.deny", ports),
    ];
    let says = |(path, closes): &(&str, Closes)| match std::fs::read(file::path(root, path)) {
        Ok(text) => {
            let text = String::from_utf8_lossy(&text).into_owned();
            let lines = text.lines().map(str::trim);
            let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
            lines.any(closes)
        }
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    let files = files.into_iter().filter(says);
    files.map(|(path, _)| path.to_owned()).collect()
}

/// The four lists of TCP ports.
#[derive(Clone, Debug)]
pub(super) struct Lists {
    lists: Vec<(Family, Direction, Items)>,
}

impl Lists {
    /// Reads them.
    ///
    /// # Errors
    /// When one of them is not fully understood.
    pub(super) fn of(conf: &Conf) -> Result<Self, Problem> {
        let both = Family::BOTH
            .into_iter()
            .flat_map(|family| Direction::BOTH.map(|direction| (family, direction)));
        let lists = both.map(|(family, direction)| {
            Ok((
                family,
                direction,
                Items::of(conf, direction.setting(family))?,
            ))
        });
        Ok(Self {
            lists: lists.collect::<Result<_, _>>()?,
        })
    }

    /// One of them.
    pub(super) fn get(&self, family: Family, direction: Direction) -> Items {
        let mut lists = self.lists.iter();
        let found = lists.find(|(known, way, _)| *known == family && *way == direction);
        found.map(|(.., items)| items.clone()).unwrap_or_default()
    }
}

/// What csf would make of csf.conf, beside everything else that filters now.
pub(super) fn ruleset(live: &Ruleset, root: &Path, conf: &Conf, lists: &Lists) -> Ruleset {
    let mut ruleset = live.clone();
    ruleset.generation = None;
    for family in Family::BOTH {
        let inspected = family == Family::Ipv4 || conf.is_on("IPV6");
        match live::table(live, family) {
            Some(table) if inspected => {
                let mut table = table.clone();
                if replace(&mut table, conf, lists, family).is_some() {
                    put(&mut ruleset, table, false);
                    continue;
                }
            }
            // At boot csf leaves IPv6 alone then: what is there now is left over from before.
            Some(table) => {
                let (filter, family) = (table.filter, table.family);
                let stale = |table: &Table| {
                    table.filter == filter && table.family == family && iptables::is_iptables(table)
                };
                ruleset.tables.retain(|table| !stale(table));
                continue;
            }
            None if !inspected => continue,
            None => {}
        }
        put(&mut ruleset, least(root, conf, lists, family), true);
    }
    ruleset
}

/// Puts a table in the place of the one of that name; alone, in the place of all tables of iptables: csf flushes them.
fn put(ruleset: &mut Ruleset, table: Table, alone: bool) {
    let same = |other: &Table| {
        other.family == table.family
            && (other.filter == table.filter && other.name == table.name
                || alone && iptables::is_iptables(other))
    };
    ruleset.tables.retain(|other| !same(other));
    ruleset.tables.push(table);
}

/// The table with the port rules that csf.conf has; `None` where the chains are not as csf makes them.
fn replace(table: &mut Table, conf: &Conf, lists: &Lists, family: Family) -> Option<()> {
    for direction in Direction::BOTH {
        let form = Form::of(conf, family, direction);
        let mut chains = table.chains.iter_mut();
        let chain = chains.find(|chain| chain.name == direction.chain())?;
        let mut block = form.block(chain);
        if block.is_empty() {
            let place = form.place(chain)?;
            block = place..place;
        }
        let items = lists.get(family, direction);
        let made = items.iter().map(|item| form.rule(item.ports));
        let rules = chain.rules.as_mut()?;
        let behind = rules.split_off(block.end);
        rules.truncate(block.start);
        // What somebody typed is gone after a boot, and so is what csf made of other settings than those of now.
        rules.retain(|rule| !live::lets_anybody_in(rule));
        rules.extend(made);
        rules.extend(
            behind
                .into_iter()
                .filter(|rule| !live::lets_anybody_in(rule)),
        );
    }
    Some(())
}

/// The least that csf makes: the port rules and what is around them, without bans, limits and exceptions.
fn least(root: &Path, conf: &Conf, lists: &Lists, family: Family) -> Table {
    let mut unknown = scripts(root);
    unknown.extend(closing_files(root));
    if conf.is_on("CC_ALLOW_FILTER") {
        unknown.push("CC_ALLOW_FILTER".to_owned());
    }
    let unknown = unknown
        .into_iter()
        .map(|name| statements(vec![Statement::NotDecoded { name }]));
    let unknown: Vec<Rule> = unknown.collect();
    let chain = |direction| least_chain(conf, lists, family, direction, unknown.clone());
    let mut chains: Vec<Chain> = Direction::BOTH.into_iter().map(chain).collect();
    if conf.is_on("WATCH_MODE") {
        chains.push(Chain {
            name: "LOGACCEPT".to_owned(),
            handle: 0,
            base: None,
            rules: Some(vec![statements(vec![Statement::Verdict(Verdict::Accept)])]),
        });
    }
    Table {
        family: match family {
            Family::Ipv4 => TableFamily::Ip,
            Family::Ipv6 => TableFamily::Ip6,
        },
        name: "filter".to_owned(),
        filter: Filter::Nftables,
        owned: false,
        dormant: false,
        chains,
        sets: Vec::new(),
    }
}

/// A chain of the least that csf makes; `rules` are those before csf's own.
fn least_chain(
    conf: &Conf,
    lists: &Lists,
    family: Family,
    direction: Direction,
    mut rules: Vec<Rule>,
) -> Chain {
    let form = Form::of(conf, family, direction);
    let (hook, field) = match direction {
        Direction::In => (Hook::Input, Field::InputInterfaceName),
        Direction::Out => (Hook::Output, Field::OutputInterfaceName),
    };
    let loopback = Statement::Match {
        value: Value::field(field, 16),
        test: Test::Compare {
            operator: Operator::Equal,
            data: b"lo\0".to_vec(),
        },
    };
    let accept = Statement::Verdict(Verdict::Accept);
    rules.push(statements(vec![loopback, accept.clone()]));
    let spi = if family == Family::Ipv4 {
        "LF_SPI"
    } else {
        "IPV6_SPI"
    };
    let inspects = conf.is_on(spi);
    if inspects {
        rules.push(statements(vec![
            form.device(),
            in_state(ESTABLISHED),
            accept.clone(),
        ]));
    }
    let items = lists.get(family, direction);
    rules.extend(items.iter().map(|item| form.rule(item.ports)));
    if !inspects && direction == Direction::Out {
        rules.push(statements(vec![form.device(), accept]));
    }
    rules.push(statements(vec![
        form.device(),
        Statement::Verdict(Verdict::Drop),
    ]));
    Chain {
        name: direction.chain().to_owned(),
        handle: 0,
        base: Some(BaseChain {
            kind: ChainKind::Filter,
            hook,
            priority: 0,
            policy: Policy::Drop,
            devices: Vec::new(),
        }),
        rules: Some(rules),
    }
}

fn statements(statements: Vec<Statement>) -> Rule {
    Rule {
        statements: statements.into(),
        ..Rule::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ports::PortRange;
    use crate::model::reach::Reach;
    use crate::proof::trace;

    const CONF: &str = "LF_SPI = \"1\"\nIPV6 = \"1\"\nIPV6_SPI = \"1\"\nUSE_CONNTRACK = \"1\"\n\
        TCP_IN = \"21,30000:30009\"\nTCP_OUT = \"21\"\nTCP6_IN = \"21\"\nTCP6_OUT = \"21\"\n";

    /// What becomes of a port of the list, without any chains of csf's: over IPv4, then IPv6.
    fn reach(root: &Path, conf: &str) -> [Reach; 2] {
        let conf = Conf::parse(conf.as_bytes()).unwrap();
        let lists = Lists::of(&conf).unwrap();
        let live = Ruleset {
            interfaces: crate::netfilter::interfaces().unwrap(),
            ..Ruleset::default()
        };
        let ruleset = ruleset(&live, root, &conf, &lists);
        let ports = PortRange::single(30005).into();
        Family::BOTH.map(|family| trace(&ruleset, family, &ports).reach(30005).unwrap())
    }

    #[test]
    fn without_chains_the_lists_decide() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(reach(root.path(), CONF), [Reach::Open, Reach::Closed]);
        let off = CONF.replace("IPV6 = \"1\"", "IPV6 = \"0\"");
        assert_eq!(reach(root.path(), &off), [Reach::Open, Reach::Open]);
        let stateless = CONF.replace("_SPI = \"1\"", "_SPI = \"0\"");
        assert_eq!(reach(root.path(), &stateless), [Reach::Open, Reach::Closed]);
        let watched = format!("{CONF}WATCH_MODE = \"1\"\n");
        assert_eq!(reach(root.path(), &watched), [Reach::Open, Reach::Closed]);
    }

    #[test]
    fn what_may_close_ports_makes_them_unknown() {
        let filter = format!("{CONF}CC_ALLOW_FILTER = \"de\"\n");
        let root = tempfile::tempdir().unwrap();
        assert_eq!(reach(root.path(), &filter)[0], Reach::Unknown);
        let loader = format!("#!/bin/bash\n{}\nok \"{}\"\n", LOADER[0], LOADER[1]);
        for (path, text, expected) in [
            ("etc/csf/csfpost.sh", "#!/bin/sh\n# nothing\n", Reach::Open),
            (
                "etc/csf/csfpost.sh",
                "#!/bin/sh\n. /root/rules\n",
                Reach::Unknown,
            ),
            ("usr/local/csf/bin/csfpre.sh", loader.as_str(), Reach::Open),
            ("usr/local/include/csf/post.d/a.sh", "", Reach::Unknown),
            ("etc/csf/csf.deny", "# x\n192.0.2.1 # banned\n", Reach::Open),
            (
                "etc/csf/csf.deny",
                "tcp|in|d=30000_50000|s=0.0.0.0/0\n",
                Reach::Unknown,
            ),
            ("etc/csf/csf.redirect", "*|30005|*|22|tcp\n", Reach::Unknown),
        ] {
            let root = tempfile::tempdir().unwrap();
            let file = root.path().join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, text).unwrap();
            assert_eq!(reach(root.path(), CONF)[0], expected, "{path}: {text}");
        }
    }
}
