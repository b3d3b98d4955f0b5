//! Finds the place of a line by proof: what the loader makes of the edited file must be just what is wanted.

use std::time::{Duration, Instant};

use super::load::BOOT_UNIT;
use super::places::{groups, render};
use super::shape::{OwnRule, Shape};
use super::sources::Source;
use super::text::{Boundary, Group, Text};
use crate::backend::Refusal;
use crate::error::{ErrorKind, Result};
use crate::model::ports::PortSet;
use crate::model::ruleset::Ruleset;
use crate::own::Decision;

/// As often a group of places is tried. The first two or three tries find what can be found in any usual file.
const MOST_TRIES: usize = 24;

/// A search takes no longer. Files of a hundred thousand rules take seconds for each try.
const LONGEST: Duration = Duration::from_secs(60);

/// Files being edited, and the loader that judges every try.
pub(crate) struct Search<'a> {
    /// What boot's loader makes of the files with these contents.
    pub(crate) load: &'a dyn Fn(&[Vec<u8>]) -> Result<Ruleset>,
    pub(crate) sources: &'a [Source],
    /// The files as edited so far.
    pub(crate) texts: Vec<Text>,
    /// What they load.
    pub(crate) shape: Shape,
    pub(crate) started: Instant,
}

/// Where a line put its rule.
enum Landing {
    /// Where it is wanted.
    Here,
    /// In the right chain, but behind so many rules.
    Behind(usize),
    /// The file no longer loads, or says something else.
    Elsewhere,
}

