//! The grammar of pure-ftpd.conf: a port of simpleconf.c's `try_entry` and of the table in `simpleconf_ftpd.h`
//! (SRC 1.0.50; the messages are those of the binary (RUN)).

use std::path::{Path, PathBuf};

use super::Switch;
use super::matcher::{Attempt, attempt};
use crate::daemons::{ConfigError, ConfigErrorKind, Host, text};
use crate::findings::{Finding, Location};
use crate::terminal::clean;

/// Lines are read into a buffer of 65536 bytes; the tail of a longer one is a line of its own (RUN).
const LINE_BUFFER: usize = 65_535;
/// Deeper includes are refused (RUN).
const DEEPEST_INCLUDE: usize = 16;

/// The properties in the daemon's order, with the switch each becomes; `(..)` is captured. Databases are in the builds
/// of pure-ftpd-mysql and its like.
const ENTRIES: &[(&str, &str)] = &[
    ("AllowAnonymousFXP? <bool>", "allowanonymousfxp"),
    ("AllowDotFiles? <bool>", "allowdotfiles"),
    ("AllowUserFXP? <bool>", "allowuserfxp"),
    ("AltLog (<any*>)", "altlog"),
    (
        "AnonymousBandwidth (<digits>) (<digits>)",
        "anonymousbandwidth",
    ),
    ("AnonymousBandwidth (<digits>)", "anonymousbandwidth"),
    ("AnonymousCanCreateDirs? <bool>", "anonymouscancreatedirs"),
    ("AnonymousCantUpload? <bool>", "anonymouscantupload"),
    ("AnonymousOnly? <bool>", "anonymousonly"),
    ("AnonymousRatio (<digits>) (<digits>)", "anonymousratio"),
    ("AntiWarez? <bool>", "antiwarez"),
    ("AutoRename? <bool>", "autorename"),
    ("Bind (<nospace>)", "bind"),
    (
        "BrokenClientsCompatibility? <bool>",
        "brokenclientscompatibility",
    ),
    ("CertFileAndKey (<any>) (<any>)", "certfile"),
    ("CertFile (<any*>)", "certfile"),
    ("ChrootEveryone? <bool>", "chrooteveryone"),
    ("CreateHomeDir? <bool>", "createhomedir"),
    ("CustomerProof? <bool>", "customerproof"),
    ("Daemonize? <bool>", "daemonize"),
    ("DisplayDotFiles? <bool>", "displaydotfiles"),
    ("DontResolve? <bool>", "dontresolve"),
    ("ExtCert (<any*>)", "extcert"),
    ("ForcePassiveIP (<nospace>)", "forcepassiveip"),
    ("FortunesFile (<any*>)", "fortunesfile"),
    ("IPV4Only? <bool>", "ipv4only"),
    ("IPV6Only? <bool>", "ipv6only"),
    ("KeepAllFiles? <bool>", "keepallfiles"),
    ("LimitRecursion (<digits>) (<digits>)", "limitrecursion"),
    ("ExtAuth (<any*>)", "login"),
    ("LDAPConfigFile (<any*>)", "login"),
    ("MySQLConfigFile (<any*>)", "login"),
    ("PAMAuthentication? <bool>", "login"),
    ("PGSQLConfigFile (<any*>)", "login"),
    ("PureDB (<any*>)", "login"),
    ("UnixAuthentication? <bool>", "login"),
    ("LogPID? <bool>", "logpid"),
    ("MaxClientsNumber (<digits>)", "maxclientsnumber"),
    ("MaxClientsPerIP (<digits>)", "maxclientsperip"),
    ("MaxDiskUsage (<digits>)", "maxdiskusagepct"),
    ("MaxIdleTime (<digits>)", "maxidletime"),
    ("MaxLoad (<digits>)", "maxload"),
    ("MinUID (<digits>)", "minuid"),
    ("NATmode? <bool>", "natmode"),
    ("NoAnonymous? <bool>", "noanonymous"),
    ("NoChmod? <bool>", "nochmod"),
    ("NoRename? <bool>", "norename"),
    ("NoTruncate? <bool>", "notruncate"),
    ("PassivePortRange (<digits>) (<digits>)", "passiveportrange"),
    ("PerUserLimits (<digits>):(<digits>)", "peruserlimits"),
    ("PIDFile (<any*>)", "pidfile"),
    ("ProhibitDotFilesWrite? <bool>", "prohibitdotfileswrite"),
    ("ProhibitDotFilesRead? <bool>", "prohibitdotfilesread"),
    ("Quota (<digits>):(<digits>)", "quota"),
    ("SyslogFacility (<alnum>)", "syslogfacility"),
    ("TLSCipherSuite (<nospace>)", "tlsciphersuite"),
    ("TLS (<digits>)", "tls"),
    ("TrustedGID (<digits>)", "trustedgid"),
    ("TrustedIP (<nospace>)", "trustedip"),
    ("Umask (<digits>):(<digits>)", "umask"),
    ("CallUploadScript? <bool>", "uploadscript"),
    ("UserBandwidth (<digits>) (<digits>)", "userbandwidth"),
    ("UserBandwidth (<digits>)", "userbandwidth"),
    ("UserRatio (<digits>) (<digits>)", "userratio"),
    ("VerboseLog? <bool>", "verboselog"),
    ("!Include <any*>", ""),
];

