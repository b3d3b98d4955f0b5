#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

use std::process::Command;

use super::*;
use crate::model::ruleset::Ruleset;
use crate::netfilter::tests::{in_namespace, load, run};
use crate::netfilter::{Scope, Socket, read};

/// What nft shows, without the handles.
fn listing() -> Vec<String> {
    let text = run(Command::new("nft").args(["-s", "list", "ruleset"]), "").unwrap();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

fn insert(
    table: &str,
    chain: &str,
    before: Option<u64>,
    ports: (u16, u16),
    local_only: bool,
) -> Change {
    Change::Insert {
        family: TableFamily::Inet,
        table: table.into(),
        chain: chain.into(),
        before,
        ports: PortRange::new(ports.0, ports.1).unwrap(),
        local_only,
        iptables: false,
    }
}

fn apply(changes: &[Change]) -> Ruleset {
    let mut socket = Socket::open().unwrap();
    let generation = socket.generation().unwrap();
    socket
        .send_batch(&encode(changes, generation).unwrap())
        .unwrap();
    read(&mut socket, Scope::InputPath).unwrap()
}

fn example() -> Ruleset {
    load(
        "table inet t { chain c { type filter hook input priority 0; policy drop; ip saddr 192.0.2.1 drop\n tcp dport 22 accept\n }\n}",
    );
    read(&mut Socket::open().unwrap(), Scope::InputPath).unwrap()
}

#[test]
fn a_batch_inserts_where_it_says_and_takes_away_what_it_put() {
    in_namespace(|| {
        let before = example();
        let original = listing();
        let handle = before.tables[0].chains[0].rules()[1].handle;
        let after = apply(&[
            insert("t", "c", Some(handle), (30000, 31000), false),
            insert("t", "c", Some(handle), (21, 21), false),
            insert("t", "c", None, (40000, 40001), true),
        ]);
        let rules = after.tables[0].chains[0].rules();
        let texts: Vec<String> = rules.iter().map(ToString::to_string).collect();
        let wanted = [
            "ip saddr 192.0.2.1 drop",
            "tcp dport 30000-31000 accept comment \"pasvsync\"",
            "tcp dport 21 accept comment \"pasvsync\"",
            "tcp dport 22 accept",
            "fib daddr type local tcp dport 40000-40001 accept comment \"pasvsync\"",
        ];
        assert_eq!(texts, wanted);
        let listed = listing();
        assert_eq!(listed[3..8], wanted);
        let ours = rules
            .iter()
            .filter(|rule| rule.comment.as_deref() == Some(MARK));
        let deletions: Vec<Change> = ours
            .map(|rule| Change::Delete {
                family: TableFamily::Inet,
                table: "t".into(),
                chain: "c".into(),
                handle: rule.handle,
            })
            .collect();
        apply(&deletions);
        assert_eq!(listing(), original);
    });
}

#[test]
fn a_stale_generation_is_refused_as_changed() {
    in_namespace(|| {
        let generation = example().generation.unwrap();
        let original = listing();
        let mut socket = Socket::open().unwrap();
        let batch = encode(
            &[insert("t", "c", None, (1, 2), false)],
            generation.wrapping_sub(1),
        )
        .unwrap();
        let error = socket.send_batch(&batch).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Changed);
        assert_eq!(listing(), original);
        // The socket is still in step.
        let batch = encode(&[insert("t", "c", None, (1, 2), false)], generation).unwrap();
        socket.send_batch(&batch).unwrap();
        assert_eq!(
            socket.send_batch(&batch).unwrap_err().kind(),
            ErrorKind::Changed
        );
    });
}

#[test]
fn a_batch_is_taken_whole_or_not_at_all() {
    in_namespace(|| {
        let generation = example().generation.unwrap();
        let original = listing();
        let mut socket = Socket::open().unwrap();
        let changes = [
            insert("t", "c", None, (1, 2), false),
            insert("t", "c", Some(9999), (1, 2), false),
        ];
        let error = socket
            .send_batch(&encode(&changes, generation).unwrap())
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("message 2"), "{error}");
        assert_eq!(listing(), original);
    });
}

#[test]
fn iptables_shows_the_rule_as_its_own() {
    in_namespace(|| {
        for (program, family) in [
            ("iptables-nft", TableFamily::Ip),
            ("ip6tables-nft", TableFamily::Ip6),
        ] {
            let mut show = Command::new(program);
            show.arg("-S");
            run(Command::new(program).args(["-P", "INPUT", "DROP"]), "").unwrap();
            let change = |first, last| Change::Insert {
                family,
                table: "filter".into(),
                chain: "INPUT".into(),
                before: None,
                ports: PortRange::new(first, last).unwrap(),
                local_only: false,
                iptables: true,
            };
            apply(&[change(30000, 31000), change(21, 21)]);
            let shown = run(&mut show, "").unwrap();
            let rules: Vec<&str> = shown
                .lines()
                .filter(|line| line.starts_with("-A"))
                .collect();
            let wanted = [
                "-A INPUT -p tcp -m tcp --dport 30000:31000 -m comment --comment pasvsync -j ACCEPT",
                "-A INPUT -p tcp -m tcp --dport 21 -m comment --comment pasvsync -j ACCEPT",
            ];
            assert_eq!(rules, wanted);
        }
    });
}

#[test]
fn an_empty_batch_changes_nothing() {
    in_namespace(|| {
        let generation = example().generation.unwrap();
        let mut socket = Socket::open().unwrap();
        socket
            .send_batch(&encode(&[], generation).unwrap())
            .unwrap();
        assert_eq!(socket.generation().unwrap(), generation);
    });
}

#[test]
fn two_hundred_changes_fit_one_batch() {
    in_namespace(|| {
        example();
        let changes: Vec<Change> = (0..200)
            .map(|number| insert("t", "c", None, (2 * number + 1, 2 * number + 1), true))
            .collect();
        let after = apply(&changes);
        assert_eq!(after.tables[0].chains[0].rules().len(), 202);
    });
}

/// In iptables' tables iptables has to know the rule again, and to stay in charge of its chain.
#[test]
fn iptables_shows_what_is_put_into_its_tables() {
    in_namespace(|| {
        for (family, program) in [
            (TableFamily::Ip, "iptables-nft"),
            (TableFamily::Ip6, "ip6tables-nft"),
        ] {
            for rule in ["-A INPUT -p tcp --dport 22 -j ACCEPT", "-A FORWARD -j DROP"] {
                run(Command::new(program).args(rule.split(' ')), "").unwrap();
            }
            for (ports, local_only, shown) in [
                ((30000, 31000), false, "--dport 30000:31000"),
                ((21, 21), false, "--dport 21"),
                (
                    (1, 65535),
                    true,
                    "--dport 1:65535 -m addrtype --dst-type LOCAL",
                ),
            ] {
                apply(&[Change::Insert {
                    family,
                    table: "filter".into(),
                    chain: "INPUT".into(),
                    before: None,
                    ports: PortRange::new(ports.0, ports.1).unwrap(),
                    local_only,
                    iptables: true,
                }]);
                let rule = format!("-p tcp -m tcp {shown} -m comment --comment pasvsync -j ACCEPT");
                let listed = run(Command::new(program).args(["-S", "INPUT"]), "").unwrap();
                let last = listed.lines().last();
                assert_eq!(last, Some(format!("-A INPUT {rule}").as_str()));
                let check = format!("-C INPUT {rule}");
                run(Command::new(program).args(check.split(' ')), "").unwrap();
            }
        }
    });
}
