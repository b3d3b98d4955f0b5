//! Which loaders are found; nothing is started.

use super::*;

pub(super) fn codes(boot: &Boot) -> Vec<&str> {
    boot.notes().iter().map(|note| note.code).collect()
}

pub(super) fn files(boot: &Boot) -> Vec<&str> {
    let files = boot.loaders.iter().filter_map(|loader| loader.file());
    files.map(|file| file.to_str().unwrap()).collect()
}

#[test]
fn without_a_loader_nothing_filters_and_nothing_is_started() {
    let system = System::new();
    system.file("etc/nftables.conf", "this is not nft");
    let mut layer = system.layer();
    assert_eq!(codes(layer.boot()), ["boot-loads-nothing"]);
    let ruleset = layer.ruleset().unwrap();
    let desired = desired("50000");
    assert!(proof::trace(&ruleset, Family::Ipv6, &desired.ports).all_open());
    assert!(layer.settled(&ruleset, &desired));
    let plan = layer.plan(&ruleset, &desired).unwrap();
    assert!(plan.edits.is_empty() && plan.refusals.is_empty());
}

#[test]
fn the_files_of_each_distribution() {
    let system = System::new();
    system.enable("nftables").file("etc/nftables.conf", "");
    assert_eq!(
        files(&Boot::find(system.folder.path())),
        ["/etc/nftables.conf"]
    );
    system.file("etc/sysconfig/nftables.conf", "");
    assert_eq!(
        files(&Boot::find(system.folder.path())),
        ["/etc/sysconfig/nftables.conf"]
    );
    system.file(
        "usr/lib/systemd/system/nftables.service",
        "[Service]\nExecStart=/usr/sbin/nft -f /etc/nftables.conf\nExecReload=/bin/false\n",
    );
    assert_eq!(
        files(&Boot::find(system.folder.path())),
        ["/etc/nftables.conf"]
    );
    system.file("srv/fw.nft", "").file(
        "etc/systemd/system/nftables.service.d/own.conf",
        "[Service]\nExecStart=\nExecStart=-/usr/sbin/nft \\\n -f /srv/fw.nft\n",
    );
    assert_eq!(files(&Boot::find(system.folder.path())), ["/srv/fw.nft"]);
    system.file(
        "etc/systemd/system/nftables.service.d/own.conf",
        "[Service]\nExecStart=\nExecStart=/usr/local/sbin/firewall start\n",
    );
    let error = system.error();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(
        error.to_string().contains("/usr/local/sbin/firewall start"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("pasvsync.service"));

    let system = System::new();
    system
        .enable("netfilter-persistent")
        .file("etc/iptables/rules.v4", "")
        .file("etc/iptables/ipsets", "");
    let boot = Boot::find(system.folder.path());
    assert_eq!(
        files(&boot),
        ["/etc/iptables/ipsets", "/etc/iptables/rules.v4"]
    );
    assert_eq!(codes(&boot), ["boot-file-missing"]);
    system.file("usr/share/netfilter-persistent/plugins.d/25-ip6tables", "");
    assert_eq!(files(&Boot::find(system.folder.path())), [""; 0]);
}

#[test]
fn masked_removed_and_idle_services_do_not_count() {
    let system = System::new();
    system
        .enable("nftables")
        .enable("ufw")
        .file("etc/nftables.conf", "")
        .file("etc/ufw/ufw.conf", "# ENABLED=yes\nENABLED=no\n");
    symlink(
        "/dev/null",
        system.path("etc/systemd/system/nftables.service"),
    )
    .unwrap();
    assert_eq!(
        codes(&Boot::find(system.folder.path())),
        ["boot-loads-nothing"]
    );
    fs_err::remove_file(system.path("etc/systemd/system/nftables.service")).unwrap();
    assert!(Boot::find(system.folder.path()).loads());
    system.file("usr/lib/systemd/system/ssh.service", "");
    assert!(!Boot::find(system.folder.path()).loads());
}

#[test]
fn managers_and_two_loaders_at_once_are_said() {
    let system = System::new();
    system
        .enable("nftables")
        .enable("ufw")
        .enable("iptables")
        .enable("ip6tables")
        .file("etc/nftables.conf", "")
        .file("etc/sysconfig/iptables", "")
        .file("etc/sysconfig/ip6tables", "");
    let boot = Boot::find(system.folder.path());
    assert_eq!(codes(&boot), ["boot-two-loaders"]);
    assert!(
        boot.notes()[0]
            .message
            .starts_with("nftables.service and iptables.service")
    );
    system.file("etc/ufw/ufw.conf", "ENABLED=yes\n");
    let layer = system.layer();
    assert_eq!(layer.boot().managed(), Some("ufw"));
    assert!(!layer.in_charge());
}

#[test]
fn without_systemd_the_runlevels_tell() {
    let folder = tempfile::tempdir().unwrap();
    let links = folder.path().join("etc/rc2.d");
    fs_err::create_dir_all(&links).unwrap();
    fs_err::write(folder.path().join("etc/nftables.conf"), "").unwrap();
    symlink("../init.d/nftables", links.join("K01nftables")).unwrap();
    assert!(!Boot::find(folder.path()).loads());
    symlink("../init.d/nftables", links.join("S01nftables")).unwrap();
    assert_eq!(files(&Boot::find(folder.path())), ["/etc/nftables.conf"]);
}
