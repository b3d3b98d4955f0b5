//! Files in nft's language.

use super::*;

const WORKSTATION: &str = r#"#!/usr/sbin/nft -f
# A workstation.
flush ruleset

define services = { 22, 80,
    443 }
include "/etc/nftables.d/*.nft"

table inet filter {
    set banned {
        type ipv4_addr
        flags interval
        elements = { 198.51.100.0/24,
            203.0.113.66 }
    }
    chain input {
        type filter hook input priority filter; policy accept;
        ct state invalid drop comment "early drop of invalid packets"
        ct state established,related accept
        iif lo accept
        ip saddr @banned drop
        tcp dport $services accept # the usual
        tcp dport ssh accept
        # everything else
        counter reject with icmpx type admin-prohibited
    }
    chain forward { type filter hook forward priority 0; policy drop; }
}
"#;

fn workstation() -> System {
    let system = System::new();
    system
        .enable("nftables")
        .file("etc/nftables.conf", WORKSTATION)
        .file("etc/nftables.d/empty.nft", "# nothing yet\n");
    system
}

/// The folder's own names shine through from the host: `ssh` is in `/etc/services`.
#[test]
fn one_line_goes_before_the_reject_and_comes_out_again() {
    in_namespace(|| {
        let system = workstation();
        let before = fs_err::metadata(system.path("etc/nftables.conf")).unwrap();
        let line = "        tcp dport 50000-50100 accept comment \"pasvsync\"\n";
        assert_eq!(
            system.sync("50000-50100"),
            [format!("/etc/nftables.conf:25: + {}", line.trim())]
        );
        let reject = "        counter reject";
        let expected = WORKSTATION.replace(reject, &format!("{line}{reject}"));
        assert_eq!(system.text("etc/nftables.conf"), expected);
        assert_eq!(system.planned("50000-50100"), [""; 0]);
        assert_eq!(
            system.remove(),
            [format!("/etc/nftables.conf:25: - {}", line.trim())]
        );
        assert_eq!(system.text("etc/nftables.conf"), WORKSTATION);
        let after = fs_err::metadata(system.path("etc/nftables.conf")).unwrap();
        assert_eq!(
            (before.mode(), before.uid(), before.gid()),
            (after.mode(), after.uid(), after.gid())
        );
    });
}

#[test]
fn another_range_replaces_the_line() {
    in_namespace(|| {
        let system = workstation();
        system.sync("50000-50100");
        assert_eq!(
            system.sync("50000-50200,21"),
            [
                "/etc/nftables.conf:25: + tcp dport 21 accept comment \"pasvsync\"",
                "/etc/nftables.conf:25: + tcp dport 50000-50200 accept comment \"pasvsync\"",
                "/etc/nftables.conf:25: - tcp dport 50000-50100 accept comment \"pasvsync\"",
            ]
        );
        system.remove();
        assert_eq!(system.text("etc/nftables.conf"), WORKSTATION);
    });
}

#[test]
fn undo_restores_every_byte() {
    in_namespace(|| {
        let system = workstation();
        system.sync("50000-50100");
        let synced = system.text("etc/nftables.conf");
        let mut layer = system.layer();
        let ruleset = layer.ruleset().unwrap();
        let plan = layer
            .plan(&ruleset, &desired("40000-40010,50000-50050"))
            .unwrap();
        let undo = layer.apply(&ruleset, &plan.edits).unwrap();
        assert_ne!(system.text("etc/nftables.conf"), synced);
        layer.apply(&ruleset, &undo).unwrap();
        assert_eq!(system.text("etc/nftables.conf"), synced);
    });
}

