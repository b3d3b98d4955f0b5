//! firewalld's permanent configuration on disk, read as firewalld 1.3 and 2.5 read it (their sources, and by running
//! them): `etc/firewalld` over `usr/lib/firewalld`.
//!
//! With a file that it does not take, firewalld starts in the state FAILED and filters with what its package brings.
//! Such a file is an error here, with line and column. So is what is not understood well enough to be sure. Files that
//! do not end in `.xml` are not read, so `public.xml.old` is not.

mod bindings;
mod check;
mod direct;
mod disk;
mod elements;
mod objects;
mod others;
mod rich;
mod rules;
mod text;
mod version;
pub(crate) mod xml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use self::disk::Folders;
pub(crate) use self::disk::{Disk, Seen};
use self::elements::Context;
pub(crate) use self::objects::{
    Action, Address, Binding, Connection, Direct, DirectKind, ForwardPort, IpSet, Part, Rich,
    Uncertain,
};
pub use self::objects::{Named, Network, Place, Policy, Rules, Service, Source, Target, Zone};
use self::text::PortNames;
pub(crate) use self::text::Protocol;
pub(crate) use self::version::Version;
use self::xml::{Document, Element};
use super::{DESCRIPTION, SERVICE};
use crate::error::{Error, ErrorKind, Result};
use crate::model::ruleset::Table;

/// What a check says, its complaint in words.
type Checked<T, E = String> = std::result::Result<T, E>;

/// The admin's files.
const ETC: &str = "/etc/firewalld";
/// The package's files.
const USR: &str = "/usr/lib/firewalld";

/// What to do about a file that firewalld does not take.
const HINT: &str = "firewalld would start in the state FAILED and filter with its stock configuration: mend the file, `firewall-cmd --check-config` tells when it is well";

/// What to do about the file of the service of ours: nobody edits it, so firewalld was cut short while it wrote it. Zones
/// may have the service, so without the file firewalld would not start either.
fn own_hint(path: &Path) -> String {
    format!(
        "firewalld was cut short while it wrote this, and would start in the state FAILED; write it anew, and run pasvsync again: echo '<service><description>{DESCRIPTION}</description></service>' > {}",
        path.display()
    )
}

/// Which packet filter firewalld writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirewallBackend {
    /// One table of nftables for both families.
    Nftables,
    /// The tables of iptables and ip6tables.
    Iptables,
}

/// Everything that firewalld reads when it starts, as far as it can decide about TCP to this host.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The zone of whatever belongs to no other.
    pub default_zone: String,
    /// The packet filter.
    pub backend: FirewallBackend,
    /// The zones by name.
    pub zones: BTreeMap<String, Zone>,
    /// The policies by name.
    pub policies: BTreeMap<String, Policy>,
    /// The admin's services, and those of the package that some zone or policy uses.
    pub services: BTreeMap<String, Service>,
    pub(crate) ipsets: BTreeMap<String, IpSet>,
    /// The lines of direct.xml of which it is not known what iptables makes of them.
    pub(crate) direct: Vec<Direct>,
    /// What iptables made of the others.
    pub(crate) direct_tables: Vec<Table>,
    pub(crate) bindings: Vec<Binding>,
    pub(crate) unbound: Vec<Connection>,
    pub(crate) uncertain: Vec<Uncertain>,
    pub(crate) version: Version,
    /// What of the disk it was read from.
    pub(crate) seen: Vec<Seen>,
}

impl Configuration {
    /// Reads the configuration of the system under `root`.
    ///
    /// # Errors
    /// `Refused`, with path, line and column, for what firewalld would not start with or what is not understood; `Io` or
    /// `Permission` for what cannot be read.
    pub fn read(root: &Path) -> Result<Self> {
        Self::read_in(root, &Folders::default())
    }

