//! What pasvsync found out that its user should know: a stable code, a severity, a message and a hint.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::terminal::clean;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something is likely to bite.
    Warning,
    /// Passive transfers fail, or pasvsync can do nothing until this is mended.
    Error,
}

impl Severity {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A place in a file; lines and columns count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Location {
    /// The file.
    pub path: PathBuf,
    /// The line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
}

impl Location {
    /// A whole file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            line: None,
            column: None,
        }
    }

    /// A line of a file.
    pub fn line(path: impl Into<PathBuf>, line: u32) -> Self {
        Self {
            path: path.into(),
            line: Some(line),
            column: None,
        }
    }
}

/// `path`, `path:line` or `path:line:column`, as compilers print them.
impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&clean(self.path.as_os_str().as_encoded_bytes()))?;
        if let Some(line) = self.line {
            write!(formatter, ":{line}")?;
        }
        if let Some(column) = self.column {
            write!(formatter, ":{column}")?;
        }
        Ok(())
    }
}

/// Something that the user should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The stable code, kebab-case; see [`CODES`].
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What was found: lower case, no final period.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
}

/// One line a code: a tuple of three would take five.
macro_rules! codes {
    ($($code:literal $severity:ident $meaning:literal;)*) => {
        &[$(($code, Severity::$severity, $meaning)),*]
    };
}

