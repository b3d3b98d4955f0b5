//! Every object that `--output json` prints fits the schema, and the schema is as strict as it looks.

use clap::ValueEnum;
use pasvsync::cli::BackendChoice;
use serde_json::Value;

use super::support::Host;
use crate::support::program::SCHEMA;

const POLICY_DROP: &str = include_str!("../../examples/default-deny.nft");
const TEXT: &str = include_str!("../../schema/report.schema.json");

fn host(configuration: &str) -> Host {
    Host::new(configuration).filtered(POLICY_DROP)
}

/// Runs the commands, and checks the last one's object and exit status.
fn object(host: &Host, commands: &[&str], status: i32) -> Option<Value> {
    let output = host.run(commands)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value: Value = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{commands:?}: {error}\n{text}\n{output:?}"));
    let errors: Vec<String> = SCHEMA
        .iter_errors(&value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{commands:?}: {errors:#?}\n{text}");
    assert_eq!(output.status.code(), Some(status), "{commands:?}\n{text}");
    Some(value)
}

#[test]
fn every_command_prints_an_object_of_the_schema() {
    let closed = host("Port 21\nPassivePorts 50000 50009\n");
    let json = |command: &str| format!("pasvsync {command} --output json");
    if let Some(report) = object(&closed, &[&json("check")], 3) {
        assert_eq!(report["changed"], false);
        assert_eq!(report["in_sync"], false);
        let passive = &report["daemons"][0]["passive"][0];
        assert_eq!(
            (&passive["first"], &passive["last"]),
            (&50000.into(), &50009.into())
        );
        let layer = &report["backends"][0]["layers"]["runtime"];
        assert_eq!(layer["reach"][0]["verdict"], "closed");
        assert_eq!(layer["edits"].as_array().unwrap().len(), 1);
        assert_eq!(
            layer["diff"],
            "@@ inet filter input @@\n+tcp dport 50000-50009 accept comment pasvsync # last\n"
        );
    }
    if let Some(report) = object(&closed, &[&json("sync")], 0) {
        assert_eq!(
            (&report["changed"], &report["in_sync"]),
            (&true.into(), &true.into())
        );
    }
    if let Some(report) = object(&closed, &["pasvsync sync", &json("sync")], 0) {
        assert_eq!(
            (&report["changed"], &report["in_sync"]),
            (&false.into(), &true.into())
        );
    }
    if let Some(report) = object(&closed, &["pasvsync sync", &json("remove")], 0) {
        assert_eq!(report["changed"], true);
    }
    if let Some(explanation) = object(&closed, &[&json("explain 50003")], 0) {
        assert_eq!(explanation["wanted_by"][0]["line"], 2);
        assert_eq!(explanation["layer"], "runtime");
        assert_eq!(explanation["families"][0]["verdict"], "closed");
    }
    object(&closed, &[&json("status")], 0);
    let set = json("set-range 51000-51009 --daemon proftpd");
    if let Some(report) = object(&host("PassivePorts 50000 50009\n"), &[&set], 0) {
        assert_eq!(report["set_range"]["written"], true);
        let file = &report["set_range"]["files"][0];
        let diff = file["diff"].as_str().unwrap();
        assert!(diff.contains("\n-PassivePorts 50000 50009\n+PassivePorts 51000 51009\n"));
        assert_eq!(report["daemons"][0]["passive"][0]["first"], 51_000);
        assert_eq!(report["in_sync"], true);
    }
    let preview = format!("{set} --dry-run");
    if let Some(report) = object(&closed, &[&preview], 0) {
        assert_eq!(report["set_range"]["written"], false);
        assert_eq!(report["changed"], false);
    }
    object(&closed, &[&json("remove")], 0);
    object(&host("Port 21\n"), &[&json("check")], 0);
    object(
        &Host::new("PassivePorts 50000 50009\n"),
        &[&json("sync")],
        0,
    );
}

#[test]
fn errors_are_objects_too() {
    let refused = host("PassivePorts 50000-50009\n");
    for (command, status) in [("sync", 1), ("check", 1), ("status", 0)] {
        let command = format!("pasvsync {command} --output json");
        if let Some(report) = object(&refused, &[&command], status) {
            assert!(report["daemons"][0]["refuses"].is_string(), "{report:#}");
            assert_eq!(report["backends"], serde_json::json!([]));
        }
    }
    let strange = host("PassivePorts 50000 50009\n");
    strange.file("etc/pasvsync.toml", "\nports = 1\n");
    if let Some(failure) = object(&strange, &["pasvsync check --output json"], 1) {
        assert_eq!(failure["error"]["line"], 2);
        assert_eq!(failure["error"]["column"], 1);
    }
    object(&strange, &["pasvsync demo --output json"], 1);
}

/// A command line that makes no sense is an error like any other, whoever finds that out.
#[test]
fn a_command_line_that_makes_no_sense_is_an_object_too() {
    let closed = host("PassivePorts 50000 50009\n");
    for (command, message, hint) in [
        (
            "explain 70000 --output json",
            "invalid value '70000' for '<PORT>': `70000` is no TCP port (one number, 1 to 65535)",
            "see --help",
        ),
        (
            "--output=json syncc",
            "unrecognized subcommand 'syncc'",
            "a similar subcommand exists: 'sync'",
        ),
        (
            "check --output json --forse",
            "unexpected argument '--forse' found",
            "a similar argument exists: '--force'",
        ),
        (
            "explain --output json",
            "the following required arguments were not provided: <PORT>",
            "see --help",
        ),
        (
            "check --to x --output json",
            "--to is for --output prometheus",
            "see --help",
        ),
        (
            "set-range 51000-51009 --output json",
            "set-range needs --daemon NAME",
            "known are pure-ftpd",
        ),
    ] {
        let command = format!("pasvsync {command}");
        let Some(failure) = object(&closed, &[&command], 2) else {
            return;
        };
        assert_eq!(failure["error"]["message"], message);
        let said = failure["error"]["hint"].as_str().unwrap();
        assert!(said.contains(hint), "{command}: {said}");
    }
    // Help is help.
    if let Some(output) = closed.run(&["pasvsync sync --output json --help"]) {
        assert!(output.stdout.starts_with(b"Open what"), "{output:?}");
    }
}

/// Every object of the schema is closed, and everything in it is described.
#[test]
fn the_schema_is_strict_and_described() {
    fn walk(place: &str, value: &Value) {
        match value {
            Value::Object(map) => {
                let is_schema = map.contains_key("type") || map.contains_key("enum");
                if is_schema && !place.ends_with("/properties") {
                    assert!(map.contains_key("description"), "{place}");
                }
                if map.get("type").is_some_and(|kind| kind == "object") {
                    assert_eq!(map["additionalProperties"], false, "{place}");
                }
                for (key, value) in map {
                    walk(&format!("{place}/{key}"), value);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(place, item)),
            _ => {}
        }
    }
    let schema: Value = serde_json::from_str(TEXT).unwrap();
    assert!(jsonschema::meta::is_valid(&schema));
    walk("", &schema);
    let names = &schema["$defs"]["daemonName"]["enum"];
    assert_eq!(*names, serde_json::json!(pasvsync::daemons::names()));
    let backends = &schema["$defs"]["backend"]["properties"]["backend"]["enum"];
    let choices = BackendChoice::value_variants().iter().skip(1);
    let choices = choices.map(|choice| choice.to_possible_value().unwrap().get_name().to_owned());
    assert_eq!(*backends, serde_json::json!(choices.collect::<Vec<_>>()));
    let wrong = serde_json::json!({"schema": 1, "error": {"message": "x", "extra": 1}});
    assert!(!SCHEMA.is_valid(&wrong));
}