    /// The same where firewalld was told to have its files in these folders.
    ///
    /// # Errors
    /// As for [`Configuration::read`].
    pub fn read_in(root: &Path, folders: &Folders) -> Result<Self> {
        let root = std::path::absolute(root)?;
        let disk = Disk::new(&root, folders);
        let version = Version::installed(&disk)?;
        let services = disk.read(Path::new("/etc/services"))?.unwrap_or_default();
        let ports = PortNames::parse(&String::from_utf8_lossy(&services));
        let reader = Reader {
            disk,
            context: Context {
                version,
                ports: &ports,
            },
        };
        let settings = reader.settings()?;
        let zones = reader.zones()?;
        let default_zone = default_zone(&settings, &zones);
        let (bindings, unbound) = bindings::read(&reader.disk)?;
        let mut configuration = Self {
            default_zone,
            backend: settings.backend,
            zones,
            policies: reader.objects("policies", "_-/", rules::policy)?,
            services: BTreeMap::new(),
            ipsets: reader.objects("ipsets", "_-:.", |document, _, context| {
                others::ipset(document, context)
            })?,
            direct: reader.direct()?,
            direct_tables: Vec::new(),
            bindings,
            unbound,
            uncertain: Vec::new(),
            version,
            seen: Vec::new(),
        };
        configuration.services = reader.services(&configuration)?;
        for (folder, extra, schema) in [
            ("icmptypes", "_-", &others::ICMP_TYPE),
            ("helpers", "-.", &others::HELPER),
        ] {
            reader.well_formed(folder, extra, schema)?;
        }
        check::check(&configuration, &reader.names("icmptypes")?)?;
        configuration.seen = reader.disk.seen();
        Ok(configuration)
    }

    /// Notes which interfaces `NetworkManager` may put into the default zone although they are bound to another. It has
    /// connections that no file tells of, where it runs (`manager`). `stays` tells of an interface and its zone that it is
    /// left there as things are.
    pub(crate) fn doubt(&mut self, manager: bool, stays: impl Fn(&str, &str) -> bool) {
        // What brings an interface up has the last word.
        let named = |name: &str| {
            let mut bindings = self.bindings.iter();
            bindings.any(|binding| binding.interface.as_deref() == Some(name))
        };
        let own = self.zones.values().flat_map(|zone| {
            let names = zone.interfaces.iter().filter(|it| !named(&it.name));
            names.map(|interface| (interface.name.as_str(), zone.name.as_str(), false))
        });
        let brought = self.bindings.iter().filter_map(|binding| {
            let interface = binding.interface.as_deref()?;
            Some((interface, binding.zone.as_str(), true))
        });
        let bound = own
            .chain(brought)
            .filter(|(_, zone, _)| *zone != self.default_zone);
        let uncertain = bound.filter_map(|(interface, zone, brought)| {
            let because = self.mover(interface, brought, manager, || stays(interface, zone))?;
            Some(Uncertain {
                interface: interface.to_owned(),
                zone: zone.to_owned(),
                because,
            })
        });
        self.uncertain = uncertain.collect();
    }

    /// What may put an interface into the default zone; `brought` when another connection has it in its zone.
    fn mover(
        &self,
        interface: &str,
        brought: bool,
        manager: bool,
        stays: impl Fn() -> bool,
    ) -> Option<String> {
        let named = |connection: &&Connection| {
            let name = connection.interface.as_deref();
            name.is_some_and(|name| match interface.strip_suffix('+') {
                Some(prefix) => name.starts_with(prefix),
                None => name == interface,
            })
        };
        let shown = |connection: &Connection| {
            let path = connection.path.display();
            format!(
                "the connection in {path} has no zone, and may put {interface} into the default zone"
            )
        };
        if let Some(connection) = self.unbound.iter().find(named) {
            return Some(shown(connection));
        }
        if stays() {
            return None;
        }
        let mut any = self.unbound.iter();
        if let Some(connection) = any.find(|connection| connection.interface.is_none()) {
            return Some(shown(connection));
        }
        (manager && !brought).then(|| {
            format!("NetworkManager may put {interface} into the default zone, having no connection with another for it")
        })
    }

