//! `check` for those who watch many hosts: Prometheus' and Nagios' forms, judged by Prometheus' own parser.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use super::support::Host;
use crate::support::skip;

const RANGE: &str = "Port 21\nPassivePorts 50000 50009\n";
const POLICY_DROP: &str = include_str!("../../examples/default-deny.nft");
const PROMETHEUS: &str = "pasvsync check --output prometheus";
const NAGIOS: &str = "pasvsync check --output nagios";

/// Prints each sample that Prometheus' own client library finds in a text: its name, labels and value.
const PARSER: &str = "
import sys
from prometheus_client.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    assert family.documentation and family.type == 'gauge', family
    for sample in family.samples:
        labels = ','.join(f'{name}={value}' for name, value in sorted(sample.labels.items()))
        print(f'{sample.name}{{{labels}}} {sample.value}')
";

/// The samples of a text; `None` where the parser is not installed, which in CI is a failure.
fn samples(text: &str) -> Option<BTreeMap<String, f64>> {
    // Debian's own, since that is where its packages are installed to.
    let python = ["/usr/bin/python3", "-c", PARSER];
    let trial = Command::new(python[0])
        .args(["-c", "import prometheus_client"])
        .output();
    if !trial.is_ok_and(|output| output.status.success()) {
        skip("python3-prometheus-client is not here");
        return None;
    }
    let mut command = Command::new(python[0]);
    let output = crate::support::command::run(command.args(&python[1..]), text);
    let lines = output.expect_success("Prometheus' parser");
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    Some(lines.lines().map(sample).collect())
}

fn closed() -> Host {
    Host::new(RANGE).filtered(POLICY_DROP)
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn metrics_count_what_is_closed() {
    let Some(output) = closed().run(&[PROMETHEUS]) else {
        return;
    };
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let Some(samples) = samples(&stdout(&output)) else {
        return;
    };
    let value = |name: &str| {
        *samples
            .get(name)
            .unwrap_or_else(|| panic!("no {name} in {samples:#?}"))
    };
    assert!((0.0..10.0).contains(&value("pasvsync_check_duration_seconds{}")));
    for (name, expected) in [
        ("pasvsync_check_success{}", 1.0),
        ("pasvsync_in_sync{}", 0.0),
        ("pasvsync_wanted_ports{daemon=proftpd}", 10.0),
        ("pasvsync_edits_needed{backend=nftables,layer=runtime}", 1.0),
        (
            concat!(
                "pasvsync_build_info{version=",
                env!("CARGO_PKG_VERSION"),
                "}"
            ),
            1.0,
        ),
    ] {
        assert!(
            (value(name) - expected).abs() < 0.5,
            "{name} {}",
            value(name)
        );
    }
    for family in ["ipv4", "ipv6"] {
        for (verdict, expected) in [
            ("closed", 10.0),
            ("open", 0.0),
            ("restricted", 0.0),
            ("unknown", 0.0),
        ] {
            let name = format!(
                "pasvsync_ports{{backend=nftables,family={family},layer=runtime,verdict={verdict}}}"
            );
            assert!(
                (value(&name) - expected).abs() < 0.5,
                "{name} {}",
                value(&name)
            );
        }
    }
    // Nothing was ever changed here.
    assert!(!samples.contains_key("pasvsync_last_change_timestamp_seconds{}"));
}

#[test]
fn metrics_are_written_to_a_file_at_once() {
    let host = closed();
    let folder = host.root().join("textfile");
    fs_err::create_dir(&folder).unwrap();
    let file = folder.join("pasvsync.prom");
    let command = format!("{PROMETHEUS} --to {}", file.display());
    // Where a change is remembered, once something has made the folder.
    let state = format!("mkdir -p -m 700 {}/var/lib/pasvsync", host.root().display());
    let Some(output) = host.run(&[&state, "pasvsync sync", &command]) else {
        return;
    };
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(0), ""),
        "{output:?}"
    );
    let mode = fs_err::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o644);
    let names = fs_err::read_dir(&folder).unwrap();
    assert_eq!(names.count(), 1, "something was left beside it");
    if let Some(samples) = samples(&fs_err::read_to_string(&file).unwrap()) {
        let seconds = samples["pasvsync_last_change_timestamp_seconds{}"];
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        assert!((now.as_secs_f64() - seconds).abs() < 60.0, "{seconds}");
    }

    // A daemon that refuses its configuration: the firewall is not looked at.
    let refused = Host::new("PassivePorts 50000-50009\n").filtered(POLICY_DROP);
    let output = refused.run(&[PROMETHEUS]).unwrap();
    assert_eq!(output.status.code(), Some(1));
    if let Some(samples) = samples(&stdout(&output)) {
        assert!(samples["pasvsync_check_success{}"] < 0.5);
        assert!(samples["pasvsync_findings{code=daemon-refuses,severity=error}"] > 0.5);
        let ports = |name: &&String| name.starts_with("pasvsync_ports");
        assert_eq!(samples.keys().find(ports), None);
    }

    // What cannot be told is not told; the old file must not stand for it.
    host.file("etc/pasvsync.toml", "ports = 1\n");
    let output = host.run(&[&command]).unwrap();
    assert_eq!(output.status.code(), Some(1));
    if let Some(samples) = samples(&fs_err::read_to_string(&file).unwrap()) {
        assert!(samples["pasvsync_check_success{}"] < 0.5);
        assert!(!samples.contains_key("pasvsync_in_sync{}"), "{samples:?}");
    }

    host.file("etc/pasvsync.toml", "");
    let nowhere = format!("{PROMETHEUS} --to {}/not/here.prom", host.root().display());
    let output = host.run(&[&nowhere]).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("/not/here.prom"), "{words}");
    let output = host
        .run(&["pasvsync sync", "pasvsync remove", "pasvsync check"])
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        !host.root().join("var/lib/pasvsync").exists(),
        "remove leaves its memory"
    );
}