/// Properties that other versions or builds have: a file with one may start elsewhere.
const ELSEWHERE: &[&str] = &[
    "UseFtpUsers",
    "FileSystemCharset",
    "ClientCharset",
    "FSCharset",
    "Bonjour",
];

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Simpleconf {
    /// The switches that it stands for, in order.
    pub(super) switches: Vec<Switch>,
    /// The files that were read.
    pub(super) files: Vec<PathBuf>,
    /// Why the daemon refuses it, when it does; the switches still hold what is written and valid.
    pub(super) refuses: Option<ConfigError>,
    /// What the user should know.
    pub(super) findings: Vec<Finding>,
    /// Includes went too deep: the daemon has given up, and reading on might take forever.
    too_deep: bool,
}

impl Simpleconf {
    /// Reads a file and what it includes.
    pub(super) fn file(
        &mut self,
        host: &Host,
        path: &Path,
        bytes: &[u8],
        from: Option<&Location>,
        depth: usize,
    ) -> Result<(), ConfigError> {
        self.files.push(path.to_path_buf());
        // The daemon keeps the place of the last mismatch for the whole file; its messages show it.
        let mut stale = None;
        for (number, line) in (1..).zip(lines(bytes)) {
            if self.too_deep {
                break;
            }
            let location = Location::line(path, number);
            match first_entry(line, &mut stale) {
                Ok(Some((Attempt::Include(value), _))) => {
                    self.include(host, &value, &location, depth)?;
                }
                Ok(Some((Attempt::Take(value), name))) => self.switches.push(Switch {
                    name,
                    value,
                    location,
                }),
                Ok(_) => {}
                Err(problem) => self.refuse(problem, &location, line, from),
            }
        }
        Ok(())
    }

    fn include(
        &mut self,
        host: &Host,
        value: &[u8],
        location: &Location,
        depth: usize,
    ) -> Result<(), ConfigError> {
        // Relative to the daemon's working folder, which is `/` under systemd and init.
        let path = Path::new("/").join(String::from_utf8_lossy(value).as_ref());
        if depth + 1 >= DEEPEST_INCLUDE {
            self.too_deep = true;
            let message = format!("[{}]: too many levels of recursion", path.display());
            let error = ConfigError::new(ConfigErrorKind::Refused, &location.path, message);
            let error = error.at_line(location.line.unwrap_or(1), value);
            self.refuses
                .get_or_insert(error.with_help("a file includes itself: remove the Include line"));
            return Ok(());
        }
        match host.disk.read(&path) {
            Ok(Some(source)) => self.file(host, &path, &source.bytes, Some(location), depth + 1),
            Ok(None) => {
                self.missing(&path, location);
                Ok(())
            }
            Err(error) if error.kind == ConfigErrorKind::Missing => {
                self.missing(&path, location);
                Ok(())
            }
            Err(error) => Err(error.included_from(Some(location.clone()))),
        }
    }

    /// RUN: An include that does not exist is silently ignored.
    fn missing(&mut self, path: &Path, location: &Location) {
        let message = format!(
            "Include {}: there is no such file, Pure-FTPd goes on without it",
            path.display()
        );
        self.findings.push(
            Finding::new("include-missing", message)
                .with_hint("Include takes one plain path: no quotes, no wildcards")
                .at(location.clone()),
        );
    }