    /// Where the admin's file of a zone is, or would be.
    pub fn zone_file(zone: &str) -> PathBuf {
        Path::new(ETC).join("zones").join(format!("{zone}.xml"))
    }

    /// The zones that packets can get into: the default zone and those that something is bound to.
    pub fn active_zones(&self) -> Vec<&Zone> {
        let bound = |name: &str| self.bindings.iter().any(|binding| binding.zone == name);
        let active = self.zones.values().filter(|zone| {
            zone.name == self.default_zone
                || !zone.interfaces.is_empty()
                || !zone.sources.is_empty()
                || bound(&zone.name)
        });
        active.collect()
    }
}

/// firewalld.conf, as far as it matters here.
#[derive(Debug)]
struct Settings {
    default_zone: String,
    backend: FirewallBackend,
}

/// Reads one system's files.
struct Reader<'a> {
    disk: Disk<'a>,
    context: Context<'a>,
}

impl Reader<'_> {
    /// firewalld.conf; without one, firewalld's own values count. Of a key that is repeated the first counts.
    fn settings(&self) -> Result<Settings> {
        let path = Path::new(ETC).join("firewalld.conf");
        let bytes = self.disk.read(&path)?.unwrap_or_default();
        let path = self.disk.at(&path);
        let text = String::from_utf8(bytes).map_err(|error| {
            refused(
                &path,
                error.as_bytes(),
                error.utf8_error().valid_up_to(),
                "no UTF-8",
            )
        })?;
        let mut values: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.starts_with(['#', ';']) {
                continue;
            }
            let mut words = line.split('=').map(str::trim);
            if let (Some(key), Some(value), None) = (words.next(), words.next(), words.next())
                && !value.is_empty()
            {
                values.entry(key).or_insert((value, index + 1));
            }
        }
        let default_zone = values
            .get("DefaultZone")
            .map_or("public", |(value, _)| value);
        let backend = match values.get("FirewallBackend") {
            Some(("iptables", _)) => FirewallBackend::Iptables,
            Some((value, line)) if *value != "nftables" && is_backend(value) => {
                let place = Place {
                    path,
                    line: *line,
                    column: 1,
                };
                let message =
                    format!("firewalld has no backend `{value}`: write it in small letters");
                return Err(refused_at(&place, &message));
            }
            _ => FirewallBackend::Nftables,
        };
        Ok(Settings {
            default_zone: default_zone.to_owned(),
            backend,
        })
    }

    /// The names of the files of a kind, of the package and the admin, each with the folder it is read from.
    fn files(&self, kind: &str) -> Result<BTreeMap<String, PathBuf>> {
        let mut files = BTreeMap::new();
        for base in [USR, ETC] {
            let folder = Path::new(base).join(kind);
            for name in self.disk.list(&folder)? {
                if let Some(stem) = name.strip_suffix(".xml") {
                    files.insert(stem.to_owned(), folder.join(&name));
                }
            }
        }
        Ok(files)
    }

    fn names(&self, kind: &str) -> Result<Vec<String>> {
        Ok(self.files(kind)?.into_keys().collect())
    }

    /// Reads one file.
    fn object<T>(
        &self,
        path: &Path,
        name: &str,
        extra: &str,
        read: impl Fn(&Document<'_>, &str, Context<'_>) -> Result<T>,
    ) -> Result<T> {
        let shown = self.disk.at(path);
        let Some(bytes) = self.disk.read(path)? else {
            let message = format!("`{}` cannot be read: it is not there", shown.display());
            return Err(Error::new(ErrorKind::Io, message).with_hint(HINT));
        };
        let odd = |letter: char| !letter.is_alphanumeric() && !extra.contains(letter);
        if name.is_empty() || name.contains(odd) {
            let message = format!("`{name}` is no name that firewalld takes");
            return Err(refused(&shown, &bytes, 0, &message));
        }
        read(&Document::parse(&shown, &bytes)?, name, self.context)
    }

    /// Every file of a kind. Of the same name, the admin's counts.
    fn objects<T>(
        &self,
        kind: &str,
        extra: &str,
        read: impl Fn(&Document<'_>, &str, Context<'_>) -> Result<T>,
    ) -> Result<BTreeMap<String, T>> {
        let mut objects = BTreeMap::new();
        for (name, path) in self.files(kind)? {
            let object = self.object(&path, &name, extra, &read)?;
            objects.insert(name, object);
        }
        Ok(objects)
    }

    /// The zones. A folder in `zones` is one zone, made of the files in it.
    fn zones(&self) -> Result<BTreeMap<String, Zone>> {
        let mut zones = self.objects("zones", "_-/", rules::zone)?;
        let mut folders = vec![Path::new(ETC).join("zones")];
        while let Some(folder) = folders.pop() {
            for name in self.disk.list(&folder)? {
                let path = folder.join(&name);
                if name.strip_suffix(".xml").is_none() && self.disk.is_folder(&path)? {
                    if let Some(zone) = self.combined(&path, &name)? {
                        zones.insert(name, zone);
                    }
                    folders.push(path);
                }
            }
        }
        Ok(zones)
    }

    fn combined(&self, folder: &Path, name: &str) -> Result<Option<Zone>> {
        let mut sum: Option<Zone> = None;
        for file in self.disk.list(folder)? {
            let Some(stem) = file.strip_suffix(".xml") else {
                continue;
            };
            let mut part = self.object(&folder.join(&file), stem, "_-", rules::zone)?;
            match &mut sum {
                None => {
                    name.clone_into(&mut part.name);
                    part.combined = true;
                    part.path = self.disk.at(folder);
                    // firewalld leaves the parts' targets out.
                    part.target = Target::Default;
                    sum = Some(part);
                }
                Some(zone) => combine(zone, part),
            }
        }
        Ok(sum)
    }

    fn direct(&self) -> Result<Vec<Direct>> {
        let path = Path::new(ETC).join("direct.xml");
        match self.disk.read(&path)? {
            None => Ok(Vec::new()),
            Some(_) => self.object(&path, "direct", "", |document, _, context| {
                direct::read(document, context)
            }),
        }
    }

    /// The admin's services, those that are used, and what they include.
    fn services(&self, configuration: &Configuration) -> Result<BTreeMap<String, Service>> {
        let files = self.files("services")?;
        let etc = files.iter().filter(|(_, path)| path.starts_with(ETC));
        let mut wanted: Vec<String> = etc.map(|(name, _)| name.clone()).collect();
        let zones = configuration.zones.values().map(|zone| &zone.rules);
        let policies = configuration.policies.values().map(|policy| &policy.rules);
        for rules in zones.chain(policies) {
            wanted.extend(rules.services.iter().map(|service| service.name.clone()));
            wanted.extend(rules.rich.iter().filter_map(|rich| match &rich.element {
                Some(Part::Service(name)) => Some(name.clone()),
                _ => None,
            }));
        }
        let mut services = BTreeMap::new();
        while let Some(name) = wanted.pop() {
            if services.contains_key(&name) {
                continue;
            }
            // Whether a service that is named must be there is checked later, where the name's place is known.
            if let Some(path) = files.get(&name) {
                let service = self.object(path, &name, "_-", |document, _, context| {
                    others::service(document, context)
                })?;
                wanted.extend(service.includes.iter().map(|include| include.name.clone()));
                services.insert(name, service);
            }
        }
        Ok(services)
    }

    /// The admin's files of a kind that decides nothing here must be such that firewalld starts.
    fn well_formed(&self, kind: &str, extra: &str, schema: &Schema) -> Result<()> {
        for (name, path) in self.files(kind)? {
            if path.starts_with(ETC) {
                self.object(&path, &name, extra, |document, _, context| {
                    others::check(document, schema, context)
                })?;
            }
        }
        Ok(())
    }
}

