//! Scripts and firewalls with loaders of their own: that boot runs them is seen, whatever starts them.

use super::find::{codes, files};
use super::*;

/// A script of an admin's own, as they stand on many hosts.
const SCRIPT: &str = "#!/bin/sh\nIPT=/sbin/iptables\n$IPT -F\n$IPT -P INPUT DROP\n";

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
        "#!/bin/sh\n# nft -f /srv/old\niptables-restore < /srv/fw\n",
    );
    assert!(!system.layer().boot().loads(), "not executable");
    fs_err::set_permissions(
        system.path("etc/rc.local"),
        PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    unknown(&system, "iptables-restore < /srv/fw");
    fs_err::remove_file(system.path("etc/rc.local")).unwrap();
    system.file(
        "etc/network/interfaces.d/eth0",
        "auto eth0\niface eth0 inet dhcp\n  pre-up nft -f /srv/fw\n",
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
        system.script("usr/local/sbin/fw", SCRIPT);
        assert!(!system.layer().boot().loads(), "nothing starts it");
        system.script(path, text);
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
    system.script("usr/lib/systemd/system/vpn.service",
        "[Service]\nExecStart=/sbin/iptables -t nat -A POSTROUTING -s 10.8.0.0/24 -j MASQUERADE\nExecStart=/usr/local/sbin/vpn\n",
    );
    system.script(
        "usr/local/sbin/vpn",
        "#!/bin/sh\niptables -I INPUT -p udp --dport 1194 -j ACCEPT\n# iptables -P INPUT DROP\n",
    );
    system.script("usr/bin/wg-quick", SCRIPT);
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
    system.script(
        "etc/init.d/firewall",
        "#!/bin/sh /etc/rc.common\nstart_service() {\n\tfw4 start\n}\n",
    );
    let boot = Boot::find(system.folder.path());
    assert_eq!(codes(&boot), ["boot-script"]);
    assert!(boot.doubt().unwrap().contains("fw4 start"));
}

/// A unit that an admin wrote may have the name of a loader's, and start anything.
#[test]
fn a_loader_of_the_admins_own_is_read() {
    let system = System::new();
    system
        .enable("iptables")
        .file("etc/sysconfig/iptables", "")
        .file(
            "etc/systemd/system/iptables.service",
            "[Service]\nExecStart=/sbin/iptables-restore /srv/four\nExecStart=-/sbin/ip6tables-restore /srv/six\n",
        )
        .file("srv/four", "")
        .file("srv/six", "");
    assert_eq!(
        files(&Boot::find(system.folder.path())),
        ["/srv/four", "/srv/six"]
    );
    for command in [
        "/srv/fw.sh",
        "/sbin/iptables-restore -n /srv/four",
        "/bin/sh -c 'iptables-restore < /srv/four'",
    ] {
        let unit = format!("[Service]\nExecStart={command}\n");
        system.file("etc/systemd/system/iptables.service", &unit);
        unknown(&system, command);
    }
    let unit = "[Service]\nExecStart=/usr/libexec/iptables/iptables.init start\n";
    system.file("etc/systemd/system/iptables.service", unit);
    assert_eq!(
        files(&Boot::find(system.folder.path())),
        ["/etc/sysconfig/iptables"]
    );

    let system = System::new();
    system.enable("netfilter-persistent").file(
        "etc/systemd/system/netfilter-persistent.service.d/own.conf",
        "[Service]\nExecStart=\nExecStart=/srv/fw.sh\n",
    );
    system.file(
        "lib/systemd/system/netfilter-persistent.service",
        "[Service]\nExecStart=/usr/sbin/netfilter-persistent start\n",
    );
    unknown(&system, "/srv/fw.sh");
}

/// What comes before or behind a loader, or with a service that is known to be harmless, is the admin's.
#[test]
fn drop_ins_that_start_more_are_seen() {
    let own = "[Service]\nExecStartPost=/usr/local/sbin/fw\n";
    for (service, dropin) in [
        ("nftables", "nftables.service.d"),
        ("docker", "docker.service.d"),
        ("lxc-net", "lxc-.service.d"),
        ("wg-quick@wg0", "wg-quick@.service.d"),
        ("nftables", "service.d"),
    ] {
        let system = System::new();
        let unit = service.replace("@wg0", "@");
        system
            .enable("nftables")
            .file("etc/nftables.conf", "")
            .file(&format!("lib/systemd/system/{unit}.service"), "[Service]\n")
            .file(
                "lib/systemd/system/nftables.service",
                "[Service]\nExecStart=/usr/sbin/nft -f /etc/nftables.conf\n",
            )
            .script("usr/local/sbin/fw", SCRIPT);
        if service != "nftables" {
            system.enable(service);
        }
        assert_eq!(Boot::find(system.folder.path()).doubt(), None);
        system.file(&format!("etc/systemd/system/{dropin}/own.conf"), own);
        let boot = Boot::find(system.folder.path());
        assert!(
            boot.doubt().is_some_and(|doubt| doubt.contains(service)),
            "{service}"
        );
    }
}

/// A service is started by a timer, by another service, by a link of its package, or by its commands on several lines.
#[test]
fn a_service_that_nobody_enabled_is_found() {
    let fw = "[Service]\nExecStart=/bin/sh -c '\\\n iptables -P INPUT DROP'\n";
    for (path, text, enabled) in [
        (
            "lib/systemd/system/app.service",
            "[Unit]\nRequires=fw.service\n",
            "app.service",
        ),
        (
            "lib/systemd/system/app.timer",
            "[Timer]\nOnBootSec=1min\nUnit=fw.service\n",
            "app.timer",
        ),
        (
            "lib/systemd/system/fw.timer",
            "[Timer]\nOnBootSec=1min\n",
            "fw.timer",
        ),
    ] {
        let system = System::new();
        system
            .file("lib/systemd/system/fw.service", fw)
            .file(path, text);
        assert!(!system.layer().boot().loads(), "nothing starts it");
        let wants = system.path("lib/systemd/system/multi-user.target.wants");
        fs_err::create_dir_all(&wants).unwrap();
        symlink(format!("../{enabled}"), wants.join(enabled)).unwrap();
        unknown(&system, "fw.service");
        symlink("/dev/null", system.path("etc/systemd/system/fw.service")).unwrap();
        assert!(!system.layer().boot().loads(), "masked");
    }
}

/// What is no plain file is not waited for.
#[test]
fn a_pipe_is_not_read() {
    let pipe = |path: &Path| {
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
    };
    let system = System::new();
    for path in ["etc/systemd/system/fw.service", "etc/crontab"] {
        let path = system.path(path);
        pipe(&path);
    }
    system.enable("fw");
    assert!(!system.layer().boot().loads());
    let rules = system.path("etc/nftables.conf");
    pipe(&rules);
    system.enable("nftables");
    assert_eq!(system.error().kind(), ErrorKind::Unsupported);
}

/// `wg-quick` runs what its configuration says.
#[test]
fn commands_of_a_tunnel_are_read() {
    let system = System::new();
    let conf = |command: &str| format!("[Interface]\nPostUp = {command}\nPostDown = nft -f /x\n");
    let masquerade =
        "iptables -A FORWARD -i %i -j ACCEPT; iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE";
    system
        .enable("wg-quick@wg0")
        .file("etc/wireguard/wg0.conf", &conf(masquerade));
    assert!(!system.layer().boot().loads());
    system.file("etc/wireguard/wg0.conf", &conf("nft -f /srv/fw"));
    unknown(&system, "nft -f /srv/fw");
}
