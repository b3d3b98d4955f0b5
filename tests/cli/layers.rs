//! What is said of the running rules and of the file that boot loads, where both are at fault or only one can be mended:
//! on a host of its own, whose files are where they always are.

use crate::support::command::Output;
use crate::support::host::{Host, IPTABLES, NFTABLES};

const PROFTPD: &str = "Port 21\nPassivePorts 50000 50009\n";
/// Closes the ports by name.
const DENY: &str = "tcp dport 50000-50009 drop";

/// What to do about a rule that closes the ports by name.
const FORCE: &str =
    "hint: remove the rule, or run again with --force to let the ports in before it";

/// A host with that nftables file, loaded, and with ProFTPD's configuration.
fn nftables(rules: &str) -> Option<Host> {
    let host = Host::on_its_own(&[])?;
    host.write("/etc/proftpd/proftpd.conf", PROFTPD, 0o644);
    host.write("/etc/nftables.conf", rules, 0o644);
    host.enable("", "nftables");
    host.must("nft", &["-f", "/etc/nftables.conf"]);
    Some(host)
}

/// The lines of standard error.
#[track_caller]
fn said(output: &Output, status: i32) -> Vec<&str> {
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    output.stderr.lines().collect()
}

/// The number that the kernel has given a rule means nothing to the next boot: but for that the words are the same.
#[test]
fn what_holds_of_both_layers_is_said_once() {
    let Some(host) =
        nftables(&NFTABLES.replace("ct state invalid", &format!("{DENY}\n ct state invalid")))
    else {
        return;
    };
    // From here on the handles differ.
    let rule = "insert rule inet filter input tcp dport 8080 drop; insert rule inet filter input tcp dport 50000-50009 drop";
    host.must("nft", &[rule]);
    host.must("nft", &["delete rule inet filter input handle 6"]);
    let sync = host.pasvsync(&["sync"]);
    let error = "error: now and after the next boot: rule `tcp dport 50000-50009 drop` (handle 14) of chain inet filter input \
                 (hook input) names these ports: that looks intended";
    assert_eq!(said(&sync, 1), [error, FORCE], "{sync:?}");
    let table = "boot files, after the next boot:\n  proftpd  IPv4  50000-50009  closed  rule `tcp dport 50000-50009 drop` of chain";
    assert!(sync.stdout.contains(table), "{sync:?}");
}

/// The like of iptables, whose rules are of one family each.
#[test]
fn what_holds_of_both_layers_is_said_once_a_family() {
    let Some(host) = Host::on_its_own(&["iptables-restore", "ip6tables-restore"]) else {
        return;
    };
    host.write("/etc/proftpd/proftpd.conf", PROFTPD, 0o644);
    let unit = "/etc/systemd/system/netfilter-persistent.service";
    let start = "[Service]\nExecStart=/usr/sbin/netfilter-persistent start\n";
    host.write(unit, start, 0o644);
    host.enable("", "netfilter-persistent");
    let denied = IPTABLES.replace("--dport 22 -j ACCEPT", "--dport 50000:50009 -j DROP");
    for (program, file) in [
        ("iptables-restore", "/etc/iptables/rules.v4"),
        ("ip6tables-restore", "/etc/iptables/rules.v6"),
    ] {
        host.write(file, &denied, 0o644);
        host.must(program, &[file]);
    }
    let sync = host.pasvsync(&["sync"]);
    let error = |family: &str| {
        format!(
            "error: now and after the next boot: rule `tcp dport 50000-50009 counter drop` (handle 6) of chain {family} \
             filter INPUT (hook input) names these ports: that looks intended"
        )
    };
    let (ipv4, ipv6) = (error("ip"), error("ip6"));
    assert_eq!(said(&sync, 1), [&ipv4, FORCE, &ipv6, FORCE], "{sync:?}");
}

/// An error about the file alone says so.
#[test]
fn what_holds_after_the_next_boot_only_is_named_so() {
    let Some(host) = nftables(NFTABLES) else {
        return;
    };
    let denied = NFTABLES.replace("ct state invalid", &format!("{DENY}\n ct state invalid"));
    host.write("/etc/nftables.conf", &denied, 0o644);
    let sync = host.pasvsync(&["sync"]);
    let error = "error: after the next boot: rule `tcp dport 50000-50009 drop` of chain inet filter input (hook input) names \
                 these ports: that looks intended";
    assert_eq!(said(&sync, 1), [error, FORCE], "{sync:?}");
}

/// Each layer is explained by itself.
#[test]
fn explain_of_each_layer() {
    let Some(host) = nftables(NFTABLES) else {
        return;
    };
    let denied = NFTABLES.replace("ct state invalid", &format!("{DENY}\n ct state invalid"));
    host.write("/etc/nftables.conf", &denied, 0o644);
    let now = host.pasvsync(&["explain", "50003"]);
    assert_eq!(
        now.expect_success("explain"),
        "50003/tcp\n  wanted by proftpd (passive 50000-50009): /etc/proftpd/proftpd.conf:2\n  \
         IPv4  closed  policy drop of chain inet filter input (hook input)\n  \
         IPv6  closed  policy drop of chain inet filter input (hook input)\n"
    );
    let boot = host.pasvsync(&["explain", "50003", "--boot"]);
    assert_eq!(
        boot.expect_success("explain --boot"),
        "50003/tcp, after the next boot\n  wanted by proftpd (passive 50000-50009): /etc/proftpd/proftpd.conf:2\n  \
         IPv4  closed  rule `tcp dport 50000-50009 drop` of chain inet filter input (hook input)\n  \
         IPv6  closed  rule `tcp dport 50000-50009 drop` of chain inet filter input (hook input)\n"
    );
}

/// What filters now is taken away all the same, and what is left is named with what to do.
#[test]
fn remove_where_boot_rejects_the_file() {
    let Some(host) = nftables(NFTABLES) else {
        return;
    };
    host.pasvsync(&["sync"]).expect_success("sync");
    let broken = host.read("/etc/nftables.conf") + "junk here\n";
    host.write("/etc/nftables.conf", &broken, 0o644);
    let remove = host.pasvsync(&["remove"]);
    let error = "error: the next boot would not load `/etc/nftables.conf`: nft: /etc/nftables.conf:29:10-10: Error: syntax \
                 error, unexpected newline";
    let hint = "hint: nftables.service then fails, and the host boots without these rules; correct the file, then run \
                `pasvsync remove` again, or delete by hand what is left: /etc/nftables.conf:26";
    assert_eq!(said(&remove, 1), [error, hint], "{remove:?}");
    assert_eq!(
        remove.stdout,
        "  nft delete rule inet filter input handle 12\n\
         removed: 1 rule of pasvsync's; left in what boot loads: /etc/nftables.conf:26\n"
    );
    let again = host.pasvsync(&["remove"]);
    assert_eq!(said(&again, 1), [error, hint], "{again:?}");
    assert_eq!(
        again.stdout,
        "nothing removed; left in what boot loads: /etc/nftables.conf:26\n"
    );
    host.write(
        "/etc/nftables.conf",
        broken.trim_end_matches("junk here\n"),
        0o644,
    );
    let remove = host.pasvsync(&["remove"]);
    assert_eq!(said(&remove, 0), [""; 0]);
    assert_eq!(host.read("/etc/nftables.conf"), NFTABLES);
}
