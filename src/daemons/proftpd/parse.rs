//! ProFTPD's parser: directives, sections and includes, with the error behaviour of 1.3.8 (SRC src/parser.c,
//! `modules/mod_core.c`; RUN against Debian 12's `proftpd -t`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::contexts::{self, ROOT};
use super::lines::{self, PARSER_BUFFER, Reader};
use super::modules::{self, Availability, Directive};
use crate::daemons::{ConfigError, ConfigErrorKind, Host};
use crate::findings::{Finding, Location};
use crate::passive::{Advertised, PassiveRange};
use crate::terminal::clean;

/// Deeper includes are a loop: the daemon itself has no bound and crashes (RUN).
pub(super) const DEEPEST_INCLUDE: usize = 64;

/// Which build of the daemon reads the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Build {
    /// One whose version and modules are known.
    Known,
    /// Another: which directives it has is not known.
    Other,
}

/// What the daemon is started with.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) defines: BTreeSet<Vec<u8>>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) build: Build,
    /// The modules that are compiled in.
    pub(super) modules: BTreeSet<String>,
}

/// The settings of a server, or of a `<Global>`: the first value of each counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) passive: Option<PassiveRange>,
    /// Ranges that only some users get (`<IfUser>` and its kin of `mod_ifsession`).
    pub(super) conditional: Vec<PassiveRange>,
    pub(super) port: Option<(u16, Location)>,
    pub(super) masquerade: Option<Advertised>,
    pub(super) sftp: Option<bool>,
    pub(super) implicit_tls: bool,
    pub(super) max_clients: Option<(u32, Location)>,
    pub(super) denies_passive: bool,
}

/// A server: the main one, or a `<VirtualHost>`.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) addresses: Vec<String>,
    pub(super) location: Location,
    pub(super) settings: Settings,
}

/// What a configuration says, once every line was read.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    pub(super) servers: Vec<Server>,
    pub(super) globals: Vec<Settings>,
    pub(super) max_instances: Option<(u32, Location)>,
    pub(super) inetd: bool,
    pub(super) files: Vec<PathBuf>,
    pub(super) refuses: Option<ConfigError>,
    pub(super) findings: Vec<Finding>,
}

/// A section that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Context {
    Global,
    Anonymous,
    Directory,
    /// The commands, and whether the section denies them to all.
    Limit(Vec<String>),
    Class,
    /// `mod_ifsession`'s: `<IfUser>`, `<IfGroup>`, `<IfClass>`, `<IfAuthenticated>`.
    Conditional(String),
}

impl Context {
    /// The name in the daemon's messages (SRC `get_context_name`).
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Global => "<Global>",
            Self::Anonymous => "<Anonymous>",
            Self::Directory => "<Directory>",
            Self::Limit(_) => "<Limit>",
            Self::Class => "<Class>",
            Self::Conditional(_) => ROOT,
        }
    }
}

/// Why parsing stops: the daemon's own refusal (which an `Include` may turn into a warning), or a file that cannot be
/// read.
pub(super) enum Stop {
    Fatal(ConfigError),
    Error(ConfigError),
}

pub(super) type Step = Result<(), Stop>;

/// Reads a configuration and all that it includes.
pub(super) fn parse(
    host: &Host,
    start: Start,
    path: &Path,
    bytes: Vec<u8>,
) -> Result<Parsed, ConfigError> {
    let mut parser = Parser::new(host, start, path);
    match parser.file(path, bytes, None) {
        Ok(()) => parser.check_closed(path),
        Err(Stop::Fatal(error)) => {
            parser.parsed.refuses = Some(error);
            parser.keep_reading();
        }
        Err(Stop::Error(error)) => return Err(error),
    }
    Ok(parser.parsed)
}

