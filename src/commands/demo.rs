//! demo
use crate::cli::DemoStage;
use crate::exit::ExitStatus;
use crate::printer::Printer;
/// Runs the command.
///
/// # Errors
/// When a tool is missing.
pub fn run(stage: Option<DemoStage>, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let _ = (stage, printer);
    anyhow::bail!("not written yet")
}
