//! What the man pages say beyond the help texts: kept beside the types that those come from.

/// What the page of a command adds to its help.
#[derive(Clone, Copy, Debug)]
pub struct Manual {
    /// The command; empty for the program itself.
    pub command: &'static str,
    /// Command lines, each with what it is good for.
    pub examples: &'static [(&'static str, &'static str)],
    /// Exit statuses, each with its meaning.
    pub exit_status: &'static [(&'static str, &'static str)],
    /// What else to read, as in `nft(8)`.
    pub see_also: &'static [&'static str],
}

/// When the pages last changed in more than trifles, as man-pages(7) wants it.
pub const DATE: &str = "2026-11-21";

/// The files of pasvsync's own that every command reads or writes.
pub const FILES: &[(&str, &str)] = &[
    (
        "/etc/pasvsync.toml",
        "Settings; flags win over them. A key that does not exist is an error.",
    ),
    (
        "/var/lib/pasvsync/",
        "What is remembered: what was added to firewalld and to CSF, that the next boot was proved, and when something was \
         last changed.",
    ),
    (
        "/run/pasvsync/",
        "The lock that lets one run at a time edit the firewall.",
    ),
];

/// What pasvsync.toml(5) says before the keys.
pub const SETTINGS_ARE: &str = "What would otherwise be typed each time, in TOML. Flags on the command line win over it; a \
    key that does not exist is an error. Each key stands here with the value that holds without it, or with an example \
    where there is no such value.";

const USAGE: (&str, &str) = ("2", "The command line makes no sense.");
const FAILED: (&str, &str) = ("1", "An error; nothing is half done.");
const NOT_OPENED: (&str, &str) = (
    "1",
    "An error, and nothing is half done; or a wanted port could not be opened, and the errors say why.",
);

/// The pages: the program's own, and one for each command that its help shows.
pub const PAGES: &[Manual] = &[
    Manual {
        command: "",
        examples: &[
            (
                "pasvsync check",
                "See what is closed, and what would open it.",
            ),
            ("pasvsync sync", "Open it, and prove it."),
            ("pasvsync remove", "Take everything back."),
        ],
        exit_status: &[
            (
                "0",
                "In sync, or changed and proved. status and explain exit 0 whatever they find.",
            ),
            NOT_OPENED,
            USAGE,
            (
                "3",
                "check found that sync would change something, or that a wanted port is closed.",
            ),
        ],
        see_also: &[
            "pasvsync.toml(5)",
            "nft(8)",
            "iptables(8)",
            "systemd.timer(5)",
            "cron(8)",
        ],
    },
    Manual {
        command: "sync",
        examples: &[
            (
                "pasvsync sync",
                "Open the passive ports of every FTP daemon here.",
            ),
            (
                "pasvsync sync --quiet",
                "From cron or a timer: silent unless something needs attention.",
            ),
            (
                "pasvsync sync --daemon proftpd --control",
                "Only ProFTPD's ports, and its control port too.",
            ),
        ],
        exit_status: &[("0", "In sync, or changed and proved."), NOT_OPENED, USAGE],
        see_also: &["pasvsync-check(8)", "pasvsync-remove(8)", "nft(8)"],
    },
    Manual {
        command: "check",
        examples: &[
            (
                "pasvsync check --diff",
                "Show the rules that would come and go.",
            ),
            (
                "pasvsync check --output prometheus --to /var/lib/prometheus/node-exporter/pasvsync.prom",
                "From a timer: metrics for node_exporter's textfile collector.",
            ),
            (
                "pasvsync check --output nagios",
                "As a plugin of Nagios, Icinga and the like.",
            ),
        ],
        exit_status: &[
            ("0", "In sync."),
            FAILED,
            USAGE,
            (
                "3",
                "sync would change something, or a wanted port is closed.",
            ),
            (
                "with --output nagios",
                "0 OK; 1 WARNING: every wanted port is open, but sync would change something, or there is a warning; \
                 2 CRITICAL: a wanted port is closed or restricted, now or after the next boot, or there is an error \
                 among the findings; 3 UNKNOWN: the daemons or the firewall could not be read, or a rule was not \
                 understood.",
            ),
        ],
        see_also: &["pasvsync-sync(8)", "pasvsync-explain(8)"],
    },
    Manual {
        command: "status",
        examples: &[
            (
                "pasvsync status",
                "See the daemons, their ranges and the verdict on each port.",
            ),
            ("pasvsync status --output json", "The same for a script."),
        ],
        exit_status: &[("0", "Whatever was found."), FAILED, USAGE],
        see_also: &["pasvsync-check(8)", "pasvsync-explain(8)"],
    },
    Manual {
        command: "explain",
        examples: &[
            (
                "pasvsync explain 50003",
                "Who wants the port, and which rule decides about it.",
            ),
            (
                "pasvsync explain 50003 -v",
                "Every rule that a new connection meets.",
            ),
            (
                "pasvsync explain 50003 --boot",
                "Which rule of the files that boot loads decides.",
            ),
        ],
        exit_status: &[("0", "Whatever was found."), FAILED, USAGE],
        see_also: &["pasvsync-status(8)", "nft(8)"],
    },
    Manual {
        command: "remove",
        examples: &[("pasvsync remove", "Before the package is removed, say.")],
        exit_status: &[("0", "Nothing of pasvsync's is left."), FAILED, USAGE],
        see_also: &["pasvsync-sync(8)"],
    },
    Manual {
        command: "set-range",
        examples: &[
            (
                "pasvsync set-range 51000-51009 --daemon proftpd --dry-run --diff",
                "See the edit of ProFTPD's configuration first.",
            ),
            (
                "pasvsync set-range 51000-51009 --daemon proftpd --restart",
                "Write it, let ProFTPD use it, and open the ports.",
            ),
        ],
        exit_status: &[
            (
                "0",
                "The range is set, and its ports are open; with --dry-run, it could be.",
            ),
            NOT_OPENED,
            USAGE,
        ],
        see_also: &["pasvsync-sync(8)"],
    },
    Manual {
        command: "demo",
        examples: &[(
            "pasvsync demo",
            "See it work, with real connections; the host is not touched.",
        )],
        exit_status: &[("0", "Everything held that was claimed."), FAILED, USAGE],
        see_also: &["pasvsync-sync(8)", "namespaces(7)"],
    },
];

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::PAGES;
    use crate::cli::Cli;

    #[test]
    fn every_command_that_is_shown_has_a_page() {
        let command = Cli::command();
        let shown = command
            .get_subcommands()
            .filter(|command| !command.is_hide_set());
        let mut names = vec![""];
        names.extend(shown.map(clap::Command::get_name));
        let pages: Vec<&str> = PAGES.iter().map(|page| page.command).collect();
        assert_eq!(pages, names);
    }

    #[test]
    fn the_examples_are_command_lines() {
        for page in PAGES {
            for (line, _) in page.examples {
                let cli = Cli::try_parse_from(line.split(' '));
                let cli = cli.unwrap_or_else(|error| panic!("{line}: {error}"));
                assert_eq!(cli.contradiction(), None, "{line}");
            }
        }
    }
}
