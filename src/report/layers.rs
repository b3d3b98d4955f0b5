//! What is said of a firewall's two layers: what it does now, and what it will do after the next boot.

use firewall::backend::{Layer, Refusal};

use super::text::when;
use super::{LayerReport, ReachReport, diff};
use crate::findings::Finding;
use crate::reconcile::LayerOutcome;

/// The codes of refusals that are about a rule or a policy, of whichever layer; all others say what they are about.
const ABOUT_RULES: &[&str] = &[
    "ban-behind-block",
    "beside-firewalld",
    "explicit-deny",
    "firewalld-rule",
    "implied-ban",
    "ingress-block",
    "managed-table",
    "no-accept-opens",
];

/// Why ports stay closed. What holds of both layers in the same words is said once, of both.
pub(super) fn refusals(layers: &[LayerOutcome]) -> Vec<Finding> {
    let mut said: Vec<(&Refusal, Vec<Layer>)> = Vec::new();
    for (refusal, layer) in layers
        .iter()
        .flat_map(|found| found.refusals.iter().map(|refusal| (refusal, found.layer)))
    {
        let same = said
            .iter_mut()
            .find(|(other, of)| !of.contains(&layer) && alike(other, refusal));
        match same {
            Some((_, of)) => of.push(layer),
            None => said.push((refusal, vec![layer])),
        }
    }
    said.into_iter()
        .map(|(refusal, of)| {
            let message = match of.as_slice() {
                [_, _, ..] => format!(
                    "{} and {}: {}",
                    when(Layer::Runtime.as_str()),
                    when(Layer::Permanent.as_str()),
                    refusal.message
                ),
                [Layer::Permanent] if ABOUT_RULES.contains(&refusal.code) => {
                    let words = without_handles(&refusal.message);
                    format!("{}: {words}", when(Layer::Permanent.as_str()))
                }
                _ => refusal.message.clone(),
            };
            let mut finding = Finding::new(refusal.code, message);
            finding.hint.clone_from(&refusal.hint);
            finding
        })
        .collect()
}

fn alike(one: &Refusal, other: &Refusal) -> bool {
    one.code == other.code
        && one.hint == other.hint
        && without_handles(&one.message) == without_handles(&other.message)
}

/// What is said of a place in a layer's ruleset.
pub fn words(layer: Layer, text: &str) -> String {
    match layer {
        Layer::Runtime => text.to_owned(),
        Layer::Permanent => without_handles(text),
    }
}

/// The words without the kernel's numbers of rules: those of a scratch namespace are nobody's.
fn without_handles(text: &str) -> String {
    let mut parts = text.split(" (handle ");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                kept.push_str(rest);
            }
            _ => kept.extend([" (handle ", part]),
        }
    }
    kept
}

impl From<LayerOutcome> for LayerReport {
    fn from(outcome: LayerOutcome) -> Self {
        let reach = outcome.reach.iter().flat_map(|map| {
            map.intervals()
                .into_iter()
                .map(|(range, entry)| ReachReport {
                    family: map.family.as_str(),
                    first: range.first(),
                    last: range.last(),
                    verdict: entry.reach.as_str(),
                    because: words(outcome.layer, &entry.because),
                })
        });
        Self {
            in_sync: outcome.in_sync,
            reach: reach.collect(),
            diff: diff::lines(outcome.edits.iter().map(String::as_str))
                .iter()
                .map(|line| format!("{line}\n"))
                .collect(),
            edits: outcome.edits,
            refused: !outcome.refusals.is_empty(),
        }
    }
}