/// The one line and the exit status that Nagios' plugin guidelines ask for.
#[test]
fn nagios_gets_a_line_and_its_own_exit_status() {
    let refused = Host::new("PassivePorts 50000-50009\n").filtered(POLICY_DROP);
    let strange = closed();
    strange.file("etc/pasvsync.toml", "ports = 1\n");
    let left_over = closed();
    let edit = format!(
        "sed -i s/50009/50004/ {}/etc/proftpd/proftpd.conf",
        left_over.root().display()
    );
    let no_range = Host::new("Port 21\n").filtered(POLICY_DROP);
    let cases: [(&str, &Host, &[&str], i32, &str); 6] = [
        (
            "closed",
            &closed(),
            &[],
            2,
            "PASVSYNC CRITICAL: 50000-50009 closed now: policy drop of chain inet filter input (hook input) | closed=10;;0;0;10 restricted=0;;0;0;10 unknown=0;;;0;10\n",
        ),
        (
            "open",
            &closed(),
            &["pasvsync sync"],
            0,
            "PASVSYNC OK: 50000-50009 open over IPv4 and IPv6 | closed=0;;0;0;10 restricted=0;;0;0;10 unknown=0;;;0;10\n",
        ),
        (
            "left over",
            &left_over,
            &["pasvsync sync", &edit],
            1,
            "PASVSYNC WARNING: ",
        ),
        ("a warning", &no_range, &[], 1, "PASVSYNC WARNING: "),
        ("refused", &refused, &[], 2, "PASVSYNC CRITICAL: "),
        ("an error", &strange, &[], 3, "PASVSYNC UNKNOWN: "),
    ];
    for (name, host, before, status, expected) in cases {
        let Some(output) = host.run(&[before, &[NAGIOS]].concat()) else {
            return;
        };
        let line = stdout(&output);
        assert_eq!(output.status.code(), Some(status), "{name}: {line}");
        assert!(line.starts_with(expected), "{name}: {line}");
        assert_eq!(line.matches('\n').count(), 1, "{name}: {line}");
        assert_eq!(output.stderr, b"", "{name}");
    }
}

/// Other commands have no such forms, and nothing runs.
#[test]
fn forms_that_make_no_sense_are_usage_errors() {
    for command in [
        "sync --output prometheus",
        "remove --output nagios",
        "check --to /x",
    ] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_pasvsync"));
        let output = program.args(command.split(' ')).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}");
    }
}
