//! The grammar of pure-ftpd.conf: a port of simpleconf.c's `try_entry` and of the table in `simpleconf_ftpd.h`
//! ([SRC] 1.0.50; the messages are those of the binary [RUN]).

use std::path::{Path, PathBuf};

use super::Switch;
use crate::daemons::{ConfigError, ConfigErrorKind, Host, text};
use crate::findings::{Finding, Location};

/// Lines are read into a buffer of 65536 bytes; the tail of a longer one is a line of its own [RUN].
const LINE_BUFFER: usize = 65_535;
/// Deeper includes are refused [RUN].
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

/// What one entry makes of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Attempt {
    /// Nothing to do: blank, a comment, a switch that is off.
    Ignore,
    /// Another property.
    NotThis,
    /// The property, with another value than it takes; the offset is where.
    Mismatch(usize),
    /// A syntax error: no other entry is tried.
    Syntax(usize),
    /// The entry's own rule breaks down; the daemon aborts.
    Bogus,
    /// A switch with its value.
    Take(Vec<u8>),
    /// An include.
    Include(Vec<u8>),
}

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
            let location = Location::line(path, number);
            match self.entry(line, &mut stale) {
                Ok(None) => {}
                Ok(Some((Attempt::Include(value), _))) => {
                    self.include(host, &value, &location, depth)?
                }
                Ok(Some((Attempt::Take(value), name))) => self.switches.push(Switch {
                    name,
                    value,
                    location,
                }),
                Ok(Some(_)) => {}
                Err(problem) => self.refuse(host, problem, &location, line, from),
            }
        }
        Ok(())
    }

    /// The first entry that takes the line.
    fn entry(
        &self,
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
            let message = format!("[{}]: too many levels of recursion", path.display());
            let error = ConfigError::new(
                ConfigErrorKind::Refused,
                &host.disk.shown(&location.path),
                message,
            );
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

    /// [RUN] An include that does not exist is silently ignored.
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
        host: &Host,
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
                    format!("{}: not two ports as Pure-FTPd writes them", text::clean(line).trim()),
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
                let shown = text::clean(shown.unwrap_or(line));
                (
                    format!("{path}:{number}:{column}: syntax error line {number}: [{shown}]."),
                    column,
                )
            }
            Problem::NotFound => (
                format!(
                    "{path}:{number}:1: property not found line {number}: [{}].",
                    text::clean(line)
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
        let error =
            ConfigError::new(kind, &host.disk.shown(&location.path), message).at_line(number, line);
        let error = if column > 1 {
            error.at_column(u32::try_from(column).unwrap_or(1))
        } else {
            error
        };
        self.refuses = Some(error.with_help(help).included_from(from.cloned()));
    }
}

fn help_for(name: &[u8], elsewhere: bool) -> String {
    let name = text::clean(name);
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Name,
    AfterName,
    AfterNameBlank,
    AfterSeparator,
    Rule,
    Run(fn(u8) -> bool),
    Any,
    AnyWithinQuotes,
    AnyAfterQuotes,
    Boolean,
}

/// `try_entry`: one rule against one line, state by state as in C.
fn attempt(rule: &[u8], full: &[u8]) -> Attempt {
    let line = text::trim_start(full);
    let base = full.len() - line.len();
    if matches!(line.first(), None | Some(b'#')) {
        return Attempt::Ignore;
    }
    let mut matcher = Matcher {
        rule,
        line,
        at_rule: 0,
        at_line: 0,
        start: None,
        captures: Vec::new(),
        expecting: false,
        boolean: None,
        special: false,
        wildcard: None,
    };
    match matcher.run() {
        Ok(attempt) => attempt,
        Err(Failure::NotThis) => Attempt::NotThis,
        Err(Failure::Bogus) => Attempt::Bogus,
        Err(Failure::Mismatch(at)) => Attempt::Mismatch(base + at),
        Err(Failure::Syntax(at)) => Attempt::Syntax(base + at),
    }
}

enum Failure {
    NotThis,
    Bogus,
    Mismatch(usize),
    Syntax(usize),
}

struct Matcher<'a> {
    rule: &'a [u8],
    line: &'a [u8],
    at_rule: usize,
    at_line: usize,
    start: Option<usize>,
    captures: Vec<&'a [u8]>,
    expecting: bool,
    boolean: Option<bool>,
    special: bool,
    wildcard: Option<usize>,
}

