//! Scripts and services that may load rules at boot besides the usual loaders: what they load cannot be told, but that
//! they are there can.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::find::Boot;
use super::services::commands;
use crate::tools::{HARMLESS_SERVICES, TOOLS};

/// Services whose files are read.
const LOADERS: [&str; 6] = [
    "nftables",
    "netfilter-persistent",
    "iptables-persistent",
    "iptables",
    "ip6tables",
    "ipset",
];

/// Our own.
const OWN: [&str; 2] = ["pasvsync", "pasvsync-fw"];

/// Files and folders whose content runs at boot or when a network comes up.
const SCRIPTS: [&str; 19] = [
    "/etc/rc.local",
    "/etc/rc.d/rc.local",
    // Slackware's.
    "/etc/rc.d/rc.firewall",
    "/etc/network/interfaces",
    "/etc/network/interfaces.d",
    "/etc/network/if-pre-up.d",
    "/etc/network/if-up.d",
    "/etc/NetworkManager/dispatcher.d",
    "/etc/NetworkManager/dispatcher.d/pre-up.d",
    "/etc/networkd-dispatcher/configured.d",
    "/etc/networkd-dispatcher/routable.d",
    "/etc/ppp/ip-up.d",
    "/etc/ppp/ip-up.local",
    // Red Hat's.
    "/sbin/ifup-local",
    // cloud-init's.
    "/var/lib/cloud/scripts/per-boot",
    // OpenRC's.
    "/etc/local.d",
    // Plesk's, for Debian and for Red Hat.
    "/opt/psa/var/modules/firewall/firewall-active.sh",
    "/usr/local/psa/var/modules/firewall/firewall-active.sh",
    "/etc/init.d/boot.local",
];

/// The tables of cron, whose lines may begin with `@reboot`.
const CRON: [&str; 4] = [
    "/etc/crontab",
    "/etc/cron.d",
    "/var/spool/cron/crontabs/root",
    "/var/spool/cron/root",
];

/// Programs that load rules.
const PROGRAMS: [&str; 20] = [
    "nft",
    "iptables",
    "ip6tables",
    "iptables-restore",
    "ip6tables-restore",
    "iptables-apply",
    "ip6tables-apply",
    "iptables-legacy",
    "ip6tables-legacy",
    "iptables-nft",
    "ip6tables-nft",
    "iptables-legacy-restore",
    "ip6tables-legacy-restore",
    "iptables-nft-restore",
    "ip6tables-nft-restore",
    "netfilter-persistent",
    "ferm",
    "firehol",
    "fw4",
    "shorewall",
];

/// Those of them that take one command for one rule, and whose command lines are understood.
const IPTABLES: [&str; 6] = [
    "iptables",
    "ip6tables",
    "iptables-legacy",
    "ip6tables-legacy",
    "iptables-nft",
    "ip6tables-nft",
];

/// Commands whose arguments are words and files to them, nothing that they start.
const ONLY_NAME: [&str; 16] = [
    "[", "[[", "apt", "apt-get", "cat", "cd", "dnf", "echo", "grep", "logger", "ls", "mkdir",
    "tail", "test", "which", "yum",
];

/// What stands before a command in a shell's script.
const KEYWORDS: [&str; 8] = ["!", "do", "elif", "else", "if", "then", "until", "while"];

/// Interfaces' lines that nothing runs at boot.
const AT_THE_END: [&str; 3] = ["down", "post-down", "pre-down"];

/// What a rule may do without keeping anybody out of this host. REDIRECT and DNAT take ports away.
const HARMLESS_TARGETS: [&str; 5] = ["ACCEPT", "LOG", "MASQUERADE", "SNAT", "TCPMSS"];

/// Chains that only see packets that are not for this host.
const FORWARDING_CHAINS: [&str; 2] = ["FORWARD", "DOCKER-USER"];

/// A file larger than this is no script.
const LARGEST: u64 = 1 << 20;
/// As many characters of a line are shown.
const LONGEST_SHOWN: usize = 200;
/// A script that starts a script that starts a script.
const DEEPEST: usize = 3;

/// What has been looked at, so that nothing is read twice.
#[derive(Default)]
struct Seen {
    /// The scripts that load nothing, and how deep they were found.
    clean: BTreeMap<PathBuf, usize>,
    /// What scripts name and is no script.
    others: BTreeSet<String>,
}

