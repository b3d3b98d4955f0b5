//! The command line: clap types and help text only.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
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
    Check,
    /// Show the daemons, their ranges, the firewall and what becomes of each port
    Status,
    /// Show which configuration line wants a port, and which rule of which chain decides about it
    Explain(Explain),
    /// Take away everything pasvsync opened
    Remove,
    /// Write the passive range into a daemon's own configuration (--daemon NAME), then sync
    SetRange(SetRange),
    /// Show the whole story in a throw-away namespace: needs no root, leaves the host untouched
    Demo(Demo),
}

/// The arguments of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The TCP port
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
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

    /// Only this daemon; auto means every daemon that is configured here
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

    /// Say nothing when all is well, and leave out warnings
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
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless the variable `NO_COLOR` is set or TERM is dumb
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

fn daemon_choices() -> clap::builder::PossibleValuesParser {
    std::iter::once("auto")
        .chain(daemons::NAMES.iter().copied())
        .collect::<Vec<_>>()
        .into()
}

/// `FIRST-LAST`; `FIRST:LAST` is taken too. Whether the daemon takes such a range is for it to say.
fn range(argument: &str) -> Result<PortRange, String> {
    let (first, last) = argument
        .split_once(['-', ':'])
        .ok_or_else(|| "expected two ports with a dash between, as in 50000-50099".to_owned())?;
    let port = |text: &str| match text.trim().parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("`{text}` is no TCP port (1 to 65535)")),
    };
    let (first, last) = (port(first)?, port(last)?);
    PortRange::new(first, last)
        .ok_or_else(|| format!("{first} is above {last}: the lower port comes first"))
}

/// `NAME=PATH`, with a daemon's name that is known.
fn daemon_config(argument: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = argument
        .split_once('=')
        .ok_or_else(|| "expected NAME=PATH, as in proftpd=/srv/etc/proftpd.conf".to_owned())?;
    if !daemons::NAMES.contains(&name) {
        return Err(format!(
            "no daemon is called `{name}`; known are {}",
            daemons::NAMES.join(", ")
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