pub(super) struct Parser<'a> {
    pub(super) host: &'a Host,
    pub(super) start: Start,
    /// The modules that are compiled in, and those that were loaded so far.
    pub(super) modules: BTreeSet<String>,
    /// Whether any of them is in no table.
    pub(super) foreign_modules: bool,
    pub(super) module_folder: Option<BTreeSet<Vec<u8>>>,
    pub(super) stack: Vec<Reader>,
    /// The files whose reading has begun and not ended; the stack may hold more, which were abandoned.
    pub(super) frames: Vec<PathBuf>,
    pub(super) contexts: Vec<Context>,
    pub(super) in_virtual_host: bool,
    pub(super) include_options: IncludeOptions,
    pub(super) parsed: Parsed,
    /// After the daemon has given up: what is written is still collected, nothing is an error any more.
    pub(super) lenient: bool,
    /// The line that the daemon refused.
    pub(super) refused_line: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct IncludeOptions {
    pub(super) allow_symlinks: bool,
    pub(super) ignore_temporary: bool,
    pub(super) ignore_wildcards: bool,
}

impl<'a> Parser<'a> {
    fn new(host: &'a Host, start: Start, path: &Path) -> Self {
        let main = Server {
            addresses: Vec::new(),
            location: Location::file(path),
            settings: Settings::default(),
        };
        let modules = start.modules.clone();
        let is_foreign = |module: &String| modules::availability(module) == Availability::Foreign;
        Self {
            host,
            start,
            foreign_modules: modules.iter().any(is_foreign),
            modules,
            module_folder: None,
            stack: Vec::new(),
            frames: Vec::new(),
            contexts: Vec::new(),
            in_virtual_host: false,
            include_options: IncludeOptions::default(),
            parsed: Parsed {
                servers: vec![main],
                ..Parsed::default()
            },
            lenient: false,
            refused_line: None,
        }
    }

    /// `pr_parser_parse_file`. Lines always come from the file on top of the stack, and an error leaves it there: that
    /// is how the rest of an including file gets lost.
    pub(super) fn file(&mut self, path: &Path, bytes: Vec<u8>, from: Option<Location>) -> Step {
        if !self.parsed.files.iter().any(|known| known == path) {
            self.parsed.files.push(path.to_path_buf());
        }
        self.stack
            .push(Reader::new(path.to_path_buf(), bytes, from));
        self.frames.push(path.to_path_buf());
        let mut result = Ok(());
        while result.is_ok()
            && let Some(line) = self.next_line(PARSER_BUFFER)
        {
            result = self.line(&line);
            if matches!(result, Err(Stop::Fatal(_))) {
                self.refused_line = Some(line);
            }
        }
        self.frames.pop();
        if result.is_ok() {
            self.stack.pop();
        }
        result
    }

    /// After a refusal: what is written further on is collected too, since a reading holds what is written.
    fn keep_reading(&mut self) {
        self.lenient = true;
        if let Some(line) = self.refused_line.take()
            && let Err(Stop::Error(_)) = self.line(&line)
        {
            return;
        }
        while !self.stack.is_empty() {
            while let Some(line) = self.next_line(PARSER_BUFFER) {
                if let Err(Stop::Error(_)) = self.line(&line) {
                    return;
                }
            }
            self.stack.pop();
        }
    }

    pub(super) fn next_line(&mut self, buffer: usize) -> Option<Vec<u8>> {
        self.stack.last_mut()?.next_line(buffer)
    }

    pub(super) fn location(&self) -> Location {
        self.stack
            .last()
            .map_or_else(|| Location::file(""), Reader::location)
    }

    /// A refusal in the daemon's words, at the current line.
    pub(super) fn fatal(&self, kind: ConfigErrorKind, message: &str) -> ConfigError {
        let location = self.location();
        let error = ConfigError::new(
            kind,
            &location.path,
            format!(
                "fatal: {message} on line {} of '{}'",
                location.line.unwrap_or_default(),
                location.path.display()
            ),
        );
        match self.stack.last() {
            Some(reader) => error
                .at_line(reader.line, reader.raw())
                .included_from(reader.included_from.clone()),
            None => error,
        }
    }

