//! Conditions that only the packet or the clock decides, in iptables' words: nothing is known of them but these.

use super::Info;
use crate::netfilter::attributes::text;

/// The days of `--weekdays`, from bit 1 on.
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// A match as iptables prints it; where its arguments are not decoded, its name and that.
pub(super) fn words(name: &str, info: Info<'_>) -> String {
    let arguments = match name {
        "hl" | "ttl" => hops(name, info),
        "quota" => quota(info),
        "statistic" => statistic(info),
        "string" => string(info),
        "time" => time(info),
        _ => None,
    };
    match arguments {
        Some(arguments) => format!("-m {name} {arguments}"),
        None => format!("-m {name} (arguments not decoded)"),
    }
}

/// `struct ipt_ttl_info`, `struct ip6t_hl_info`: how it is compared, and with what.
fn hops(name: &str, info: Info<'_>) -> Option<String> {
    let (not, comparison) = match info.byte(0)? {
        0 => ("", "eq"),
        1 => ("! ", "eq"),
        2 => ("", "lt"),
        3 => ("", "gt"),
        _ => return None,
    };
    Some(format!("{not}--{name}-{comparison} {}", info.byte(1)?))
}

/// `struct xt_quota_info`.
fn quota(info: Info<'_>) -> Option<String> {
    let bytes = u64::from_ne_bytes(info.array(8)?);
    let not = if info.number(0)? & 1 == 0 { "" } else { "! " }; // XT_QUOTA_INVERT
    Some(format!("{not}--quota {bytes}"))
}

/// `struct xt_statistic_info`: every so many packets, or a probability of so many in 2^31.
fn statistic(info: Info<'_>) -> Option<String> {
    let not = if info.short(2)? & 1 == 0 { "" } else { "! " }; // XT_STATISTIC_INVERT
    Some(match info.short(0)? {
        0 => {
            let probability = f64::from(info.number(4)?) / f64::from(1_u32 << 31);
            format!("--mode random {not}--probability {probability:.11}")
        }
        1 => {
            let every = info.number(4)?.checked_add(1)?;
            format!(
                "--mode nth {not}--every {every} --packet {}",
                info.number(8)?
            )
        }
        _ => return None,
    })
}

/// `struct xt_string_info`: from, to, the algorithm, the pattern and its length, flags.
fn string(info: Info<'_>) -> Option<String> {
    let pattern = info.bytes(20, usize::from(info.byte(148)?))?;
    let flags = info.byte(149)?;
    let not = if flags & 1 == 0 { "" } else { "! " }; // XT_STRING_FLAG_INVERT
    let pattern = if pattern.iter().all(|byte| (0x20..0x7f).contains(byte)) {
        format!("{not}--string \"{}\"", text(pattern))
    } else {
        let bytes: Vec<String> = pattern.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{not}--hex-string \"|{}|\"", bytes.concat())
    };
    let mut words = vec![pattern, format!("--algo {}", text(info.bytes(4, 16)?))];
    let (from, to) = (info.short(0)?, info.short(2)?);
    if from != 0 {
        words.push(format!("--from {from}"));
    }
    if to != 0 && to != u16::MAX {
        words.push(format!("--to {to}"));
    }
    if flags & 2 != 0 {
        words.push("--icase".to_owned()); // XT_STRING_FLAG_IGNORECASE
    }
    Some(words.join(" "))
}

/// `struct xt_time_info`: two dates, two times of the day in seconds, days of the month and of the week, flags.
fn time(info: Info<'_>) -> Option<String> {
    const EVER: (u32, u32) = (0, i32::MAX.cast_unsigned());
    const WHOLE_DAY: (u32, u32) = (0, 24 * 60 * 60 - 1);
    const EVERY_DAY_OF_A_MONTH: u32 = 0xffff_fffe;
    const EVERY_DAY_OF_A_WEEK: u8 = 0xfe;
    if (info.number(0)?, info.number(4)?) != EVER || info.number(16)? != EVERY_DAY_OF_A_MONTH {
        return None;
    }
    let mut words = Vec::new();
    let (start, stop) = (info.number(8)?, info.number(12)?);
    if (start, stop) != WHOLE_DAY {
        let clock = |seconds: u32| {
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            format!("{hours:02}:{minutes:02}:{:02}", seconds % 60)
        };
        words.push(format!(
            "--timestart {} --timestop {}",
            clock(start),
            clock(stop)
        ));
    }
    let days = info.byte(20)?;
    if days != EVERY_DAY_OF_A_WEEK {
        let on = DAYS.iter().enumerate();
        let on = on.filter(|(index, _)| days & 2 << index != 0);
        let names: Vec<&str> = on.map(|(_, name)| *name).collect();
        words.push(format!("--weekdays {}", names.join(",")));
    }
    let flags = info.byte(21)?;
    if flags & 2 != 0 {
        words.push("--contiguous".to_owned()); // XT_TIME_CONTIGUOUS
    }
    if flags & 1 != 0 {
        words.push("--kerneltz".to_owned()); // XT_TIME_LOCAL_TZ
    }
    Some(words.join(" "))
}
