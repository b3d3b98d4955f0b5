//! Many runs at once, and runs beside others that write rules: no rule of theirs is lost, none of ours comes twice.

mod fail2ban;
mod firewalld;
mod neighbours;
mod runs;

use std::time::Duration;

use crate::support::command::run;
use crate::support::host::{Host, IPTABLES, NFTABLES, plain};

/// For how many seconds a run is kept beside its neighbour.
const SECONDS: &str = "PASVSYNC_CONCURRENCY";

/// The daemon's range.
const RANGE: &str = "50000-50100";

fn duration() -> Duration {
    let seconds = std::env::var(SECONDS)
        .ok()
        .and_then(|value| value.parse().ok());
    Duration::from_secs(seconds.unwrap_or(8))
}

/// A host with a firewall that drops what it does not know, and a daemon whose range is closed.
fn closed(firewall: fn(&Host)) -> Option<Host> {
    let host = Host::on_its_own(&["nft", "iptables-nft", "iptables-legacy"])?;
    let (first, last) = RANGE.split_once('-').expect("a range");
    let text = format!("listen=YES\npasv_min_port={first}\npasv_max_port={last}\n");
    host.write("/etc/vsftpd.conf", &text, 0o644);
    firewall(&host);
    Some(host)
}

/// nftables, which boot loads from its file.
fn nftables(host: &Host) {
    host.write("/etc/nftables.conf", NFTABLES, 0o755);
    host.enable("", "nftables");
    host.must("nft", &["-f", "/etc/nftables.conf"]);
}

/// iptables-nft, without a boot file.
fn iptables(host: &Host) {
    restore(host, "nft");
}

/// iptables-legacy, without a boot file.
fn legacy(host: &Host) {
    restore(host, "legacy");
}

fn restore(host: &Host, kind: &str) {
    for program in ["iptables", "ip6tables"] {
        let restore = format!("{program}-{kind}-restore");
        host.run(|| run(&mut plain(&restore), IPTABLES))
            .expect_success(&restore);
    }
}

/// Every line of rules that are there now, without counters.
fn lines(host: &Host) -> Vec<String> {
    let mut text = host.must("nft", &["-s", "list", "ruleset"]);
    for (family, program) in [("ip", "iptables"), ("ip6", "ip6tables")] {
        let names = format!("/proc/thread-self/net/{family}_tables_names");
        let there = host
            .run(|| std::fs::read_to_string(names))
            .is_ok_and(|names| !names.is_empty());
        if there {
            text += &host.must(&format!("{program}-legacy-save"), &[]);
        }
    }
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'));
    // Such as `:INPUT DROP [12:3456]`.
    let lines = lines.map(|line| match line.split_once(" [") {
        Some((chain, _)) if line.starts_with(':') => chain,
        _ => line,
    });
    lines.map(ToOwned::to_owned).collect()
}

/// Those that are ours.
fn own(lines: &[String]) -> Vec<&String> {
    lines
        .iter()
        .filter(|line| line.contains("pasvsync"))
        .collect()
}

/// Those that are not.
fn foreign(lines: &[String]) -> Vec<&String> {
    lines
        .iter()
        .filter(|line| !line.contains("pasvsync"))
        .collect()
}
