//! Debian's pure-ftpd-wrapper: one file per option in /etc/pure-ftpd/conf (SRC the Perl script of
//! pure-ftpd-common 1.0.50-2.1; RUN with `--show-options`).

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::Switch;
use crate::daemons::{ConfigError, ConfigErrorKind, Host, text};
use crate::findings::{Finding, Location};
use crate::terminal::clean;

/// What a value must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Boolean,
    Number,
    Pair,
    PairUnlimited,
    OneOrTwo,
    Octals,
    Text,
    Word,
    Address,
    Path,
    Skipped,
}

/// The script's table: file, value, switch.
const OPTIONS: &[(&str, Value, &str)] = &[
    ("AllowAnonymousFXP", Value::Boolean, ""),
    ("AllowDotFiles", Value::Boolean, ""),
    ("AllowUserFXP", Value::Boolean, ""),
    ("AltLog", Value::Text, ""),
    ("AnonymousBandwidth", Value::OneOrTwo, ""),
    ("AnonymousCanCreateDirs", Value::Boolean, ""),
    ("AnonymousCantUpload", Value::Boolean, ""),
    ("AnonymousOnly", Value::Boolean, ""),
    ("AnonymousRatio", Value::Pair, ""),
    ("AntiWarez", Value::Boolean, ""),
    ("AutoRename", Value::Boolean, ""),
    ("Bind", Value::Text, "bind"),
    (
        "BrokenClientsCompatibility",
        Value::Boolean,
        "brokenclientscompatibility",
    ),
    ("CallUploadScript", Value::Boolean, "uploadscript"),
    ("ChrootEveryone", Value::Boolean, ""),
    ("CreateHomeDir", Value::Boolean, ""),
    ("CustomerProof", Value::Boolean, ""),
    ("Daemonize", Value::Boolean, ""),
    ("DisplayDotFiles", Value::Boolean, ""),
    ("DontResolve", Value::Boolean, ""),
    ("ForcePassiveIP", Value::Text, "forcepassiveip"),
    ("FortunesFile", Value::Path, ""),
    ("FSCharset", Value::Skipped, ""),
    ("ClientCharset", Value::Skipped, ""),
    ("IPV4Only", Value::Boolean, ""),
    ("IPV6Only", Value::Boolean, ""),
    ("KeepAllFiles", Value::Boolean, ""),
    ("LimitRecursion", Value::PairUnlimited, ""),
    ("LogPID", Value::Boolean, ""),
    ("MaxClientsNumber", Value::Number, "maxclientsnumber"),
    ("MaxClientsPerIP", Value::Number, ""),
    ("MaxDiskUsage", Value::Number, ""),
    ("MaxIdleTime", Value::Number, ""),
    ("MaxLoad", Value::Number, ""),
    ("MinUID", Value::Number, ""),
    ("NATmode", Value::Boolean, "natmode"),
    ("NoAnonymous", Value::Boolean, ""),
    ("NoChmod", Value::Boolean, ""),
    ("NoRename", Value::Boolean, ""),
    ("NoTruncate", Value::Boolean, ""),
    ("PassivePortRange", Value::Pair, "passiveportrange"),
    ("PerUserLimits", Value::Pair, ""),
    ("ProhibitDotFilesRead", Value::Boolean, ""),
    ("ProhibitDotFilesWrite", Value::Boolean, ""),
    ("Quota", Value::Pair, ""),
    ("SyslogFacility", Value::Word, ""),
    ("TLS", Value::Number, "tls"),
    ("TLSCipherSuite", Value::Text, ""),
    ("TrustedGID", Value::Number, ""),
    ("TrustedIP", Value::Address, ""),
    ("Umask", Value::Octals, ""),
    ("UserBandwidth", Value::OneOrTwo, ""),
    ("UserRatio", Value::Pair, ""),
    ("VerboseLog", Value::Boolean, ""),
];

/// Files that the script leaves to /etc/pure-ftpd/auth.
const AUTHENTICATION: &[&str] = &[
    "ExtAuth",
    "LDAPConfigFile",
    "MySQLConfigFile",
    "PGSQLConfigFile",
    "PAMAuthentication",
    "PureDB",
    "UnixAuthentication",
];

/// What the folder says.
#[derive(Debug, Default)]
pub(super) struct Wrapped {
    pub(super) switches: Vec<Switch>,
    pub(super) files: Vec<PathBuf>,
    pub(super) refuses: Option<ConfigError>,
    pub(super) findings: Vec<Finding>,
}

/// Reads the folder as the script does.
pub(super) fn read(host: &Host, folder: &Path) -> Result<Wrapped, ConfigError> {
    let mut wrapped = Wrapped::default();
    for name in host.disk.list(folder)?.unwrap_or_default() {
        // The script takes only names of letters and digits, two at least; backups are skipped that way.
        let Some(name) = name.to_str().filter(|name| is_option_name(name)) else {
            continue;
        };
        if AUTHENTICATION.contains(&name) {
            continue;
        }
        let path = folder.join(name);
        // RUN: The name is looked up first: a folder of an unknown name makes the script die, too.
        let Some(option) = OPTIONS.iter().find(|(known, ..)| *known == name) else {
            wrapped.unknown(&path, name);
            continue;
        };
        let source = match host.disk.read(&path) {
            Ok(Some(source)) => source,
            Ok(None) => continue,
            // RUN: A folder is ignored, a dangling symlink makes the script die.
            Err(error) if error.kind == ConfigErrorKind::NotAFile => continue,
            Err(error) if error.kind == ConfigErrorKind::Missing => {
                let message = format!(
                    "/usr/sbin/pure-ftpd-wrapper: Couldn't open configuration file {}: No such file or directory",
                    path.display()
                );
                let refusal =
                    ConfigError::new(ConfigErrorKind::Refused, &error.location.path, message);
                wrapped.refuses.get_or_insert(
                    refusal.with_help("remove the symlink, or restore the file it points to"),
                );
                continue;
            }
            Err(error) => return Err(error),
        };
        wrapped.files.push(path.clone());
        wrapped.option(host, option, &path, &source.bytes);
    }
    Ok(wrapped)
}

