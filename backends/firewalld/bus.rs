//! firewalld's D-Bus interface: one connection, and the one file that waits for it.
//!
//! Nothing here can start firewalld: who owns its name is asked of the bus itself, and everything after that goes to
//! that owner's unique name, which the bus activates for nobody. When firewalld goes away meanwhile, so does that name.
//!
//! Most calls wait for their answer. What every run asks is sent all at once, before it is needed: firewalld, a Python
//! program, has answered it by the time that the kernel's rules are read.
//!
//! Signatures and error texts were seen with firewalld 1.3.3 and 2.5.0.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::future::poll_fn;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::{Connection, DynamicType, Message, OwnedVariant, Type, fdo};

use super::config::Folders;
use crate::error::{Error, ErrorKind, Result};

/// firewalld's name on the system bus.
const NAME: &str = "org.fedoraproject.FirewallD1";
const OBJECT: &str = "/org/fedoraproject/FirewallD1";
pub(super) const CONFIG_OBJECT: &str = "/org/fedoraproject/FirewallD1/config";

const MAIN: &str = "org.fedoraproject.FirewallD1";
const ZONE: &str = "org.fedoraproject.FirewallD1.zone";
const POLICY: &str = "org.fedoraproject.FirewallD1.policy";
pub(super) const CONFIG: &str = "org.fedoraproject.FirewallD1.config";
pub(super) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// What every error of firewalld's is called; the first word of its message says which one it is.
const EXCEPTION: &str = "org.fedoraproject.FirewallD1.Exception";
const NOT_AUTHORIZED: &str = "org.fedoraproject.FirewallD1.NotAuthorizedException";

/// Where the system bus listens, and the variable that says otherwise.
const SOCKET: &str = "/run/dbus/system_bus_socket";
const ADDRESS: &str = "DBUS_SYSTEM_BUS_ADDRESS";

/// A reload of a large configuration makes every other caller wait for seconds; more than this is no answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running firewalld.
#[derive(Debug)]
pub(super) struct Bus {
    connection: Connection,
    /// The unique name of the process that owned firewalld's name when the connection was made.
    owner: String,
    /// What was asked before the answer is needed, by the question in words.
    ahead: RefCell<Vec<(String, Pending)>>,
}

/// A call that was sent.
enum Pending {
    Waiting(Pin<Box<dyn Future<Output = zbus::Result<Message>>>>),
    Answered(zbus::Result<Message>),
}

impl fmt::Debug for Pending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Waiting(_) => "Waiting",
            Self::Answered(_) => "Answered",
        })
    }
}

/// What firewalld answers instead of doing what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exception {
    /// Its message, `ALREADY_ENABLED: ...`; some have no such code.
    pub(super) message: String,
}

impl Exception {
    /// Whether it is this one, such as `INVALID_SERVICE`.
    pub(super) fn is(&self, code: &str) -> bool {
        self.message
            .split(':')
            .next()
            .is_some_and(|first| first.trim() == code)
    }
}

impl From<Exception> for Error {
    fn from(exception: Exception) -> Self {
        let message = format!("firewalld refuses: {}", exception.message);
        if exception.is("ACCESS_DENIED") {
            return Self::new(ErrorKind::Permission, message)
                .with_hint("firewalld is locked down: `firewall-cmd --query-lockdown`, `firewall-cmd --list-lockdown-whitelist-users`");
        }
        Self::new(ErrorKind::Refused, message)
    }
}

/// What firewalld says: outside, that it could not be asked; inside, that it does not do so.
pub(super) type Answer<T> = Result<std::result::Result<T, Exception>>;

/// Settings as firewalld gives them: what has its default value is left out.
pub(super) type Settings = HashMap<String, OwnedVariant>;

/// The strings of a setting; none where it is left out.
pub(super) fn strings(settings: &Settings, key: &str) -> Vec<String> {
    value(settings, key).unwrap_or_default()
}

/// Pairs such as ports with their protocols.
pub(super) fn pairs(settings: &Settings, key: &str) -> Vec<(String, String)> {
    value(settings, key).unwrap_or_default()
}

/// A setting of that type.
pub(super) fn value<T: TryFrom<OwnedVariant>>(settings: &Settings, key: &str) -> Option<T> {
    settings.get(key)?.clone().try_into().ok()
}