fn is_backend(value: &str) -> bool {
    value.eq_ignore_ascii_case("nftables") || value.eq_ignore_ascii_case("iptables")
}

/// The default zone of firewalld.conf, or what firewalld takes instead of one that is not there.
fn default_zone(settings: &Settings, zones: &BTreeMap<String, Zone>) -> String {
    let candidates = [settings.default_zone.as_str(), "public", "external"];
    let found = candidates
        .into_iter()
        .find(|zone| zones.contains_key(*zone));
    found.unwrap_or("block").to_owned()
}

/// What a further file adds to a zone made of several.
fn combine(zone: &mut Zone, part: Zone) {
    let (into, from) = (&mut zone.rules, part.rules);
    into.services.extend(from.services);
    into.ports.extend(from.ports);
    into.source_ports.extend(from.source_ports);
    into.protocols.extend(from.protocols);
    into.forward_ports.extend(from.forward_ports);
    into.rich.extend(from.rich);
    into.icmp_types.extend(from.icmp_types);
    into.forwards.extend(from.forwards);
    into.masquerade = into.masquerade.take().or(from.masquerade);
    for interface in part.interfaces {
        if !zone
            .interfaces
            .iter()
            .any(|known| known.name == interface.name)
        {
            zone.interfaces.push(interface);
        }
    }
    for (source, place) in part.sources {
        if !zone.sources.iter().any(|(known, _)| *known == source) {
            zone.sources.push((source, place));
        }
    }
    zone.priority = zone.priority.take().or(part.priority);
}