    fn refuse(
        &mut self,
        problem: Problem,
        location: &Location,
        line: &[u8],
        from: Option<&Location>,
    ) {
        let name: &[u8] = text::trim_start(line);
        let name = &name[..name
            .iter()
            .position(|&byte| text::is_space(byte) || matches!(byte, b'=' | b':'))
            .unwrap_or(name.len())];
        let elsewhere = ELSEWHERE
            .iter()
            .any(|known| known.as_bytes().eq_ignore_ascii_case(name));
        if !elsewhere && name.eq_ignore_ascii_case(b"PassivePortRange") {
            let quoted = line.iter().any(|byte| matches!(byte, b'"' | b'\''));
            self.findings.push(
                Finding::new(
                    if quoted { "quoted-value" } else { "range-malformed" },
                    format!("{}: not two ports as Pure-FTPd writes them", clean(line).trim()),
                )
                .with_hint("write two numbers with a blank between, and nothing else: PassivePortRange 49152 65534")
                .at(location.clone()),
            );
        }
        if self.refuses.is_some() {
            return;
        }
        let number = location.line.unwrap_or(1);
        let path = location.path.display();
        let (message, column) = match problem {
            Problem::Syntax(at) => {
                let shown = line.get(at..).filter(|rest| !rest.is_empty());
                let column = shown.map_or(1, |_| at + 1);
                let shown = clean(shown.unwrap_or(line));
                (
                    format!("{path}:{number}:{column}: syntax error line {number}: [{shown}]."),
                    column,
                )
            }
            Problem::NotFound => (
                format!(
                    "{path}:{number}:1: property not found line {number}: [{}].",
                    clean(line)
                ),
                1,
            ),
            Problem::Bogus(rule) => (format!("Bogus rule: [{rule}]"), 1),
        };
        let kind = if elsewhere {
            ConfigErrorKind::RefusedHere
        } else {
            ConfigErrorKind::Refused
        };
        let help = help_for(name, elsewhere);
        let error = ConfigError::new(kind, &location.path, message).at_line(number, line);
        let error = if column > 1 {
            error.at_column(u32::try_from(column).unwrap_or(1))
        } else {
            error
        };
        self.refuses = Some(error.with_help(help).included_from(from.cloned()));
    }
}

fn help_for(name: &[u8], elsewhere: bool) -> String {
    let name = clean(name);
    if elsewhere {
        return format!(
            "{name} was removed from Pure-FTPd, or is not in this build: remove the line"
        );
    }
    if !name.is_ascii() || name.trim() != name {
        return "the line starts with bytes that are not ASCII (a byte order mark?): remove them"
            .to_owned();
    }
    let known = ENTRIES
        .iter()
        .find(|(rule, _)| rule_name(rule).eq_ignore_ascii_case(&name));
    match known {
        Some((rule, _)) => format!(
            "write {}",
            rule.trim_start_matches('!')
                .replace('?', "")
                .replace(['(', ')'], "")
        ),
        None => format!("no property is called {name}: remove the line"),
    }
}

fn rule_name(rule: &str) -> &str {
    let name = rule.trim_start_matches('!');
    name.split(['?', ' ']).next().unwrap_or(name)
}

/// Why a line is refused.
#[derive(Clone, Copy, Debug)]
enum Problem {
    NotFound,
    Syntax(usize),
    Bogus(&'static str),
}

/// `fgets` and `chomp`: lines cut at the buffer and at a NUL, without trailing blanks.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let window = &rest[..rest.len().min(LINE_BUFFER)];
        let length = window
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(window.len(), |at| at + 1);
        let (line, tail) = rest.split_at(length);
        rest = tail;
        Some(text::trim_end(text::c_string(line)))
    })
}

/// The first entry that takes the line.
fn first_entry(
    line: &[u8],
    stale: &mut Option<usize>,
) -> Result<Option<(Attempt, &'static str)>, Problem> {
    for (rule, name) in ENTRIES {
        match attempt(rule.as_bytes(), line) {
            Attempt::NotThis => {}
            Attempt::Ignore => return Ok(None),
            Attempt::Mismatch(at) => *stale = Some(at),
            Attempt::Syntax(at) => return Err(Problem::Syntax(at)),
            Attempt::Bogus => return Err(Problem::Bogus(rule)),
            taken => return Ok(Some((taken, name))),
        }
    }
    Err(stale.map_or(Problem::NotFound, Problem::Syntax))
}
