//! The role on a machine with a real systemd: the units run, and a second play changes nothing.

use super::controller::{Controller, usr};
use super::hosts::{RANGE, SSHD};
use crate::support::program::PROGRAM;
use crate::support::world::{CLIENT, SERVER};
use crate::systemd::machine::Machine;

const PLAYBOOK: &str = "\
- hosts: ftp
  gather_facts: false
  roles:
    - role: pasvsync.pasvsync.pasvsync
      vars:
        pasvsync_settings: {refuse-exposed: false}
        pasvsync_units: [pasvsync.service, pasvsync.path, pasvsync.timer, pasvsync-fw@nftables.service]
";
const NAME: &str = "ftp1.example.com";

#[test]
fn the_role_has_systemd_run_it() {
    let Some(machine) = Machine::with("ansible", &usr()) else {
        return;
    };
    let Some(controller) = Controller::at(machine.world().client.again()) else {
        return;
    };
    let text = |name: &str| fs_err::read_to_string(controller.folder().join(name)).unwrap();
    let users = fs_err::read_to_string("/etc/passwd").unwrap();
    machine.must("mkdir", &["-p", "/etc/ssh", "/run/sshd"]);
    machine.write(
        "etc/passwd",
        &(users + "sshd:x:199:65534::/run/sshd:/bin/false\n"),
    );
    machine.write("etc/shadow", "root:*:20000::::::\n");
    machine.write("etc/ssh/sshd_config", SSHD);
    machine.write("etc/ssh/host", &text("host"));
    machine.write("etc/ssh/authorized_keys", &text("user.pub"));
    machine.must("chmod", &["600", "/etc/ssh/host"]);
    machine.write("etc/vsftpd.conf", &Machine::vsftpd(RANGE));
    machine.must("/usr/sbin/sshd", &[]);
    controller.manage(&[(NAME.to_owned(), SERVER[0].parse().unwrap())]);
    controller.write("site.yml", PLAYBOOK);

    let play = || {
        let play = controller.play("site.yml", &["-e", &format!("pasvsync_binary={PROGRAM}")]);
        assert_eq!(play.status, Some(0), "{}", play.text);
        play
    };
    let first = play();
    assert!(
        machine.world().connects(CLIENT[0], RANGE.0),
        "{}",
        first.text
    );
    for unit in [
        "pasvsync.path",
        "pasvsync.timer",
        "pasvsync-fw@nftables.service",
    ] {
        assert_eq!(
            machine.property(unit, "ActiveState"),
            "active",
            "{unit}: {}",
            first.text
        );
    }
    for unit in [
        "pasvsync.service",
        "pasvsync.timer",
        "pasvsync-fw@nftables.service",
    ] {
        assert_eq!(
            machine.must("systemctl", &["is-enabled", unit]).trim(),
            "enabled"
        );
    }
    let second = play();
    assert_eq!(second.counts(NAME)["changed"], 0, "{}", second.text);
}
