//! Which program is in charge of a table or chain, told by the names that it gives them.

use crate::model::ports::PortSet;
use crate::model::ruleset::{Chain, Table};

/// A program that writes rules of its own and would overwrite, or be broken by, an edit in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the programs")]
pub enum Manager {
    Firewalld,
    Ufw,
    Csf,
    /// A running program that owns the table (flag `owner`).
    Owner,
    KubeProxy,
    Libvirt,
    Docker,
}

impl Manager {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Firewalld => "firewalld",
            Self::Ufw => "ufw",
            Self::Csf => "csf",
            Self::Owner => "the process that owns the table",
            Self::KubeProxy => "kube-proxy",
            Self::Libvirt => "libvirt",
            Self::Docker => "docker",
        }
    }

    /// How its user opens these ports with it.
    pub fn hint(self, ports: &PortSet) -> String {
        let each = |separator: char, text: &dyn Fn(&str) -> String| -> Vec<String> {
            let ranges = ports
                .ranges()
                .iter()
                .map(|range| match (range.first(), range.last()) {
                    (first, last) if first == last => first.to_string(),
                    (first, last) => format!("{first}{separator}{last}"),
                });
            ranges.map(|range| text(&range)).collect()
        };
        match self {
            Self::Firewalld => {
                "leave --backend away while firewalld is running; if it is not, its rules are leftovers: `systemctl start firewalld`, then run again"
                    .to_owned()
            }
            Self::Ufw => {
                let commands = each(':', &|range| {
                    format!("ufw allow {range}/tcp comment pasvsync")
                });
                format!("run `{}`", commands.join("; "))
            }
            Self::Csf => {
                let ranges = each(':', &str::to_owned).join(",");
                format!(
                    "add {ranges} to TCP_IN and TCP6_IN in /etc/csf/csf.conf, then run `csf -r`"
                )
            }
            Self::Owner => {
                "the table has the flag `owner`: only that process can change it".to_owned()
            }
            Self::KubeProxy => "choose a passive range outside the NodePort range".to_owned(),
            Self::Libvirt => "change the libvirt network, not its rules".to_owned(),
            Self::Docker => {
                "publish the ports with docker, or use the DOCKER-USER chain".to_owned()
            }
        }
    }
}

/// Chains that belong to a program whatever table they stand in: their names begin so.
const CHAIN_PREFIXES: &[&str] = &[
    "f2b-",
    "fail2ban-",
    "DOCKER",
    "KUBE-",
    "cali-",
    "CILIUM_",
    "LIBVIRT_",
    "ufw-",
    "ufw6-",
    "ufw-user-",
    "CROWDSEC",
    "crowdsec",
    "sshguard",
    "NETAVARK",
    "CNI-",
    "FLANNEL-",
    "WEAVE-",
    "ISTIO_",
    "ts-",
];

/// Who is in charge of the table; `None` for an admin's own.
pub fn manager(table: &Table) -> Option<Manager> {
    if table.name.starts_with("firewalld") {
        return Some(Manager::Firewalld);
    }
    if table.owned {
        return Some(Manager::Owner);
    }
    let by_name = match table.name.as_str() {
        "kube-proxy" => Some(Manager::KubeProxy),
        "libvirt_network" => Some(Manager::Libvirt),
        "docker-bridges" => Some(Manager::Docker),
        _ => None,
    };
    if by_name.is_some() {
        return by_name;
    }
    let has = |name: &str| table.chains.iter().any(|chain| chain.name == name);
    if has("ufw-before-input") || has("ufw6-before-input") {
        return Some(Manager::Ufw);
    }
    if has("LOCALINPUT") && (has("LOGDROPIN") || has("DENYIN")) {
        return Some(Manager::Csf);
    }
    // firewalld's iptables backend.
    if has("INPUT_ZONES") || has("INPUT_direct") {
        return Some(Manager::Firewalld);
    }
    None
}

/// Whether the chain is written by a program other than the admin's hand, whoever is in charge of its table.
pub fn is_foreign(chain: &Chain) -> bool {
    CHAIN_PREFIXES
        .iter()
        .any(|prefix| chain.name.starts_with(prefix))
}
