//! The whole story of one ruleset: closed, opened, unchanged, moved, removed; every step asked of real connections.

use std::collections::BTreeSet;

use crate::support::program::{FAMILIES, Run};
use crate::support::world::{BANNED, CLIENT, Exact, World};

/// The daemon's range at first, and after its configuration was edited.
pub(crate) const FIRST: (u16, u16) = (50_000, 50_100);
pub(crate) const SECOND: (u16, u16) = (51_000, 51_010);

/// Ports that stay as they are: those beside the ranges, and others that must not come along.
const BYSTANDERS: [u16; 7] = [49_999, 50_101, 50_999, 51_011, 22, 3306, 40_000];

/// The first, a middle and the last port of a range.
pub(crate) fn inside((first, last): (u16, u16)) -> [u16; 3] {
    [first, u16::midpoint(first, last), last]
}

/// A story in progress: what was true before it began.
#[derive(Debug)]
pub(crate) struct Story<'a> {
    pub(crate) world: &'a World,
    before: Exact,
    /// For each family, what of the ranges and the bystanders the client reached before.
    reached: [BTreeSet<u16>; 2],
    bans: bool,
}

impl<'a> Story<'a> {
    /// Looks at the world; its ruleset is loaded already.
    pub(crate) fn begin(world: &'a World) -> Self {
        world.want(FIRST.0, FIRST.1);
        let before = world.exact();
        let bans = before.text.contains(BANNED[0]);
        let ports = everything();
        // Twice: an answer that came late once would later look like a port that was opened.
        let look = || world.reached_both([&ports, &ports], |_, _| false);
        let (once, again) = (look(), look());
        let reached = [0, 1].map(|family| &once[family] | &again[family]);
        Self {
            world,
            before,
            reached,
            bans,
        }
    }

    /// All of it, for a ruleset in which the range is closed in at least one family, by something in `chain`.
    pub(crate) fn tell(&self, chain: &str) {
        let drifted = self.reached.iter().any(|open| !open.contains(&FIRST.0));
        assert!(drifted, "the ruleset already lets the range in");
        self.check_explains(chain);
        self.sync_opens(&[], FIRST);
        self.second_sync_changes_nothing();
        self.edited_range_moves();
        self.remove_restores();
    }

    /// `check` finds the drift, agrees with the connections port by port, and writes nothing.
    fn check_explains(&self, chain: &str) {
        let check = self.world.pasvsync(&["check"]).expect(3);
        for (family, name) in FAMILIES.iter().enumerate() {
            for port in inside(FIRST) {
                let open = self.reached[family].contains(&port);
                let verdict = check.verdict(name, port);
                assert_eq!(verdict == "open", open, "{name} port {port}: {verdict}");
                assert!(
                    open || because(&check, name).contains(chain),
                    "{name} port {port}: the reason does not name {chain}: {check:#?}"
                );
            }
        }
        self.assert_untouched();
    }

    /// `sync` opens exactly `range`, lets no banned client in, and adds nothing but marked lines.
    pub(crate) fn sync_opens(&self, arguments: &[&str], range: (u16, u16)) {
        let sync = self.sync(arguments).expect(0);
        assert!(sync.changed(), "{sync:?}");
        self.assert_reached(range);
        if self.bans {
            for from in BANNED {
                let reached = self.world.reached(from, &inside(range), |_| false);
                assert!(reached.is_empty(), "{from} is let in at {reached:?}");
            }
        }
        let text = self.world.exact().text;
        let foreign: Vec<&str> = text
            .lines()
            .filter(|line| !line.contains("pasvsync"))
            .collect();
        assert_eq!(foreign, self.before.text.lines().collect::<Vec<_>>());
    }

    fn sync(&self, arguments: &[&str]) -> Run {
        let command: Vec<&str> = ["sync"].iter().chain(arguments).copied().collect();
        self.world.pasvsync(&command)
    }

    /// Not a byte, not a handle, not a netlink write; `check` agrees.
    fn second_sync_changes_nothing(&self) {
        let before = self.world.exact();
        let sync = self.sync(&[]).expect(0);
        assert!(!sync.changed(), "{sync:?}");
        let check = self.world.pasvsync(&["check"]).expect(0);
        for name in FAMILIES {
            for port in inside(FIRST) {
                assert_eq!(check.verdict(name, port), "open", "{name} port {port}");
            }
        }
        assert_eq!(self.world.exact(), before);
    }

    /// The new range opens, the old one closes.
    fn edited_range_moves(&self) {
        self.world.want(SECOND.0, SECOND.1);
        self.sync_opens(&[], SECOND);
    }

    /// `remove` takes away all that was added.
    pub(crate) fn remove_restores(&self) {
        let remove = self.world.pasvsync(&["remove"]).expect(0);
        assert!(remove.changed(), "{remove:?}");
        self.assert_restored();
    }

    /// The ruleset is as it was, handles included, and so are the connections.
    pub(crate) fn assert_restored(&self) {
        assert_eq!(self.world.exact().text, self.before.text);
        let ports = everything();
        let reached = self.world.reached_both([&ports, &ports], |family, port| {
            self.reached[family].contains(&port)
        });
        assert_eq!(reached, self.reached);
    }

    /// The rules are as they were; handles too, since nobody else's were touched.
    pub(crate) fn assert_restored_text(&self) {
        assert_eq!(self.world.exact().text, self.before.text);
    }

    /// Nothing was written, not even a batch without effect.
    pub(crate) fn assert_untouched(&self) {
        assert_eq!(self.world.exact(), self.before);
    }

    /// What was open before, and `range`: nothing else.
    pub(crate) fn assert_reached(&self, range: (u16, u16)) {
        let expected = self.reached.clone().map(|mut open| {
            open.extend(inside(range));
            open
        });
        let ports = everything();
        let reached = self.world.reached_both([&ports, &ports], |family, port| {
            expected[family].contains(&port)
        });
        assert_eq!(reached, expected, "\n{}", self.world.exact().text);
    }

    /// Whether the client reached no port of the first range before.
    pub(crate) fn was_closed(&self) -> bool {
        let ports = inside(FIRST);
        self.reached
            .iter()
            .all(|open| ports.iter().all(|port| !open.contains(port)))
    }

    /// Whether a client gets a connection to `port` now, in each family.
    pub(crate) fn connects(&self, port: u16) -> [bool; 2] {
        CLIENT.map(|from| self.world.connects(from, port))
    }
}

/// Every port that a story asks about.
fn everything() -> Vec<u16> {
    inside(FIRST)
        .into_iter()
        .chain(inside(SECOND))
        .chain(BYSTANDERS)
        .collect()
}

/// Every reason that the report gives for a family's ports, one after the other.
fn because(run: &Run, family: &str) -> String {
    let report = run.report();
    let reach = report["backends"][0]["layers"]["runtime"]["reach"].clone();
    let entries = reach.as_array().cloned().unwrap_or_default();
    entries
        .iter()
        .filter(|entry| entry["family"] == family && entry["verdict"] != "open")
        .filter_map(|entry| entry["because"].as_str())
        .collect::<Vec<_>>()
        .join("\n")
}