#[test]
fn red_hat_drop_ins_are_edited_where_the_chain_is() {
    const MAIN: &str =
        "# Uncomment the include statement here.\ninclude \"/etc/nftables/main.nft\"\n";
    const DROP_IN: &str = "add table inet nftables_svc
add chain inet nftables_svc INPUT { type filter hook input priority filter + 20; policy accept; }
table inet nftables_svc {
\tset allowed_protocols {
\t\ttype inet_proto
\t\telements = { icmp, icmpv6 }
\t}
\tchain allow {
\t\tct state established,related accept
\t\tmeta l4proto @allowed_protocols accept
\t\ttcp dport 22 accept
\t}
\tchain INPUT {
\t\tiifname lo accept
\t\tjump allow
\t\treject with icmpx type port-unreachable
\t}
}
";
    in_namespace(|| {
        let system = System::new();
        system
            .enable("nftables")
            .file("etc/sysconfig/nftables.conf", MAIN)
            .file("etc/nftables/main.nft", DROP_IN);
        assert_eq!(
            system.sync("50000-50100"),
            ["/etc/nftables/main.nft:16: + tcp dport 50000-50100 accept comment \"pasvsync\""]
        );
        assert!(
            system
                .text("etc/nftables/main.nft")
                .contains("\n\t\ttcp dport 50000")
        );
        system.remove();
        assert_eq!(system.text("etc/nftables/main.nft"), DROP_IN);
        assert_eq!(system.text("etc/sysconfig/nftables.conf"), MAIN);
    });
}

#[test]
fn scripts_of_commands_get_a_command() {
    const SCRIPT: &str = "flush ruleset
add table ip filter
add chain ip filter input { type filter hook input priority 0; policy drop; }
add rule ip filter input ct state established accept
add rule ip filter input tcp dport 22 accept
add table ip6 filter
add chain ip6 filter input { type filter hook input priority 0; }
add rule ip6 filter input tcp dport 22 accept
add rule ip6 filter input icmpv6 type != nd-neighbor-solicit drop
add rule ip6 filter input drop";
    in_namespace(|| {
        let system = System::new();
        system.enable("nftables").file("etc/nftables.conf", SCRIPT);
        assert_eq!(
            system.sync("50000-50100"),
            [
                "/etc/nftables.conf:6: + add rule ip filter input tcp dport 50000-50100 accept comment \"pasvsync\"",
                "/etc/nftables.conf:10: + add rule ip6 filter input tcp dport 50000-50100 accept comment \"pasvsync\"",
            ]
        );
        system.remove();
        assert_eq!(system.text("etc/nftables.conf"), SCRIPT);
    });
}

/// The end of the last line comes with our line, and goes with it.
#[test]
fn a_last_line_without_an_end_gets_none_left_behind() {
    const SCRIPT: &str = "add table inet f
add chain inet f c { type filter hook input priority 0; policy drop; }
add rule inet f c tcp dport 22 accept";
    in_namespace(|| {
        let system = System::new();
        system.enable("nftables").file("etc/nftables.conf", SCRIPT);
        assert_eq!(
            system.sync("50000"),
            [
                "/etc/nftables.conf:4: + add rule inet f c tcp dport 50000 accept comment \"pasvsync\""
            ]
        );
        assert!(
            system
                .text("etc/nftables.conf")
                .ends_with("accept comment \"pasvsync\"")
        );
        system.remove();
        assert_eq!(system.text("etc/nftables.conf"), SCRIPT);
    });
}

#[test]
fn a_drop_policy_puts_the_line_at_the_end_of_the_chain() {
    const TEXT: &str = "table inet f {
  chain input {
    type filter hook input priority 0
    policy drop
    iif \"eth0\" tcp dport 22 accept
    iif \"eth0\" ip saddr 192.0.2.7 drop

    # end
  }
}
";
    in_namespace(|| {
        ip("link add eth0 type bridge");
        ip("link set eth0 up");
        let system = System::new();
        system.enable("nftables").file("etc/nftables.conf", TEXT);
        let mut layer = system.layer();
        let ruleset = layer.ruleset().unwrap();
        let judged =
            |port| proof::trace(&ruleset, Family::Ipv4, &ports(port)).reach(port.parse().unwrap());
        assert_eq!(judged("22"), Some(Reach::Open));
        assert_eq!(judged("50000"), Some(Reach::Closed));
        assert_eq!(
            system.sync("50000"),
            ["/etc/nftables.conf:9: + tcp dport 50000 accept comment \"pasvsync\""]
        );
        assert!(
            system
                .text("etc/nftables.conf")
                .contains("\n    tcp dport 50000")
        );
        system.remove();
        assert_eq!(system.text("etc/nftables.conf"), TEXT);
    });
}

#[test]
fn a_rejected_file_is_an_error_in_the_loaders_words() {
    in_namespace(|| {
        let system = System::new();
        system.enable("nftables").file(
            "etc/nftables.conf",
            "table inet f {\n chain c { tcp dprot 22 accept; }\n}\n",
        );
        let error = system.error();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("nftables.conf:2:"), "{error}");
        assert!(
            error.hint().unwrap().contains("without these rules"),
            "{error:?}"
        );
    });
}

