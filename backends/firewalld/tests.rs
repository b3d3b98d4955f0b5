//! What a configuration comes to.

use std::path::Path;

use super::config::Configuration;
use crate::model::ports::{PortRange, PortSet};
use crate::model::reach::{Family, Reach};
use crate::model::ruleset::Interface;

fn ethernet(name: &str) -> Interface {
    Interface {
        name: name.to_owned(),
        index: 2,
        hardware_type: 1,
        up: true,
        addresses: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        ..Interface::default()
    }
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, text).unwrap();
}

/// The zones that firewalld cannot do without, and a public one.
fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for zone in ["block", "drop", "trusted", "public"] {
        let path = format!("usr/lib/firewalld/zones/{zone}.xml");
        write(root.path(), &path, "<zone/>");
    }
    root
}

fn open(root: &Path, family: Family) -> PortSet {
    let configuration = Configuration::read(root).unwrap();
    let ruleset = configuration.ruleset(&[ethernet("eth0")]);
    crate::proof::trace(&ruleset, family, &PortSet::all()).with(Reach::Open)
}

#[test]
fn the_admins_zone_counts_and_nothing_else_is_open() {
    let root = root();
    assert!(open(root.path(), Family::Ipv4).is_empty());
    let zone = r#"<zone><port port="50000-50009" protocol="tcp"/><port port="60000" protocol="udp"/></zone>"#;
    write(root.path(), "etc/firewalld/zones/public.xml", zone);
    write(
        root.path(),
        "etc/firewalld/zones/public.xml.old",
        "<zone target",
    );
    let wanted: PortSet = PortRange::new(50_000, 50_009).unwrap().into();
    for family in Family::BOTH {
        assert_eq!(open(root.path(), family), wanted, "{family}");
    }
}
