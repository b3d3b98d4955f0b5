//! `pasvsync demo`: the whole story, with a real kernel and real connections, in namespaces that vanish with it.
//!
//! The program starts itself again inside new namespaces: once as the FTP server's host, which tells the story, and from
//! there once as the FTP client's. As an ordinary user it becomes root of a user namespace first, as root it needs none.

mod client;
mod server;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::process::{Command, ExitStatus as ProcessStatus, Output, Stdio};

use anyhow::Context as _;

use crate::cli::DemoStage;
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::terminal::Style;

/// The programs that the demo needs, and the Debian packages they come in.
const TOOLS: &[(&str, &str)] = &[
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
];

/// Runs the command, or the part of it that `stage` names.
///
/// # Errors
/// When the stage for the story cannot be set up. A story that turns out not to be true is a failure, not an error.
pub fn run(stage: Option<DemoStage>, printer: &Printer) -> anyhow::Result<ExitStatus> {
    match stage {
        None => start(*printer),
        Some(DemoStage::Server) => server::run(*printer),
        Some(DemoStage::Client) => client::run(),
    }
}

/// Starts the server's side in namespaces of its own, and waits for it.
fn start(printer: Printer) -> anyhow::Result<ExitStatus> {
    if printer.json() {
        return Err(Failure::new(
            "the demo is a story for people: it has no JSON form",
            "leave out `--output json`",
        )
        .into());
    }
    let user = if rustix::process::geteuid().is_root() {
        &[][..]
    } else {
        &["--user", "--map-root-user"][..]
    };
    let namespaces = [user, &["--net", "--mount"]].concat();
    let trial = output(Command::new("unshare").args(&namespaces).arg("true"))?;
    if !trial.status.success() {
        return Err(forbidden(&trial, user.is_empty()).into());
    }
    let color = if printer.style() == Style::Colored {
        "always"
    } else {
        "never"
    };
    let status = status(
        Command::new("unshare")
            .args(&namespaces)
            .arg(own_program()?)
            .args(["demo", "--stage", "server", "--color", color])
            .env("PATH", path_of_root(std::env::var_os("PATH"))),
    )?;
    Ok(if status.success() {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    })
}

/// The folders to find programs in, with those that an ordinary user's path often lacks: nft is in one of them.
fn path_of_root(path: Option<OsString>) -> OsString {
    let mut path = path.unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}

/// This program's own file.
fn own_program() -> anyhow::Result<std::path::PathBuf> {
    std::env::current_exe().context("cannot find this program's own file")
}

/// Why namespaces cannot be made here, and what to do about it.
fn forbidden(trial: &Output, root: bool) -> Failure {
    let setting = |name: &str| fs_err::read_to_string(format!("/proc/sys/{name}")).ok();
    let message = format!(
        "cannot make the demo's namespaces: {}",
        String::from_utf8_lossy(&trial.stderr).trim()
    );
    Failure::new(message, advice(root, setting))
}

/// What lets an ordinary user make namespaces, as far as the kernel's settings tell.
fn advice(root: bool, setting: impl Fn(&str) -> Option<String>) -> String {
    if root {
        return "root may not make namespaces here, which is usual in containers: run the demo on the host, or give \
                the container CAP_SYS_ADMIN"
            .to_owned();
    }
    let switches = [
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ("user.max_user_namespaces", "0", "15000"),
    ];
    let mut advice = "run it as root (the host stays untouched)".to_owned();
    for (name, forbids, allows) in switches {
        let value = setting(&name.replace('.', "/"));
        if value.is_some_and(|value| value.trim() == forbids) {
            let _ = write!(
                advice,
                ", or let users make namespaces: sysctl -w {name}={allows}"
            );
        }
    }
    advice
}

/// Runs a program and gives what it printed.
fn output(command: &mut Command) -> anyhow::Result<Output> {
    let outcome = command.stdin(Stdio::null()).output();
    outcome.map_err(|error| missing(command, error))
}

/// Runs a program that prints to where this one does.
fn status(command: &mut Command) -> anyhow::Result<ProcessStatus> {
    let outcome = command.stdin(Stdio::null()).status();
    outcome.map_err(|error| missing(command, error))
}

/// Runs a program that has nothing to say unless it fails.
fn must(program: &str, arguments: &str) -> anyhow::Result<String> {
    let output = output(Command::new(program).args(arguments.split_whitespace()))?;
    if !output.status.success() {
        anyhow::bail!(
            "`{program} {arguments}` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The error of a program that could not be started, with the package it comes in.
fn missing(command: &Command, error: io::Error) -> anyhow::Error {
    let program = command.get_program().to_string_lossy().into_owned();
    let package = TOOLS.iter().find(|(tool, _)| *tool == program);
    match package {
        Some((_, package)) if error.kind() == ErrorKind::NotFound => Failure::new(
            format!("the demo needs `{program}`, which is not installed"),
            format!("install it: apt install {package}"),
        )
        .into(),
        _ => anyhow::Error::from(error).context(format!("cannot run `{program}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::advice;

    #[test]
    fn the_setting_that_forbids_is_named() {
        let ubuntu = |name: &str| {
            (name == "kernel/apparmor_restrict_unprivileged_userns").then(|| "1\n".to_owned())
        };
        assert_eq!(
            advice(false, ubuntu),
            "run it as root (the host stays untouched), or let users make namespaces: \
             sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        );
        assert!(advice(true, |_| None).contains("CAP_SYS_ADMIN"));
    }
}