/// Whoever may load rules at boot and is no plain loader: the name of a service or the path of a script, and the line
/// that says so.
pub(crate) fn find(boot: &Boot) -> Vec<(String, String)> {
    // The others are in charge of all that is loaded.
    let tools = TOOLS.iter().filter(|tool| !tool.is_told());
    let mut found: Vec<(String, String)> = tools
        .filter_map(|tool| Some((boot.starts(tool)?, tool.name.to_owned())))
        .collect();
    let seen = &mut Seen::default();
    let mut read = BTreeSet::new();
    for path in SCRIPTS.iter().flat_map(|path| files(boot, Path::new(path))) {
        let real = boot.real(&path);
        // One may be a link to another.
        if !read.insert(real.clone()) {
            continue;
        }
        // Nobody runs a script without the permission; the configuration of interfaces is no script.
        let runs = path.starts_with("/etc/network/interfaces")
            || path.starts_with("/etc/network/interfaces.d")
            || boot
                .look
                .metadata(&real)
                .is_some_and(|file| file.permissions().mode() & 0o111 != 0);
        if runs && let Some(line) = loading_line(boot, &real, 0, seen) {
            found.push((real.display().to_string(), line));
        }
    }
    services(boot, seen, &mut found);
    reboots(boot, seen, &mut found);
    found
}

/// A file, or the files in a folder.
fn files(boot: &Boot, path: &Path) -> Vec<PathBuf> {
    let real = boot.real(path);
    if !boot
        .look
        .metadata(&real)
        .is_some_and(|found| found.is_dir())
    {
        return vec![path.to_owned()];
    }
    let entries = boot.look.entries(&real).into_iter();
    let mut files: Vec<PathBuf> = entries.map(|entry| path.join(entry.file_name())).collect();
    files.sort();
    files
}

/// Services of nobody who is known that start a program that loads rules, or a script that does.
fn services(boot: &Boot, seen: &mut Seen, found: &mut Vec<(String, String)>) {
    let enabled = |unit: &&String| boot.enabled(unit);
    let mut units: Vec<String> = boot
        .services
        .units
        .iter()
        .filter(enabled)
        .cloned()
        .collect();
    units.extend(
        boot.services
            .timers
            .iter()
            .filter_map(|timer| timed(boot, timer)),
    );
    let mut known: BTreeSet<String> = units.iter().cloned().collect();
    units.reverse();
    while let Some(unit) = units.pop() {
        let (text, line) = of_unit(boot, &unit, seen);
        found.extend(line.map(|line| (format!("{unit}.service"), line)));
        for wanted in wanted(&text).filter(|wanted| boot.has_unit(wanted)) {
            if !known.insert(wanted.to_owned()) {
                continue;
            }
            if kind(boot, wanted) == Kind::Loads && kind(boot, &unit) == Kind::Unknown {
                found.push((format!("{unit}.service"), format!("Wants={wanted}.service")));
            }
            units.push(wanted.to_owned());
        }
    }
    for (service, path) in &boot.services.scripts {
        if kind(boot, service) != Kind::Unknown || !boot.enabled_in_rc(service) {
            continue;
        }
        // runit's services are folders.
        let script = boot.within(path);
        let line = loading_line(boot, &script, 0, seen)
            .or_else(|| loading_line(boot, &script.join("run"), 0, seen));
        found.extend(line.map(|line| (service.clone(), line)));
    }
}

/// What is known of a service by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It loads rules, and is judged elsewhere.
    Loads,
    Harmless,
    Unknown,
}

fn kind(boot: &Boot, service: &str) -> Kind {
    let name = service.split('@').next().unwrap_or_default();
    let mut tools = TOOLS.iter();
    if LOADERS.contains(&name) || tools.any(|tool| tool.services.contains(&name)) {
        return Kind::Loads;
    }
    let of_systemd = name.starts_with("systemd-") && !boot.has_own_unit(service);
    if of_systemd || HARMLESS_SERVICES.contains(&name) || OWN.contains(&name) {
        return Kind::Harmless;
    }
    Kind::Unknown
}

