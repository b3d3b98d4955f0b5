//! Entry point: parse, set up logging, run, exit status; nothing else.

use std::process::ExitCode;

use pasvsync::cli::Cli;
use pasvsync::commands;
use pasvsync::printer::{self, Printer};
use pasvsync::settings::Settings;
use pasvsync::usage;

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => return usage::say(error).into(),
    };
    let printer = Printer::new(&cli.global);
    printer::log_to_stderr(cli.global.verbose, printer.style());
    Settings::resolve(&cli.global)
        .and_then(|settings| {
            commands::run(&cli.command, &settings, &printer).map_err(|error| settings.placed(error))
        })
        .unwrap_or_else(|error| commands::failed(&cli.command, &error, &printer))
        .into()
}
