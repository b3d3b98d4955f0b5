//! What Ansible's own tools say of the collection.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::controller::{ansible, install};
use crate::support::command::{run, run_within};

/// What is kept from one run to the next: the environments that ansible-test makes for its tests.
const HOME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/ansible/home");
const GET_PIP: &str = include_str!("get_pip.py");
/// What ansible-test checks. Not pylint and shellcheck: the one is large, and there is no script for the other.
const SANITY: [&str; 9] = [
    "action-plugin-docs",
    "compile",
    "import",
    "no-smart-quotes",
    "pep8",
    "shebang",
    "symlinks",
    "validate-modules",
    "yamllint",
];
/// The first run installs much.
const LIMIT: Duration = Duration::from_secs(600);

/// A program of Ansible's, where the collection is installed.
fn check(program: &str, collections: &Path) -> Option<Command> {
    fs_err::create_dir_all(HOME).unwrap();
    let mut command = ansible(program, Path::new(HOME))?;
    command.current_dir(collection(collections));
    command.env("ANSIBLE_COLLECTIONS_PATH", collections);
    Some(command)
}

fn collection(collections: &Path) -> PathBuf {
    collections.join("ansible_collections/pasvsync/pasvsync")
}

/// The version of Python that Ansible is installed for.
fn python() -> String {
    let folders = Path::new(HOME).with_file_name("lib");
    let names = fs_err::read_dir(folders)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let names = names.filter_map(|name| Some(name.to_str()?.strip_prefix("python")?.to_owned()));
    names.last().expect("a Python")
}

#[track_caller]
fn passes(mut command: Command) {
    let output = run_within(LIMIT, &mut command, "");
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        output.stdout,
        output.stderr
    );
}

#[test]
fn the_linter_is_content_for_production() {
    let folder = tempfile::tempdir().unwrap();
    let Some(collections) = install(folder.path()) else {
        return;
    };
    let Some(mut lint) = check("ansible-lint", &collections) else {
        return;
    };
    lint.args(["--offline", "--strict", "--profile", "production"]);
    passes(lint);
}

#[test]
fn the_modules_and_the_role_are_documented() {
    let folder = tempfile::tempdir().unwrap();
    let Some(collections) = install(folder.path()) else {
        return;
    };
    for (kind, name, word) in [
        ("module", "sync", "refuse_exposed"),
        ("module", "set_range", "restart"),
        ("role", "pasvsync", "pasvsync_settings"),
    ] {
        let mut doc = check("ansible-doc", &collections).expect("Ansible, which was there");
        doc.args(["--type", kind, &format!("pasvsync.pasvsync.{name}")]);
        let text = run(&mut doc, "").expect_success("ansible-doc");
        assert!(text.contains(&format!("- {word} ")), "{text}");
    }
}

#[test]
fn ansible_test_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(collections) = install(folder.path()) else {
        return;
    };
    let Some(mut test) = check("ansible-test", &collections) else {
        return;
    };
    let cache = Path::new(HOME).join(".ansible/test/cache");
    fs_err::create_dir_all(&cache).unwrap();
    fs_err::write(cache.join("get_pip_24_2.py"), GET_PIP).unwrap();
    // Only the version that Ansible runs by: whatever others are here may be incomplete.
    test.args(["sanity", "--color", "no", "--python", &python()]);
    for name in SANITY {
        test.args(["--test", name]);
    }
    // It would look for a repository above otherwise.
    let mut git = Command::new("git");
    git.args(["init", "--quiet"])
        .current_dir(collection(&collections));
    passes(git);
    passes(test);
}

/// The plays that the documentation shows.
#[test]
fn the_documentations_plays_are_plays() {
    let folder = tempfile::tempdir().unwrap();
    let Some(collections) = install(folder.path()) else {
        return;
    };
    for page in ["README.md", "docs/fleets.md"] {
        let text = fs_err::read_to_string(collection(&collections).join(page)).unwrap();
        let blocks = text.split("```yaml\n").skip(1);
        let blocks = blocks.map(|rest| rest.split("```").next().unwrap());
        // The others are tasks of a play.
        let plays: Vec<&str> = blocks.filter(|block| block.starts_with("- name")).collect();
        assert!(!plays.is_empty(), "{page}");
        for play in plays {
            let path = folder.path().join("play.yml");
            fs_err::write(&path, play).unwrap();
            let mut command = check("ansible-playbook", &collections).expect("Ansible");
            command
                .args(["--syntax-check", "--inventory", "localhost,"])
                .arg(path);
            passes(command);
        }
    }
}
