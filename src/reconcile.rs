//! Read, judge, plan, apply, verify, undo: the one loop behind `sync`, `check`, `status` and `remove`.

use firewall::backend::{Layer, Refusal};
use firewall::model::reach::ReachMap;

/// What was found, and done, in one layer of one backend.
#[derive(Clone, Debug)]
pub struct LayerOutcome {
    /// The layer.
    pub layer: Layer,
    /// Every wanted port is open and nothing of ours is left over.
    pub in_sync: bool,
    /// The verdicts on the wanted ports, one map a family; after the edits when they were made.
    pub reach: Vec<ReachMap>,
    /// The edits, as an admin would type them: made by `sync`, only proposed by `check`.
    pub edits: Vec<String>,
    /// Why ports stay closed that no edit opens.
    pub refusals: Vec<Refusal>,
}

/// What was found, and done, in one backend.
#[derive(Clone, Debug)]
pub struct BackendOutcome {
    /// The backend's name.
    pub backend: &'static str,
    /// Its layers.
    pub layers: Vec<LayerOutcome>,
    /// Whether anything was written.
    pub changed: bool,
    /// Whether any base chain filters new connections to this host at all.
    pub filters: bool,
}
