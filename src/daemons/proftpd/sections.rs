//! ProFTPD's sections: servers, `<Global>`, conditions, and those that only nest (SRC `modules/mod_core.c`; RUN).

use std::net::IpAddr;
use std::path::Path;

use super::contexts::{ROOT, SERVERS};
use super::lines::SKIP_BUFFER;
use super::parse::{Context, Parser, Server, Settings, Step, Stop};
use crate::daemons::{ConfigError, ConfigErrorKind};
use crate::terminal::clean;

impl Parser<'_> {
    pub(super) fn section(&mut self, lowered: &str, name: &str, arguments: &[Vec<u8>]) -> Step {
        match lowered {
            "<ifmodule>" | "<ifdefine>" | "<ifversion>" => self.condition(lowered, name, arguments),
            "</ifmodule>" | "</ifdefine>" | "</ifversion>" => match arguments {
                [] => Ok(()),
                [first, ..] => {
                    let message = format!("{name}: wrong number of parameters: {}", clean(first));
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
                self.allow(name, &[ROOT, "<VirtualHost>"])?;
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
                    .map(|word| clean(word).to_ascii_uppercase())
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
        let (problem, places): (_, &[&str]) = match context {
            Context::Limit(_) => (
                "directive requires one or more commands",
                &[
                    ROOT,
                    "<VirtualHost>",
                    "<Directory>",
                    "<Anonymous>",
                    "<Global>",
                ],
            ),
            Context::Directory => (
                "missing parameters",
                &[ROOT, "<VirtualHost>", "<Anonymous>", "<Global>"],
            ),
            Context::Class => ("missing parameters", &[ROOT, "<Global>"]),
            _ => ("missing parameters", SERVERS),
        };
        if arguments.is_empty() {
            let message = format!("{name}: {problem}");
            return self.refuse(&message, name.as_bytes(), "say what the section is for");
        }
        self.allow(name, places)?;
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
        let context = self.place();
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
        self.allow("<VirtualHost>", &[ROOT])?;
        let addresses: Vec<String> = arguments.iter().map(clean).collect();
        for address in &addresses {
            self.must_resolve(&format!("<VirtualHost {address}>"), address)?;
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

    /// RUN: ProFTPD does not start when a server's address does not resolve; the names of interfaces do.
    pub(super) fn must_resolve(&mut self, directive: &str, name: &str) -> Step {
        let link = Path::new("/sys/class/net").join(name);
        if name.parse::<IpAddr>().is_err()
            && self.host.disk.kind(&link).is_none()
            && !self.is_in_hosts(name).map_err(Stop::Error)?
        {
            self.find(
                "unresolved-name",
                format!("{directive}: ProFTPD refuses to start when this name does not resolve"),
                Some("write the address itself, or the name into /etc/hosts".to_owned()),
            );
        }
        Ok(())
    }

    fn is_in_hosts(&self, name: &str) -> Result<bool, ConfigError> {
        let source = self.host.disk.read(Path::new("/etc/hosts"))?;
        let text = source
            .map(|source| String::from_utf8_lossy(&source.bytes).into_owned())
            .unwrap_or_default();
        let mut names = text.lines().flat_map(|line| {
            let (entry, _) = line.split_once('#').unwrap_or((line, ""));
            entry.split_ascii_whitespace().skip(1)
        });
        Ok(names.any(|known| known.eq_ignore_ascii_case(name)))
    }

    /// RUN: A second server on the same address and port is ignored with a warning; the ports are compared before
    /// `<Global>` is merged (SRC `end_virtualhost`).
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
                self.modules.contains(module.as_ref())
            }
            "<ifdefine>" => self.start.defines.contains(subject),
            _ => super::version_holds(&arguments.iter().map(clean).collect::<Vec<_>>()) != negated,
        };
        if holds != negated {
            return Ok(());
        }
        let opening = lowered.trim_end_matches('>').as_bytes();
        let closing = lowered.replacen('<', "</", 1);
        let unclosed = format!("{name}: unclosed {name} context");
        let opened = self.fatal(ConfigErrorKind::Refused, &unclosed).with_help(format!(
            "a section that is skipped ends only at a line that is exactly {}: no blank, no comment behind it",
            name.replacen('<', "</", 1)
        ));
        let mut depth = 1_u32;
        while depth > 0 {
            let Some(line) = self.next_line(SKIP_BUFFER) else {
                // The daemon names the line where it gave up; the error shows the one that opens the section.
                let given_up = self.fatal(ConfigErrorKind::Refused, &unclosed);
                return if self.lenient {
                    Ok(())
                } else {
                    Err(Stop::Fatal(opened.in_the_words_of(&given_up)))
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
}