/// Whether a file is one of such a folder's.
pub(super) fn is_option(path: &Path) -> bool {
    let mut options = OPTIONS.iter();
    options.any(|(known, ..)| path.file_name().is_some_and(|name| name == *known))
}

fn is_option_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && name.len() > 1
        && characters.all(|c| c.is_ascii_alphanumeric())
}

impl Wrapped {
    fn unknown(&mut self, path: &Path, name: &str) {
        let mut options = OPTIONS.iter();
        let help = match options.find(|(known, ..)| known.eq_ignore_ascii_case(name)) {
            Some((known, ..)) => format!("rename the file to {known}: names are case-sensitive"),
            None => "remove the file, or rename it so that a dot is in its name".to_owned(),
        };
        self.die(path, None, "No corresponding directive", help);
    }

    fn option(
        &mut self,
        host: &Host,
        (name, value, switch): &(&'static str, Value, &'static str),
        path: &Path,
        bytes: &[u8],
    ) {
        for (number, line) in (1..).zip(bytes.split(|&byte| byte == b'\n')) {
            let line = text::trim(line);
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            match value.parse(host, line) {
                Err(problem) => {
                    let message = format!("\"{}\"{problem}", clean(line));
                    if *name == "PassivePortRange" {
                        let quoted = line.iter().any(|byte| matches!(byte, b'"' | b'\''));
                        self.findings.push(
                            Finding::new(
                                if quoted {
                                    "quoted-value"
                                } else {
                                    "range-malformed"
                                },
                                format!("PassivePortRange: {message}"),
                            )
                            .with_hint(value.help())
                            .at(Location::line(path, number)),
                        );
                    }
                    self.die(
                        path,
                        Some((number, line)),
                        &message,
                        value.help().to_owned(),
                    );
                    return;
                }
                // A value that adds no switch lets the script read on.
                Ok(None) => {}
                Ok(Some(value)) => {
                    if !switch.is_empty() {
                        self.switches.push(Switch {
                            name: switch,
                            value,
                            location: Location::line(path, number),
                        });
                    }
                    return;
                }
            }
        }
    }

    fn die(&mut self, path: &Path, line: Option<(u32, &[u8])>, message: &str, help: String) {
        let message = format!(
            "/usr/sbin/pure-ftpd-wrapper: Invalid configuration file {}: {message}",
            path.display()
        );
        let error = ConfigError::new(ConfigErrorKind::Refused, path, message);
        let error = match line {
            Some((number, text)) => error.at_line(number, text),
            None => error,
        };
        self.refuses.get_or_insert(error.with_help(help));
    }
}

impl Value {
    /// The value as the switch gets it; `None` when it adds no switch.
    fn parse(self, host: &Host, line: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
        let digits = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
        let words: Vec<&[u8]> = line
            .split(|&byte| text::is_space(byte))
            .filter(|word| !word.is_empty())
            .collect();
        let pair = |accepts: &dyn Fn(&[u8]) -> bool| match words.as_slice() {
            [first, second] if accepts(first) && accepts(second) => {
                Some([*first, *second].join(&b':'))
            }
            _ => None,
        };
        let valid = |holds: bool, problem| {
            if holds {
                Ok(Some(line.to_vec()))
            } else {
                Err(problem)
            }
        };
        match self {
            Self::Boolean => match line.to_ascii_lowercase().as_slice() {
                b"yes" | b"1" | b"on" => Ok(Some(Vec::new())),
                b"no" | b"0" | b"off" => Ok(None),
                _ => Err(" not convertible to true or false"),
            },
            Self::Number => valid(digits(line), " not a number"),
            Self::Pair => pair(&digits).map(Some).ok_or(" not two numbers"),
            Self::PairUnlimited => pair(&|word| digits(word.strip_prefix(b"-").unwrap_or(word)))
                .map(Some)
                .ok_or(" not two numbers"),
            Self::OneOrTwo => valid(
                line.iter().any(u8::is_ascii_digit),
                " not one or two numbers",
            ),
            Self::Octals => pair(&|word| {
                word.len() == 3 && word.iter().all(|byte| (b'0'..=b'7').contains(byte))
            })
            .map(Some)
            .ok_or(" not two octal numbers"),
            Self::Text => valid(words.len() == 1, " contains whitespace"),
            Self::Word => valid(
                line.iter()
                    .all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_'),
                " contains non-word characters",
            ),
            // RUN: A bad address is passed on as an argument of its own: the script's check returns its message.
            Self::Address => Ok(Some(line.to_vec())),
            Self::Path => {
                let path = Path::new(std::ffi::OsStr::from_bytes(line));
                valid(host.disk.kind(path).is_some(), ": No such file")
            }
            Self::Skipped => Ok(None),
        }
    }

    fn help(self) -> &'static str {
        match self {
            Self::Boolean => "write yes or no",
            Self::Number => "write a number and nothing else",
            Self::Pair | Self::PairUnlimited => {
                "write two numbers with a blank between and nothing else: 49152 65534"
            }
            Self::OneOrTwo => "write one number, or two with a colon between",
            Self::Octals => "write two octal numbers of three digits: 133 022",
            Self::Text | Self::Word => "write one word",
            Self::Path => "name a file that exists",
            Self::Address | Self::Skipped => "",
        }
    }
}