/// The chain's rules come from one line: there is no place for a line of ours inside, but one behind the block.
#[test]
fn what_has_no_place_is_refused_with_the_boot_unit() {
    in_namespace(|| {
        let system = System::new();
        let one = "table inet f { chain c { type filter hook input priority 0; policy drop; }; }\n";
        system.enable("nftables").file("etc/nftables.conf", one);
        assert_eq!(
            system.sync("50000"),
            [
                "/etc/nftables.conf:2: + add rule inet f c tcp dport 50000 accept comment \"pasvsync\""
            ]
        );
        let one = "table inet f { chain c { type filter hook input priority 0; drop; }; }\n";
        system.file("etc/nftables.conf", one);
        let plan = system.plan("50000");
        assert!(plan.edits.is_empty());
        assert_eq!(plan.refusals[0].code, "boot-file-not-editable");
        assert!(
            plan.refusals[0]
                .hint
                .as_ref()
                .unwrap()
                .contains("systemctl enable")
        );
        assert_eq!(plan.refusals[0].ports, ports("50000"));
    });
}

#[test]
fn a_file_that_changed_since_the_plan_is_not_written() {
    in_namespace(|| {
        let system = workstation();
        let mut layer = system.layer();
        let ruleset = layer.ruleset().unwrap();
        let plan = layer.plan(&ruleset, &desired("50000")).unwrap();
        let other = format!("{WORKSTATION}# a word\n");
        system.file("etc/nftables.conf", &other);
        let error = layer.apply(&ruleset, &plan.edits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Changed);
        system.file("etc/nftables.conf", WORKSTATION);
        system.file(
            "etc/nftables.d/empty.nft",
            "table ip t {\n chain c {\n }\n}\n",
        );
        let error = layer.apply(&ruleset, &plan.edits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Changed);
        assert_eq!(system.text("etc/nftables.conf"), WORKSTATION);
    });
}

/// Shared chains get an accept for what is addressed to the host itself.
#[test]
fn a_chain_behind_two_hooks_and_one_in_a_drop_in() {
    const TEXT: &str = "table inet f {
\tchain input {
\t\ttype filter hook input priority 0; policy accept
\t\tct state established accept
\t\tinclude \"/etc/nftables.d/input.nft\"
\t}
}
";
    const RULES: &str = "# from the drop-in\ntcp dport 22 accept\ndrop\n";
    in_namespace(|| {
        let system = System::new();
        system
            .enable("nftables")
            .file("etc/nftables.conf", TEXT)
            .file("etc/nftables.d/input.nft", RULES);
        assert_eq!(
            system.sync("50000"),
            ["/etc/nftables.d/input.nft:3: + tcp dport 50000 accept comment \"pasvsync\""]
        );
        system.remove();
        assert_eq!(system.text("etc/nftables.d/input.nft"), RULES);
    });
}

/// Four hundred rules, and a block in the middle of them: found in a few loads.
#[test]
fn long_chains_take_few_tries() {
    in_namespace(|| {
        let rules = |first: u16| -> String {
            let rules = (0..200).map(|index| format!("\t\ttcp dport {} accept\n", first + index));
            rules.collect()
        };
        let text = format!(
            "table inet f {{\n\tchain c {{\n\t\ttype filter hook input priority 0\n{}\t\ttcp dport 1024-65535 drop\n{}\t}}\n}}\n",
            rules(100),
            rules(400)
        );
        let system = System::new();
        system.enable("nftables").file("etc/nftables.conf", &text);
        let mut layer = system.layer();
        let ruleset = layer.ruleset().unwrap();
        let loads = std::cell::Cell::new(0);
        let mut force = desired("50000-50100");
        force.force = true;
        let decision = own::decide(&ruleset, &force);
        let sources = &layer.inputs.sources;
        let mut search = Search {
            load: &|texts| {
                loads.set(loads.get() + 1);
                layer.load(&layer.inputs, texts)
            },
            sources,
            texts: sources
                .iter()
                .map(|source| Text::new(&source.bytes))
                .collect(),
            shape: Shape::of(&ruleset),
            started: std::time::Instant::now(),
        };
        assert_eq!(search.edit(&decision).unwrap(), []);
        assert!(loads.get() <= 3, "{} loads", loads.get());
        assert_eq!(search.texts[0].splices()[0].line, 204);
    });
}