/// Elements with their attributes.
type Elements = &'static [(&'static str, &'static [&'static str])];

/// Which elements and attributes a kind of file may have; firewalld refuses any other.
#[derive(Debug)]
struct Schema {
    /// Elements, with the attributes that they must have.
    required: Elements,
    /// Attributes that they may have; an element that is only here is known as well.
    optional: Elements,
    /// More of the latter since firewalld 2.
    since_2: Elements,
}

impl Schema {
    /// Whether the element is one of these, of whichever version.
    fn knows(&self, element: &Element) -> bool {
        let mut all = [self.required, self.optional, self.since_2]
            .into_iter()
            .flatten();
        all.any(|(name, _)| *name == element.name)
    }

    fn check(&self, element: &Element, version: Version) -> Checked<()> {
        let find = |elements: Elements| {
            let mut found = elements.iter().filter(|(name, _)| *name == element.name);
            found.next().map(|(_, attributes)| *attributes)
        };
        let (required, optional) = (find(self.required), find(self.optional));
        let new = find(self.since_2).filter(|_| version.may_be_2());
        if required.is_none() && optional.is_none() && new.is_none() {
            return Err(format!(
                "firewalld knows no element `{}` here",
                element.name
            ));
        }
        let mut missing = required.unwrap_or_default().iter();
        if let Some(missing) = missing.find(|name| element.get(name).is_none()) {
            return Err(format!(
                "the attribute `{missing}` of `{}` is missing",
                element.name
            ));
        }
        let known = |name: &str| {
            let all = [required, optional, new];
            all.into_iter().flatten().any(|names| names.contains(&name))
        };
        match element.attributes.iter().find(|(name, _)| !known(name)) {
            Some((name, _)) => Err(format!(
                "firewalld knows no attribute `{name}` of `{}`",
                element.name
            )),
            None => Ok(()),
        }
    }
}

/// What firewalld would refuse, at a place in a file.
fn refused(path: &Path, bytes: &[u8], at: usize, message: &str) -> Error {
    let before = String::from_utf8_lossy(bytes.get(..at).unwrap_or(bytes));
    let last = before.rsplit('\n').next().unwrap_or_default();
    let place = Place {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: last.chars().count() + 1,
    };
    refused_at(&place, message)
}

fn refused_at(place: &Place, message: &str) -> Error {
    let own = place.path.ends_with(format!("services/{SERVICE}.xml"));
    let hint = Some(own_hint(&place.path)).filter(|_| own);
    let hint = hint.unwrap_or_else(|| HINT.to_owned());
    Error::new(ErrorKind::Refused, format!("{place}: {message}")).with_hint(hint)
}
