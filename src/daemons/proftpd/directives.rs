//! ProFTPD's directives that bear on ports (SRC `modules/mod_core.c`, `mod_dso.c`; messages as the daemon writes them).

use std::collections::BTreeSet;
use std::path::Path;

use firewall::model::ports::PortRange;

use super::contexts::{ROOT, SERVERS};
use super::modules::{self, Availability};
use super::parse::{Build, Context, IncludeOptions, Parser, Step, Stop};
use crate::daemons::{ConfigError, ConfigErrorKind, text};
use crate::passive::{Advertised, PassiveRange};
use crate::terminal::clean;

/// Where modules lie: Debian's; EPEL's and upstream's.
const MODULE_FOLDERS: &[&str] = &[
    "/usr/lib/proftpd",
    "/usr/libexec/proftpd",
    "/usr/local/libexec/proftpd",
];

impl Parser<'_> {
    /// RUN: `PassivePorts MIN MAX`: two words at least, more are ignored; atoi.
    pub(super) fn passive_ports(&mut self, arguments: &[Vec<u8>]) -> Step {
        const HELP: &str =
            "write two ports from 1024 to 65535, the lower one first: PassivePorts 49152 65534";
        let [first, last, ..] = arguments else {
            return self.refuse("PassivePorts: missing parameters", b"PassivePorts", HELP);
        };
        self.allow("PassivePorts", SERVERS)?;
        if !SERVERS.contains(&self.place()) {
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
            let used = self.set_passive(minimum, maximum);
            let read = |word: &[u8], port: i32| text::as_written(word) == u32::try_from(port).ok();
            let meant = read(first, minimum) && read(last, maximum);
            if let Some(used) = used.filter(|_| !meant) {
                let (first, last) = (clean(first), clean(last));
                let message = format!(
                    "PassivePorts {first} {last}: proftpd makes {used} of that, hardly what is meant"
                );
                let hint = format!("{HELP}; if {used} is meant, --force opens it");
                self.find("range-beyond-written", message, Some(hint));
            }
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

    /// Keeps the range; `None` when another stands before it.
    fn set_passive(&mut self, minimum: i32, maximum: i32) -> Option<PortRange> {
        let first = u16::try_from(minimum).ok()?;
        let last = u16::try_from(maximum).ok()?;
        let ports = PortRange::new(first, last)?;
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
            return None;
        } else {
            settings.passive = Some(range);
        }
        Some(ports)
    }

    /// RUN: `Port N`: atoi, 0 means that the server does not listen.
    pub(super) fn port(&mut self, arguments: &[Vec<u8>]) -> Step {
        let Some(word) = arguments.first() else {
            return self.refuse("Port: missing parameters", b"Port", "write a port: Port 21");
        };
        self.allow("Port", SERVERS)?;
        let Ok(port) = u16::try_from(text::atoi(word)) else {
            return self.refuse(
                "Port: value must be between 0 and 65535",
                word,
                "write a port: Port 21",
            );
        };
        let location = self.location();
        if SERVERS.contains(&self.place()) {
            self.settings().port.get_or_insert((port, location));
        }
        Ok(())
    }

    pub(super) fn masquerade(&mut self, arguments: &[Vec<u8>]) -> Step {
        let Some(address) = arguments.first() else {
            return self.refuse(
                "MasqueradeAddress: missing parameters",
                b"MasqueradeAddress",
                "write an address",
            );
        };
        self.allow("MasqueradeAddress", SERVERS)?;
        let advertised = Advertised {
            address: clean(address),
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

    pub(super) fn define(&mut self, arguments: &[Vec<u8>]) -> Step {
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

    pub(super) fn limit_of_clients(&mut self, name: &str, arguments: &[Vec<u8>]) {
        let location = self.location();
        let written = arguments.first().map(|word| text::atoi(word));
        let Some(number) = written
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| *number > 0)
        else {
            return;
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
    }

    pub(super) fn switch(&mut self, name: &str, arguments: &[Vec<u8>]) {
        let value = arguments
            .first()
            .map(|word| clean(word).to_ascii_lowercase())
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
    }

    pub(super) fn set_include_options(&mut self, arguments: &[Vec<u8>]) -> Step {
        let mut options = IncludeOptions::default();
        for word in arguments {
            match word.as_slice() {
                b"AllowSymlinks" => options.allow_symlinks = true,
                b"IgnoreTempFiles" => options.ignore_temporary = true,
                b"IgnoreWildcards" => options.ignore_wildcards = true,
                _ => {
                    let message =
                        format!("IncludeOptions: unknown IncludeOption '{}'", clean(word));
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

    pub(super) fn module_path(&mut self, arguments: &[Vec<u8>]) -> Step {
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

    /// RUN: A module whose file is missing is fatal; one that is compiled in or loaded already is fine.
    pub(super) fn load_module(&mut self, arguments: &[Vec<u8>]) -> Step {
        let Some(word) = arguments.first() else {
            return self.refuse(
                "LoadModule: missing parameters",
                b"LoadModule",
                "name a module: LoadModule mod_tls.c",
            );
        };
        self.allow("LoadModule", &[ROOT])?;
        let module = String::from_utf8_lossy(word).into_owned();
        for folder in MODULE_FOLDERS {
            if self.module_folder.is_none() {
                self.module_folder = self.read_modules(Path::new(folder)).map_err(Stop::Error)?;
            }
        }
        let availability = modules::availability(&module);
        let here = match &self.module_folder {
            Some(files) => {
                let file = format!("{}.so", module.trim_end_matches(".c"));
                self.modules.contains(&module) || files.contains(file.as_bytes())
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