    /// Stops with a refusal; when reading on after one, goes on.
    pub(super) fn refuse(&self, message: &str, part: &[u8], help: impl Into<String>) -> Step {
        if self.lenient {
            return Ok(());
        }
        let error = self
            .fatal(ConfigErrorKind::Refused, message)
            .underlining(part)
            .with_help(help);
        Err(Stop::Fatal(error))
    }

    pub(super) fn find(&mut self, code: &'static str, message: String, hint: Option<String>) {
        let finding = Finding::new(code, message).at(self.location());
        let finding = match hint {
            Some(hint) => finding.with_hint(hint),
            None => finding,
        };
        self.parsed.findings.push(finding);
    }

    fn line(&mut self, line: &[u8]) -> Step {
        let words = {
            let environment = &self.start.environment;
            let mut unset = Vec::new();
            let words = lines::words(line, &mut |name| {
                let value = environment.iter().rev().find(|(known, _)| known == name);
                if value.is_none() {
                    unset.push(clean(name.as_bytes()));
                }
                value.map(|(_, value)| value.clone())
            });
            for name in unset {
                self.find(
                    "environment-unknown",
                    format!("%{{env:{name}}} is not set in any environment that pasvsync can see: taken as empty"),
                    Some(format!("write the value itself, or set {name} in the unit's EnvironmentFile")),
                );
            }
            words
        };
        let Some((name, arguments)) = words.split_first() else {
            return Ok(());
        };
        let name_text = String::from_utf8_lossy(name).into_owned();
        self.check_known(name, &name_text)?;
        self.check_place(&name_text)?;
        let spelled = match name_text.as_str() {
            // The sections' own spelling is needed for messages only, and sections are few.
            section if section.starts_with('<') => modules::spelled(section),
            _ => None,
        };
        let shown = spelled.unwrap_or(&name_text);
        self.directive(&name_text.to_ascii_lowercase(), shown, arguments)
    }

    /// Whether the directive may stand here, as far as the tables know this build.
    fn check_place(&self, name: &str) -> Step {
        let place = self.place();
        if self.lenient || self.start.build == Build::Other || !contexts::is_refused(name, place) {
            return Ok(());
        }
        let name = modules::spelled(name).unwrap_or(name);
        let message = format!("{name}: directive not allowed in {place} context");
        let error = self.fatal(ConfigErrorKind::RefusedHere, &message);
        Err(Stop::Fatal(
            error
                .underlining(name.as_bytes())
                .with_help(format!("move {name} out of {place}")),
        ))
    }

    /// Whether any loaded module has the directive: an unknown one is fatal (RUN).
    fn check_known(&mut self, name: &[u8], shown: &str) -> Step {
        let known = modules::directive(shown, |module| self.modules.contains(module));
        let message = format!("unknown configuration directive '{shown}'");
        match known {
            Directive::Known => Ok(()),
            _ if self.lenient => Ok(()),
            Directive::OfModule(module) if self.start.build == Build::Other || self.foreign_modules => {
                self.find(
                    "unknown-directive",
                    format!("{shown} needs {module}, which is not loaded here"),
                    Some(format!("check with `proftpd -t`; where {module} is not compiled in, add `LoadModule {module}`")),
                );
                Ok(())
            }
            Directive::OfModule(module) => Err(Stop::Fatal(
                self.fatal(ConfigErrorKind::RefusedHere, &message).underlining(name).with_help(format!(
                    "{shown} belongs to {module}, which is not loaded: remove the line, wrap it in <IfModule {module}>, \
                     or load the module with `LoadModule {module}`"
                )),
            )),
            Directive::OtherVersion if self.start.build == Build::Other => {
                self.find(
                    "unknown-directive",
                    format!("ProFTPD 1.3.8 has no {shown}; other versions have"),
                    Some("check with `proftpd -t`".to_owned()),
                );
                Ok(())
            }
            Directive::OtherVersion => Err(Stop::Fatal(
                self.fatal(ConfigErrorKind::RefusedHere, &message)
                    .underlining(name)
                    .with_help(format!("only other versions of ProFTPD have {shown}: remove the line")),
            )),
            Directive::Unknown if self.foreign_modules && name.is_ascii() => {
                self.find(
                    "unknown-directive",
                    format!("{shown} is in no module that pasvsync knows"),
                    Some("check with `proftpd -t`".to_owned()),
                );
                Ok(())
            }
            Directive::Unknown => {
                let help = if !name.is_ascii() {
                    "the name has bytes that are not ASCII (a byte order mark or a special blank): remove them".to_owned()
                } else if let Some(near) = modules::nearest(shown) {
                    format!("did you mean {near}?")
                } else {
                    "remove the line, or load the module that has the directive".to_owned()
                };
                self.refuse(&message, name, help)
            }
        }
    }