/// What a service's unit says, as far as it matters, and the command of it that loads rules, or the line of a script.
fn of_unit(boot: &Boot, service: &str, seen: &mut Seen) -> (String, Option<String>) {
    let kind = kind(boot, service);
    let whole = kind == Kind::Unknown || LOADERS.contains(&service);
    let text = if whole {
        boot.unit_text(&format!("{service}.service"))
    } else {
        boot.own_dropins(service)
    };
    let commands = commands(&text).into_iter();
    // What a loader itself does is told from its files.
    let mut commands = commands.filter(|(key, _)| kind != Kind::Loads || *key != "ExecStart");
    let line = commands.find_map(|(_, command)| line_or_script(boot, command, 0, seen));
    let line = line.or_else(|| {
        let interface = service.strip_prefix("wg-quick@")?;
        let path = format!("/etc/wireguard/{interface}.conf");
        let text = boot.text(&path);
        let mut commands = text.lines().filter_map(|line| line.split_once('='));
        commands.find_map(|(key, command)| {
            let up = ["preup", "postup"].contains(&key.trim().to_lowercase().as_str());
            up.then(|| line_or_script(boot, command.trim(), 0, seen))?
        })
    });
    (text, line)
}

/// The services that a unit has started with it.
fn wanted(unit: &str) -> impl Iterator<Item = &str> {
    let settings = unit.lines().filter_map(|line| line.split_once('='));
    let wants = settings
        .filter(|(key, _)| matches!(key.trim(), "Wants" | "Requires" | "BindsTo" | "Upholds"));
    let units = wants.flat_map(|(_, units)| units.split_whitespace());
    units.filter_map(|unit| unit.strip_suffix(".service"))
}

/// The service that a timer starts some time after boot.
fn timed(boot: &Boot, timer: &str) -> Option<String> {
    let text = boot.unit_text(&format!("{timer}.timer"));
    let settings = text.lines().filter_map(|line| line.split_once('='));
    let settings: Vec<_> = settings
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect();
    let after_boot =
        |(key, _): &(&str, &str)| matches!(*key, "OnBootSec" | "OnStartupSec" | "OnActiveSec");
    if !settings.iter().any(after_boot) {
        return None;
    }
    let mut units = settings.iter().filter(|(key, _)| *key == "Unit");
    let last = units.next_back();
    let unit = last.map_or(Some(timer), |(_, unit)| unit.strip_suffix(".service"))?;
    boot.has_unit(unit).then(|| unit.to_owned())
}

/// The lines of cron's tables that run at boot.
fn reboots(boot: &Boot, seen: &mut Seen, found: &mut Vec<(String, String)>) {
    for path in CRON.iter().flat_map(|path| files(boot, Path::new(path))) {
        let real = boot.real(&path);
        let text = boot.look.text(&real);
        let mut lines = text
            .lines()
            .filter(|line| line.trim_start().starts_with("@reboot"));
        let line = lines.find_map(|line| line_or_script(boot, line, 0, seen));
        found.extend(line.map(|line| (real.display().to_string(), line)));
    }
}

/// The line when it loads rules, or that of a script that it names.
fn line_or_script(boot: &Boot, line: &str, depth: usize, seen: &mut Seen) -> Option<String> {
    if may_close(line) {
        return Some(line.chars().take(LONGEST_SHOWN).collect());
    }
    if depth >= DEEPEST {
        return None;
    }
    let mut read_by_shell = false;
    line.split(ends).find_map(|word| {
        let word = word.trim_start_matches(['-', '@', ':', '+', '!']);
        // Of what a shell reads nobody asks for `#!`.
        let shell = read_by_shell;
        let is_shell = matches!(
            base_name(word),
            "." | "source" | "sh" | "bash" | "dash" | "ash"
        );
        read_by_shell = is_shell || shell && !word.starts_with('/');
        if !word.starts_with('/') || !shell && seen.others.contains(word) {
            return None;
        }
        let path = boot.within(Path::new(word));
        if !shell && !is_script(boot, &path) {
            seen.others.insert(word.to_owned());
            return None;
        }
        loading_line(boot, &path, depth + 1, seen)
    })
}

/// Whether a file begins with `#!`.
fn is_script(boot: &Boot, path: &Path) -> bool {
    use std::io::Read as _;
    if !boot.look.metadata(path).is_some_and(|file| file.is_file()) {
        return false;
    }
    let mut start = [0; 2];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut start));
    boot.look.told(path, read) == Some(2) && start == *b"#!"
}

/// The first line of a script that runs a program that loads rules, or that names a script with one.
fn loading_line(boot: &Boot, path: &Path, depth: usize, seen: &mut Seen) -> Option<String> {
    let metadata = boot.look.metadata(path)?;
    let known = seen.clean.get(path).is_some_and(|before| *before <= depth);
    if known || !metadata.is_file() || metadata.len() > LARGEST {
        return None;
    }
    let text = boot.look.text(path).replace("\\\n", " ");
    let lines = text.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.starts_with('#'));
    let found = lines.find_map(|line| line_or_script(boot, line, depth, seen));
    if found.is_none() {
        seen.clean.insert(path.to_owned(), depth);
    }
    found
}

