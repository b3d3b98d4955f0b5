//! The role, on hosts without systemd: it installs, configures, opens, and changes nothing the second time.

use super::controller::{Controller, Play};
use super::hosts::RANGE;
use crate::support::package;
use crate::support::program::PROGRAM;

const PLAYBOOK: &str = include_str!("role.yml");
const CRON: &str = include_str!("../../examples/cron.d/pasvsync");
const SETTINGS: &str = "# Ansible managed\ndaemon = \"vsftpd\"\nrefuse-exposed = false\n\n\
                        [daemon-config]\nvsftpd = \"/srv/\\\"ftp\\\"/vsftpd.conf\"\n";
const OTHER: (u16, u16) = (51_000, 51_009);

#[test]
fn a_host_is_set_up_once() {
    let Some(packages) = package::debian() else {
        return;
    };
    let Some(controller) = Controller::with(2, true) else {
        return;
    };
    let hosts = &controller.hosts;
    for host in hosts {
        host.remove("usr/sbin/pasvsync");
        host.write("srv/\"ftp\"/vsftpd.conf", "");
        host.write("var/lib/dpkg/status", &package::libraries());
        for folder in [
            "var/lib/apt/lists/partial",
            "var/cache/apt/archives/partial",
            "var/lib/dpkg/info",
        ] {
            host.write(&format!("{folder}/.keep"), "");
        }
    }
    let package = controller.folder().join(&packages[0].name);
    fs_err::write(&package, &packages[0].bytes).unwrap();
    let package = package.display();
    let [binary, packaged] = [hosts[0].name(), hosts[1].name()];
    let variables = format!(
        "{binary}:\n  pasvsync_binary: {PROGRAM}\n{packaged}:\n  pasvsync_package: {package}\n"
    );
    for line in variables
        .split_inclusive('\n')
        .collect::<Vec<_>>()
        .chunks(2)
    {
        let name = line[0].trim_end().trim_end_matches(':');
        fs_err::create_dir_all(controller.folder().join("host_vars")).unwrap();
        controller.write(&format!("host_vars/{name}.yml"), line[1].trim_start());
    }
    controller.write("role.yml", PLAYBOOK);

    let checked = play(&controller, RANGE, &["--check", "--diff"]);
    assert!(
        hosts.iter().all(|host| !host.has("usr/sbin/pasvsync")),
        "{}",
        checked.text
    );
    assert!(
        hosts.iter().all(|host| !host.has("etc/pasvsync.toml")),
        "{}",
        checked.text
    );

    let first = play(&controller, RANGE, &[]);
    assert_eq!(
        controller.reached(hosts, &[RANGE.0, RANGE.1], true),
        8,
        "{}",
        first.text
    );
    for host in hosts {
        assert_eq!(host.read("etc/pasvsync.toml"), SETTINGS);
        assert_eq!(host.read("etc/cron.d/pasvsync"), CRON);
    }
    play(&controller, RANGE, &[]).changed(hosts, 0);

    // The daemon's configuration, and the firewall by the handler.
    let moved = play(&controller, OTHER, &[]).changed(hosts, 2);
    assert!(
        moved
            .text
            .contains("RUNNING HANDLER [pasvsync.pasvsync.pasvsync : Sync firewall"),
        "{}",
        moved.text
    );
    assert_eq!(controller.reached(hosts, &[OTHER.0, OTHER.1], true), 8);
    assert_eq!(controller.reached(hosts, &[RANGE.0, RANGE.1], false), 0);
}

fn play(controller: &Controller, (first, last): (u16, u16), arguments: &[&str]) -> Play {
    let range = format!("first={first} last={last}");
    let play = controller.play("role.yml", &[&["--extra-vars", &range], arguments].concat());
    assert_eq!(play.status, Some(0), "{}", play.text);
    play
}
