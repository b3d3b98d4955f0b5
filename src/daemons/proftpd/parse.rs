//! ProFTPD's parser: directives, sections and includes, with the error behaviour of 1.3.8 ([SRC] src/parser.c,
//! modules/mod_core.c; [RUN] against Debian 12's `proftpd -t`).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use firewall::model::ports::PortRange;

use super::lines::{self, PARSER_BUFFER, Reader, SKIP_BUFFER};
use super::modules::{self, Availability, Directive};
use crate::daemons::{ConfigError, ConfigErrorKind, Host, text};
use crate::findings::{Finding, Location};
use crate::passive::{Advertised, PassiveRange};

/// Deeper includes are a loop: the daemon itself has no bound and crashes [RUN].
pub(super) const DEEPEST_INCLUDE: usize = 64;

/// Which build of the daemon reads the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Build {
    /// Debian's: its modules are known.
    Debian,
    /// Another: which modules are compiled in is not known.
    Other,
}

/// What the daemon is started with.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) defines: BTreeSet<Vec<u8>>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) build: Build,
}

/// The settings of a server, or of a `<Global>`: the first value of each counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) passive: Option<PassiveRange>,
    /// Ranges that only some users get (`<IfUser>` and its kin of mod_ifsession).
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
enum Context {
    Global,
    Anonymous,
    Directory,
    /// The commands, and whether the section denies them to all.
    Limit(Vec<String>),
    Class,
    /// mod_ifsession's: `<IfUser>`, `<IfGroup>`, `<IfClass>`, `<IfAuthenticated>`.
    Conditional(String),
}