/// Whether a command line starts a program that loads rules which may keep somebody out.
fn may_close(line: &str) -> bool {
    // What ends a command, or where its messages go, and no pipe or file.
    let ends = ["||", ">&2", "2>&1", ">/dev/null", "> /dev/null"];
    let line = ends
        .iter()
        .fold(line.to_owned(), |line, end| line.replace(end, ";"));
    // What is only named may be what a pipe or a substitution starts.
    let starts_names = line.contains(['|', '`']) || line.contains("$(");
    line.split([';', '&', '|']).any(|command| {
        let only_names = !starts_names && !command.contains('>') && only_names(command);
        loads(command) && !is_harmless(command) && !only_names
    })
}

/// Whether a command only names the program that loads rules, such as `echo` or a test that it is there.
fn only_names(command: &str) -> bool {
    let words = command.split_whitespace();
    let mut words = words.skip_while(|word| KEYWORDS.contains(word));
    words.next().is_some_and(|first| {
        ONLY_NAME.contains(&base_name(first)) || first == "command" && words.next() == Some("-v")
    })
}

/// Whether a command does nothing that keeps a new connection out of this host: it lists rules, makes a chain, lets
/// packets in, or is about those that are forwarded or translated on their way out.
fn is_harmless(command: &str) -> bool {
    let words: Vec<&str> = command
        .split(ends)
        .filter(|word| !word.is_empty())
        .collect();
    if words
        .first()
        .is_some_and(|first| AT_THE_END.contains(first))
    {
        return true;
    }
    // What is substituted may be anything.
    let Some(program) = words.iter().position(|word| loads(word)) else {
        return true;
    };
    if command.contains("$(") || command.contains('`') {
        return false;
    }
    let arguments = words.get(program + 1..).unwrap_or_default();
    match words.get(program).map(|word| base_name(word)) {
        // Several commands may stand in quotes.
        Some("nft") if command.contains(['$', '"', '\'', '{']) || command.contains(" -f") => false,
        Some("nft") => {
            let options = arguments.iter().take_while(|word| word.starts_with('-'));
            matches!(
                arguments[options.count()..],
                ["list", ..] | ["add", "table", ..]
            )
        }
        Some("netfilter-persistent") => arguments == ["save"],
        Some(name) if IPTABLES.contains(&name) => is_harmless_to_iptables(arguments),
        _ => false,
    }
}

/// The same of the arguments of iptables, which takes one command.
fn is_harmless_to_iptables(arguments: &[&str]) -> bool {
    let behind = |names: &[&str]| {
        let at = arguments.iter().position(|word| names.contains(word))?;
        arguments.get(at + 1).copied()
    };
    let is = |names: &[&str]| arguments.iter().any(|word| names.contains(word));
    let target = behind(&["-j", "--jump"]).unwrap_or_default();
    let known = !arguments.iter().any(|word| word.contains('$'));
    if is(&["-C", "--check"]) || known && (is(&["-N", "--new-chain"]) || lists(arguments)) {
        return true;
    }
    if let Some(chain) = behind(&["-A", "--append", "-I", "--insert"]) {
        return passes_by(chain, behind(&["-t", "--table"]))
            || known && HARMLESS_TARGETS.contains(&target);
    }
    let rest = ["-D", "--delete", "-P", "--policy", "-F", "--flush"];
    behind(&rest).is_some_and(|chain| passes_by(chain, behind(&["-t", "--table"])))
}

/// Whether packets to this host, and its answers, meet no rule of the chain that could drop them: the table nat drops
/// nothing, and of a connection it sees the first packet alone.
fn passes_by(chain: &str, table: Option<&str>) -> bool {
    FORWARDING_CHAINS.contains(&chain) || chain == "POSTROUTING" && table == Some("nat")
}

/// Whether iptables is only to print rules: `-L`, `-nvL`, `-S`.
fn lists(arguments: &[&str]) -> bool {
    arguments.iter().any(|word| {
        let letters = word.strip_prefix('-').unwrap_or_default();
        matches!(*word, "--list" | "--list-rules" | "--version")
            || letters.contains(['L', 'S', 'V'])
                && letters.chars().all(|letter| "LSVnvx".contains(letter))
    })
}