/// A line of ours in the wrong place moves; one too many goes; one that an admin narrowed is replaced.
#[test]
fn lines_of_ours_that_do_not_do_their_work() {
    in_namespace(|| {
        let system = workstation();
        let line = "        tcp dport 50000-50100 accept comment \"pasvsync\"\n";
        let reject = "        counter reject with icmpx type admin-prohibited\n";
        let right = WORKSTATION.replace(reject, &format!("{line}{reject}"));
        for wrong in [
            WORKSTATION.replace(reject, &format!("{reject}{line}")),
            WORKSTATION.replace(reject, &format!("{line}{line}{reject}")),
            right.replace(
                "        tcp dport 50",
                "        ip saddr 192.0.2.0/24 tcp dport 50",
            ),
            right.replace("50000-50100 accept", "{ 50000-50100, 60000 } accept"),
        ] {
            system.file("etc/nftables.conf", &wrong);
            system.sync("50000-50100");
            assert_eq!(system.text("etc/nftables.conf"), right, "{wrong}");
        }
        // A comment and a word of another's are not ours.
        let others = WORKSTATION.replace(
            "# A workstation.",
            "# tcp dport 50000-50100 accept comment \"pasvsync\"",
        );
        system.file("etc/nftables.conf", &others);
        system.sync("50000-50100");
        system.remove();
        assert_eq!(system.text("etc/nftables.conf"), others);
    });
}

/// Rules of ours that a define or a line with other rules brings are not taken apart.
#[test]
fn a_rule_of_ours_without_a_line_of_its_own_is_refused() {
    in_namespace(|| {
        let system = System::new();
        let text = "table inet f {
\tchain c {
\t\ttype filter hook input priority 0; policy drop;
\t\ttcp dport 22 accept; tcp dport 50000 accept comment \"pasvsync\"
\t}
}
";
        system.enable("nftables").file("etc/nftables.conf", text);
        let plan = system.plan("");
        assert!(plan.edits.is_empty());
        assert_eq!(plan.refusals[0].code, "boot-file-not-editable");
        assert!(
            plan.refusals[0].message.contains("inet f c"),
            "{:?}",
            plan.refusals
        );
    });
}

/// Where a loader is not installed, its service fails at boot; what it would load is unknown, not open.
#[test]
fn what_cannot_be_judged_is_unknown() {
    let system = System::new();
    system
        .enable("nftables")
        .file("etc/nftables.conf", "")
        .file(
            "usr/lib/systemd/system/nftables.service",
            "[Service]\nExecStart=/usr/local/sbin/firewall\n",
        );
    let (reach, refusal) = unjudged(&system.error(), &desired("50000"));
    assert_eq!(reach[0].reach(50000), Some(Reach::Unknown));
    assert_eq!(refusal.code, "boot-file-not-editable");
    let other = Error::new(ErrorKind::Permission, "no");
    assert_eq!(
        unjudged(&other, &desired("50000")).1.code,
        "boot-not-judged"
    );
}

/// An absolute link is meant as the booted system sees it.
#[test]
fn links_are_followed_inside_the_root() {
    in_namespace(|| {
        let system = System::new();
        let text = "include \"/etc/fw/rules/*.nft\"\n";
        let rules = "table inet f {\n\tchain c {\n\t\ttype filter hook input priority 0; policy drop;\n\t}\n}\n";
        system
            .enable("nftables")
            .file("etc/fw/main", text)
            .file("etc/fw/there/rules", rules);
        symlink("/etc/fw/main", system.path("etc/nftables.conf")).unwrap();
        fs_err::create_dir(system.path("etc/fw/rules")).unwrap();
        symlink("/etc/fw/there/rules", system.path("etc/fw/rules/a.nft")).unwrap();
        assert_eq!(
            system.sync("50000"),
            ["/etc/fw/there/rules:4: + tcp dport 50000 accept comment \"pasvsync\""]
        );
        assert!(system.path("etc/fw/rules/a.nft").is_symlink());
        system.remove();
        assert_eq!(system.text("etc/fw/there/rules"), rules);
    });
}
