//! Random rulesets of several packet filters at once: native nftables, iptables-nft and iptables-legacy.

use std::collections::BTreeSet;
use std::fmt;

use super::case::Case;
use super::iptables::{self, Dump};
use super::search::Ruleset;
use super::{generator, iptables::Kind};
use crate::support::world::World;

/// What is loaded at once.
#[derive(Clone, Debug)]
pub(crate) struct Mixture {
    native: Option<Case>,
    dumps: Vec<Dump>,
}

/// The rule that turns the banned client away, in each family.
const BANS: [&str; 2] = [" -s 203.0.113.66/32 -j ", " -s 2001:db8::66/128 -j "];

impl Mixture {
    /// In which families the banned client is turned away.
    pub(crate) fn bans(&self) -> [bool; 2] {
        BANS.map(|ban| self.dumps.iter().any(|dump| dump.to_string().contains(ban)))
    }

    /// The ports that the rules mention.
    pub(crate) fn ports(&self) -> BTreeSet<u16> {
        let mut ports: BTreeSet<u16> = self
            .native
            .iter()
            .flat_map(|case| case.ports.iter().copied())
            .collect();
        ports.extend(self.dumps.iter().flat_map(Dump::ports));
        ports
    }
}

impl fmt::Display for Mixture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for dump in &self.dumps {
            dump.fmt(formatter)?;
        }
        self.native.iter().try_for_each(|case| case.fmt(formatter))
    }
}

impl Ruleset for Mixture {
    fn load(&self, world: &World) -> Result<(), String> {
        world.try_load("flush ruleset\n")?;
        world.clear_legacy();
        for (index, dump) in self.dumps.iter().enumerate() {
            dump.add(world)
                .map_err(|message| format!("{index} {message}"))?;
        }
        // It is what makes the kernel track connections, too.
        let native = self.native.as_ref().map(Case::to_string);
        world.try_load(&format!(
            "\n{}",
            native.unwrap_or_else(|| super::case::TRACKED.to_owned())
        ))
    }

    fn without_refused(mut self, message: &str) -> Self {
        let dump = message.split_once(' ').and_then(|(index, rest)| {
            let index: usize = index.parse().ok()?;
            Some((index, rest))
        });
        match dump {
            Some((index, rest)) if index < self.dumps.len() => {
                self.dumps[index] = self.dumps[index].clone().without_refused(rest);
            }
            _ => self.native = self.native.map(|case| case.without_refused(message)),
        }
        self
    }

    fn reductions(&self) -> Vec<Self> {
        let mut smaller = Vec::new();
        if self.native.is_some() {
            smaller.push(Self {
                native: None,
                ..self.clone()
            });
        }
        for index in 0..self.dumps.len() {
            let mut copy = self.clone();
            copy.dumps.remove(index);
            smaller.push(copy);
        }
        for (index, dump) in self.dumps.iter().enumerate() {
            smaller.extend(dump.reductions().into_iter().map(|dump| {
                let mut copy = self.clone();
                copy.dumps[index] = dump;
                copy
            }));
        }
        let natives = self.native.iter().flat_map(Case::reductions);
        smaller.extend(natives.map(|case| Self {
            native: Some(case),
            ..self.clone()
        }));
        smaller
    }
}

/// The mixture of a seed: iptables-legacy alone, or with others beside it.
pub(crate) fn generate(seed: u64) -> Mixture {
    mixed(seed, iptables::generate)
}

/// The same for hosts that ban a client.
pub(crate) fn generate_host(seed: u64) -> Mixture {
    mixed(seed, iptables::generate_host)
}

fn mixed(seed: u64, generate: fn(u64) -> Dump) -> Mixture {
    let legacy = generate(seed + 7_000_000).of(Kind::Legacy);
    let nft = || generate(seed + 8_000_000).of(Kind::Nftables);
    let native = || generator::generate(seed + 9_000_000);
    let (dumps, native) = match seed % 4 {
        0 | 1 => (vec![legacy], None),
        2 => (vec![legacy, nft()], None),
        _ => (vec![legacy], Some(native())),
    };
    Mixture { native, dumps }
}
