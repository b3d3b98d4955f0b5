//! Programs that write rules of their own, as data: what tells them, what starts them at boot, and how their user opens
//! ports with them. A new one is a row here.

use crate::model::ports::PortSet;

/// A program that would overwrite, or be broken by, an edit of its rules.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    /// Tables that are its own; a star stands for any end of the name.
    pub(crate) tables: &'static [&'static str],
    /// Chains that it makes in a table that it fills alone: all of one group tell it.
    pub(crate) signs: &'static [&'static [&'static str]],
    /// Chains that are its own in a table that it shares: their names begin so.
    pub(crate) chains: &'static [&'static str],
    /// Services that fill its rules from its own configuration at boot.
    pub(crate) services: &'static [&'static str],
    /// A file, and the line in it without which the services do nothing.
    pub(crate) switched_on: Option<(&'static str, &'static str)>,
    /// A file that switches the services off.
    pub(crate) switched_off: Option<&'static str>,
    /// How ports are opened with it: `{:}`, `{-}` and `{_}` stand for them, with that letter inside ranges.
    pub(crate) advice: &'static str,
}

impl Tool {
    /// Whether its rules are told from others once they are loaded. Otherwise they look like an admin's own, and what is
    /// put between them stays until the program is run again.
    pub(crate) fn is_told(&self) -> bool {
        !self.tables.is_empty() || !self.signs.is_empty()
    }

    /// How its user opens ports with it.
    pub(crate) fn advice(&self, ports: &PortSet) -> String {
        with_ports(self.advice, ports)
    }
}

/// The tool of that name.
pub(crate) fn named(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name)
}

/// An advice with the ports in their places.
pub(crate) fn with_ports(advice: &str, ports: &PortSet) -> String {
    let list = |between: &str| {
        let ranges = ports.ranges().iter();
        let ranges = ranges.map(|range| match (range.first(), range.last()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}{between}{last}"),
        });
        ranges.collect::<Vec<_>>().join(",")
    };
    [":", "-", "_"]
        .iter()
        .fold(advice.to_owned(), |advice, between| {
            advice.replace(&format!("{{{between}}}"), &list(between))
        })
}

/// What most rows leave empty.
const TOOL: Tool = Tool {
    name: "",
    tables: &[],
    signs: &[],
    chains: &[],
    services: &[],
    switched_on: None,
    switched_off: None,
    advice: "",
};