/// What a command line of firewalld's says of its folders (firewalld(1), `--system-config` and `--default-config`).
fn folders_of(command: &[u8]) -> Folders {
    let words: Vec<&OsStr> = command
        .split(|byte| *byte == 0)
        .map(OsStr::from_bytes)
        .collect();
    let said = |option: &str| {
        let with_value = |index: usize, word: &OsStr| -> Option<PathBuf> {
            let rest = word.as_bytes().strip_prefix(option.as_bytes())?;
            match rest.split_first() {
                None => words.get(index + 1).map(PathBuf::from),
                Some((b'=', value)) => Some(PathBuf::from(OsStr::from_bytes(value))),
                Some(_) => None,
            }
        };
        let mut words = words.iter().enumerate();
        words.find_map(|(index, word)| with_value(index, word))
    };
    let usual = Folders::default();
    Folders {
        system: said("--system-config").unwrap_or(usual.system),
        stock: said("--default-config").unwrap_or(usual.stock),
    }
}

impl Bus {
    /// Connects to the firewalld that is running; `None` when its name has no owner, or there is no system bus.
    ///
    /// # Errors
    /// When the bus is there and cannot be talked to.
    pub(super) fn find() -> Result<Option<Self>> {
        if std::env::var_os(ADDRESS).is_none() && !Path::new(SOCKET).exists() {
            return Ok(None);
        }
        let built = zbus::conn::Builder::system().method_timeout(PATIENCE);
        let connection = match zbus::block_on(built.build()) {
            Ok(connection) => connection,
            Err(zbus::Error::Connection(error, _) | zbus::Error::InputOutput(error))
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(failed("connect to the system bus", &error)),
        };
        let owner = zbus::block_on(connection.call_method(
            Some("org.freedesktop.DBus"),
            "/org/freedesktop/DBus",
            Some("org.freedesktop.DBus"),
            "GetNameOwner",
            &NAME,
        ));
        match owner {
            Ok(reply) => {
                let owner = reply.body();
                let owner = owner
                    .deserialize()
                    .map_err(|error| strange("GetNameOwner", &error))?;
                Ok(Some(Self {
                    connection,
                    owner,
                    ahead: RefCell::default(),
                }))
            }
            Err(zbus::Error::FDO(error)) if matches!(*error, fdo::Error::NameHasNoOwner(_)) => {
                Ok(None)
            }
            Err(error) => Err(failed("ask the system bus for firewalld", &error)),
        }
    }

    /// Where the running firewalld has its files, by its command line.
    ///
    /// # Errors
    /// When the bus does not say which process it is.
    pub(super) fn folders(&self) -> Result<Folders> {
        let reply = zbus::block_on(self.connection.call_method(
            Some("org.freedesktop.DBus"),
            "/org/freedesktop/DBus",
            Some("org.freedesktop.DBus"),
            "GetConnectionUnixProcessID",
            &self.owner.as_str(),
        ))
        .map_err(|error| failed("ask the system bus for firewalld's process", &error))?;
        let id: u32 = reply
            .body()
            .deserialize()
            .map_err(|error| strange("GetConnectionUnixProcessID", &error))?;
        // One that has ended meanwhile answers nothing of what is asked next.
        let words = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        Ok(folders_of(&words))
    }

    /// Sends what every run asks, whichever zones there are, and waits for nothing. `service` is the name of a service.
    pub(super) fn ask_ahead(&self, service: &str) {
        let mut ahead = vec![
            self.prepare(PROPERTIES, "Get", (MAIN, "state")),
            self.prepare(MAIN, "getDefaultZone", ()),
            self.prepare(ZONE, "getActiveZones", ()),
            self.prepare(MAIN, "getServiceSettings2", service.to_owned()),
        ];
        // A call is sent when it is polled for the first time.
        zbus::block_on(poll_fn(|context| {
            for (_, pending) in &mut ahead {
                if let Pending::Waiting(call) = pending
                    && let Poll::Ready(reply) = call.as_mut().poll(context)
                {
                    *pending = Pending::Answered(reply);
                }
            }
            Poll::Ready(())
        }));
        self.ahead.replace(ahead);
    }

    /// A call that is ready to be sent, under its question.
    fn prepare<B>(
        &self,
        interface: &'static str,
        method: &'static str,
        body: B,
    ) -> (String, Pending)
    where
        B: Serialize + DynamicType + fmt::Debug + 'static,
    {
        let question = question(OBJECT, interface, method, &body);
        let (connection, owner) = (self.connection.clone(), self.owner.clone());
        let call = async move {
            let (owner, interface) = (Some(owner.as_str()), Some(interface));
            connection
                .call_method(owner, OBJECT, interface, method, &body)
                .await
        };
        (question, Pending::Waiting(Box::pin(call)))
    }

