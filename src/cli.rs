//! The command line: clap types and help text only.

pub mod manual;

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use firewall::model::ports::PortRange;

use crate::daemons;

/// Keeps the firewall in step with the FTP daemons' passive ports.
///
/// Reads the passive range from the daemons' own configuration, finds out by evaluating the live ruleset
/// whether each port is reachable, and where one is not makes the smallest edit that opens it. Then it proves it.
#[derive(Debug, Parser)]
#[command(
    name = "pasvsync",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    after_help = "Exit status: 0 in sync, or changed and proved; 1 error; 2 usage; 3 `check` found drift."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The flags that every command takes.
    #[command(flatten)]
    pub global: Global,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Open what the daemons need, close what pasvsync opened and nobody needs, and prove it
    Sync,
    /// Like sync, without writing; exits 3 when sync would change something or a port is closed
    #[command(after_long_help = NAGIOS)]
    Check(Check),
    /// Show the daemons, their ranges, the firewall and what becomes of each port
    Status,
    /// Show which configuration line wants a port, and which rule of which chain decides about it
    Explain(Explain),
    /// Take away everything pasvsync opened
    Remove,
    /// Write the passive range into a daemon's own configuration, then sync
    #[command(override_usage = "pasvsync set-range [OPTIONS] --daemon <NAME> <FIRST-LAST>")]
    SetRange(SetRange),
    /// Show the whole story in a throw-away namespace: needs no root, leaves the host untouched
    Demo(Demo),
    /// Write what packages install: man pages, completions, the schema; or which files to watch
    #[command(hide = true)]
    Generate(Generate),
}

/// The exit statuses of `--output nagios` are not those of the other forms.
const NAGIOS: &str = "Exit status with --output nagios: \
    0 OK; \
    1 WARNING: every wanted port is open, but sync would change something, or there is a warning; \
    2 CRITICAL: a wanted port is closed or restricted, now or after the next boot, or there is an error among the \
    findings; \
    3 UNKNOWN: the daemons or the firewall could not be read, or a rule was not understood.";

/// The arguments of `check`.
#[derive(Debug, Args)]
pub struct Check {
    /// With --output prometheus: the file to write, all at once, instead of standard output
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
}

/// The arguments of `generate`.
#[derive(Debug, Args)]
pub struct Generate {
    /// What to write
    #[arg(value_enum)]
    pub what: Generated,

    /// The folder to write it into; it is made when it is not there
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// What `generate` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Generated {
    /// A man page for the program, for each command, and for the settings file
    Man,
    /// The completion for bash
    Bash,
    /// The completion for zsh
    Zsh,
    /// The completion for fish
    Fish,
    /// The JSON Schema of --output json
    Schema,
    /// A drop-in for pasvsync.path: watch the files that are read on this host; DIR is /etc/systemd/system
    PathUnit,
}

/// The arguments of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The TCP port
    #[arg(value_parser = port)]
    pub port: u16,

    /// What decides after the next boot, instead of now
    #[arg(long)]
    pub boot: bool,
}

/// The arguments of `set-range`.
#[derive(Debug, Args)]
pub struct SetRange {
    /// The range, both ports included, as in 50000-50099
    #[arg(value_name = "FIRST-LAST", value_parser = range)]
    pub range: PortRange,

    /// Show what would be written, and write nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Restart the daemon, so that it uses the range
    #[arg(long, conflicts_with_all = ["dry_run", "root"])]
    pub restart: bool,
}

/// The arguments of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// Which of the demo's own processes this is.
    #[arg(long, hide = true, value_enum)]
    pub stage: Option<DemoStage>,
}

/// The processes of `demo`: it starts itself again inside its namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoStage {
    /// The FTP server's side, in a network namespace of its own.
    Server,
    /// The FTP client's side, in another.
    Client,
}

