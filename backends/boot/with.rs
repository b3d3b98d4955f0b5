//! The next boot as a layer of a backend.

use std::fmt;

use super::load::BOOT_UNIT;
use super::{BootLayer, Edit};
use crate::backend::{Backend, Desired, Layer, Plan, Proof, Refusal, Scope};
use crate::error::{Error, ErrorKind, Result};
use crate::model::ports::PortSet;
use crate::model::reach::{Reach, ReachEntry, ReachMap};
use crate::model::ruleset::Ruleset;
use crate::tools::with_ports;

/// The boot files alone, as with `--root`, where nothing is running.
impl Backend for BootLayer {
    type Edit = Edit;

    fn name(&self) -> &'static str {
        self.boot.kind()
    }

    fn layers(&self) -> Vec<Layer> {
        let permanent = (self.in_charge() || self.alone).then_some(Layer::Permanent);
        permanent.into_iter().collect()
    }

    fn remembered(&self, _layer: Layer, desired: &Desired) -> Option<Proof> {
        self.remembered(desired)
    }

    fn remember(&self, _layer: Layer, desired: &Desired, proof: &Proof) {
        self.remember(desired, proof);
    }

    fn ruleset(&mut self, _layer: Layer, _scope: Scope) -> Result<Ruleset> {
        self.ruleset()
    }

    fn settled(&self, _layer: Layer, ruleset: &Ruleset, desired: &Desired) -> bool {
        self.settled(ruleset, desired)
    }

    fn plan(&self, _layer: Layer, ruleset: &Ruleset, desired: &Desired) -> Result<Plan<Edit>> {
        self.plan(ruleset, desired)
    }

    fn apply(&mut self, _layer: Layer, ruleset: &Ruleset, edits: &[Edit]) -> Result<Vec<Edit>> {
        self.apply(ruleset, edits)
    }
}

/// A backend of the running firewall, and one of what the next boot loads beside it.
#[derive(Debug)]
pub struct WithBoot<B, P = BootLayer> {
    /// What filters now.
    pub running: B,
    /// What the next boot loads.
    pub boot: P,
}

/// An edit of either layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayerEdit<E, F = Edit> {
    /// Of the running firewall.
    Running(E),
    /// Of a boot file.
    Boot(F),
}

impl<E: fmt::Display, F: fmt::Display> fmt::Display for LayerEdit<E, F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(edit) => edit.fmt(formatter),
            Self::Boot(edit) => edit.fmt(formatter),
        }
    }
}

/// The edits of the running firewall, and those of boot files.
fn divided<E: Clone, F: Clone>(edits: &[LayerEdit<E, F>]) -> (Vec<E>, Vec<F>) {
    let (mut running, mut boot) = (Vec::new(), Vec::new());
    for edit in edits {
        match edit {
            LayerEdit::Running(edit) => running.push(edit.clone()),
            LayerEdit::Boot(edit) => boot.push(edit.clone()),
        }
    }
    (running, boot)
}

impl<B: Backend, P: Backend> Backend for WithBoot<B, P> {
    type Edit = LayerEdit<B::Edit, P::Edit>;