impl Search<'_> {
    /// Makes the edits of a decision, as far as there is a safe one; the rest is refused.
    pub(crate) fn edit(&mut self, decision: &Decision) -> Result<Vec<Refusal>> {
        let mut refusals = Vec::new();
        let own = self.shape.own.clone();
        let stale = own.into_iter().zip(&decision.own);
        let stale: Vec<OwnRule> = stale
            .filter(|(_, (_, kept))| !kept)
            .map(|(rule, _)| rule)
            .collect();
        for rule in stale {
            if !self.take_out(&rule)? {
                refusals.push(self.refusal(&rule, "pasvsync's rule stands on no line of its own"));
            }
        }
        for missing in &decision.insertions {
            let insertion = &missing.insertion;
            let rule = OwnRule {
                family: insertion.family,
                table: insertion.table.clone(),
                chain: insertion.chain.clone(),
                index: missing.index,
                ports: Some(insertion.ports),
                local_only: insertion.local_only,
            };
            if !self.put_in(&rule)? {
                refusals.push(self.refusal(&rule, "no line puts the accept where it belongs"));
            }
        }
        Ok(refusals)
    }

    fn refusal(&self, rule: &OwnRule, what: &str) -> Refusal {
        let files = self.sources.iter();
        let files: Vec<String> = files
            .take(3)
            .map(|source| format!("`{}`", source.path.display()))
            .collect();
        let (family, files) = (rule.family.as_str(), files.join(", "));
        let (table, chain) = (&rule.table, &rule.chain);
        Refusal {
            code: "boot-file-not-editable",
            message: format!("{what} in chain {family} {table} {chain}, which {files} loads"),
            hint: Some(BOOT_UNIT.to_owned()),
            ports: rule.ports.map_or(PortSet::EMPTY, PortSet::from),
        }
    }

    /// Takes a line of ours out, such that just its rule is gone.
    fn take_out(&mut self, rule: &OwnRule) -> Result<bool> {
        let mut wanted = self.shape.clone();
        if let Some(position) = wanted.own.iter().position(|own| own == rule) {
            wanted.own.remove(position);
        }
        let lines = self.texts.iter().enumerate().flat_map(|(file, text)| {
            let own = text.own_lines().into_iter();
            own.map(move |(line, ports)| (file, line, ports))
        });
        // The ports only tell which line is the likeliest: those of a rule with conditions of its own count as none.
        let mut lines: Vec<_> = lines.collect();
        lines.sort_by_key(|(_, _, ports)| *ports != rule.ports);
        for (file, line, _) in lines.into_iter().take(MOST_TRIES) {
            let mut texts = self.texts.clone();
            if let Some(text) = texts.get_mut(file) {
                text.remove(line);
            }
            if let Some(shape) = self.shape_of(&texts)?
                && shape.same_as(&wanted)
            {
                (self.texts, self.shape) = (texts, shape);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Puts a line in, such that just its rule is new, and stands where it is wanted.
    fn put_in(&mut self, rule: &OwnRule) -> Result<bool> {
        let files = self.sources.iter().zip(&self.texts).enumerate();
        let mut places: Vec<(usize, Group)> = files
            .flat_map(|(file, (source, text))| {
                let groups = groups(source, text, rule).into_iter();
                groups.map(move |group| (file, group))
            })
            .collect();
        places.sort_by_key(|(_, group)| group.rank);
        for (file, group) in places {
            if self.seek(file, &group, rule)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Looks for the last place of a group. Each try tells how far off it was: a line further down never puts its rule
    /// further up.
    fn seek(&mut self, file: usize, group: &Group, rule: &OwnRule) -> Result<bool> {
        let mut untried = vec![true; group.boundaries.len()];
        let mut at = group.boundaries.len().saturating_sub(1);
        for _ in 0..MOST_TRIES {
            let Some(boundary) = group.boundaries.get(at) else {
                break;
            };
            if self.started.elapsed() > LONGEST {
                break;
            }
            if let Some(untried) = untried.get_mut(at) {
                *untried = false;
            }
            let next = match self.attempt(file, group, *boundary, rule)? {
                Landing::Here => return Ok(true),
                // All of the group is behind the place, or before it.
                Landing::Behind(index) if index > rule.index && at == 0 => break,
                Landing::Behind(index)
                    if index < rule.index && at + 1 == group.boundaries.len() =>
                {
                    break;
                }
                Landing::Behind(index) if index > rule.index => {
                    upwards(group, at, index - rule.index)
                }
                Landing::Behind(index) => downwards(group, at, rule.index - index),
                Landing::Elsewhere => at.saturating_sub(1),
            };
            match nearest(&untried, next) {
                Some(next) => at = next,
                None => break,
            }
        }
        Ok(false)
    }

    fn attempt(
        &mut self,
        file: usize,
        group: &Group,
        boundary: Boundary,
        rule: &OwnRule,
    ) -> Result<Landing> {
        let mut texts = self.texts.clone();
        if let Some(text) = texts.get_mut(file) {
            let line = render(text, group, boundary, rule);
            text.insert(boundary.line, &line);
        }
        let Some(shape) = self.shape_of(&texts)? else {
            return Ok(Landing::Elsewhere);
        };
        if shape.foreign != self.shape.foreign {
            return Ok(Landing::Elsewhere);
        }
        let landed = match shape.extra(&self.shape).as_deref() {
            Some([landed]) => landed.clone(),
            _ => return Ok(Landing::Elsewhere),
        };
        if landed == *rule {
            (self.texts, self.shape) = (texts, shape);
            return Ok(Landing::Here);
        }
        let elsewhere_in_chain = OwnRule {
            index: rule.index,
            ..landed.clone()
        };
        Ok(if elsewhere_in_chain == *rule {
            Landing::Behind(landed.index)
        } else {
            Landing::Elsewhere
        })
    }

    /// What the files would load; nothing when the loader rejects them.
    fn shape_of(&self, texts: &[Text]) -> Result<Option<Shape>> {
        let texts: Vec<Vec<u8>> = texts.iter().map(Text::bytes).collect();
        match (self.load)(&texts) {
            Ok(ruleset) => Ok(Some(Shape::of(&ruleset))),
            Err(error) if error.kind() == ErrorKind::Refused => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The place so many rules further up, directly before a rule.
fn upwards(group: &Group, from: usize, rules: usize) -> usize {
    let places = group.boundaries.iter().enumerate().take(from).rev();
    let mut rule_places = places.filter(|(_, boundary)| boundary.rule);
    let found = rule_places.nth(rules.saturating_sub(1));
    found.map_or(0, |(index, _)| index)
}

/// The place so many rules further down, directly behind a rule.
fn downwards(group: &Group, from: usize, rules: usize) -> usize {
    let places = group.boundaries.iter().enumerate().skip(from);
    let mut rule_places = places.filter(|(_, boundary)| boundary.rule);
    let found = rule_places.nth(rules.saturating_sub(1));
    found.map_or(group.boundaries.len().saturating_sub(1), |(index, _)| {
        index + 1
    })
}

/// The place itself when it has not been tried, else the nearest one that has not.
fn nearest(untried: &[bool], wanted: usize) -> Option<usize> {
    let places = untried.iter().enumerate().filter(|(_, untried)| **untried);
    places
        .map(|(index, _)| index)
        .min_by_key(|index| (index.abs_diff(wanted), *index))
}
