//! Scripts and services that may load rules at boot besides the usual loaders: what they load cannot be told, but that
//! they are there can.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::find::Boot;
use crate::tools::{HARMLESS_SERVICES, TOOLS};

/// Services whose files are read, and our own.
const KNOWN: [&str; 8] = [
    "nftables",
    "netfilter-persistent",
    "iptables-persistent",
    "iptables",
    "ip6tables",
    "ipset",
    "pasvsync",
    "pasvsync-fw",
];

/// Files and folders whose content runs at boot or when a network comes up.
const SCRIPTS: [&str; 15] = [
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
const PROGRAMS: [&str; 19] = [
    "nft",
    "iptables",
    "ip6tables",
    "iptables-restore",
    "ip6tables-restore",
    "iptables-apply",
    "ip6tables-apply",
    "iptables-legacy",
    "ip6tables-legacy",
    "iptables-legacy-restore",
    "ip6tables-legacy-restore",
    "iptables-nft",
    "ip6tables-nft",
    "iptables-nft-restore",
    "ip6tables-nft-restore",
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

/// A file larger than this is no script.
const LARGEST: u64 = 1 << 20;
/// A script that starts a script that starts a script.
const DEEPEST: usize = 3;

/// The scripts that load nothing, and how deep they were found: none is read twice for nothing.
type Clean = BTreeMap<PathBuf, usize>;

/// Whoever may load rules at boot and is no plain loader: the name of a service or the path of a script, and the line
/// that says so.
pub(crate) fn find(boot: &Boot) -> Vec<(String, String)> {
    // The others are in charge of all that is loaded.
    let tools = TOOLS.iter().filter(|tool| !tool.is_told());
    let mut found: Vec<(String, String)> = tools
        .filter_map(|tool| Some((boot.starts(tool)?, tool.name.to_owned())))
        .collect();
    let clean = &mut Clean::new();
    for path in SCRIPTS.iter().flat_map(|path| files(boot, Path::new(path))) {
        let real = boot.real(&path);
        // Nobody runs a script without the permission; the configuration of interfaces is no script.
        let runs = path.starts_with("/etc/network/interfaces")
            || path.starts_with("/etc/network/interfaces.d")
            || boot
                .look
                .metadata(&real)
                .is_some_and(|file| file.permissions().mode() & 0o111 != 0);
        if runs && let Some(line) = loading_line(boot, &real, 0, clean) {
            found.push((real.display().to_string(), line));
        }
    }
    services(boot, clean, &mut found);
    reboots(boot, clean, &mut found);
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
fn services(boot: &Boot, clean: &mut Clean, found: &mut Vec<(String, String)>) {
    let unknown = |service: &&String| {
        let name = service.split('@').next().unwrap_or_default();
        let mut tools = TOOLS.iter();
        !KNOWN.contains(&name)
            && !HARMLESS_SERVICES.contains(&name)
            && !tools.any(|tool| tool.services.contains(&name))
    };
    let units = boot.services.units.iter().filter(unknown);
    for unit in units.filter(|unit| boot.enabled(unit)) {
        let text = boot.unit_text(unit);
        let line = starting_line(&text).or_else(|| started_script(boot, &text, clean));
        found.extend(line.map(|line| (format!("{unit}.service"), line)));
    }
    for (service, path) in &boot.services.scripts {
        if !unknown(&service) || !boot.enabled_in_rc(service) {
            continue;
        }
        // runit's services are folders.
        let real = boot.real(path.strip_prefix(&boot.root).unwrap_or(path));
        let line = loading_line(boot, &real, 0, clean)
            .or_else(|| loading_line(boot, &real.join("run"), 0, clean));
        found.extend(line.map(|line| (service.clone(), line)));
    }
}

/// The lines of cron's tables that run at boot.
fn reboots(boot: &Boot, clean: &mut Clean, found: &mut Vec<(String, String)>) {
    for path in CRON.iter().flat_map(|path| files(boot, Path::new(path))) {
        let real = boot.real(&path);
        let text = boot.look.text(&real);
        let mut lines = text.lines().filter(|line| line.starts_with("@reboot"));
        let line = lines.find_map(|line| line_or_script(boot, line, 0, clean));
        found.extend(line.map(|line| (real.display().to_string(), line)));
    }
}

/// The commands that a unit starts.
fn commands(unit: &str) -> impl Iterator<Item = &str> {
    unit.lines().filter_map(|line| {
        let (key, command) = line.split_once('=')?;
        key.trim()
            .starts_with("ExecStart")
            .then_some(command.trim())
    })
}

/// The first command of a unit that loads rules.
pub(super) fn starting_line(unit: &str) -> Option<String> {
    let command = commands(unit).find(|command| may_close(command))?;
    Some(command.to_owned())
}

/// The first line that loads rules in a script that a unit starts.
fn started_script(boot: &Boot, unit: &str, clean: &mut Clean) -> Option<String> {
    commands(unit).find_map(|command| line_or_script(boot, command, 0, clean))
}

/// The line when it loads rules, or that of a script that it names.
fn line_or_script(boot: &Boot, line: &str, depth: usize, clean: &mut Clean) -> Option<String> {
    if may_close(line) {
        return Some(line.to_owned());
    }
    if depth >= DEEPEST {
        return None;
    }
    let mut read_by_shell = false;
    line.split(ends).find_map(|word| {
        let word = word.trim_start_matches(['-', '@', ':', '+', '!']);
        // Of what a shell reads nobody asks for `#!`.
        let shell = read_by_shell;
        let name = word.rsplit('/').next().unwrap_or(word);
        read_by_shell = matches!(name, "." | "source" | "sh" | "bash" | "dash" | "ash");
        let path = word.starts_with('/').then(|| boot.real(Path::new(word)))?;
        (shell || is_script(boot, &path)).then(|| loading_line(boot, &path, depth + 1, clean))?
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
fn loading_line(boot: &Boot, path: &Path, depth: usize, clean: &mut Clean) -> Option<String> {
    let metadata = boot.look.metadata(path)?;
    let known = clean.get(path).is_some_and(|before| *before <= depth);
    if known || !metadata.is_file() || metadata.len() > LARGEST {
        return None;
    }
    let text = boot.look.text(path).replace("\\\n", " ");
    let lines = text.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.starts_with('#'));
    let found = lines.find_map(|line| line_or_script(boot, line, depth, clean));
    if found.is_none() {
        clean.insert(path.to_owned(), depth);
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
        Some("nft") => {
            let mut arguments = arguments.iter();
            // Several commands may stand in quotes.
            arguments.find(|word| !word.starts_with('-')) == Some(&"list")
                && !command.contains(['$', '"', '\''])
                && !command.contains(" -f")
        }
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
    chain == "FORWARD" || chain == "POSTROUTING" && table == Some("nat")
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
fn base_name(word: &str) -> &str {
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
            "[ -x /usr/sbin/nft ] && nft -f /root/fw",
            "-/usr/sbin/nft -f /root/fw",
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
            "post-down iptables -t nat -D POSTROUTING -s 10.10.10.0/24 -o eth0 -j MASQUERADE",
            "iptables -t nat -A POSTROUTING -s \"$POOL\" -o $OUT -j MASQUERADE || echo \"iptables failed\" >&2",
            "iptables -P FORWARD DROP; iptables -D FORWARD -i $LAN -j ACCEPT; ip6tables -F FORWARD",
            "if ! command -v iptables >/dev/null 2>&1; then apt-get install -y iptables; fi",
            "[ -x /sbin/iptables ] && iptables -nvL INPUT > /root/before",
            "nft list ruleset > /root/before",
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
            "iptables-restore < /root/fw",
            "nft -f /root/fw",
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