impl Context {
    /// The name in the daemon's messages ([SRC] `get_context_name`).
    fn name(&self) -> &'static str {
        match self {
            Self::Global => "<Global>",
            Self::Anonymous => "<Anonymous>",
            Self::Directory => "<Directory>",
            Self::Limit(_) => "<Limit>",
            Self::Class => "<Class>",
            Self::Conditional(_) => "server config",
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
    start: Start,
    modules: BTreeSet<String>,
    foreign_modules: bool,
    module_folder: Option<BTreeSet<Vec<u8>>>,
    pub(super) stack: Vec<Reader>,
    /// The files whose reading has begun and not ended; the stack may hold more, which were abandoned.
    pub(super) frames: Vec<PathBuf>,
    contexts: Vec<Context>,
    in_virtual_host: bool,
    pub(super) include_options: IncludeOptions,
    pub(super) parsed: Parsed,
    /// After the daemon has given up: what is written is still collected, nothing is an error any more.
    lenient: bool,
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
        Self {
            host,
            start,
            modules: BTreeSet::new(),
            foreign_modules: false,
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
        while !self.stack.is_empty() {
            while let Some(line) = self.next_line(PARSER_BUFFER) {
                if let Err(Stop::Error(_)) = self.line(&line) {
                    return;
                }
            }
            self.stack.pop();
        }
    }

    fn next_line(&mut self, buffer: usize) -> Option<Vec<u8>> {
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
            &self.host.disk.shown(&location.path),
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
        let mut finding = Finding::new(code, message).at(self.location());
        finding.hint = hint;
        self.parsed.findings.push(finding);
    }

    fn line(&mut self, line: &[u8]) -> Step {
        let words = {
            let environment = &self.start.environment;
            let mut unset = Vec::new();
            let words = lines::words(line, &mut |name| {
                let value = environment.iter().rev().find(|(known, _)| known == name);
                if value.is_none() {
                    unset.push(text::clean(name.as_bytes()));
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
        self.directive(&name_text.to_ascii_lowercase(), &name_text, arguments)
    }

    /// Whether any loaded module has the directive: an unknown one is fatal [RUN].
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
            "include" => self.include(arguments),
            "includeoptions" => self.set_include_options(arguments),
            "define" => self.define(arguments),
            "loadmodule" => self.load_module(arguments),
            "modulepath" => self.module_path(arguments),
            "maxinstances" | "maxclients" => self.limit_of_clients(lowered, arguments),
            "sftpengine" | "tlsoptions" | "servertype" | "denyall" => {
                self.switch(lowered, arguments)
            }
            _ if name.starts_with('<') => self.section(lowered, name, arguments),
            _ => Ok(()),
        }
    }

    /// The settings that a directive goes to: the `<Global>`'s, or the server's.
    fn settings(&mut self) -> &mut Settings {
        let in_global = self
            .contexts
            .iter()
            .any(|context| *context == Context::Global);
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

    /// The context that forbids a directive which only servers and `<Global>` take.
    fn forbidding_context(&self) -> Option<&'static str> {
        let innermost = self
            .contexts
            .iter()
            .rev()
            .find(|context| !matches!(context, Context::Conditional(_) | Context::Class));
        innermost
            .filter(|context| **context != Context::Global)
            .map(Context::name)
    }

    /// Refuses what only servers and `<Global>` take, elsewhere.
    fn check_context(&self, name: &str) -> Step {
        match self.forbidding_context() {
            Some(context) => self.refuse(
                &format!("{name}: directive not allowed in {context} context"),
                name.as_bytes(),
                "move the line out of the section, to the server or into <Global>",
            ),
            None => Ok(()),
        }
    }

    /// [RUN] `PassivePorts MIN MAX`: two words at least, more are ignored; atoi.
    fn passive_ports(&mut self, arguments: &[Vec<u8>]) -> Step {
        const HELP: &str =
            "write two ports from 1024 to 65535, the lower one first: PassivePorts 49152 65534";
        let [first, last, ..] = arguments else {
            return self.refuse("PassivePorts: missing parameters", b"PassivePorts", HELP);
        };
        self.check_context("PassivePorts")?;
        if self.forbidding_context().is_some() {
            return Ok(());
        }
        let (minimum, maximum) = (text::atoi(first), text::atoi(last));
        let allowed = 1..=65_535;
        let (problem, part) = if !allowed.contains(&minimum) {
            ("min port must be allowable port number", first)
        } else if !allowed.contains(&maximum) {
            ("max port must be allowable port number", last)
        } else if minimum < 1024 || maximum < 1024 {
            (
                "port numbers must be above 1023",
                if minimum < 1024 { first } else { last },
            )
        } else if maximum <= minimum {
            ("min port must be less than max port", first)
        } else {
            self.set_passive(minimum, maximum);
            return Ok(());
        };
        if !self.lenient {
            self.find(
                code_of_range(minimum, maximum),
                format!("PassivePorts: {problem}"),
                Some(HELP.to_owned()),
            );
        }
        self.refuse(&format!("PassivePorts: {problem}"), part, HELP)
    }

    fn set_passive(&mut self, minimum: i32, maximum: i32) {
        let (Ok(first), Ok(last)) = (u16::try_from(minimum), u16::try_from(maximum)) else {
            return;
        };
        let Some(ports) = PortRange::new(first, last) else {
            return;
        };
        let range = PassiveRange {
            ports,
            location: self.location(),
        };
        let conditional = self
            .contexts
            .iter()
            .any(|context| matches!(context, Context::Conditional(_)));
        let settings = self.settings();
        if conditional {
            settings.conditional.push(range);
        } else if let Some(earlier) = &settings.passive {
            let message = format!(
                "PassivePorts {first} {last} is ignored: {} stands before it, on {}",
                earlier.ports, earlier.location
            );
            self.find(
                "duplicate-setting",
                message,
                Some("remove one of the two lines".to_owned()),
            );
        } else {
            settings.passive = Some(range);
        }
    }

    /// [RUN] `Port N`: atoi, 0 means that the server does not listen.
    fn port(&mut self, arguments: &[Vec<u8>]) -> Step {
        let Some(word) = arguments.first() else {
            return self.refuse("Port: missing parameters", b"Port", "write a port: Port 21");
        };
        self.check_context("Port")?;
        let Ok(port) = u16::try_from(text::atoi(word)) else {
            return self.refuse(
                "Port: value must be between 0 and 65535",
                word,
                "write a port: Port 21",
            );
        };
        let location = self.location();
        if self.forbidding_context().is_none() {
            self.settings().port.get_or_insert((port, location));
        }
        Ok(())
    }

    fn masquerade(&mut self, arguments: &[Vec<u8>]) -> Step {
        let Some(address) = arguments.first() else {
            return self.refuse(
                "MasqueradeAddress: missing parameters",
                b"MasqueradeAddress",
                "write an address",
            );
        };
        self.check_context("MasqueradeAddress")?;
        let advertised = Advertised {
            address: text::clean(address),
            directive: "MasqueradeAddress",
            location: self.location(),
        };
        if self.settings().masquerade.is_some() {
            let message = format!(
                "MasqueradeAddress {} is ignored: the first one counts",
                advertised.address
            );
            self.find(
                "several-addresses",
                message,
                Some("keep one MasqueradeAddress per server".to_owned()),
            );
        } else {
            self.settings().masquerade = Some(advertised);
        }
        Ok(())
    }

    fn define(&mut self, arguments: &[Vec<u8>]) -> Step {
        match arguments.first() {
            None => self.refuse(
                "Define: missing parameters",
                b"Define",
                "write a name: Define NAME",
            ),
            Some(name) => {
                self.start.defines.insert(name.clone());
                Ok(())
            }
        }
    }

    fn limit_of_clients(&mut self, name: &str, arguments: &[Vec<u8>]) -> Step {
        let location = self.location();
        let written = arguments.first().map(|word| text::atoi(word));
        let Some(number) = written
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| *number > 0)
        else {
            return Ok(());
        };
        if name == "maxinstances" {
            self.parsed.max_instances.get_or_insert((number, location));
        } else if self
            .contexts
            .iter()
            .all(|context| *context == Context::Global)
        {
            self.settings()
                .max_clients
                .get_or_insert((number, location));
        }
        Ok(())
    }

    fn switch(&mut self, name: &str, arguments: &[Vec<u8>]) -> Step {
        let value = arguments
            .first()
            .map(|word| text::clean(word).to_ascii_lowercase())
            .unwrap_or_default();
        match name {
            "sftpengine" => {
                let on = matches!(value.as_str(), "on" | "yes" | "true" | "1");
                self.settings().sftp.get_or_insert(on);
            }
            "tlsoptions" => {
                let implicit = arguments
                    .iter()
                    .any(|word| word.as_slice() == b"UseImplicitSSL");
                self.settings().implicit_tls |= implicit;
            }
            "denyall" => {
                if let Some(Context::Limit(commands)) = self.contexts.last()
                    && ["PASV", "EPSV"]
                        .iter()
                        .all(|name| commands.iter().any(|command| command == name))
                    && self.contexts[..self.contexts.len() - 1]
                        .iter()
                        .all(|context| *context == Context::Global)
                {
                    self.settings().denies_passive = true;
                }
            }
            _ => self.parsed.inetd = value == "inetd",
        }
        Ok(())
    }

    fn set_include_options(&mut self, arguments: &[Vec<u8>]) -> Step {
        let mut options = IncludeOptions::default();
        for word in arguments {
            match word.as_slice() {
                b"AllowSymlinks" => options.allow_symlinks = true,
                b"IgnoreTempFiles" => options.ignore_temporary = true,
                b"IgnoreWildcards" => options.ignore_wildcards = true,
                _ => {
                    let message = format!(
                        "IncludeOptions: unknown IncludeOption '{}'",
                        text::clean(word)
                    );
                    return self.refuse(
                        &message,
                        word,
                        "AllowSymlinks, IgnoreTempFiles and IgnoreWildcards are known",
                    );
                }
            }
        }
        self.include_options = options;
        Ok(())
    }

    fn module_path(&mut self, arguments: &[Vec<u8>]) -> Step {
        if let Some(path) = arguments.first() {
            let path = super::path_of(path);
            self.module_folder = self.read_modules(&path).map_err(Stop::Error)?;
        }
        Ok(())
    }

    fn read_modules(&self, folder: &Path) -> Result<Option<BTreeSet<Vec<u8>>>, ConfigError> {
        use std::os::unix::ffi::OsStringExt;
        let names = self.host.disk.list(folder)?;
        Ok(names.map(|names| names.into_iter().map(OsStringExt::into_vec).collect()))
    }

    /// [RUN] A module whose file is missing is fatal; one that is compiled in or loaded already is fine.
    fn load_module(&mut self, arguments: &[Vec<u8>]) -> Step {
        let Some(word) = arguments.first() else {
            return self.refuse(
                "LoadModule: missing parameters",
                b"LoadModule",
                "name a module: LoadModule mod_tls.c",
            );
        };
        let module = String::from_utf8_lossy(word).into_owned();
        if self.module_folder.is_none() {
            self.module_folder = self
                .read_modules(Path::new("/usr/lib/proftpd"))
                .map_err(Stop::Error)?;
        }
        let availability = modules::availability(&module);
        let here = match &self.module_folder {
            Some(files) => {
                let file = format!("{}.so", module.trim_end_matches(".c"));
                availability == Availability::Static || files.contains(file.as_bytes())
            }
            None if self.start.build == Build::Other => true,
            None => matches!(availability, Availability::Static | Availability::Packaged),
        };
        if !here && !self.lenient {
            let message =
                format!("LoadModule: error loading module '{module}': No such file or directory");
            let error = self
                .fatal(ConfigErrorKind::RefusedHere, &message)
                .underlining(word)
                .with_help(format!(
                    "install the package that has {module}, or remove the line"
                ));
            return Err(Stop::Fatal(error));
        }
        self.foreign_modules |= availability == Availability::Foreign;
        self.modules.insert(module);
        Ok(())
    }

    fn section(&mut self, lowered: &str, name: &str, arguments: &[Vec<u8>]) -> Step {
        match lowered {
            "<ifmodule>" | "<ifdefine>" | "<ifversion>" => self.condition(lowered, name, arguments),
            "</ifmodule>" | "</ifdefine>" | "</ifversion>" => match arguments {
                [] => Ok(()),
                [first, ..] => {
                    let message =
                        format!("{name}: wrong number of parameters: {}", text::clean(first));
                    self.refuse(&message, first, format!("write {name} alone on its line"))
                }
            },
            "<virtualhost>" => self.open_virtual_host(arguments),
            "</virtualhost>" => self.close_virtual_host(),
            "<global>" if !arguments.is_empty() => self.refuse(
                "<Global>: Too many parameters",
                &arguments[0],
                "<Global> takes no parameters",
            ),
            "<global>" => {
                self.check_context(name)?;
                self.parsed.globals.push(Settings::default());
                self.contexts.push(Context::Global);
                Ok(())
            }
            "<anonymous>" => self.open(Context::Anonymous, name, arguments),
            "<directory>" => self.open(Context::Directory, name, arguments),
            "<class>" => self.open(Context::Class, name, arguments),
            "<limit>" => {
                let commands = arguments
                    .iter()
                    .flat_map(|word| word.split(|&byte| byte == b','));
                let commands = commands
                    .map(|word| text::clean(word).to_ascii_uppercase())
                    .collect();
                self.open(Context::Limit(commands), name, arguments)
            }
            _ if lowered.starts_with("</") => self.close(lowered, name),
            _ => self.open(
                Context::Conditional(lowered.replacen('<', "</", 1)),
                name,
                arguments,
            ),
        }
    }

    fn open(&mut self, context: Context, name: &str, arguments: &[Vec<u8>]) -> Step {
        if arguments.is_empty() {
            return self.refuse(
                &format!("{name}: missing parameters"),
                name.as_bytes(),
                "say what the section is for",
            );
        }
        self.contexts.push(context);
        Ok(())
    }

    fn close(&mut self, lowered: &str, name: &str) -> Step {
        let matching = match self.contexts.last() {
            Some(Context::Conditional(closing)) => closing == lowered,
            Some(context) => context.name().to_ascii_lowercase() == lowered.replacen("</", "<", 1),
            None => false,
        };
        if matching {
            self.contexts.pop();
            return Ok(());
        }
        let context = match self.contexts.last() {
            Some(context) => context.name(),
            None if self.in_virtual_host => "<VirtualHost>",
            None => "server config",
        };
        self.refuse(
            &format!("{name}: directive not allowed in {context} context"),
            name.as_bytes(),
            "each section is closed by its own tag, the innermost first",
        )
    }

    fn open_virtual_host(&mut self, arguments: &[Vec<u8>]) -> Step {
        if arguments.is_empty() {
            return self.refuse(
                "<VirtualHost>: wrong number of parameters",
                b"<VirtualHost",
                "name an address",
            );
        }
        if self.in_virtual_host || !self.contexts.is_empty() {
            let context = self.contexts.last().map_or("<VirtualHost>", Context::name);
            return self.refuse(
                &format!("<VirtualHost>: directive not allowed in {context} context"),
                b"<VirtualHost",
                "close the section before it",
            );
        }
        let addresses: Vec<String> = arguments.iter().map(|word| text::clean(word)).collect();
        for address in &addresses {
            if address.parse::<IpAddr>().is_err() {
                self.find(
                    "unresolved-name",
                    format!("<VirtualHost {address}>: ProFTPD refuses to start when this name does not resolve"),
                    Some("write the address itself".to_owned()),
                );
            }
        }
        let location = self.location();
        self.parsed.servers.push(Server {
            addresses,
            location,
            settings: Settings::default(),
        });
        self.in_virtual_host = true;
        Ok(())
    }

    /// [RUN] A second server on the same address and port is ignored with a warning; the ports are compared before
    /// `<Global>` is merged ([SRC] `end_virtualhost`).
    fn close_virtual_host(&mut self) -> Step {
        if !self.in_virtual_host || !self.contexts.is_empty() {
            return self.close("</virtualhost>", "</VirtualHost>");
        }
        self.in_virtual_host = false;
        let key = |server: &Server| {
            let address = server.addresses.first()?.parse::<IpAddr>().ok()?;
            Some((
                address,
                server.settings.port.as_ref().map_or(21, |(port, _)| *port),
            ))
        };
        let Some((last, earlier)) = self.parsed.servers.split_last() else {
            return Ok(());
        };
        let taken = key(last).and_then(|wanted| {
            earlier[1..]
                .iter()
                .find(|server| key(server) == Some(wanted))
        });
        if let Some(other) = taken {
            let message = format!(
                "<VirtualHost {}> is ignored: {} has the same address and port",
                last.addresses.join(" "),
                other.location
            );
            self.find(
                "duplicate-setting",
                message,
                Some("give it another Port, or remove it".to_owned()),
            );
            self.parsed.servers.pop();
        }
        Ok(())
    }

    /// `<IfModule>`, `<IfDefine>`, `<IfVersion>`: a section that does not hold is skipped to its exact closing line.
    fn condition(&mut self, lowered: &str, name: &str, arguments: &[Vec<u8>]) -> Step {
        let Some(word) = arguments.first() else {
            return self.refuse(
                &format!("{name}: missing parameters"),
                name.as_bytes(),
                "name what the section depends on",
            );
        };
        let (negated, subject) = match word.as_slice() {
            [b'!', rest @ ..] => (true, rest),
            subject => (false, subject),
        };
        let holds = match lowered {
            "<ifmodule>" => {
                let module = String::from_utf8_lossy(subject);
                modules::availability(&module) == Availability::Static
                    || self.modules.contains(module.as_ref())
            }
            "<ifdefine>" => self.start.defines.contains(subject),
            _ => {
                super::version_holds(
                    &arguments
                        .iter()
                        .map(|word| text::clean(word))
                        .collect::<Vec<_>>(),
                ) != negated
            }
        };
        if holds != negated {
            return Ok(());
        }
        let opening = lowered.trim_end_matches('>').as_bytes();
        let closing = lowered.replacen('<', "</", 1);
        let error = self.fatal(ConfigErrorKind::Refused, &format!("{name}: unclosed {name} context")).with_help(format!(
            "a section that is skipped ends only at a line that is exactly {}: no blank, no comment behind it",
            name.replacen('<', "</", 1)
        ));
        let mut depth = 1_u32;
        while depth > 0 {
            let Some(line) = self.next_line(SKIP_BUFFER) else {
                return if self.lenient {
                    Ok(())
                } else {
                    Err(Stop::Fatal(error))
                };
            };
            if line
                .get(..opening.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(opening))
            {
                depth += 1;
            } else if line.eq_ignore_ascii_case(closing.as_bytes()) {
                depth -= 1;
            }
        }
        Ok(())
    }

    /// [RUN] A section left open at the end of everything is fatal.
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
            let error = ConfigError::new(
                ConfigErrorKind::Refused,
                &self.host.disk.shown(path),
                message,
            );
            self.parsed.refuses = Some(error.with_help(format!("close the {open} section")));
        }
    }
}

/// The finding for a range that the daemon refuses.
fn code_of_range(minimum: i32, maximum: i32) -> &'static str {
    if minimum > 65_535 || maximum > 65_535 {
        "range-above-65535"
    } else if minimum <= 0 || maximum <= 0 {
        "range-malformed"
    } else if minimum < 1024 || maximum < 1024 {
        "range-below-1024"
    } else {
        "range-reversed"
    }
}
