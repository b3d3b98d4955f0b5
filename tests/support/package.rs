//! Debian packages of the program under test.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use super::command::{quiet, run};
use super::program::PROGRAM;
use super::skip;

const SOURCES: &str = env!("CARGO_MANIFEST_DIR");

/// A package.
#[derive(Debug)]
pub(crate) struct Package {
    /// The file's name.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// Two packages, the second one newer; `None` where the tool for it is not here.
pub(crate) fn debian() -> Option<&'static [Package; 2]> {
    // They are made of files below target/, where one test would take them from under the other.
    static MADE: OnceLock<Option<[Package; 2]>> = OnceLock::new();
    MADE.get_or_init(make).as_ref()
}

fn make() -> Option<[Package; 2]> {
    let tool = Path::new(SOURCES).join("target/tools/bin/cargo-deb");
    if !tool.exists() {
        skip("cargo-deb is not in target/tools: packaging/build tools");
        return None;
    }
    let mut build = quiet("packaging/build");
    run(build.current_dir(SOURCES).args(["files", PROGRAM]), "")
        .expect_success("packaging/build files");
    // Where cargo-deb looks for a program that is built for release.
    let folder = tempfile::tempdir().expect("a folder");
    let release = folder.path().join("release");
    fs_err::create_dir(&release).expect("a folder");
    let mut strip = quiet("strip");
    strip.arg("-o").arg(release.join("pasvsync")).arg(PROGRAM);
    run(&mut strip, "").expect_success("strip");
    Some(["0.1.0", "0.2.0"].map(|version| {
        let name = format!("pasvsync_{version}.deb");
        let path = folder.path().join(&name);
        let mut command = Command::new(&tool);
        command.current_dir(SOURCES);
        command.env("CARGO_TARGET_DIR", folder.path());
        command.args(["--quiet", "--no-build", "--fast", "--no-strip"]);
        command.args(["--deb-version", version, "--output"]);
        // It asks cargo, which waits for other cargos without a limit.
        let output = command.arg(&path).output().expect("cargo-deb");
        assert!(output.status.success(), "{output:?}");
        let bytes = fs_err::read(path).expect("the package");
        Package { name, bytes }
    }))
}

/// What dpkg knows, as its status file has it, where it knows of the packages' libraries alone.
pub(crate) fn libraries() -> String {
    let mut query = quiet("dpkg-query");
    let output = run(query.args(["--status", "libc6", "libgcc-s1"]), "");
    let text = output.expect_success("dpkg-query");
    // What they need themselves is not known there, and apt would install nothing before that.
    let lines = text.lines().filter(|line| !line.starts_with("Depends:"));
    lines.map(|line| format!("{line}\n")).collect()
}
