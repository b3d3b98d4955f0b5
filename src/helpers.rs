//! Connection tracking helpers for FTP: they read the control connection and let the data connections in that it
//! announces, until it is encrypted.

use std::path::{Path, PathBuf};

use crate::findings::{Finding, Location};
use crate::report::Report;

/// The files that name modules for iptables' services to load, and the setting in each.
const SETTINGS: [(&str, &str); 2] = [
    ("etc/sysconfig/iptables-config", "IPTABLES_MODULES"),
    ("etc/sysconfig/ip6tables-config", "IP6TABLES_MODULES"),
];

/// The helper's module, under its name before and since Linux 2.6.20; the one that translates addresses goes along.
const MODULES: [&str; 4] = [
    "nf_conntrack_ftp",
    "ip_conntrack_ftp",
    "nf_nat_ftp",
    "ip_nat_ftp",
];

/// What the node of a container has to load, and where.
const NODE: &str = "a container gets the helper from its node only: \
     IPTABLES_MODULES=\"ip_conntrack_ftp ip_nat_ftp\" in /etc/sysconfig/iptables-config there";

/// The finding when ports are closed, and a helper is all that would let data connections in. `rule` is a rule of the
/// running firewall that assigns it.
pub fn only_helper(report: &Report, rule: Option<&str>, root: &Path) -> Option<Finding> {
    let closed = report.layers().any(|(_, layer, found)| {
        layer == "runtime" && found.reach.iter().any(|reach| reach.verdict == "closed")
    });
    if !closed {
        return None;
    }
    let configured = configured(root);
    let by = match (rule, &configured) {
        (Some(rule), _) => rule.to_owned(),
        (None, Some((_, modules))) => format!("the modules {modules}"),
        (None, None) => return None,
    };
    let mut hint = "the range itself has to be open: with FTPS the helper cannot read which port the server announces"
        .to_owned();
    if in_container() {
        hint = format!("{hint}; {NODE}");
    }
    let finding = Finding::new(
        "helper-only",
        format!("the range is closed, and only a connection tracking helper lets data connections in: {by}"),
    )
    .with_hint(hint);
    Some(match (rule, configured) {
        (None, Some((location, _))) => finding.at(location),
        _ => finding,
    })
}

/// The line of a module list that names the helper, and what of it.
fn configured(root: &Path) -> Option<(Location, String)> {
    SETTINGS.iter().find_map(|(file, setting)| {
        let path: PathBuf = root.join(file);
        let text = std::fs::read(&path).ok()?;
        let text = String::from_utf8_lossy(&text);
        let (line, modules) = last_assignment(&text, setting)?;
        let known = |module: &&str| MODULES.contains(module);
        let found: Vec<&str> = modules.split_whitespace().filter(known).collect();
        (!found.is_empty()).then(|| (Location::line(&path, line), found.join(" ")))
    })
}

/// The last assignment of a shell variable: its line, and its value without quotes.
fn last_assignment<'t>(text: &'t str, name: &str) -> Option<(u32, &'t str)> {
    let assignments = (1..).zip(text.lines()).filter_map(|(number, line)| {
        let value = line.trim_start().strip_prefix(name)?.strip_prefix('=')?;
        Some((number, value.trim().trim_matches(['"', '\''])))
    });
    assignments.last()
}

/// Whether this is a container of `OpenVZ` or Virtuozzo, whose kernel modules are its node's.
fn in_container() -> bool {
    Path::new("/proc/vz").exists() && !Path::new("/proc/bc").exists()
}

#[cfg(test)]
mod tests {
    use super::last_assignment;

    #[test]
    fn the_last_assignment_counts() {
        let text = "# IPTABLES_MODULES=\"a\"\nIPTABLES_MODULES=\"\"\n\n  IPTABLES_MODULES=\"ip_conntrack_ftp ip_nat_ftp\"\nIPTABLES_MODULES_UNLOAD=\"yes\"\n";
        assert_eq!(
            last_assignment(text, "IPTABLES_MODULES"),
            Some((4, "ip_conntrack_ftp ip_nat_ftp"))
        );
        assert_eq!(last_assignment(text, "IP6TABLES_MODULES"), None);
    }
}
