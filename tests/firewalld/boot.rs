//! What else boot does: other loaders beside firewalld, and a firewalld that is not running now.

use super::lab::{Lab, possible};
use super::story::{FIRST, codes, in_sync, message};

impl Lab {
    /// Gives the host units of its own, of which boot runs these, and an `nftables.conf` of its own.
    fn boots(&self, services: &[&str], nftables: &str) {
        let folder = self.world.folder.path().join("units");
        let wants = folder.join("multi-user.target.wants");
        fs_err::create_dir_all(&wants).expect("a folder");
        for service in services {
            let unit = format!("/usr/lib/systemd/system/{service}.service");
            let link = wants.join(format!("{service}.service"));
            std::os::unix::fs::symlink(unit, link).expect("a link");
        }
        let rules = self.world.folder.path().join("nftables.conf");
        fs_err::write(&rules, nftables).expect("a file");
        fs_err::create_dir_all(self.folder().join("run/systemd/system")).expect("a folder");
        let script =
            "mount --bind \"$1\" /etc/systemd/system && mount --bind \"$2\" /etc/nftables.conf";
        let [folder, rules] = [&folder, &rules].map(|path| path.to_str().expect("a path"));
        self.command("sh", &["-c", script, "sh", folder, rules])
            .expect_success("mount");
    }
}

/// A table that lets in nothing but these ports.
fn table(ports: &str) -> String {
    format!(
        "flush ruleset\ntable inet own {{\nchain input {{\ntype filter hook input priority 0; policy drop;\n\
         iif lo accept\ntcp dport {{ 21, {ports} }} accept\n}}\n}}\n"
    )
}

/// Boot also loads rules that close the ports: firewalld's alone would be open.
#[test]
fn another_loader_beside_firewalld() {
    if !possible() {
        return;
    }
    for (services, rules, code, words) in [
        (
            &["firewalld", "nftables"][..],
            table("22"),
            1,
            "policy drop of chain inet own input",
        ),
        (&["firewalld", "nftables"], table("50000-50100"), 0, ""),
        // It runs now, and boot starts another.
        (
            &["nftables"],
            table("22"),
            1,
            "policy drop of chain inet own input",
        ),
        (&["firewalld"], table("22"), 0, ""),
    ] {
        let lab = Lab::start("nftables", |_| {});
        lab.boots(services, &rules);
        lab.world.want(FIRST.0, FIRST.1);
        let sync = lab.pasvsync(&["sync"]).expect(code);
        lab.assert_open(&[FIRST.0, FIRST.1], true);
        assert!(in_sync(&sync, "runtime"), "{services:?}: {sync:?}");
        assert_eq!(
            in_sync(&sync, "permanent"),
            code == 0,
            "{services:?}: {sync:?}"
        );
        if code != 0 {
            let said = message(&sync, "beside-firewalld");
            assert!(said.contains(words), "{services:?}: {said}");
        }
        assert!(
            !lab.pasvsync(&["sync"]).expect(code).changed(),
            "{services:?}"
        );
    }
}

/// While it is stopped its files are judged and edited, and the next start does what they say.
#[test]
fn a_firewalld_that_is_stopped() {
    if !possible() {
        return;
    }
    let mut lab = Lab::start("nftables", |_| {});
    lab.boots(&["firewalld"], "");
    lab.world.want(FIRST.0, FIRST.1);
    let before = lab.everything();

    // Nothing filters now; after the next start the ports would be closed.
    lab.stop();
    let check = lab.pasvsync(&["check"]).expect(3);
    assert!(
        codes(&check).contains(&"firewalld-stopped".to_owned()),
        "{check:?}"
    );
    lab.pasvsync(&["sync"]).expect(0);
    assert!(!lab.pasvsync(&["sync"]).expect(0).changed());
    lab.boot();
    lab.assert_open(&[FIRST.0, FIRST.1], true);
    assert!(!lab.pasvsync(&["sync"]).expect(0).changed());

    // And it is taken back while it is stopped.
    lab.stop();
    let remove = lab.pasvsync(&["remove"]).expect(0);
    assert!(remove.changed(), "{remove:?}");
    assert!(!lab.pasvsync(&["remove"]).expect(0).changed());
    lab.boot();
    assert_eq!(lab.everything(), before);
    lab.assert_open(&[FIRST.0, FIRST.1], false);
}

/// Where nothing tells that boot starts firewalld, what is ours goes all the same.
#[test]
fn removed_from_a_firewalld_that_is_not_enabled() {
    if !possible() {
        return;
    }
    let mut lab = Lab::start("nftables", |_| {});
    lab.world.want(FIRST.0, FIRST.1);
    let before = lab.everything();
    lab.pasvsync(&["sync"]).expect(0);
    lab.stop();
    let remove = lab.pasvsync(&["remove"]).expect(0);
    assert!(remove.changed(), "{remove:?}");
    lab.boot();
    assert_eq!(lab.everything(), before);
}

/// `NetworkManager` asks for the zone "" for a connection without one: an interface leaves the zone of its file.
#[test]
fn an_interface_without_a_zone_goes_to_the_default_zone() {
    if !possible() {
        return;
    }
    let lab = Lab::start("nftables", |lab| {
        lab.edit("zones/dmz.xml", |_| {
            "<zone><interface name=\"eth0\"/></zone>\n".to_owned()
        });
    });
    assert_eq!(lab.firewall_cmd(&["--get-zone-of-interface=eth0"]), "dmz");
    let change = lab.command(
        "dbus-send",
        &[
            "--system",
            "--print-reply",
            "--dest=org.fedoraproject.FirewallD1",
            "/org/fedoraproject/FirewallD1",
            "org.fedoraproject.FirewallD1.zone.changeZone",
            "string:",
            "string:eth0",
        ],
    );
    change.expect_success("changeZone");
    assert_eq!(
        lab.firewall_cmd(&["--get-zone-of-interface=eth0"]),
        "public"
    );
}