/// Whether a command line names a program that loads rules.
fn loads(line: &str) -> bool {
    line.split(ends)
        .any(|word| PROGRAMS.contains(&base_name(word)))
}

/// The name of a program, without its folder and systemd's prefixes.
pub(super) fn base_name(word: &str) -> &str {
    let name = word.rsplit('/').next().unwrap_or(word);
    name.trim_start_matches(['-', '@', ':', '+', '!'])
}

/// What ends a word of a command line.
fn ends(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, ';' | '&' | '|' | '(' | ')' | '"' | '\'' | '`' | '=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known_by_their_names_alone() {
        for line in [
            "pre-up /sbin/iptables-restore < /etc/firewall.rules",
            "[ -x /usr/sbin/nft ] && nft -f /srv/fw",
            "-/usr/sbin/nft -f /srv/fw",
            "sh -c 'iptables -A INPUT -j DROP'",
        ] {
            assert!(loads(line), "{line}");
        }
        for line in [
            "echo iptables-save",
            "nfthing",
            "/etc/nft/x",
            "systemctl start x",
        ] {
            assert!(!loads(line), "{line}");
        }
    }

    #[test]
    fn what_only_lets_in_or_translates_closes_nothing() {
        for line in [
            "iptables -A FORWARD -i wg0 -j ACCEPT; iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE",
            "ExecStart=/usr/sbin/iptables -t nat -A POSTROUTING -s 10.8.0.0/24 ! -d 10.8.0.0/24 -j SNAT --to 192.0.2.1",
            "iptables -I INPUT -p udp --dport 1194 -j ACCEPT",
            "iptables -N sshguard",
            "-/usr/sbin/nft add table ip sshguard",
            "iptables -C INPUT -p tcp --dport 22 -j ACCEPT || iptables -I INPUT -p tcp --dport 22 -j ACCEPT",
            "iptables -I DOCKER-USER -i eth0 -j DROP",
            "iptables -P FORWARD DROP",
            "[ -x /usr/sbin/nft ] || exit 0",
            "nft list ruleset",
            "post-down iptables -t nat -D POSTROUTING -s 10.10.10.0/24 -o eth0 -j MASQUERADE",
            "iptables -t nat -A POSTROUTING -s \"$POOL\" -o $OUT -j MASQUERADE || echo \"iptables failed\" >&2",
            "iptables -P FORWARD DROP; iptables -D FORWARD -i $LAN -j ACCEPT; ip6tables -F FORWARD",
            "if ! command -v iptables >/dev/null 2>&1; then apt-get install -y iptables; fi",
            "[ -x /sbin/iptables ] && iptables -nvL INPUT > /srv/before",
            "nft list ruleset > /srv/before",
            "iptables -C INPUT -p udp --dport 51820 -j ACCEPT || iptables -I INPUT -p udp --dport 51820 -j ACCEPT",
            "mkdir -p /etc/iptables",
        ] {
            assert!(!may_close(line), "{line}");
        }
        for line in [
            "iptables -A FORWARD -j ACCEPT; iptables -A INPUT -j DROP",
            "iptables -P INPUT DROP",
            "iptables -F",
            "iptables -D INPUT -p tcp --dport 50000:50100 -j ACCEPT",
            "iptables -A INPUT -j services",
            "iptables -t nat -A PREROUTING -p tcp --dport 50000 -j REDIRECT --to-ports 80",
            "iptables $RULE -j ACCEPT",
            "iptables-restore < /srv/fw",
            "nft -f /srv/fw",
            "[ -x /usr/sbin/nft ] && nft -f /srv/fw",
            "nft add table inet f { chain c { type filter hook input priority 0; policy drop; } }",
            "IPT=`which iptables`",
            "iptables-nft-restore /srv/fw",
            "iptables-nft -P INPUT DROP",
            "post-up iptables -P INPUT DROP",
            "iptables -t nat -A POSTROUTING -s $(iptables -F) -j MASQUERADE",
            "iptables -A POSTROUTING -j services",
            "iptables -A $CHAIN -j MASQUERADE",
            "iptables -S | sed s/ACCEPT/DROP/ | iptables-restore",
            "nft 'list ruleset; flush ruleset'",
            "nft -f list",
            "echo iptables -P INPUT DROP | sh",
            "echo iptables -P INPUT DROP > /run/fw",
            "IPT=$(command -v iptables)",
            "[ -x /sbin/iptables ] && iptables -P INPUT DROP",
            "command iptables -P INPUT DROP",
        ] {
            assert!(may_close(line), "{line}");
        }
    }
}