    /// Takes what was asked ahead, if it was.
    fn take_ahead(&self, question: &str) -> Option<Pending> {
        let mut ahead = self.ahead.borrow_mut();
        let index = ahead.iter().position(|(asked, _)| asked == question)?;
        Some(ahead.swap_remove(index).1)
    }

    /// Forgets what was asked ahead: the answers may be about what was before.
    pub(super) fn forget_ahead(&self) {
        self.ahead.borrow_mut().clear();
    }

    pub(super) fn ask<B, R>(
        &self,
        object: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> Answer<R>
    where
        B: Serialize + DynamicType + fmt::Debug,
        R: DeserializeOwned + Type,
    {
        tracing::trace!("D-Bus: {interface}.{method}");
        let ahead = self.take_ahead(&question(object, interface, method, body));
        let reply = match ahead {
            Some(Pending::Answered(reply)) => reply,
            Some(Pending::Waiting(call)) => zbus::block_on(call),
            None => zbus::block_on(self.connection.call_method(
                Some(self.owner.as_str()),
                object,
                Some(interface),
                method,
                body,
            )),
        };
        match reply {
            Ok(reply) => {
                let body = reply.body();
                let value = body
                    .deserialize()
                    .map_err(|error| strange(method, &error))?;
                Ok(Ok(value))
            }
            Err(zbus::Error::MethodError(name, message, _)) if name.as_str() == EXCEPTION => {
                Ok(Err(Exception {
                    message: message.unwrap_or_default(),
                }))
            }
            Err(error) => Err(failed(&format!("ask firewalld ({method})"), &error)),
        }
    }

    /// The same where a no is an error.
    pub(super) fn get<B, R>(
        &self,
        object: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> Result<R>
    where
        B: Serialize + DynamicType + fmt::Debug,
        R: DeserializeOwned + Type,
    {
        Ok(self.ask(object, interface, method, body)??)
    }

    /// `RUNNING`, `FAILED`, `INIT`, ...
    pub(super) fn state(&self) -> Result<String> {
        let state: OwnedVariant = self.get(OBJECT, PROPERTIES, "Get", &(MAIN, "state"))?;
        String::try_from(state).map_err(|error| strange("state", &error))
    }

    /// The zone of whatever is bound to no other.
    pub(super) fn default_zone(&self) -> Result<String> {
        self.get(OBJECT, MAIN, "getDefaultZone", &())
    }

    /// The zones that something is bound to, with their `interfaces` and `sources`. firewalld 1.3 leaves the default
    /// zone out when nothing is bound to it by name.
    pub(super) fn active_zones(&self) -> Result<HashMap<String, HashMap<String, Vec<String>>>> {
        self.get(OBJECT, ZONE, "getActiveZones", &())
    }

    /// Every zone there is.
    pub(super) fn zones(&self) -> Result<Vec<String>> {
        self.get(OBJECT, ZONE, "getZones", &())
    }

    /// Whether panic mode is on.
    pub(super) fn panics(&self) -> Result<bool> {
        self.get(OBJECT, MAIN, "queryPanicMode", &())
    }

    /// Every policy there is.
    pub(super) fn policies(&self) -> Result<Vec<String>> {
        self.get(OBJECT, POLICY, "getPolicies", &())
    }

    /// The ports that are open in a zone by name, each with its protocol; not those of its services.
    pub(super) fn ports(&self, zone: &str) -> Result<Vec<Vec<String>>> {
        self.of_zone("getPorts", zone)
    }

    /// The services of a zone.
    pub(super) fn services(&self, zone: &str) -> Result<Vec<String>> {
        self.of_zone("getServices", zone)
    }

    /// What a zone has; nothing when it is gone.
    fn of_zone<R: Default + DeserializeOwned + Type>(&self, method: &str, zone: &str) -> Result<R> {
        match self.ask(OBJECT, ZONE, method, &zone)? {
            Ok(found) => Ok(found),
            Err(exception) if exception.is("INVALID_ZONE") => Ok(R::default()),
            Err(exception) => Err(exception.into()),
        }
    }

    /// A service as it was loaded; `None` when none of that name was.
    pub(super) fn service(&self, name: &str) -> Result<Option<Settings>> {
        match self.ask(OBJECT, MAIN, "getServiceSettings2", &name)? {
            Ok(settings) => Ok(Some(settings)),
            Err(exception) if exception.is("INVALID_SERVICE") => Ok(None),
            Err(exception) => Err(exception.into()),
        }
    }

    /// Opens ports in a zone until the next reload.
    pub(super) fn add_port(&self, zone: &str, ports: &str) -> Answer<String> {
        self.ask(OBJECT, ZONE, "addPort", &(zone, ports, "tcp", 0_i32))
    }

    /// Closes them again.
    pub(super) fn remove_port(&self, zone: &str, ports: &str) -> Answer<String> {
        self.ask(OBJECT, ZONE, "removePort", &(zone, ports, "tcp"))
    }

    /// Adds a service to a zone until the next reload.
    pub(super) fn add_service(&self, zone: &str, service: &str) -> Answer<String> {
        self.ask(OBJECT, ZONE, "addService", &(zone, service, 0_i32))
    }

    /// Takes a service out of a zone until the next reload.
    pub(super) fn remove_service(&self, zone: &str, service: &str) -> Answer<String> {
        self.ask(OBJECT, ZONE, "removeService", &(zone, service))
    }
}

/// A question in words: two of the same words are the same.
fn question(object: &str, interface: &str, method: &str, body: &impl fmt::Debug) -> String {
    format!("{object} {interface}.{method} {body:?}")
}

/// An answer that is not of the type that firewalld's interface promises.
pub(super) fn strange(method: &str, error: &zbus::Error) -> Error {
    Error::new(
        ErrorKind::Protocol,
        format!("firewalld's answer to {method} could not be understood: {error}"),
    )
}

/// Why firewalld could not be asked.
fn failed(action: &str, error: &zbus::Error) -> Error {
    let gone = || {
        Error::new(
            ErrorKind::Stopped,
            format!("cannot {action}: firewalld has stopped meanwhile"),
        )
        .with_hint("see why: journalctl -u firewalld; once it is running, run pasvsync again")
    };
    match error {
        zbus::Error::MethodError(name, message, _) if name.as_str() == NOT_AUTHORIZED => {
            let message = message.clone().unwrap_or_default();
            Error::new(
                ErrorKind::Permission,
                format!("firewalld does not let this user look at it or change it: {message}"),
            )
            .with_hint("run it as root")
        }
        zbus::Error::FDO(error) => match error.as_ref() {
            fdo::Error::NoReply(_)
            | fdo::Error::ServiceUnknown(_)
            | fdo::Error::NameHasNoOwner(_)
            | fdo::Error::Disconnected(_) => gone(),
            fdo::Error::AccessDenied(message) | fdo::Error::AuthFailed(message) => {
                Error::new(ErrorKind::Permission, format!("cannot {action}: {message}"))
                    .with_hint("run it as root")
            }
            fdo::Error::Timeout(_) | fdo::Error::TimedOut(_) => silent(action),
            other => Error::new(ErrorKind::Protocol, format!("cannot {action}: {other}")),
        },
        zbus::Error::InputOutput(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            silent(action)
        }
        zbus::Error::InputOutput(error) | zbus::Error::Connection(error, _) => {
            let kind = match error.kind() {
                std::io::ErrorKind::PermissionDenied => ErrorKind::Permission,
                _ => ErrorKind::Io,
            };
            Error::new(kind, format!("cannot {action}: {error}"))
                .with_hint("D-Bus may have stopped: systemctl status dbus")
        }
        other => Error::new(ErrorKind::Protocol, format!("cannot {action}: {other}")),
    }
}

fn silent(action: &str) -> Error {
    Error::new(
        ErrorKind::Busy,
        format!("cannot {action}: no answer within {} s", PATIENCE.as_secs()),
    )
    .with_hint("firewalld hangs or reloads; see what it does: systemctl status firewalld")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_are_those_of_the_command_line() {
        let of = |words: &[&str]| folders_of(words.join("\0").as_bytes());
        assert_eq!(
            of(&["python3", "/usr/sbin/firewalld", "--nofork"]),
            Folders::default()
        );
        let told = of(&[
            "firewalld",
            "--system-config",
            "/srv/etc",
            "--default-config=/srv/usr",
        ]);
        assert_eq!(told.system, PathBuf::from("/srv/etc"));
        assert_eq!(told.stock, PathBuf::from("/srv/usr"));
    }
}
