//! Which program is in charge of a table or chain, told by the names that it gives them.

use crate::model::ruleset::{Chain, Table, TableFamily};

/// A program that writes rules of its own and would overwrite, or be broken by, an edit in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manager {
    /// Its name.
    pub name: &'static str,
    /// How its user opens a port with it.
    pub hint: &'static str,
}

const FIREWALLD: Manager = Manager {
    name: "firewalld",
    hint: "open the range with firewall-cmd, both at runtime and with --permanent",
};
const UFW: Manager = Manager {
    name: "ufw",
    hint: "open the range with `ufw allow FIRST:LAST/tcp comment pasvsync`",
};
const CSF: Manager = Manager {
    name: "csf",
    hint: "add FIRST:LAST to TCP_IN and TCP6_IN in /etc/csf/csf.conf, then run `csf -r`",
};
const OWNER: Manager = Manager {
    name: "the process that owns the table",
    hint: "the table has the flag `owner`: only that process can change it",
};
const KUBE_PROXY: Manager = Manager {
    name: "kube-proxy",
    hint: "choose a passive range outside the NodePort range",
};
const LIBVIRT: Manager = Manager {
    name: "libvirt",
    hint: "change the libvirt network, not its rules",
};
const DOCKER: Manager = Manager {
    name: "docker",
    hint: "publish the ports with docker, or use the DOCKER-USER chain",
};

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
    "sshguard",
    "NETAVARK",
];

/// Who is in charge of the table; `None` for an admin's own.
pub fn manager(table: &Table) -> Option<Manager> {
    if table.name.starts_with("firewalld") {
        return Some(FIREWALLD);
    }
    if table.owned {
        return Some(OWNER);
    }
    let by_name = match table.name.as_str() {
        "kube-proxy" => Some(KUBE_PROXY),
        "libvirt_network" => Some(LIBVIRT),
        "docker-bridges" => Some(DOCKER),
        _ => None,
    };
    if by_name.is_some() {
        return by_name;
    }
    let has = |name: &str| table.chains.iter().any(|chain| chain.name == name);
    if has("ufw-before-input") || has("ufw6-before-input") {
        return Some(UFW);
    }
    if has("LOCALINPUT") && (has("LOGDROPIN") || has("DENYIN")) {
        return Some(CSF);
    }
    // firewalld's iptables backend.
    if has("INPUT_ZONES") || has("INPUT_direct") {
        return Some(FIREWALLD);
    }
    None
}

/// Whether iptables reads the table: it refuses tables with expressions that it does not know.
pub fn is_of_iptables(table: &Table) -> bool {
    const CHAINS: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
    matches!(table.family, TableFamily::Ip | TableFamily::Ip6)
        && matches!(
            table.name.as_str(),
            "filter" | "nat" | "mangle" | "raw" | "security"
        )
        && table
            .chains
            .iter()
            .any(|chain| chain.base.is_some() && CHAINS.contains(&chain.name.as_str()))
}

/// Whether the chain is written by a program other than the admin's hand, whoever is in charge of its table.
pub fn is_foreign(chain: &Chain) -> bool {
    CHAIN_PREFIXES
        .iter()
        .any(|prefix| chain.name.starts_with(prefix))
}
