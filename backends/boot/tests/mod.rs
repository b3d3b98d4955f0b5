//! The next boot, loaded by real loaders into scratch namespaces; every system under test is a temporary folder.

mod corpus;
mod find;
mod iptables;
mod memory;
mod nftables;
mod real_root;
mod scripts;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use super::*;
use crate::model::ports::{PortRange, PortSet};
use crate::model::reach::{Family, Reach};
use crate::netfilter::tests::{in_namespace, run};
use crate::proof;

/// A system that boots from a temporary folder.
struct System {
    folder: tempfile::TempDir,
}

impl System {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(folder.path().join("etc/systemd/system")).unwrap();
        fs_err::create_dir_all(folder.path().join("var/lib")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, content: &str) -> &Self {
        let path = self.path(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, content).unwrap();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        self
    }

    fn enable(&self, service: &str) -> &Self {
        let folder = self.path("etc/systemd/system/multi-user.target.wants");
        fs_err::create_dir_all(&folder).unwrap();
        let unit = format!("{service}.service");
        symlink(format!("/lib/systemd/system/{unit}"), folder.join(unit)).unwrap();
        self
    }

    /// Writes a script that may be run.
    fn script(&self, name: &str, content: &str) -> &Self {
        self.file(name, content);
        fs_err::set_permissions(self.path(name), PermissionsExt::from_mode(0o755)).unwrap();
        self
    }

    fn text(&self, name: &str) -> String {
        fs_err::read_to_string(self.path(name)).unwrap()
    }

    fn layer(&self) -> BootLayer {
        BootLayer::open(self.folder.path(), false)
    }

    /// The plan for ports, without the folder in the words.
    fn plan(&self, ports: &str) -> Plan<Edit> {
        let mut layer = self.layer();
        let ruleset = layer.ruleset().unwrap();
        layer.plan(&ruleset, &desired(ports)).unwrap()
    }

    fn planned(&self, ports: &str) -> Vec<String> {
        let plan = self.plan(ports);
        assert_eq!(plan.refusals, []);
        self.words(&plan.edits)
    }

    fn words(&self, edits: &[Edit]) -> Vec<String> {
        let root = self.folder.path().to_str().unwrap();
        let words = edits.iter().map(|edit| edit.to_string().replace(root, ""));
        words.collect()
    }

    /// Plans, applies and proves; gives the edits.
    fn sync(&self, ports: &str) -> Vec<String> {
        let mut layer = self.layer();
        let ruleset = layer.ruleset().unwrap();
        let desired = desired(ports);
        let plan = layer.plan(&ruleset, &desired).unwrap();
        assert_eq!(plan.refusals, []);
        layer.apply(&ruleset, &plan.edits).unwrap();
        let after = layer.ruleset().unwrap();
        assert!(layer.settled(&after, &desired), "{after:#?}");
        for family in Family::BOTH {
            let map = proof::trace(&after, family, &desired.ports);
            assert!(map.all_open(), "{map:?}");
        }
        let again = layer.plan(&after, &desired).unwrap();
        assert!(again.edits.is_empty(), "{:?}", again.edits);
        self.words(&plan.edits)
    }

    /// Takes everything of ours out again.
    fn remove(&self) -> Vec<String> {
        self.sync("")
    }

    fn error(&self) -> Error {
        self.layer().ruleset().unwrap_err()
    }
}

fn ports(text: &str) -> PortSet {
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        PortRange::new(first.parse().unwrap(), last.parse().unwrap()).unwrap()
    };
    text.split(',')
        .filter(|text| !text.is_empty())
        .map(range)
        .collect()
}

fn desired(text: &str) -> Desired {
    Desired {
        ports: ports(text),
        families: Family::BOTH.to_vec(),
        force: false,
    }
}

/// Whether a program is installed; in CI it must be.
fn installed(program: &str) -> bool {
    let there = netfilter::scratch::find_program(program).is_some();
    if !there {
        crate::netfilter::tests::skip(&format!("{program} is not installed"));
    }
    there
}

/// Changes the interfaces of the test's namespace.
fn ip(command: &str) {
    run(Command::new("ip").args(command.split(' ')), "").unwrap();
}