/// Every code, its severity and its meaning: the table that users see in the README.
pub const CODES: &[(&str, Severity, &str)] = codes! {
    "no-daemon" Warning "no FTP daemon's configuration was found";
    "no-range" Warning
        "the daemon's configuration sets no passive range: any of its default ports may be used, nothing is opened";
    "daemon-refuses" Error
        "the daemon itself would not start with this configuration; its own words are in the message";
    "range-reversed" Error "the first port of the range is above the last";
    "range-below-1024" Error "the range has ports below 1024, which the daemon refuses or lifts";
    "range-above-65535" Error "the range has ports above 65535, which do not exist";
    "range-malformed" Error "the passive range is not two numbers as this daemon writes them";
    "quoted-value" Error "the value stands in quotes, which this daemon takes literally";
    "range-beyond-written" Error
        "the daemon makes a range of the mistaken one that goes beyond it: opened with --force only";
    "daemon-not-read" Error
        "a daemon runs, or was named, whose configuration is not found: nothing is opened or closed";
    "single-bound" Warning "only one end of the range is set: the daemon fills in the other";
    "range-repaired" Warning "the daemon repairs the range silently: other ports are used than are written";
    "range-too-small" Warning "the range has fewer ports than the clients that the daemon admits";
    "whole-range" Warning "the range is every unprivileged port: opening it closes nothing";
    "ephemeral-overlap" Info "the range overlaps the ports that the kernel hands out for outgoing connections";
    "daemon-overlap" Warning "two daemons use the same passive or control ports";
    "server-without-range" Warning
        "a virtual host has no PassivePorts of its own and none from <Global>: its ports are not opened";
    "private-address" Warning "the address given to passive clients is private, loopback or reserved for documentation";
    "no-public-address" Info "the daemon gives passive clients its own address, and this host has private ones only";
    "several-addresses" Warning "more than one address for passive clients is configured: only one counts";
    "implicit-ftps" Info "a control port speaks TLS from the first byte (implicit FTPS)";
    "upload-script-blocks" Warning "the daemon listens only once pure-uploadscript runs";
    "passive-disabled" Info "the daemon takes no passive connections: no passive ports are needed";
    "ftp-disabled" Info "the server's FTP service is switched off";
    "duplicate-setting" Info "a setting stands more than once: only one of them counts";
    "ignored-configuration" Info "a configuration file is there that the daemon does not read";
    "several-configurations" Warning
        "several configuration files of one daemon are there, and nothing says which one counts";
    "include-failed" Warning "an included file has an error: the daemon starts without the rest of the including file";
    "include-missing" Info "an included file does not exist: the daemon goes on without it";
    "unknown-directive" Warning
        "a directive is not known to the builds that pasvsync knows: the daemon may refuse to start";
    "user-directory" Warning "a per-user file cannot be used: sessions of that user fail";
    "unresolved-name" Info "a name is resolved by the daemon when it starts; pasvsync does not resolve it";
    "environment-unknown" Warning "a value comes from the daemon's environment, which is not known here";
    "user-writable" Warning "someone besides root can change the configuration, and with it what is opened";
    "exposed-service" Warning
        "something else listens on a passive port: opening the range exposes it; an error with --refuse-exposed";
    "restart-needed" Warning
        "the daemon was started before its configuration last changed: it may run with the old one";
    "running-differs" Warning
        "the daemon was started with other arguments than it is configured with: it uses other ports until it is restarted";
    "cpanel-generated-differs" Warning
        "the file that cPanel generated, and the daemon runs, differs from cPanel's settings";
    "cpanel-other-daemon" Info "cPanel runs another FTP daemon, or none: this configuration is a leftover";
    "cpanel-misplaced-key" Warning "a key belongs to cPanel's other FTP daemon and is ignored here";
    "nothing-filters" Info "no base chain filters connections to this host: every port is open, nothing needs to be";
    "helper-only" Warning
        "the range is closed, and only a connection tracking helper lets data connections in: FTPS defeats it";
    "beside-netfilter" Warning
        "an XDP program or tc filters are at an interface: they may stop packets that the firewall lets in";
    "no-neighbour-discovery" Warning
        "the rules stop IPv6's neighbour discovery: over IPv6 nobody reaches this host, whatever the ports' verdicts";
    "managed-table" Error "the ports are closed in a table or chain that another program looks after: it must open them";
    "explicit-deny" Error "a rule closes the ports by name: opened with --force only";
    "ban-behind-block" Error
        "bans stand behind the rule that closes the ports, an accept would let them in: opened with --force only";
    "implied-ban" Error
        "a rule keeps some sources from being accepted, an accept before the block would let them in: opened with --force only";
    "ingress-block" Error
        "the ports are closed at a device's ingress or in a bridge, before the host itself: not opened there";
    "no-accept-opens" Error "what keeps the ports from being reached is no rule that an accept could come before";
    "firewalld-panic" Error "firewalld is in panic mode, which drops everything";
    "firewalld-rule" Error "a rich rule or a policy of firewalld's closes the ports, whatever the zone lets in";
    "firewalld-unknown" Error
        "firewalld has what is not understood, such as a direct rule: nothing is opened behind it";
    "beside-firewalld" Error
        "rules that are not firewalld's close the ports as well: nothing is edited beside firewalld";
    "service-name-taken" Error "firewalld has a service `pasvsync` that pasvsync did not make: it is left alone";
    "firewalld-stopped" Info
        "firewalld does not run, and is to run after the next boot: its files are judged and edited";
    "firewalld-leftovers" Warning
        "firewalld was killed, and its old rules still let in what it has closed since, until a reload";
    "zone-left-out" Info "a zone of firewalld's is not opened, since it does not let the control port in either";
    "zone-source-not-proved" Info "a zone is opened for sources that no verdict can be about, such as an ipset";
    "boot-loads-nothing" Info "the next boot loads no firewall: nothing is closed after it";
    "boot-managed" Info "another program loads the rules at boot: the next boot is not judged";
    "boot-unit" Info
        "what boot loads is not known beforehand, and the boot unit runs after it: the next boot is not judged";
    "boot-other-namespace" Info
        "boot loads the rules of another network namespace than this one: the next boot is not judged";
    "boot-two-loaders" Warning "several loaders are enabled at boot: each may undo what another has loaded";
    "boot-script" Warning "boot runs a script that loads rules: what it loads is not known beforehand";
    "boot-unknown-plugin" Warning "netfilter-persistent runs a plugin that is not known: what it loads is not judged";
    "boot-file-missing" Warning "a loader is enabled at boot, but the file that it loads is not there";
    "boot-file-rejected" Error
        "the loader rejects the file that it loads at boot: the host would start without its rules";
    "boot-file-not-written" Error "the file that boot loads could not be written: it is as before";
    "boot-not-judged" Error "what boot loads could not be read or loaded, or something else loads rules too: the next boot is unknown";
    "boot-file-not-editable" Error
        "the rules that boot loads close the ports, and no line in a file opens them: the boot unit must";
    "csf-and-firewalld" Error "csf and firewalld both filter: csf refuses to start then, and flushes every rule";
    "csf-conf-not-editable" Error "csf.conf cannot be edited: the running rules are left alone, too";
    "csf-chains-unknown" Error
        "the running rules are not as csf makes them: opened by restarting csf only (--restart-csf)";
    "csf-error" Error "csf has given up over an error, and filters nothing";
    "csf-testing" Warning "csf is in testing mode: cron flushes every rule every five minutes";
    "csf-disabled" Info "csf is installed and switched off";
    "csf-lfd-start" Info "lfd restarts csf: `csf -r` does nothing by itself";
    "csf-no-tracking" Warning "csf filters without connection tracking (LF_SPI is off)";
    "csf-flood-limit" Warning "PORTFLOOD, CONNLIMIT or SYNFLOOD limits connections to the passive ports";
    "csf-ipv6-off" Info "csf leaves IPv6 alone: its IPv6 ports are for the day that it is switched on";
    "csf-ipv6-stale" Warning "csf's IPv6 is switched off, and its old IPv6 rules still filter";
    "csf-ftp-helper" Warning "csf opens passive ports by the connection tracking helper: FTPS defeats it";
    "csf-countries" Info "csf turns whole countries away";
    "csf-script" Info "csf runs a script of the admin's: what it does is seen in the running rules only";
    "csf-stale-hole" Info "csf.conf has the hole of csf's own button, 30000:35000, which no daemon uses";
    "csf-outbound" Info "csf's outbound lists get the ports too, which passive mode does not need: a setting";
    "csf-flushed" Warning "the restart of csf took other programs' chains away";
    "csf-end-of-life" Info "this CSF is of its makers, who have stopped: forks go on";
};

impl Finding {
    /// A finding with a code of [`CODES`], which also gives its severity.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        let known = CODES.iter().find(|(known, ..)| *known == code);
        debug_assert!(known.is_some(), "{code} is not among the codes");
        let severity = known.map_or(Severity::Error, |(_, severity, _)| *severity);
        Self {
            code,
            severity,
            message: clean(message.into().as_bytes()),
            hint: None,
            location: None,
        }
    }

    /// The same finding with what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(clean(hint.into().as_bytes()));
        self
    }

    /// The same finding with its place.
    #[must_use]
    pub fn at(mut self, location: Location) -> Self {
        self.location = Some(location);
        self
    }
}