    fn directive(&mut self, lowered: &str, name: &str, arguments: &[Vec<u8>]) -> Step {
        match lowered {
            "passiveports" => self.passive_ports(arguments),
            "port" => self.port(arguments),
            "masqueradeaddress" => self.masquerade(arguments),
            "defaultaddress" => arguments.iter().try_for_each(|word| {
                let address = clean(word);
                self.must_resolve(&format!("DefaultAddress {address}"), &address)
            }),
            "include" => self.include(arguments),
            "includeoptions" => self.set_include_options(arguments),
            "define" => self.define(arguments),
            "loadmodule" => self.load_module(arguments),
            "modulepath" => self.module_path(arguments),
            "maxinstances" | "maxclients" => {
                self.limit_of_clients(lowered, arguments);
                Ok(())
            }
            "sftpengine" | "tlsoptions" | "servertype" | "denyall" => {
                self.switch(lowered, arguments);
                Ok(())
            }

            _ if name.starts_with('<') => self.section(lowered, name, arguments),
            _ => Ok(()),
        }
    }

    /// The settings that a directive goes to: the `<Global>`'s, or the server's.
    pub(super) fn settings(&mut self) -> &mut Settings {
        let in_global = self.contexts.contains(&Context::Global);
        if in_global && let Some(index) = self.parsed.globals.len().checked_sub(1) {
            return &mut self.parsed.globals[index];
        }
        let last = if self.in_virtual_host {
            self.parsed.servers.len() - 1
        } else {
            0
        };
        &mut self.parsed.servers[last].settings
    }

    /// The innermost context, as the daemon names it (SRC `get_context_name`); `mod_ifsession`'s are no contexts.
    pub(super) fn place(&self) -> &'static str {
        let mut contexts = self.contexts.iter().rev();
        match contexts.find(|context| !matches!(context, Context::Conditional(_))) {
            Some(context) => context.name(),
            None if self.in_virtual_host => "<VirtualHost>",
            None => ROOT,
        }
    }

    /// Refuses a directive outside the contexts that it is allowed in (SRC `CHECK_CONF`).
    pub(super) fn allow(&self, name: &str, places: &[&str]) -> Step {
        let place = self.place();
        if places.contains(&place) {
            return Ok(());
        }
        self.refuse(
            &format!("{name}: directive not allowed in {place} context"),
            name.as_bytes(),
            format!("{name} is allowed in: {}", places.join(", ")),
        )
    }

    /// RUN: A section left open at the end of everything is fatal.
    fn check_closed(&mut self, path: &Path) {
        if self
            .contexts
            .iter()
            .any(|context| *context != Context::Class)
            || self.in_virtual_host
        {
            let open = if self.in_virtual_host {
                "<VirtualHost>"
            } else {
                self.contexts.last().map_or("", Context::name)
            };
            let message = format!(
                "fatal: error processing configuration file '{}': unclosed configuration section",
                path.display()
            );
            let error = ConfigError::new(ConfigErrorKind::Refused, path, message);
            self.parsed.refuses = Some(error.with_help(format!("close the {open} section")));
        }
    }
}