/// The first that fits counts.
pub(crate) const TOOLS: &[Tool] = &[
    Tool {
        name: "firewalld",
        tables: &["firewalld*"],
        // Those of its iptables backend.
        signs: &[&["INPUT_ZONES"], &["INPUT_direct"]],
        services: &["firewalld"],
        advice: "leave --backend away while firewalld is running; if it is not, its rules are leftovers: `systemctl start firewalld`, then run again",
        ..TOOL
    },
    Tool {
        name: "ufw",
        signs: &[&["ufw-before-input"], &["ufw6-before-input"]],
        chains: &["ufw-", "ufw6-"],
        services: &["ufw"],
        // The service is enabled wherever ufw is installed.
        switched_on: Some(("/etc/ufw/ufw.conf", "ENABLED=yes")),
        advice: "run `ufw allow {:}/tcp comment pasvsync`",
        ..TOOL
    },
    Tool {
        name: "csf",
        signs: &[&["LOCALINPUT", "LOGDROPIN"], &["LOCALINPUT", "DENYIN"]],
        services: &["csf"],
        switched_off: Some("/etc/csf/csf.disable"),
        advice: "add {:} to TCP_IN and TCP6_IN in /etc/csf/csf.conf, then run `csf -r`",
        ..TOOL
    },
    Tool {
        name: "shorewall",
        signs: &[&["shorewall"]],
        services: &[
            "shorewall",
            "shorewall6",
            "shorewall-lite",
            "shorewall6-lite",
            "shorewall-init",
        ],
        advice: "add the line `ACCEPT net $FW tcp {:}` to /etc/shorewall/rules and /etc/shorewall6/rules, `net` being the zone, then run `shorewall reload` and `shorewall6 reload`",
        ..TOOL
    },
    Tool {
        name: "foomuuri",
        tables: &["foomuuri"],
        services: &["foomuuri", "foomuuri-boot"],
        advice: "add the line `tcp {-} accept` to the section `public-localhost` in /etc/foomuuri, `public` being the zone, then run `foomuuri reload`",
        ..TOOL
    },
    Tool {
        name: "arno-iptables-firewall",
        signs: &[&["EXT_INPUT_CHAIN", "POST_INPUT_DROP_CHAIN"]],
        services: &["arno-iptables-firewall"],
        advice: "add {:} to OPEN_TCP in /etc/arno-iptables-firewall/conf.d, then run `arno-iptables-firewall restart`",
        ..TOOL
    },
    Tool {
        name: "apf",
        signs: &[&["TALLOW", "TDENY"]],
        services: &["apf", "apf-firewall"],
        advice: "add {_} to IG_TCP_CPORTS in conf.apf, then run `apf -r`",
        ..TOOL
    },
    Tool {
        name: "fw4",
        tables: &["fw4"],
        advice: "add a rule for TCP {-} from the zone to /etc/config/firewall, then run `fw4 reload`",
        ..TOOL
    },
    Tool {
        name: "ferm",
        services: &["ferm"],
        advice: "add `proto tcp dport ({:}) ACCEPT;` to chain INPUT in /etc/ferm/ferm.conf, then run `systemctl reload ferm`",
        ..TOOL
    },
    Tool {
        name: "firehol",
        services: &["firehol"],
        advice: "add `server custom pasv tcp/{:} default accept` to the interface in /etc/firehol/firehol.conf, then run `firehol restart`",
        ..TOOL
    },
    Tool {
        name: "uruk",
        services: &["uruk"],
        advice: "add the ports to the services in /etc/uruk/rc, then run `urukctl reload`",
        ..TOOL
    },
    Tool {
        name: "vuurmuur",
        services: &["vuurmuur"],
        advice: "add a rule for the ports with vuurmuur_conf",
        ..TOOL
    },
    Tool {
        name: "imunify360",
        chains: &["INPUT_imunify360", "imunify360"],
        services: &["imunify360"],
        advice: "let the ports in with Imunify360's own settings",
        ..TOOL
    },
    Tool {
        name: "kube-proxy",
        tables: &["kube-proxy"],
        chains: &["KUBE-"],
        advice: "choose a passive range outside the NodePort range",
        ..TOOL
    },
    // What its containers load, such as network policies and translated NodePorts, nothing on the disk says.
    Tool {
        name: "kubernetes",
        services: &["kubelet", "k3s", "k3s-agent", "rke2-agent", "rke2-server"],
        advice: "choose a passive range outside the NodePort range, and let it in with the cluster's network policies",
        ..TOOL
    },
    Tool {
        name: "calico",
        tables: &["calico"],
        chains: &["cali-"],
        services: &["calico-felix"],
        advice: "let the ports in with a GlobalNetworkPolicy for this host's endpoint",
        ..TOOL
    },
    Tool {
        name: "cilium",
        chains: &["CILIUM_"],
        advice: "let the ports in with a CiliumClusterwideNetworkPolicy for this host",
        ..TOOL
    },
    Tool {
        name: "libvirt",
        tables: &["libvirt_network"],
        chains: &["LIBVIRT_"],
        advice: "change the libvirt network, not its rules",
        ..TOOL
    },
    Tool {
        name: "docker",
        tables: &["docker-bridges"],
        chains: &["DOCKER"],
        advice: "publish the ports with docker, or use the DOCKER-USER chain",
        ..TOOL
    },
    Tool {
        name: "netavark",
        tables: &["netavark"],
        chains: &["NETAVARK", "CNI-"],
        advice: "publish the ports with podman",
        ..TOOL
    },
    Tool {
        name: "lxd",
        tables: &["lxd"],
        advice: "change the LXD network, not its rules",
        ..TOOL
    },
    Tool {
        name: "incus",
        tables: &["incus"],
        advice: "change the Incus network, not its rules",
        ..TOOL
    },
];

/// Chains of programs that only ban, or only see packets that are not for this host: their names begin so.
pub(crate) const BESIDE: &[&str] = &[
    "f2b-",
    "fail2ban-",
    "CROWDSEC",
    "crowdsec",
    "sshguard",
    "FLANNEL-",
    "WEAVE-",
    "ISTIO_",
    "ts-",
];

/// Services whose scripts start nft or iptables and keep nobody out whom an admin lets in: they translate, ban, or let in.
pub(crate) const HARMLESS_SERVICES: &[&str] = &[
    "bitninja",
    "cphulkd",
    "crowdsec-firewall-bouncer",
    "denyhosts",
    "docker",
    "fail2ban",
    "lfd",
    "libvirtd",
    "lxc-net",
    "miniupnpd",
    "psad",
    "sshguard",
    "tailscaled",
    "tayga",
    "wg-quick",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ports::PortRange;

    #[test]
    fn advice_names_the_ports_as_the_tool_writes_them() {
        let ports: PortSet = [
            PortRange::new(50_000, 50_100).unwrap(),
            PortRange::single(60_000),
        ]
        .into_iter()
        .collect();
        for (name, words) in [
            ("ufw", "ufw allow 50000:50100,60000/tcp"),
            ("foomuuri", "tcp 50000-50100,60000 accept"),
            ("apf", "50000_50100,60000 to IG_TCP_CPORTS"),
        ] {
            let tool = TOOLS.iter().find(|tool| tool.name == name).unwrap();
            assert!(
                tool.advice(&ports).contains(words),
                "{}",
                tool.advice(&ports)
            );
        }
        for tool in TOOLS {
            let advice = tool.advice(&ports);
            assert!(!advice.is_empty() && !advice.contains('{'), "{advice}");
        }
    }
}