impl Matcher<'_> {
    fn byte(&self) -> u8 {
        self.line.get(self.at_line).copied().unwrap_or(0)
    }

    fn rule_byte(&self) -> u8 {
        self.rule.get(self.at_rule).copied().unwrap_or(0)
    }

    /// The place that an error names: the line's start when its end was reached.
    fn place(&self) -> usize {
        if self.at_line < self.line.len() {
            self.at_line
        } else {
            0
        }
    }

    fn syntax(&self) -> Failure {
        Failure::Syntax(self.place())
    }

    fn mismatch(&self) -> Failure {
        Failure::Mismatch(self.place())
    }

    fn run(&mut self) -> Result<Attempt, Failure> {
        let mut state = State::Name;
        while self.at_rule < self.rule.len() || self.at_line < self.line.len() {
            state = self.step(state)?;
        }
        if matches!(
            state,
            State::Name
                | State::AfterName
                | State::AfterNameBlank
                | State::AfterSeparator
                | State::AnyWithinQuotes
        ) || self.expecting
        {
            return Err(self.mismatch());
        }
        if self.boolean == Some(false) {
            return Ok(Attempt::Ignore);
        }
        if self.special {
            let from = self.wildcard.unwrap_or(self.at_line);
            return Ok(Attempt::Include(self.line[from..self.at_line].to_vec()));
        }
        Ok(Attempt::Take(self.captures.join(&b':')))
    }

    fn step(&mut self, state: State) -> Result<State, Failure> {
        let byte = self.byte();
        match state {
            State::Name => self.name(byte),
            State::AfterName => match byte {
                b'=' | b':' => Ok(self.advance(State::AfterSeparator)),
                _ if text::is_space(byte) => Ok(self.advance(State::AfterNameBlank)),
                _ => Err(self.syntax()),
            },
            State::AfterNameBlank => match byte {
                b'=' | b':' => Ok(self.advance(State::AfterSeparator)),
                _ if text::is_space(byte) => Ok(self.advance(State::AfterNameBlank)),
                _ => Ok(State::AfterSeparator),
            },
            State::AfterSeparator => match byte {
                b'=' | b':' => Err(self.syntax()),
                _ if text::is_space(byte) => Ok(self.advance(State::AfterSeparator)),
                _ if self.at_rule >= self.rule.len() => Err(self.syntax()),
                _ => {
                    self.wildcard = Some(self.at_line);
                    Ok(State::Rule)
                }
            },
            State::Rule => self.rule_step(byte),
            State::Run(accepts) if accepts(byte) => {
                self.expecting = false;
                Ok(self.advance(state))
            }
            State::Run(_) => Ok(State::Rule),
            State::Any => self.any(byte),
            State::AnyWithinQuotes => match byte {
                b'"' => Ok(State::AnyAfterQuotes),
                _ if is_print(byte) => {
                    self.expecting = false;
                    Ok(self.advance(state))
                }
                _ => Err(self.syntax()),
            },
            State::AnyAfterQuotes => {
                if self.rule_byte() == b')' {
                    self.capture()?;
                    self.at_line += 1;
                    self.at_rule += 1;
                }
                Ok(State::Rule)
            }
            State::Boolean => self.truth(),
        }
    }

    fn advance(&mut self, state: State) -> State {
        self.at_line += 1;
        state
    }

    fn name(&mut self, byte: u8) -> Result<State, Failure> {
        let wanted = self.rule_byte();
        match wanted {
            b' ' => {
                self.at_rule += 1;
                return Ok(State::AfterName);
            }
            b'?' if self.boolean.is_none() => self.boolean = Some(false),
            b'!' if !self.special => self.special = true,
            _ if byte != 0 && byte.eq_ignore_ascii_case(&wanted) => self.at_line += 1,
            _ => return Err(Failure::NotThis),
        }
        self.at_rule += 1;
        Ok(State::Name)
    }

    fn rule_step(&mut self, byte: u8) -> Result<State, Failure> {
        let wanted = self.rule_byte();
        match wanted {
            0 => return Err(self.mismatch()),
            b'(' => self.start = Some(self.at_line),
            b')' => self.capture()?,
            b'<' => return self.placeholder(),
            b' ' => {
                self.at_rule += 1;
                self.expecting = true;
                return Ok(State::Run(text::is_space));
            }
            _ if byte == wanted => self.at_line += 1,
            _ => return Err(self.mismatch()),
        }
        self.at_rule += 1;
        Ok(State::Rule)
    }

    fn placeholder(&mut self) -> Result<State, Failure> {
        let rest = &self.rule[self.at_rule..];
        let known: [(&[u8], State); 6] = [
            (b"<alnum>", State::Run(|byte| byte.is_ascii_alphanumeric())),
            (b"<digits>", State::Run(|byte| byte.is_ascii_digit())),
            (b"<nospace>", State::Run(|byte| byte.is_ascii_graphic())),
            (b"<any>", State::Any),
            (b"<any*>", State::Run(is_print)),
            (b"<bool>", State::Boolean),
        ];
        let found = known.iter().find(|(name, _)| rest.starts_with(name));
        let Some(&(name, state)) = found else {
            return Err(Failure::Bogus);
        };
        self.at_rule += name.len();
        if state != State::Boolean {
            self.expecting = true;
        }
        Ok(state)
    }

    /// `<any>`: quotes group when they open the value; in the middle of one the daemon aborts.
    fn any(&mut self, byte: u8) -> Result<State, Failure> {
        if byte == b'"' {
            match self.start {
                Some(start) if start == self.at_line => self.start = Some(start + 1),
                Some(_) => return Err(Failure::Bogus),
                None => {}
            }
            return Ok(self.advance(State::AnyWithinQuotes));
        }
        if byte.is_ascii_graphic() {
            self.expecting = false;
            return Ok(self.advance(State::Run(|byte| byte.is_ascii_graphic())));
        }
        Ok(State::Rule)
    }

    fn truth(&mut self) -> Result<State, Failure> {
        let rest = &self.line[self.at_line..];
        let starts = |word: &&[u8]| {
            rest.get(..word.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        let yes: [&[u8]; 4] = [b"yes", b"on", b"true", b"1"];
        let no: [&[u8]; 4] = [b"no", b"off", b"false", b"0"];
        let (word, value) = match (
            yes.iter().copied().find(starts),
            no.iter().copied().find(starts),
        ) {
            (Some(word), _) => (word, true),
            (None, Some(word)) => (word, false),
            (None, None) => return Err(self.syntax()),
        };
        self.at_line += word.len();
        self.boolean = Some(value);
        Ok(State::Rule)
    }

    fn capture(&mut self) -> Result<(), Failure> {
        let Some(start) = self.start.take() else {
            return Err(Failure::Mismatch(0));
        };
        let captured = text::trim(self.line.get(start..self.at_line).unwrap_or_default());
        if captured.is_empty() {
            return Err(Failure::Mismatch(0));
        }
        self.captures.push(captured);
        Ok(())
    }
}

/// C's `isprint` in the C locale.
fn is_print(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte == b' '
}
