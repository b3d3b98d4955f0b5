//! `pasvsync generate`: what packages install beside the program, from the same types that parse the command line.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clap::{Args as _, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::manual::{DATE, FILES, Manual, PAGES, SETTINGS_ARE};
use crate::cli::{Cli, Generate, Generated, Global};
use crate::exit::ExitStatus;
use crate::settings::Settings;

/// The manual's section: system administration.
const SECTION: &str = "8";
const PATH_UNIT: &str = include_str!("../../examples/systemd/pasvsync.path");
const PREFACE: &str = "# What pasvsync reads on this host and pasvsync.path does not watch by itself, by `pasvsync generate path-unit`:
# to be run again when the daemons' configuration includes other files.
[Unit]
";
/// The settings file that packages install: every key, with what it means and what holds without it.
const SETTINGS: &str = include_str!("../../examples/pasvsync.toml");
const SCHEMA: &str = include_str!("../../schema/report.schema.json");

/// Runs the command.
///
/// # Errors
/// When a file cannot be written, or a daemon's configuration cannot be read.
pub fn run(arguments: &Generate, settings: &Settings) -> anyhow::Result<ExitStatus> {
    let folder = &arguments.folder;
    fs_err::create_dir_all(folder)?;
    match arguments.what {
        Generated::Man => pages(folder)?,
        Generated::Bash => completion(Shell::Bash, folder)?,
        Generated::Zsh => completion(Shell::Zsh, folder)?,
        Generated::Fish => completion(Shell::Fish, folder)?,
        Generated::PathUnit => path_unit(folder, settings)?,
        Generated::Schema => fs_err::write(folder.join("report.schema.json"), SCHEMA)?,
    }
    Ok(ExitStatus::Success)
}

/// Names what is read here and the unit itself does not watch.
fn path_unit(folder: &Path, settings: &Settings) -> anyhow::Result<()> {
    let readings = super::discover(settings)?.readings;
    let consulted: BTreeSet<PathBuf> = readings
        .into_iter()
        .flat_map(|reading| reading.consulted)
        .collect();
    let instance = |path: &Path| format!("pasvsync@{}.path", escape(path));
    let watched = |path: &Path| PATH_UNIT.contains(&instance(path));
    let mut text = String::from(PREFACE);
    for path in &consulted {
        // A folder's watch sees the files in it.
        let parent = path.parent().unwrap_or(Path::new("/"));
        if !watched(path) && !watched(parent) && !consulted.contains(parent) {
            let _ = writeln!(text, "Wants={}", instance(path));
        }
    }
    let folder = folder.join("pasvsync.path.d");
    fs_err::create_dir_all(&folder)?;
    fs_err::write(folder.join("files-read.conf"), text)?;
    Ok(())
}

/// A path as the name of a unit's instance (systemd.unit(5), "String escaping for inclusion in unit names").
fn escape(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let words = bytes
        .split(|byte| *byte == b'/')
        .filter(|word| !word.is_empty());
    let mut escaped = String::new();
    for (number, word) in words.enumerate() {
        if number > 0 {
            escaped.push('-');
        }
        for (index, byte) in word.iter().enumerate() {
            let first = number == 0 && index == 0;
            let plain = byte.is_ascii_alphanumeric()
                || matches!(byte, b':' | b'_')
                || *byte == b'.' && !first;
            let _ = if plain {
                write!(escaped, "{}", char::from(*byte))
            } else {
                write!(escaped, "\\x{byte:02x}")
            };
        }
    }
    escaped
}

fn completion(shell: Shell, folder: &Path) -> anyhow::Result<()> {
    // The scripts would offer hidden commands too.
    let shown = Cli::command();
    let shown = shown
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let program = clap::Command::new("pasvsync").version(env!("CARGO_PKG_VERSION"));
    let mut program = Global::augment_args(program)
        .disable_help_subcommand(true)
        .subcommands(shown.cloned());
    clap_complete::generate_to(shell, &mut program, "pasvsync", folder)?;
    Ok(())
}

fn pages(folder: &Path) -> anyhow::Result<()> {
    let mut program = Cli::command();
    program.build();
    for manual in PAGES {
        let command = program
            .find_subcommand(manual.command)
            .unwrap_or(&program)
            .clone();
        let name = command.get_display_name().unwrap_or("pasvsync").to_owned();
        fs_err::write(
            folder.join(format!("{name}.{SECTION}")),
            page(command, &name, manual)?,
        )?;
    }
    fs_err::write(folder.join("pasvsync.toml.5"), settings_page()?)?;
    Ok(())
}

/// The page of the settings file, from the sample: paragraphs of comments, each about the key below it.
fn settings_page() -> std::io::Result<Vec<u8>> {
    let program = concat!("pasvsync ", env!("CARGO_PKG_VERSION"));
    let mut page = Roff::new();
    page.control("TH", ["PASVSYNC.TOML", "5", DATE, program, "File Formats"]);
    page.control("SH", ["NAME"]);
    page.text([roman("pasvsync.toml - settings of pasvsync")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(SETTINGS_ARE)]);
    page.control("SH", ["SETTINGS"]);
    for paragraph in SETTINGS.split("\n\n").skip(1) {
        let lines = || paragraph.lines().filter_map(|line| line.strip_prefix('#'));
        let mut keys = lines().filter(|line| !line.starts_with(' '));
        let words: Vec<&str> = lines().filter_map(|line| line.strip_prefix(' ')).collect();
        page.control("TP", []);
        page.text([bold(keys.next().unwrap_or_default())]);
        page.text([roman(words.join(" "))]);
        // What stands in a table, by way of example.
        for key in keys {
            page.control("IP", []);
            page.text([roman(key)]);
        }
    }
    list(&mut page, "FILES", FILES);
    page.control("SH", ["SEE ALSO"]);
    page.text([roman("pasvsync(8)")]);
    let mut text = Vec::new();
    page.to_writer(&mut text)?;
    Ok(text)
}

/// A page in the order that man-pages(7) gives its sections.
fn page(mut command: clap::Command, name: &str, manual: &Manual) -> std::io::Result<Vec<u8>> {
    let with_commands = manual.command.is_empty();
    // As short as in the help: clap_mangen would list every option.
    let usage = command.render_usage().to_string();
    let man = Man::new(command)
        .title(name.to_uppercase())
        .section(SECTION)
        .date(DATE)
        .source(concat!("pasvsync ", env!("CARGO_PKG_VERSION")))
        .manual("System Administration");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    let mut synopsis = Roff::new();
    synopsis.control("SH", ["SYNOPSIS"]);
    synopsis.text([bold(usage.trim_start_matches("Usage: "))]);
    synopsis.to_writer(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if with_commands {
        man.render_subcommands_section(&mut text)?;
    }
    let mut rest = Roff::new();
    list(&mut rest, "EXIT STATUS", manual.exit_status);
    list(&mut rest, "FILES", FILES);
    list(&mut rest, "EXAMPLES", manual.examples);
    rest.control("SH", ["SEE ALSO"]);
    let own = (!with_commands).then_some("pasvsync(8)");
    let others: Vec<&str> = own
        .into_iter()
        .chain(manual.see_also.iter().copied())
        .collect();
    rest.text([roman(others.join(", "))]);
    rest.to_writer(&mut text)?;
    Ok(text)
}

/// A section of terms, each with what it means.
fn list(roff: &mut Roff, heading: &str, items: &[(&str, &str)]) {
    roff.control("SH", [heading]);
    for (term, meaning) in items {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*meaning)]);
    }
}
