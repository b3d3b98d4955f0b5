//! Scripts and firewalls with loaders of their own: that boot runs them is seen, whatever starts them.

use super::find::{codes, files};
use super::*;

/// A script of an admin's own, as they stand on many hosts.
const SCRIPT: &str = "#!/bin/sh\nIPT=/sbin/iptables\n$IPT -F\n$IPT -P INPUT DROP\n";

/// Writes a script that may be run.
fn script(system: &System, path: &str, text: &str) {
    system.file(path, text);
    fs_err::set_permissions(system.path(path), PermissionsExt::from_mode(0o755)).unwrap();
}

fn unknown(system: &System, what: &str) {
    let error = system.error();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains(what), "{error}");
}

#[test]
fn scripts_that_load_rules_are_no_open_door() {
    let system = System::new();
    system.file(
        "etc/rc.local",
        "#!/bin/sh\n# nft -f /root/old\niptables-restore < /root/fw\n",
    );
    assert!(!system.layer().boot().loads(), "not executable");
    fs_err::set_permissions(
        system.path("etc/rc.local"),
        PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    unknown(&system, "iptables-restore < /root/fw");
    fs_err::remove_file(system.path("etc/rc.local")).unwrap();
    system.file(
        "etc/network/interfaces.d/eth0",
        "auto eth0\niface eth0 inet dhcp\n  pre-up nft -f /root/fw\n",
    );
    unknown(&system, "pre-up nft");
    fs_err::remove_file(system.path("etc/network/interfaces.d/eth0")).unwrap();
    system.file(
        "etc/systemd/system/fw.service",
        "[Service]\nExecStart=/sbin/iptables -P INPUT DROP\n",
    );
    assert!(!system.layer().boot().loads(), "not enabled");
    system.enable("fw");
    unknown(&system, "fw.service");
    system.enable("ferm");
    unknown(&system, "ferm.service");
    system.enable("nftables").file("etc/nftables.conf", "");
    let boot = Boot::find(system.folder.path());
    assert_eq!(codes(&boot), ["boot-script", "boot-script"]);
    assert_eq!(files(&boot), ["/etc/nftables.conf"]);
}

#[test]
fn a_script_is_found_behind_whatever_starts_it() {
    let starters: [(&str, &str, &str); 6] = [
        (
            "usr/lib/systemd/system/fw.service",
            "[Service]\nType=oneshot\nExecStart=/usr/local/sbin/fw start\n",
            "fw.service",
        ),
        (
            "etc/rc.local",
            "#!/bin/sh\n/usr/local/sbin/fw\n",
            "rc.local",
        ),
        (
            "etc/network/interfaces",
            "iface eth0 inet dhcp\n pre-up sh /usr/local/sbin/fw\n",
            "interfaces",
        ),
        (
            "etc/cron.d/fw",
            "@reboot root /usr/local/sbin/fw\n",
            "cron.d/fw",
        ),
        (
            "etc/init.d/fw",
            "#!/bin/sh\nPROGRAM=/usr/local/sbin/fw\n$PROGRAM \"$1\"\n",
            "fw runs",
        ),
        (
            "etc/local.d/fw.start",
            "#!/bin/sh\n. /usr/local/sbin/fw\n",
            "fw.start",
        ),
    ];
    for (path, text, named) in starters {
        let system = System::new();
        script(&system, "usr/local/sbin/fw", SCRIPT);
        assert!(!system.layer().boot().loads(), "nothing starts it");
        script(&system, path, text);
        if path.ends_with(".service") {
            system.enable("fw");
        } else if path.contains("init.d") {
            let runlevel = system.path("etc/rc2.d");
            fs_err::create_dir_all(&runlevel).unwrap();
            symlink("../init.d/fw", runlevel.join("S01fw")).unwrap();
        }
        unknown(&system, named);
    }
}

/// Nothing that bans, translates or lets in makes the next boot unknown.
#[test]
fn what_keeps_nobody_out_is_no_loader() {
    let system = System::new();
    script(
        &system,
        "usr/lib/systemd/system/vpn.service",
        "[Service]\nExecStart=/sbin/iptables -t nat -A POSTROUTING -s 10.8.0.0/24 -j MASQUERADE\nExecStart=/usr/local/sbin/vpn\n",
    );
    script(
        &system,
        "usr/local/sbin/vpn",
        "#!/bin/sh\niptables -I INPUT -p udp --dport 1194 -j ACCEPT\n# iptables -P INPUT DROP\n",
    );
    script(&system, "usr/bin/wg-quick", SCRIPT);
    system
        .file(
            "usr/lib/systemd/system/wg-quick@.service",
            "[Service]\nExecStart=/usr/bin/wg-quick up %i\n",
        )
        .enable("vpn")
        .enable("wg-quick@wg0");
    let layer = system.layer();
    assert!(!layer.boot().loads(), "{:?}", layer.boot());
}

/// A firewall that is known by its tables or chains is in charge of all that boot loads.
#[test]
fn firewalls_of_their_own_are_in_charge_of_the_next_boot() {
    for service in [
        "shorewall6",
        "foomuuri",
        "arno-iptables-firewall",
        "apf-firewall",
    ] {
        let system = System::new();
        system
            .enable(service)
            .enable("nftables")
            .file("etc/nftables.conf", "");
        let layer = system.layer();
        assert!(!layer.in_charge(), "{service}");
        // A system that is not this one has nothing else to be judged by.
        let error = system.layer().alone().ruleset().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{service}");
        assert!(!error.hint().unwrap().is_empty(), "{service}");
    }
    for service in ["ferm", "firehol", "uruk", "kubelet"] {
        let system = System::new();
        system.enable(service);
        unknown(&system, service);
        system.enable("nftables").file("etc/nftables.conf", "");
        let layer = system.layer();
        assert!(layer.in_charge(), "{service}");
        assert!(layer.boot().doubt().unwrap().contains(service));
    }
}

/// `OpenRC` and `OpenWrt` have links of their own.
#[test]
fn other_inits_enable_services_too() {
    let system = System::new();
    for (folder, link) in [
        ("etc/runlevels/default", "iptables"),
        ("etc/rc.d", "S19firewall"),
    ] {
        fs_err::create_dir_all(system.path(folder)).unwrap();
        let name = link.trim_start_matches("S19");
        symlink(
            format!("/etc/init.d/{name}"),
            system.path(folder).join(link),
        )
        .unwrap();
    }
    system.file("etc/iptables/rules-save", "");
    assert_eq!(
        files(&Boot::find(system.folder.path())),
        ["/etc/iptables/rules-save"]
    );
    script(
        &system,
        "etc/init.d/firewall",
        "#!/bin/sh /etc/rc.common\nstart_service() {\n\tfw4 start\n}\n",
    );
    let boot = Boot::find(system.folder.path());
    assert_eq!(codes(&boot), ["boot-script"]);
    assert!(boot.doubt().unwrap().contains("fw4 start"));
}
