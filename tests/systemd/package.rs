//! The Debian package, from installation to purge, on a machine that boots.

use serde_json::Value;

use super::machine::{Machine, eventually};
use crate::support::package::{self, Package};
use crate::support::world::CLIENT;

const RANGE: (u16, u16) = (50_000, 50_010);
const MOVED: (u16, u16) = (51_000, 51_010);
const INCLUDED: (u16, u16) = (52_000, 52_010);
const LISTED: (u16, u16) = (53_000, 53_010);
const SHIPPED: (u16, u16) = (54_000, 54_010);
/// Whatever is called after us, below the folders that a package may write to.
const OURS: &str = "find /etc /usr /var /run -xdev -name '*pasvsync*' -not -path '/var/log/*'; \
    grep -rl pasvsync /etc || true";

#[test]
fn a_package_comes_and_goes() {
    let Some([old, new]) = package::debian() else {
        return;
    };
    let Some(machine) = Machine::new("package") else {
        return;
    };
    machine.write("etc/vsftpd.conf", &Machine::vsftpd(RANGE));
    prepare(&machine);
    assert_eq!(machine.must("sh", &["-c", OURS]), "");
    let rules = rules(&machine);
    let words = installed(&machine, old);
    assert_eq!(
        self::rules(&machine),
        rules,
        "installing it edits the firewall"
    );
    enabled_as_it_says(&machine, &words);
    told_once(&machine);
    upgraded(&machine, new);
    watched_where_it_lies(&machine);
    triggered(&machine);
    removed(&machine, old);
    assert_eq!(
        self::rules(&machine),
        rules,
        "something is left of the rules"
    );
    assert_eq!(machine.must("sh", &["-c", OURS]), "");
}

/// A machine that has never seen the program, and on which dpkg knows of its libraries alone.
fn prepare(machine: &Machine) {
    let script = "rm /usr/sbin/pasvsync && cd /var/lib && mkdir -p dpkg/info dpkg/updates dpkg/triggers && touch dpkg/available";
    machine.must("sh", &["-c", script]);
    machine.write("var/lib/dpkg/status", &package::libraries());
    let lists = "cd /var/lib/dpkg/info && for name in libc6 libgcc-s1; do \
        touch $name.list $name:$(dpkg --print-architecture).list; done";
    machine.must("sh", &["-c", lists]);
}

fn dpkg(machine: &Machine, arguments: &[&str]) -> String {
    machine.must(
        "env",
        &[&["DEBIAN_FRONTEND=noninteractive", "dpkg"], arguments].concat(),
    )
}

fn install(machine: &Machine, package: &Package) -> String {
    let path = format!("/root/{}", package.name);
    machine.write_bytes(path.trim_start_matches('/'), &package.bytes);
    dpkg(machine, &["--install", &path])
}

fn rules(machine: &Machine) -> String {
    machine.must("nft", &["--stateless", "list", "ruleset"])
}

fn opens(machine: &Machine, (first, last): (u16, u16)) {
    eventually(&format!("{first}-{last} open"), machine, || {
        [first, last]
            .iter()
            .all(|port| machine.world().connects(CLIENT[0], *port))
    });
}

/// The package is there, complete, and does nothing; what its installation said.
fn installed(machine: &Machine, package: &Package) -> String {
    let words = install(machine, package);
    let active = machine.must("systemctl", &["list-units", "--no-legend", "pasvsync*"]);
    assert_eq!(active, "", "something runs");
    let files = dpkg(machine, &["--listfiles", "pasvsync"]);
    for file in [
        "/usr/sbin/pasvsync",
        "/etc/pasvsync.toml",
        "/usr/lib/systemd/system/pasvsync.timer",
        "/usr/lib/systemd/system/pasvsync-fw@.service",
        "/usr/share/man/man8/pasvsync.8.gz",
        "/usr/share/man/man8/pasvsync-check.8.gz",
        "/usr/share/man/man5/pasvsync.toml.5.gz",
        "/usr/share/bash-completion/completions/pasvsync",
        "/usr/share/zsh/vendor-completions/_pasvsync",
        "/usr/share/fish/vendor_completions.d/pasvsync.fish",
        "/usr/share/doc/pasvsync/copyright",
    ] {
        assert!(
            files.lines().any(|line| line == file),
            "{file} is not in {files}"
        );
    }
    let state = machine.must(
        "stat",
        &[
            "-c",
            "%a %U",
            "/var/lib/pasvsync",
            "/usr/sbin/pasvsync",
            "/etc/pasvsync.toml",
        ],
    );
    assert_eq!(state, "700 root\n755 root\n644 root\n");
    assert_eq!(
        machine
            .must("dpkg-query", &["-W", "-f", "${Conffiles}", "pasvsync"])
            .matches("/etc/")
            .count(),
        1
    );
    words
}

/// The admin does what the package's last words say.
fn enabled_as_it_says(machine: &Machine, words: &str) {
    let line = words
        .lines()
        .find(|line| line.trim_start().starts_with("systemctl enable"));
    let line = line.unwrap_or_else(|| panic!("no command in {words}"));
    machine.must("sh", &["-c", line]);
    opens(machine, RANGE);
    // What a run remembers counts only in a folder that stays root's own.
    machine.must("systemctl", &["start", "pasvsync.service"]);
    let state = machine.must(
        "stat",
        &[
            "-c",
            "%a",
            "/var/lib/pasvsync",
            "/var/lib/pasvsync/boot.proof",
        ],
    );
    assert!(state.starts_with("700\n"), "{state}");
}