    fn name(&self) -> &'static str {
        self.running.name()
    }

    fn layers(&self) -> Vec<Layer> {
        let mut layers = self.running.layers();
        layers.extend(self.boot.layers());
        layers
    }

    fn remembered(&self, layer: Layer, desired: &Desired) -> Option<Proof> {
        match layer {
            Layer::Runtime => self.running.remembered(layer, desired),
            Layer::Permanent => self.boot.remembered(layer, desired),
        }
    }

    fn remember(&self, layer: Layer, desired: &Desired, proof: &Proof) {
        match layer {
            Layer::Runtime => self.running.remember(layer, desired, proof),
            Layer::Permanent => self.boot.remember(layer, desired, proof),
        }
    }

    fn ruleset(&mut self, layer: Layer, scope: Scope) -> Result<Ruleset> {
        match layer {
            Layer::Runtime => self.running.ruleset(layer, scope),
            Layer::Permanent => self.boot.ruleset(layer, scope),
        }
    }

    fn settled(&self, layer: Layer, ruleset: &Ruleset, desired: &Desired) -> bool {
        match layer {
            Layer::Runtime => self.running.settled(layer, ruleset, desired),
            Layer::Permanent => self.boot.settled(layer, ruleset, desired),
        }
    }

    fn plan(&self, layer: Layer, ruleset: &Ruleset, desired: &Desired) -> Result<Plan<Self::Edit>> {
        fn wrap<E, F>(plan: Plan<E>, edit: impl Fn(E) -> F) -> Plan<F> {
            Plan {
                edits: plan.edits.into_iter().map(edit).collect(),
                refusals: plan.refusals,
            }
        }
        Ok(match layer {
            Layer::Runtime => wrap(
                self.running.plan(layer, ruleset, desired)?,
                LayerEdit::Running,
            ),
            Layer::Permanent => wrap(self.boot.plan(layer, ruleset, desired)?, LayerEdit::Boot),
        })
    }

    fn batches(&self, edits: &[Self::Edit]) -> u32 {
        self.running.batches(&divided(edits).0)
    }

    fn apply(
        &mut self,
        layer: Layer,
        ruleset: &Ruleset,
        edits: &[Self::Edit],
    ) -> Result<Vec<Self::Edit>> {
        let (running, boot) = divided(edits);
        Ok(match layer {
            Layer::Runtime => {
                let undo = self.running.apply(layer, ruleset, &running)?;
                undo.into_iter().map(LayerEdit::Running).collect()
            }
            Layer::Permanent => {
                let undo = self.boot.apply(layer, ruleset, &boot)?;
                undo.into_iter().map(LayerEdit::Boot).collect()
            }
        })
    }
}

/// What to report of a boot configuration that cannot be judged or edited: every port is unknown, for the reason in the
/// error. The running firewall may have been mended all the same.
pub fn unjudged(error: &Error, desired: &Desired) -> (Vec<ReachMap>, Refusal) {
    let code = match error.kind() {
        ErrorKind::Refused => "boot-file-rejected",
        ErrorKind::Unsupported => "boot-file-not-editable",
        // A container may have CAP_NET_ADMIN and yet not make namespaces.
        _ => "boot-not-judged",
    };
    let message = in_words(error);
    let maps = desired.families.iter().map(|family| ReachMap {
        family: *family,
        entries: vec![ReachEntry {
            ports: desired.ports.clone(),
            reach: Reach::Unknown,
            because: message.clone(),
        }],
    });
    let refusal = Refusal {
        code,
        message: message.clone(),
        hint: Some(with_ports(
            error.hint().unwrap_or(BOOT_UNIT),
            &desired.ports,
        )),
        ports: desired.ports.clone(),
    };
    (maps.collect(), refusal)
}

/// What to report when something else loads rules at boot beside what was judged: nobody knows what comes of both.
pub fn beside(reason: &str, ports: PortSet) -> Refusal {
    Refusal {
        code: "boot-not-judged",
        message: reason.to_owned(),
        hint: Some(BOOT_UNIT.to_owned()),
        ports,
    }
}

/// What to report when an edit of a boot file could not be written: it is as before, and so are the ports.
pub fn not_written(error: &Error, desired: &Desired) -> Option<Refusal> {
    let (ErrorKind::Io | ErrorKind::Permission | ErrorKind::NotOurs) = error.kind() else {
        return None;
    };
    Some(Refusal {
        code: "boot-file-not-written",
        message: in_words(error),
        hint: Some(error.hint().unwrap_or(BOOT_UNIT).to_owned()),
        ports: desired.ports.clone(),
    })
}

/// The error and the system's own behind it.
fn in_words(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
