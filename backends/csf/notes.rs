//! What an admin of a CSF host should know.

use std::path::Path;

use super::conf::Conf;
use super::file;
use super::items::item;
use super::live;
use super::permanent::{Lists, scripts};
use super::restart::ERROR_FILE;
use crate::backend::Desired;
use crate::boot::Note;
use crate::model::ports::{PortRange, PortSet};
use crate::model::reach::Family;
use crate::model::ruleset::Ruleset;

/// csf does nothing while this file is there.
pub(super) const DISABLED: &str = "/etc/csf/csf.disable";
const VERSION: &str = "/etc/csf/version.txt";
/// The hole that the button "Open PASV FTP Hole" of csf's web interface makes, whatever the daemon uses.
const BUTTON: (u16, u16) = (30000, 35000);

pub(super) fn note(code: &'static str, message: impl Into<String>, hint: Option<&str>) -> Note {
    Note {
        code,
        warning: true,
        message: message.into(),
        hint: hint.map(str::to_owned),
    }
}

/// What csf.conf, and the files beside it, have to say about these ports.
pub(super) fn of_conf(
    root: &Path,
    conf: &Conf,
    lists: &Lists,
    desired: &Desired,
    outbound: bool,
) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut say = |code, message: String, hint| notes.push(note(code, message, hint));
    if conf.is_on("TESTING") {
        let message = "TESTING is on: cron flushes every rule every five minutes, so what is open now proves nothing";
        say(
            "csf-testing",
            message.to_owned(),
            Some("set TESTING = \"0\" in /etc/csf/csf.conf, then run `csf -r`"),
        );
    }
    if let Ok(reason) = std::fs::read_to_string(file::path(root, ERROR_FILE)) {
        let message = format!("csf has given up, and filters nothing: {}", reason.trim());
        say(
            "csf-error",
            message,
            Some("mend what it names, then run `csf -r`"),
        );
    }
    if conf.is_on("LFDSTART") {
        let message =
            "LFDSTART is on: `csf -r` only leaves a note for lfd, which restarts csf when it runs";
        say("csf-lfd-start", message.to_owned(), None);
    }
    if !conf.is_on("LF_SPI") {
        let message = "LF_SPI is off: csf filters without connection tracking, and opens the ephemeral ports to anything but new connections";
        say(
            "csf-no-tracking",
            message.to_owned(),
            Some("set LF_SPI = \"1\" where the kernel can track connections"),
        );
    }
    for (setting, limit) in limits(conf, &desired.ports) {
        let message = format!("{setting} limits new connections to the passive ports: {limit}");
        say(
            "csf-flood-limit",
            message,
            Some(
                "transfers of many files open many connections: leave the passive ports out of it, or raise it",
            ),
        );
    }
    if !conf.is_on("IPV6") {
        let message = "IPV6 is off: csf leaves IPv6 alone, TCP6_IN and TCP6_OUT are for the day that it is switched on";
        say("csf-ipv6-off", message.to_owned(), None);
    }
    let helper = conf.text("USE_FTPHELPER");
    let list = lists.get(Family::Ipv4, live::Direction::In).ports();
    if conf.is_on("USE_FTPHELPER") && !list.covers(&desired.ports) {
        let message = format!(
            "USE_FTPHELPER is {helper}: the connection tracking helper lets passive connections in, but never those of FTPS"
        );
        say("csf-ftp-helper", message, None);
    }
    let countries = ["CC_DENY", "CC_ALLOW_FILTER", "CC_DENY_PORTS"];
    for setting in countries.into_iter().filter(|setting| conf.is_on(setting)) {
        let message = format!("{setting} turns whole countries away, from the passive ports too");
        say("csf-countries", message, None);
    }
    for script in scripts(root) {
        let message =
            format!("csf runs `{script}`: what it does is seen in the running rules only");
        say("csf-script", message, None);
    }
    let button = PortRange::new(BUTTON.0, BUTTON.1);
    if let Some(button) = button.filter(|button| left_over(lists, *button, desired)) {
        let message = format!(
            "TCP_IN has {}, the hole that a button of csf's web interface makes, and no daemon uses those ports",
            item(button)
        );
        say(
            "csf-stale-hole",
            message,
            Some(
                "take it out of TCP_IN and TCP6_IN, then run `csf -r`: pasvsync removes only what it has added",
            ),
        );
    }
    if outbound && !desired.ports.is_empty() {
        let message = "TCP_OUT and TCP6_OUT get the passive ports too, as the hosting guides have it; passive mode does not need it";
        say(
            "csf-outbound",
            message.to_owned(),
            Some("turn it off in /etc/pasvsync.toml: csf.tcp_out = false"),
        );
    }
    if last_of_the_makers(root) {
        let message = "this CSF is one of its makers', who stopped on 2025-08-31: nobody mends it";
        say(
            "csf-end-of-life",
            message.to_owned(),
            Some("forks under the GPL go on, such as github.com/Aetherinox/csf-firewall"),
        );
    }
    notes
}