/// The flags that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The firewall to work with; auto finds out which one is in charge
    #[arg(long, global = true, value_enum, value_name = "NAME")]
    pub backend: Option<BackendChoice>,

    /// With firewalld: open this zone and no other; may be repeated. Otherwise the default zone is opened, and every active
    /// one that lets the control port in
    #[arg(long = "zone", global = true, value_name = "NAME")]
    pub zones: Vec<String>,

    /// Only this daemon: what pasvsync had opened for the others is closed; auto means every daemon that is configured here
    #[arg(long, global = true, value_name = "NAME", value_parser = daemon_choices())]
    pub daemon: Option<String>,

    /// Where a daemon's configuration is, when it is not in its usual place; may be repeated
    #[arg(long, global = true, value_name = "NAME=PATH", value_parser = daemon_config)]
    pub daemon_config: Vec<(String, PathBuf)>,

    /// Open the control ports (21 and the like) too
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub control: Option<bool>,

    /// Open nothing while anything but an FTP daemon listens on a passive port
    #[arg(long, global = true, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub refuse_exposed: Option<bool>,

    /// Restart csf where its running rules are not as it makes them: opens every port for about a second
    #[arg(long, global = true)]
    pub restart_csf: bool,

    /// Edit even where a rule closes the ports by name, or where bans stand behind the closing rule
    #[arg(long, global = true)]
    pub force: bool,

    /// Prove the next boot again, even where nothing it depends on has changed since the last proof
    #[arg(long, global = true)]
    pub fresh: bool,

    /// Show edits as removed and added rules instead of commands
    #[arg(long, global = true)]
    pub diff: bool,

    /// The form of the result
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "FORM",
        default_value = "text"
    )]
    pub output: OutputForm,

    /// Read every configuration file, pasvsync.toml included, under this folder
    #[arg(long, global = true, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// Say more: decisions on standard error, the whole walk in explain
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,

    /// Say nothing but what was changed, in one line, and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,

    /// When to use colour
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value = "auto"
    )]
    pub color: ColorChoice,
}

/// The firewalls that `--backend` takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendChoice {
    /// The one in charge.
    #[default]
    Auto,
    /// CSF: csf.conf, and the rules that csf would make of it.
    Csf,
    /// A running firewalld, over D-Bus.
    Firewalld,
    /// iptables and ip6tables, of either kind.
    Iptables,
    /// Native nftables, over netlink.
    Nftables,
}

/// The forms that `--output` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputForm {
    /// For people
    Text,
    /// One object, described by schema/report.schema.json
    Json,
    /// Metrics for the textfile collector of Prometheus' node exporter (check only)
    Prometheus,
    /// One line for Nagios and its like, whose exit status 0 to 3 it takes (check only)
    Nagios,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal that is not dumb, unless `NO_COLOR` is set; elsewhere too when `CLICOLOR_FORCE` is
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Cli {
    /// What was typed.
    ///
    /// # Errors
    /// When it makes no sense, or asks for help.
    pub fn read() -> Result<Self, clap::Error> {
        // The short help is of the command alone. The man pages are made of the definition as it stands.
        let command = Self::command().mut_args(|argument| {
            let global = argument.is_global_set();
            argument.hide_short_help(global)
        });
        command
            .try_get_matches()
            .and_then(|matches| Self::from_arg_matches(&matches))
            .and_then(|cli| match cli.contradiction() {
                Some(problem) => Err(Self::command().error(ErrorKind::ArgumentConflict, problem)),
                None => Ok(cli),
            })
    }

    /// What goes together in clap's eyes, and yet makes no sense.
    fn contradiction(&self) -> Option<&'static str> {
        let metrics = self.global.output == OutputForm::Prometheus;
        match &self.command {
            Command::Check(check) if check.to.is_some() && !metrics => {
                Some("--to is for --output prometheus")
            }
            Command::Check(_) => None,
            _ if metrics => Some("--output prometheus is a form of `check` only"),
            _ if self.global.output == OutputForm::Nagios => {
                Some("--output nagios is a form of `check` only")
            }
            _ => None,
        }
    }
}

fn daemon_choices() -> clap::builder::PossibleValuesParser {
    std::iter::once("auto")
        .chain(daemons::names())
        .collect::<Vec<_>>()
        .into()
}

/// One port.
fn port(argument: &str) -> Result<u16, String> {
    match argument.trim().parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!(
            "`{argument}` is no TCP port (one number, 1 to 65535)"
        )),
    }
}

/// `FIRST-LAST`; `FIRST:LAST` is taken too. Whether the daemon takes such a range is for it to say.
fn range(argument: &str) -> Result<PortRange, String> {
    let (first, last) = argument
        .split_once(['-', ':'])
        .ok_or_else(|| "expected two ports with a dash between, as in 50000-50099".to_owned())?;
    let (first, last) = (port(first)?, port(last)?);
    PortRange::new(first, last)
        .ok_or_else(|| format!("{first} is above {last}: the lower port comes first"))
}

/// `NAME=PATH`, with a daemon's name that is known.
fn daemon_config(argument: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = argument
        .split_once('=')
        .ok_or_else(|| "expected NAME=PATH, as in proftpd=/srv/etc/proftpd.conf".to_owned())?;
    if !daemons::names().contains(&name) {
        return Err(format!(
            "no daemon is called `{name}`; known are {}",
            daemons::names().join(", ")
        ));
    }
    if path.is_empty() {
        return Err("the path is empty".to_owned());
    }
    Ok((name.to_owned(), PathBuf::from(path)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        super::Cli::command().debug_assert();
    }
}