/// A change is one entry of the journal, with fields to search by; nothing else is said.
fn told_once(machine: &Machine) {
    let entries = machine.must(
        "journalctl",
        &[
            "-o",
            "json",
            "--no-pager",
            "SYSLOG_IDENTIFIER=pasvsync",
            "+",
            "_COMM=pasvsync",
        ],
    );
    let entries: Vec<Value> = entries
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let [entry] = entries.as_slice() else {
        panic!("not one entry: {entries:#?}");
    };
    assert_eq!(entry["PASVSYNC_BACKEND"], "nftables", "{entry:#}");
    assert_eq!(entry["PASVSYNC_RANGE"], "50000-50010", "{entry:#}");
    assert_eq!(
        entry["MESSAGE"], "changed and proved: 50000-50010 open over IPv4 and IPv6",
        "{entry:#}"
    );
    assert_eq!(
        entry["MESSAGE_ID"].as_str().map(str::len),
        Some(32),
        "{entry:#}"
    );
    // One now, one for the next boot.
    let changed = entry["PASVSYNC_CHANGED"].as_array().map(Vec::len);
    assert_eq!(changed, Some(2), "{entry:#}");
}

/// Files that the units do not know, one of them not there yet, are watched once they are named.
fn watched_where_it_lies(machine: &Machine) {
    let ranges = |range: (u16, u16)| format!("PassivePorts {} {}\n", range.0, range.1);
    machine.must("mkdir", &["-p", "/etc/proftpd", "/srv/ftp/conf.d"]);
    machine.write(
        "etc/proftpd/proftpd.conf",
        "Include /srv/ftp/range.conf\nInclude /srv/ftp/conf.d/*.conf\n",
    );
    let settings = machine
        .must("cat", &["/etc/pasvsync.toml"])
        .replace("daemon = \"vsftpd\"\n", "");
    machine.write("etc/pasvsync.toml", &settings);
    let watch = "pasvsync generate path-unit /etc/systemd/system && systemctl daemon-reload && \
        systemctl restart pasvsync.path";
    machine.must("sh", &["-c", watch]);
    let output = machine.command("systemd-analyze", &["verify", "pasvsync.path"]);
    assert!(
        output.status.success() && !output.stderr.contains("pasvsync"),
        "{output:?}"
    );
    machine.write("srv/ftp/range.conf", &ranges(INCLUDED));
    opens(machine, INCLUDED);
    machine.settle();
    machine.must("rm", &["/srv/ftp/range.conf"]);
    machine.write("srv/ftp/conf.d/range.conf", &ranges(LISTED));
    opens(machine, LISTED);
}

/// What was enabled and configured stays so.
fn upgraded(machine: &Machine, package: &Package) {
    let settings = machine.must("cat", &["/etc/pasvsync.toml"]) + "daemon = \"vsftpd\"\n";
    machine.write("etc/pasvsync.toml", &settings);
    let words = install(machine, package);
    assert!(!words.contains("enable"), "that was said before: {words}");
    assert_eq!(machine.must("cat", &["/etc/pasvsync.toml"]), settings);
    let version = machine.must("dpkg-query", &["-W", "-f", "${Version}", "pasvsync"]);
    assert_eq!(version, "0.2.0");
    for unit in [
        "pasvsync.path",
        "pasvsync.timer",
        "pasvsync-fw@nftables.service",
    ] {
        assert_eq!(machine.property(unit, "ActiveState"), "active", "{unit}");
        assert_eq!(machine.property(unit, "NeedDaemonReload"), "no", "{unit}");
    }
    machine.settle();
    machine.write("etc/vsftpd.conf", &Machine::vsftpd(MOVED));
    opens(machine, MOVED);
}

/// examples/hooks/dpkg: another package's file moves the range.
fn triggered(machine: &Machine) {
    // Nobody else is to do it.
    machine.must("systemctl", &["stop", "pasvsync.path", "pasvsync.timer"]);
    let build = "cd /root && cp -r examples/hooks/dpkg hook && chmod 755 hook/DEBIAN && \
        dpkg-deb --root-owner-group --build hook hook.deb && dpkg -i hook.deb && \
        mkdir -p other/DEBIAN other/etc/proftpd && echo PassivePorts 54000 54010 >other/etc/proftpd/modules.conf && \
        printf 'Package: other\\nVersion: 1\\nArchitecture: all\\nMaintainer: x\\nDescription: x\\n' >other/DEBIAN/control && \
        echo Include /etc/proftpd/modules.conf >/etc/proftpd/proftpd.conf && dpkg-deb --build other other.deb";
    machine.must("sh", &["-c", build]);
    assert!(!machine.world().connects(CLIENT[0], SHIPPED.0));
    dpkg(machine, &["--install", "/root/other.deb"]);
    assert!(
        machine.world().connects(CLIENT[0], SHIPPED.0),
        "the trigger did not fire"
    );
    dpkg(machine, &["--purge", "pasvsync-trigger", "other"]);
}

/// Removal keeps the ports open and says how to close them; that way, nothing is left.
fn removed(machine: &Machine, package: &Package) {
    // In the midst of a run.
    machine.must("systemctl", &["start", "--no-block", "pasvsync.service"]);
    let words = dpkg(machine, &["--remove", "pasvsync"]);
    assert!(words.contains("pasvsync remove"), "{words}");
    opens(machine, MOVED);
    let left = machine.must("sh", &["-c", "systemctl list-units --all --no-legend 'pasvsync*'; find /etc/systemd -type l -name '*pasvsync*'"]);
    assert_eq!(left, "", "units stay");
    install(machine, package);
    machine.must("pasvsync", &["remove"]);
    let words = dpkg(machine, &["--purge", "pasvsync"]);
    assert!(!words.contains("stays open"), "{words}");
    assert!(!machine.world().connects(CLIENT[0], MOVED.0));
    assert_eq!(
        machine.must("cat", &["/etc/nftables.conf"]),
        include_str!("nftables.conf")
    );
}