/// What the running rules have to say.
pub(super) fn of_rules(ruleset: &Ruleset, conf: &Conf, desired: &Desired) -> Vec<Note> {
    let mut notes = Vec::new();
    if let Some(conflict) = super::plan::conflict(ruleset, desired) {
        notes.push(note(
            conflict.code,
            conflict.message,
            conflict.hint.as_deref(),
        ));
    }
    if !conf.is_on("IPV6") && live::table(ruleset, Family::Ipv6).is_some() {
        let message = "IPV6 is off, and csf's old IPv6 rules still filter: `csf -r` does not take them away, a boot does";
        notes.push(note(
            "csf-ipv6-stale",
            message,
            Some("switch IPV6 on, or flush them with `ip6tables -P INPUT ACCEPT; ip6tables -F`"),
        ));
    }
    notes
}

/// The settings that limit the rate or number of connections to some of the ports.
fn limits(conf: &Conf, ports: &PortSet) -> Vec<(&'static str, String)> {
    let mut limits = Vec::new();
    for setting in ["PORTFLOOD", "CONNLIMIT"] {
        let text = conf.text(setting);
        let items = text.split(',').map(str::trim);
        // Such as `22;tcp;5;300` and `22;5`; a range has a colon.
        let meets = |entry: &&str| {
            let mut fields = entry.split(';');
            let range = fields.next().unwrap_or_default();
            let (first, last) = range.split_once(':').unwrap_or((range, range));
            let range = PortRange::new(
                first.trim().parse().unwrap_or(1),
                last.trim().parse().unwrap_or(0),
            );
            let tcp = setting == "CONNLIMIT"
                || fields
                    .next()
                    .is_some_and(|protocol| protocol.trim() == "tcp");
            tcp && range.is_some_and(|range| !ports.intersection(&range.into()).is_empty())
        };
        limits.extend(items.filter(meets).map(|entry| (setting, entry.to_owned())));
    }
    if conf.is_on("SYNFLOOD") && !ports.is_empty() {
        limits.push((
            "SYNFLOOD",
            format!("{} for all ports together", conf.text("SYNFLOOD_RATE")),
        ));
    }
    limits
}

fn left_over(lists: &Lists, button: PortRange, desired: &Desired) -> bool {
    let list = lists.get(Family::Ipv4, live::Direction::In);
    let there = list.iter().any(|known| known.ports == button);
    there && desired.ports.intersection(&button.into()).is_empty()
}

/// Whether the version is one that Way to the Web released: 15.00 was the last.
fn last_of_the_makers(root: &Path) -> bool {
    let text = std::fs::read_to_string(file::path(root, VERSION)).unwrap_or_default();
    let mut numbers = text.trim().split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return false;
    };
    (major, minor) <= (15, 0)
}
