//! The real csf: what it makes of the edited csf.conf must be what is there already.
//!
//! Ignored unless asked for: csf is in no package archive. `CSF_SOURCE` names a folder with its `install.generic.sh`; it
//! is installed into files of the test's own. Without it, an installed csf is used, on a copy of its files.
//!
//!     CSF_SOURCE=/path/to/csf/src cargo test --test integration -- --ignored real_csf

use super::story::{FIRST, SECOND};
use crate::support::ready;
use crate::support::world::{CLIENT, World};

/// Settings under which csf's rules have another form or place.
const SETTINGS: [&str; 14] = [
    "s/^FASTSTART = .*/FASTSTART = \"0\"/",
    "s/^ETH_DEVICE = .*/ETH_DEVICE = \"eth0\"/",
    "s/^ETH6_DEVICE = .*/ETH6_DEVICE = \"eth0\"/",
    "s/^WATCH_MODE = .*/WATCH_MODE = \"1\"/",
    "s/^USE_CONNTRACK = .*/USE_CONNTRACK = \"0\"/",
    "s/^LF_SPI = .*/LF_SPI = \"0\"/;s/^IPV6_SPI = .*/IPV6_SPI = \"0\"/",
    "s/^\\(TCP6*_\\(IN\\|OUT\\)\\) = .*/\\1 = \"\"/",
    "s/^\\(\\(TCP\\|UDP\\)6*_\\(IN\\|OUT\\)\\) = .*/\\1 = \"\"/",
    "s/^\\(\\(TCP\\|UDP\\)6*_\\(IN\\|OUT\\)\\) = .*/\\1 = \"\"/;s/^LF_SPI = .*/LF_SPI = \"0\"/",
    "s/^\\(TCP6*_\\(IN\\|OUT\\)\\) = .*/\\1 = \"21, 50000:50050,\"/",
    "s/^ETH_DEVICE_SKIP = .*/ETH_DEVICE_SKIP = \"lo\"/",
    "s/^DROP_OUT = .*/DROP_OUT = \"DROP\"/;s/^DROP_OUT_LOGGING = .*/DROP_OUT_LOGGING = \"0\"/",
    "s/^SMTP_BLOCK = .*/SMTP_BLOCK = \"1\"/;s/^MESSENGER = .*/MESSENGER = \"1\"/",
    "s/^PORTFLOOD = .*/PORTFLOOD = \"50000:50100;tcp;5;300\"/;s/^SYNFLOOD = .*/SYNFLOOD = \"1\"/",
];

fn host() -> Option<World> {
    if !ready(&["nft", "ip", "nsenter", "perl"]) {
        return None;
    }
    let install = match std::env::var("CSF_SOURCE") {
        Ok(source) => format!("cd {source}; sh install.generic.sh > /dev/null < /dev/null; cd /"),
        Err(_) => "test -x /usr/sbin/csf".to_owned(),
    };
    World::with_files(&format!(
        "{install}
         rm -rf /var/lib/pasvsync; sed -i 's/^TESTING = .*/TESTING = \"0\"/; s/^IPV6 = .*/IPV6 = \"1\"/' /etc/csf/csf.conf
         cp -p /etc/csf/csf.conf /etc/csf/as-it-was"
    ))
}

/// Runs a shell script where csf is.
#[track_caller]
fn shell(world: &World, script: &str) -> String {
    let output = world
        .server
        .run(|| crate::support::command::run(world.seeing_files("sh").args(["-c", script]), ""));
    output.expect_success(script)
}

fn rules(world: &World) -> String {
    shell(world, "iptables -S; ip6tables -S")
}

fn restart(world: &World) {
    shell(
        world,
        "csf -r > /tmp/csf.log 2>&1 || { cat /tmp/csf.log >&2; exit 1; }; test ! -e /etc/csf/csf.error",
    );
}

#[test]
#[ignore = "needs the real csf, see above"]
fn csf_makes_what_is_there_already() {
    let Some(world) = host() else { return };
    for settings in std::iter::once("").chain(SETTINGS) {
        shell(
            &world,
            &format!(
                "cp -p /etc/csf/as-it-was /etc/csf/csf.conf; sed -i '{settings}' /etc/csf/csf.conf; cp -p /etc/csf/csf.conf /etc/csf/before"
            ),
        );
        restart(&world);
        let before = rules(&world);
        for range in [FIRST, SECOND] {
            world.want(range.0, range.1);
            assert!(world.pasvsync(&["sync"]).expect(0).changed());
            let live = rules(&world);
            restart(&world);
            assert_eq!(live, rules(&world), "{settings}");
            for from in CLIENT {
                assert!(world.connects(from, range.0), "{settings}: {from}");
            }
            assert!(!world.pasvsync(&["sync"]).expect(0).changed(), "{settings}");
        }
        world.pasvsync(&["remove"]).expect(0);
        assert_eq!(rules(&world), before, "{settings}");
        shell(&world, "cmp /etc/csf/before /etc/csf/csf.conf");
    }
}

/// The running rules are not as csf.conf has them by now: csf is restarted, and says what it took away.
#[test]
#[ignore = "needs the real csf, see above"]
fn csf_is_restarted_when_asked_to() {
    let Some(world) = host() else { return };
    restart(&world);
    shell(
        &world,
        "iptables -N f2b-sshd; sed -i 's/^LF_SPI = .*/LF_SPI = \"0\"/' /etc/csf/csf.conf",
    );
    world.want(FIRST.0, FIRST.1);
    world.pasvsync(&["sync"]).expect(1);
    let sync = world.pasvsync(&["sync", "--restart-csf"]).expect(0);
    assert!(
        sync.stdout.contains("csf -r") && sync.stdout.contains("f2b-sshd"),
        "{sync:#?}"
    );
    for from in CLIENT {
        assert!(world.connects(from, FIRST.0));
    }
}

/// csf cannot start: csf.conf is put back, and csf runs with that.
#[test]
#[ignore = "needs the real csf, see above"]
fn csf_conf_is_put_back_when_csf_fails() {
    let Some(world) = host() else { return };
    restart(&world);
    // A script of the admin's that fails csf as soon as the range is there.
    shell(&world, "sed -i 's/^LF_SPI = .*/LF_SPI = \"0\"/' /etc/csf/csf.conf; cp /etc/csf/csf.conf /etc/csf/before
        printf '#!/bin/sh\\ngrep -q 50000:50100 /etc/csf/csf.conf && echo \"Error: no\" > /etc/csf/csf.error\\ntrue\\n' > /etc/csf/csfpost.sh");
    world.want(FIRST.0, FIRST.1);
    let sync = world.pasvsync(&["sync", "--restart-csf"]).expect(1);
    let said = format!("{}{}", sync.stdout, sync.stderr);
    assert!(
        said.contains("csf.conf is as it was before, and csf runs with that"),
        "{sync:#?}"
    );
    shell(
        &world,
        "cmp /etc/csf/before /etc/csf/csf.conf; test ! -e /etc/csf/csf.error; iptables -S | grep -q 'P INPUT DROP'",
    );
}
