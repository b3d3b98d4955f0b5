//! `pasvsync set-range` as its users meet it.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use super::snapshots::snapshot;
use super::support::Host;

const POLICY_DROP: &str = include_str!("../../examples/default-deny.nft");
const COMMAND: &str = "pasvsync set-range 51000-51009 --daemon proftpd";

fn host(configuration: &str) -> Host {
    Host::new(configuration).filtered(POLICY_DROP)
}

#[test]
fn what_is_said() {
    let configuration = "Port 21\nPassivePorts 50000 50009 # ours\n";
    snapshot("set-range", &host(configuration), &[COMMAND]);
    let host_with_service = host("Port 21\nPassivePorts 50000 50009\n");
    host_with_service.file("lib/systemd/system/proftpd.service", "[Service]\n");
    snapshot(
        "set-range-and-sync",
        &host_with_service,
        &["pasvsync sync", COMMAND],
    );
    snapshot("set-range-again", &host(configuration), &[COMMAND, COMMAND]);
    let preview = format!("{COMMAND} --dry-run --diff");
    snapshot("set-range-dry-run", &host(configuration), &[&preview]);
    let several = "Port 21\n<VirtualHost 192.0.2.1>\n  Port 2121\n</VirtualHost>\n";
    let preview = format!("{COMMAND} --dry-run");
    snapshot("set-range-global", &host(several), &[&preview]);
}

#[test]
fn what_is_refused() {
    let host = host("Port 21\nPassivePorts 50000 50009\n");
    let refused = [
        (
            "set-range-one-port",
            "set-range 51000-51000 --daemon proftpd",
        ),
        ("set-range-low", "set-range 1000-1010 --daemon proftpd"),
        (
            "set-range-reversed",
            "set-range 51009-51000 --daemon proftpd",
        ),
        ("set-range-no-daemon", "set-range 51000-51009"),
        (
            "set-range-not-here",
            "set-range 51000-51009 --daemon vsftpd",
        ),
    ];
    for (name, command) in refused {
        snapshot(name, &host, &[&format!("pasvsync {command}")]);
    }
    let written = fs_err::read_to_string(host.root().join("etc/proftpd/proftpd.conf")).unwrap();
    assert_eq!(written, "Port 21\nPassivePorts 50000 50009\n");
}

/// A restart that nothing is known of is no restart: nothing is written either.
#[test]
fn a_restart_that_cannot_be() {
    let Some(host) = crate::support::host::Host::on_its_own(&[]) else {
        return;
    };
    let text = "Port 21\nPassivePorts 50000 50009\n";
    host.write("/etc/proftpd/proftpd.conf", text, 0o644);
    let range = ["set-range", "51000-51009", "--daemon", "proftpd"];
    let output = host.pasvsync(&[range.as_slice(), &["--restart"]].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(output.stdout, "");
    assert_eq!(
        output.stderr,
        "error: proftpd cannot be restarted: no service starts it\n\
         hint: run again without --restart, and restart the daemon the way it was started\n"
    );
    assert_eq!(host.read("/etc/proftpd/proftpd.conf"), text);
}

/// Mode, owner and everything else about the file are as before; a second run does not touch it.
#[test]
fn only_the_content_changes() {
    let host = host("Port 21\r\n\tPassivePorts  50000\t50009\r\n# caf\u{e9}");
    let path = host.root().join("etc/proftpd/proftpd.conf");
    fs_err::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let before = fs_err::metadata(&path).unwrap();
    let Some(output) = host.run(&[COMMAND]) else {
        return;
    };
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = fs_err::read_to_string(&path).unwrap();
    assert_eq!(
        text,
        "Port 21\r\n\tPassivePorts  51000\t51009\r\n# caf\u{e9}"
    );
    let after = fs_err::metadata(&path).unwrap();
    assert_eq!(
        (after.mode(), after.uid(), after.gid()),
        (before.mode(), before.uid(), before.gid())
    );
    host.run(&[COMMAND]);
    let again = fs_err::metadata(&path).unwrap();
    assert_eq!(
        (again.ino(), again.mtime_nsec()),
        (after.ino(), after.mtime_nsec())
    );
    let names = fs_err::read_dir(path.parent().unwrap()).unwrap();
    assert_eq!(names.count(), 1);
}

/// The file that is named is the one to edit: the other instances' ports stay open.
#[test]
fn the_range_of_one_instance() {
    let Some(host) = crate::support::host::Host::on_its_own(&[]) else {
        return;
    };
    for (name, first, port) in [("one", 52_000, 2121), ("two", 53_000, 2122)] {
        let text = format!(
            "listen=YES\nlisten_port={port}\npasv_min_port={first}\npasv_max_port={}\n",
            first + 9
        );
        host.write(&format!("/etc/vsftpd/{name}.conf"), &text, 0o644);
    }
    host.write("/etc/fw.nft", crate::support::host::NFTABLES, 0o644);
    host.must("nft", &["-f", "/etc/fw.nft"]);
    let both =
        "--daemon-config=vsftpd=/etc/vsftpd/one.conf --daemon-config=vsftpd=/etc/vsftpd/two.conf";
    let sync = host.pasvsync(&["sync"]).expect_success("sync");
    assert!(sync.contains("52000-52009, 53000-53009 open"), "{sync}");
    let again: Vec<&str> = ["sync"].into_iter().chain(both.split(' ')).collect();
    let again = host.pasvsync(&again).expect_success("sync");
    assert!(
        again.starts_with("in sync: 52000-52009, 53000-53009 open"),
        "{again}"
    );
    let range = ["set-range", "54000-54009", "--daemon", "vsftpd"];
    let one = "--daemon-config=vsftpd=/etc/vsftpd/one.conf";
    let said = host.pasvsync(&[range.as_slice(), &[one]].concat());
    let said = said.expect_success("set-range");
    assert!(
        said.ends_with("changed and proved: 53000-53009, 54000-54009 open over IPv4 and IPv6\n"),
        "{said}"
    );
    assert!(
        host.read("/etc/vsftpd/one.conf")
            .contains("pasv_max_port=54009\n")
    );
    host.pasvsync(&["check"]).expect_success("check");
    // In no usual place it is known by its name alone.
    host.write("/etc/elsewhere.conf", "listen=YES\n", 0o644);
    let elsewhere = "--daemon-config=vsftpd=/etc/elsewhere.conf";
    let said = host.pasvsync(&[range.as_slice(), &[elsewhere]].concat());
    let said = said.expect_success("set-range");
    assert!(
        said.ends_with("changed and proved: 54000-54009 open over IPv4 and IPv6\n"),
        "{said}"
    );
}
