//! `pasvsync generate`: what packages install beside the program, from the same types that parse the command line.

use std::path::Path;

use clap::{Args as _, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::manual::{DATE, FILES, Manual, PAGES};
use crate::cli::{Cli, Generate, Generated, Global};
use crate::exit::ExitStatus;

/// The manual's section: system administration.
const SECTION: &str = "8";
const SCHEMA: &str = include_str!("../../schema/report.schema.json");

/// Runs the command.
///
/// # Errors
/// When a file cannot be written.
pub fn run(arguments: &Generate) -> anyhow::Result<ExitStatus> {
    let folder = &arguments.folder;
    fs_err::create_dir_all(folder)?;
    match arguments.what {
        Generated::Man => pages(folder)?,
        Generated::Bash => completion(Shell::Bash, folder)?,
        Generated::Zsh => completion(Shell::Zsh, folder)?,
        Generated::Fish => completion(Shell::Fish, folder)?,
        Generated::Schema => fs_err::write(folder.join("report.schema.json"), SCHEMA)?,
    }
    Ok(ExitStatus::Success)
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
    Ok(())
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
