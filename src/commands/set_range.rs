//! `pasvsync set-range FIRST-LAST --daemon NAME`: the daemon's own configuration gets the range, then sync.

mod write;

use std::time::Duration;

use anyhow::Context as _;
use firewall::host::lock::Lock;
use firewall::model::ports::PortRange;

use self::write::Written;
use crate::cli::SetRange;
use crate::daemons::{self, Change, Host, Request, Restart};
use crate::exit::ExitStatus;
use crate::failure::Failure;
use crate::printer::Printer;
use crate::process;
use crate::reconcile::Mode;
use crate::report::{Report, SetRangeReport, text};
use crate::settings::Settings;

/// How long a daemon's test of its configuration may take: it may look names up.
const TRIAL_LIMIT: Duration = Duration::from_secs(60);
/// How long a restart, or cPanel's writing of the configuration, may take.
const RESTART_LIMIT: Duration = Duration::from_secs(300);
/// What writes the daemon's file from cPanel's settings, and restarts the daemon.
const SETUP: &str = "/usr/local/cpanel/scripts/setupftpserver";

/// Runs the command.
///
/// # Errors
/// When the daemon would refuse the range, in its own words; when the configuration cannot be written, or its own test
/// fails: then it is as before; when the firewall cannot be read or edited.
pub fn run(
    arguments: &SetRange,
    settings: &Settings,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let Some(daemon) = settings.daemon.as_deref() else {
        let names = daemons::names().join(", ");
        printer.failure(
            &Failure::new(
                "set-range needs --daemon NAME",
                format!("known are {names}"),
            )
            .into(),
        );
        return Ok(ExitStatus::Usage);
    };
    let request = super::request(settings);
    let change = daemons::set_range(&request, arguments.range)?;
    let host = Host::new(&request)?;
    let mut done = SetRangeReport::new(daemon, arguments.range, &change, |path| {
        host.disk.shown(path)
    });
    done.restart = daemons::restart(&host, &change.reading)?;
    if arguments.restart && done.restart == Restart::ByHand {
        let message = format!("{daemon} cannot be restarted: no service starts it");
        let hint = "run again without --restart, and restart the daemon the way it was started";
        return Err(Failure::new(message, hint).into());
    }
    if arguments.dry_run {
        done.dry_run = true;
        let readings = [change.reading];
        let mut report = Report::new(&readings, Vec::new(), settings.control);
        report.set_range = Some(done);
        return finish(&report, settings, *printer);
    }
    let settings = for_every_daemon(settings, &host)?;
    if !change.edits.is_empty() {
        let _lock = Lock::acquire()?;
        apply(&request, daemon, arguments.range, &change)?;
    }
    done.written = !change.edits.is_empty();
    if arguments.restart
        && let Restart::Command(words) = &done.restart
    {
        restart(words)?;
        done.restarted = true;
    }
    let mut report = super::survey(&settings, Mode::Sync)?;
    report.changed |= done.written;
    report.set_range = Some(done);
    finish(&report, &settings, *printer)
}

/// What sync is to look at. The daemon and the file that are named are those to edit: the ports of every daemon, and of
/// every instance, are kept in sync. Only a file in no usual place is nowhere else to be found.
fn for_every_daemon(settings: &Settings, host: &Host) -> anyhow::Result<Settings> {
    let mut every = Settings {
        daemon: settings.file_daemon.clone(),
        daemon_config: settings.file_daemon_config.clone(),
        ..settings.clone()
    };
    let found = daemons::discover(&super::request(&every))?.readings;
    let is_found = |path| {
        let mut files = found.iter().flat_map(|reading| &reading.files);
        files.any(|file| *file == host.disk.shown(path))
    };
    if !settings
        .daemon_config
        .iter()
        .all(|(_, path)| is_found(path))
    {
        every.daemon_config.clone_from(&settings.daemon_config);
    }
    Ok(every)
}

/// Prints the report.
fn finish(report: &Report, settings: &Settings, printer: Printer) -> anyhow::Result<ExitStatus> {
    printer.findings(report, false);
    if printer.json() {
        printer.object(report)?;
    } else {
        let text = text::set_range(report, settings.diff, printer.quiet(), printer.style());
        printer.text(&text)?;
        super::about_control(report, settings, printer);
    }
    let previewed = report.set_range.as_ref().is_some_and(|done| done.dry_run);
    Ok(if previewed || report.in_sync {
        ExitStatus::Success
    } else {
        ExitStatus::Failure
    })
}

/// Writes the edits, and takes them back when what is then there is not what was meant.
fn apply(request: &Request, daemon: &str, range: PortRange, change: &Change) -> anyhow::Result<()> {
    let root = request.root.as_deref().unwrap_or(std::path::Path::new("/"));
    let written = Written::write(root, &change.edits)?;
    let Err(problem) = verify(request, daemon, range, change) else {
        for edit in &change.edits {
            tracing::info!("wrote {}", edit.path.display());
        }
        return Ok(());
    };
    written
        .undo()
        .with_context(|| format!("{problem:#}; and what was written could not be taken back"))?;
    if change.panel {
        // What cPanel wrote from the settings is to follow them back.
        generate(request, daemon).context(format!("{problem:#}; the settings are as before"))?;
    }
    Err(problem.context("the configuration is as it was before"))
}

/// Reads back what was written, and asks the daemon itself.
fn verify(
    request: &Request,
    daemon: &str,
    range: PortRange,
    change: &Change,
) -> anyhow::Result<()> {
    if !daemons::set_range(request, range)?.edits.is_empty() {
        anyhow::bail!("the files do not say what was written into them");
    }
    if request.root.is_some() {
        return Ok(());
    }
    if change.panel {
        return generate(request, daemon);
    }
    let Some(trial) = daemons::trial(request)? else {
        return Ok(());
    };
    let outcome = process::run(&trial.words, &trial.environment, TRIAL_LIMIT)?;
    if !outcome.status.success() {
        let command = trial.words.join(" ");
        let hint = format!("`{command}` says it all; when it fails now too, mend that first");
        let words = outcome.last_words();
        return Err(Failure::new(format!("{daemon} does not take it: {words}"), hint).into());
    }
    Ok(())
}

/// Lets cPanel write the daemon's configuration, where cPanel's script is.
fn generate(request: &Request, daemon: &str) -> anyhow::Result<()> {
    if request.root.is_some() || !std::path::Path::new(SETUP).exists() {
        return Ok(());
    }
    let words = [SETUP, daemon, "--force"].map(ToOwned::to_owned);
    let outcome = process::run(&words, &[], RESTART_LIMIT)?;
    if outcome.status.success() {
        return Ok(());
    }
    let message = format!("{SETUP} failed: {}", outcome.last_words());
    Err(Failure::new(message, format!("run it by hand: {}", words.join(" "))).into())
}

fn restart(words: &[String]) -> anyhow::Result<()> {
    let command = words.join(" ");
    let outcome = process::run(words, &[], RESTART_LIMIT)?;
    if outcome.status.success() {
        return Ok(());
    }
    let message = format!(
        "the range is written, but the daemon could not be restarted: `{command}` failed: {}",
        outcome.last_words()
    );
    let hint = "its log says why; then run `pasvsync sync`";
    Err(Failure::new(message, hint).into())
}
