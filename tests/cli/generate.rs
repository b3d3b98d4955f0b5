//! What `pasvsync generate` writes is what man, the shells and validators take.

use std::path::Path;
use std::process::{Command, Output};

use pasvsync::daemons;
use tempfile::TempDir;

use super::support::Host;
use crate::support::skip;

fn generate(what: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pasvsync"));
    // It is made when it is not there.
    let output = command
        .args(["generate", what])
        .arg(folder.path().join("new"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    folder
}

/// Runs a tool; `None` where it is not installed, which in CI is a failure.
fn tool(program: &str, arguments: &[&str], file: &Path) -> Option<Output> {
    let output = Command::new(program).args(arguments).arg(file).output();
    match output {
        Ok(output) => Some(output),
        Err(error) => {
            skip(&format!("{program}: {error}"));
            None
        }
    }
}

#[test]
fn man_pages_are_sound_and_complete() {
    let folder = generate("man");
    let pages: Vec<_> = fs_err::read_dir(folder.path().join("new"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(pages.len() > 5, "{pages:?}");
    for page in pages {
        let text = fs_err::read_to_string(&page).unwrap();
        let file = page.extension().is_some_and(|section| section == "5");
        let own: &[&str] = if file {
            &["DESCRIPTION", "SETTINGS"]
        } else {
            &["SYNOPSIS", "\"EXIT STATUS\"", "EXAMPLES"]
        };
        for section in [&["NAME", "FILES", "\"SEE ALSO\""], own].concat() {
            let heading = format!("\n.SH {section}\n");
            assert!(text.contains(&heading), "{}: {section}", page.display());
        }
        let Some(output) = tool("mandoc", &["-T", "lint", "-W", "warning"], &page) else {
            return;
        };
        let words = String::from_utf8(output.stdout).unwrap();
        // clap_mangen writes more line breaks than are needed.
        let found: Vec<&str> = words
            .lines()
            .filter(|line| !line.contains("skipping paragraph macro"))
            .collect();
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// The page of the settings file has every key of the sample, as man shows it.
#[test]
fn the_settings_have_a_page() {
    let folder = generate("man");
    let page = folder.path().join("new/pasvsync.toml.5");
    let Some(output) = tool("mandoc", &["-T", "utf8", "-O", "width=200"], &page) else {
        return;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    // Letters in bold are struck twice.
    let struck = |text: &str| -> String {
        let letters: Vec<char> = text.chars().collect();
        let kept = (0..letters.len())
            .filter(|index| letters[*index] != '\u{8}' && letters.get(index + 1) != Some(&'\u{8}'));
        kept.map(|index| letters[index]).collect()
    };
    let text = struck(&text);
    let sample = include_str!("../../examples/pasvsync.toml");
    let keys = sample.lines().filter_map(|line| line.strip_prefix('#'));
    for key in keys.filter(|line| !line.starts_with(' ')) {
        assert!(text.contains(key), "{key} is not in {text}");
    }
}

/// What bash offers behind some words, the last of them being completed.
fn completions(script: &Path, words: &str) -> Option<Vec<String>> {
    let ask = format!(
        "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
         _pasvsync pasvsync \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let output = Command::new("bash").args(["-c", &ask]).output().ok()?;
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(ToOwned::to_owned).collect())
}

#[test]
fn bash_completes_commands_and_names() {
    let folder = generate("bash");
    let script = folder.path().join("new/pasvsync.bash");
    let Some(backends) = completions(&script, "pasvsync check --backend ''") else {
        return skip("bash is not here");
    };
    for backend in ["auto", "iptables", "nftables"] {
        assert!(backends.contains(&backend.to_owned()), "{backends:?}");
    }
    let offered = completions(&script, "pasvsync sync --daemon ''").unwrap();
    let known = [vec!["auto"], daemons::names()].concat();
    assert_eq!(offered, known);
    assert_eq!(
        completions(&script, "pasvsync sync --daemon pro").unwrap(),
        ["proftpd"]
    );
    assert_eq!(completions(&script, "pasvsync st").unwrap(), ["status"]);
    // It is for those who make packages.
    assert_eq!(completions(&script, "pasvsync gen").unwrap(), [""]);
}

/// zsh finds the script by its first line, and takes what it says.
#[test]
fn zsh_loads_its_completion() {
    let folder = generate("zsh");
    let ask = "fpath=(${1:h} $fpath); autoload -Uz compinit && compinit -D -u && print $_comps[pasvsync] && \
               autoload +X _pasvsync && print $functions[_pasvsync] | grep -c proftpd";
    let script = folder.path().join("new/_pasvsync");
    let Some(output) = tool("zsh", &["-f", "-c", ask, "zsh"], &script) else {
        return;
    };
    let words = String::from_utf8(output.stdout).unwrap();
    let (function, uses) = words.split_once('\n').unwrap_or_default();
    assert_eq!(
        function,
        "_pasvsync",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_ne!(uses.trim(), "0");
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn fish_completes_commands_and_names() {
    let folder = generate("fish");
    let script = folder.path().join("new/pasvsync.fish");
    for (words, offered) in [
        ("pasvsync sync --daemon pro", &["proftpd"][..]),
        ("pasvsync st", &["status"]),
        ("pasvsync gen", &[]),
    ] {
        let ask = format!("source $argv[1]; complete --do-complete '{words}'");
        let Some(output) = tool("fish", &["--no-config", "-c", &ask], &script) else {
            return;
        };
        assert!(output.stderr.is_empty(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split('\t').next())
            .collect();
        assert_eq!(names, offered, "{words}");
    }
}

/// What is included from elsewhere is watched, whether it is there or not; what pasvsync.path knows is not named again.
#[test]
fn a_path_unit_names_what_is_read_here() {
    let host = Host::new(
        "Include \"/srv/ftp-site/.a%b c.conf\"\nInclude /srv/conf.d/*.conf\nInclude /etc/proftpd/more.conf\n\
         PassivePorts 50000 50009\n",
    );
    host.file("srv/conf.d/one.conf", "Port 2121\n");
    let units = host.root().join("units");
    let command = format!("pasvsync generate path-unit {}", units.display());
    let Some(output) = host.run(&[&command]) else {
        return;
    };
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let unit = fs_err::read_to_string(units.join("pasvsync.path.d/files-read.conf")).unwrap();
    let wanted: Vec<&str> = unit
        .lines()
        .filter(|line| line.starts_with("Wants="))
        .collect();
    let escaped = r"srv-ftp\x2dsite-.a\x25b\x20c.conf";
    assert_eq!(
        wanted,
        [
            "Wants=pasvsync@srv-conf.d.path".to_owned(),
            format!("Wants=pasvsync@{escaped}.path"),
            "Wants=pasvsync@usr-local-etc-proftpd.conf.path".to_owned(),
        ]
    );
    let Some(output) = tool(
        "systemd-escape",
        &["--path"],
        Path::new("/srv/ftp-site/.a%b c.conf"),
    ) else {
        return;
    };
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), escaped);
}

#[test]
fn the_schema_is_that_of_the_sources() {
    let folder = generate("schema");
    let written = fs_err::read_to_string(folder.path().join("new/report.schema.json")).unwrap();
    assert_eq!(written, include_str!("../../schema/report.schema.json"));
}
