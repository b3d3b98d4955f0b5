//! What vsftpd makes of the bounds of its range, without a word.

use super::settings::{Setting, Settings, number};
use crate::daemons::text::as_written;
use crate::findings::{Finding, Location};
use crate::passive::Reading;
use crate::terminal::clean;

/// How a range is written that vsftpd takes as it is.
const WRITE_BOTH: &str = "write both ports from 1025 to 65534, the lower one first: pasv_min_port=49152 and \
                          pasv_max_port=65534";

/// The bound that counts for the place of the range.
pub(super) fn location(settings: &Settings) -> Location {
    let bound = settings
        .last("pasv_min_port")
        .or_else(|| settings.last("pasv_max_port"));
    bound.map_or_else(|| Location::file(""), |setting| setting.location.clone())
}

/// Settings that stand more than once.
pub(super) fn about_duplicates(settings: &Settings, reading: &mut Reading) {
    for key in ["pasv_min_port", "pasv_max_port", "listen_port"] {
        let mut same = settings
            .list
            .iter()
            .rev()
            .filter(|setting| setting.key == key);
        let last = same.next();
        for (earlier, last) in same.zip(last) {
            let message = format!(
                "{key}={} is ignored: {key} stands again on {}",
                clean(&earlier.value),
                last.location
            );
            reading.findings.push(
                Finding::new("duplicate-setting", message)
                    .with_hint("remove one of the two lines")
                    .at(earlier.location.clone()),
            );
        }
    }
}

/// Bounds that vsftpd repairs. Where its range goes beyond what is written, by whichever mistake, it is hardly meant.
pub(super) fn about_bounds(settings: &Settings, reading: &mut Reading) {
    let (minimum, maximum) = (
        settings.last("pasv_min_port"),
        settings.last("pasv_max_port"),
    );
    let (Some(used), Some(place)) = (settings.range(), minimum.or(maximum)) else {
        return;
    };
    let mut find = |code, message: String, hint: &str, setting: &Setting| {
        reading.findings.push(
            Finding::new(code, message)
                .with_hint(hint)
                .at(setting.location.clone()),
        );
    };
    let said = |setting: &Setting| format!("{}={}", setting.key, clean(&setting.value));
    let bounds = [minimum, maximum].into_iter().flatten();
    for setting in bounds.clone() {
        let bound = said(setting);
        if setting
            .value
            .iter()
            .any(|byte| matches!(byte, b'"' | b'\''))
        {
            let message = format!("{bound}: vsftpd takes quotes for 0; it uses {used}");
            let hint = "write the number without quotes";
            find("quoted-value", message, hint, setting);
        } else if setting.value.first() == Some(&b'0') && setting.value.len() > 1 {
            let octal = number(&setting.value);
            let message = format!("{bound}: a leading 0 makes it octal, {octal}");
            let hint = "write the number without the 0 before it";
            find("range-repaired", message, hint, setting);
        }
    }
    let said: Vec<String> = bounds.map(said).collect();
    let said = said.join(" and ");
    let (low, high) = (
        minimum.map_or(Some(0), |setting| as_written(&setting.value)),
        maximum.map_or(Some(u32::MAX), |setting| as_written(&setting.value)),
    );
    let beyond = low.zip(high).is_none_or(|(low, high)| {
        let meant = low..=high;
        !meant.contains(&used.first().into()) || !meant.contains(&used.last().into())
    });
    if beyond {
        let message = format!("{said}: vsftpd makes {used} of that, hardly what is meant");
        let hint = format!("{WRITE_BOTH}; if {used} is meant, --force opens it");
        find("range-beyond-written", message, &hint, place);
        return;
    }
    let (Some(minimum), Some(maximum)) = (minimum, maximum) else {
        let message = format!("only {} is set: vsftpd uses {used}", place.key);
        find("single-bound", message, WRITE_BOTH, place);
        return;
    };
    let (first, last) = (number(&minimum.value), number(&maximum.value));
    if (u32::from(used.first()), u32::from(used.last())) != (first, last) {
        let code = match (first, last) {
            (first, last) if first > 65_535 || last > 65_535 => "range-above-65535",
            (first, _) if first < 1024 => "range-below-1024",
            _ => "range-repaired",
        };
        let message = format!("{said}: vsftpd uses {used}");
        find(code, message, WRITE_BOTH, place);
    }
}
