//! The permanent configuration: what the next start loads, judged from the files on disk, edited by firewalld itself.
//!
//! What is ours is one service with a name and a mark of its own, in the zones that need it. Its range can change without
//! a trace of the old one, and never merges with an admin's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use zbus::Variant;

use super::bus::{self, Bus, Settings};
use super::config::xml::Document;
use super::config::{Binding, Configuration, Folders, Named, Place, Service, Source, Uncertain};
use super::listing::{remembered, written};
use super::members::Zone;
use super::memory::Surroundings;
use super::zones::{self, Choice, Division};
use super::{Content, DESCRIPTION, Edit, SERVICE, is_ours};
use crate::backend::{Desired, Plan, Proof, Refusal};
use crate::error::{Error, ErrorKind, Result};
use crate::model::ports::PortSet;
use crate::model::reach::Reach;
use crate::model::ruleset::{Interface, Ruleset, Table};
use crate::proof;

/// firewalld looks at a file five seconds after it has changed; since 2.5 it only warns, and waits for a reload.
const NOTICED_WITHIN: Duration = Duration::from_secs(8);
const PAUSE: Duration = Duration::from_millis(250);

/// As many bytes has the name of an interface (`IFNAMSIZ`, without the NUL).
const LONGEST_NAME: usize = 15;

/// What settles where an interface goes.
const MOVED_HINT: &str = "say which zone is meant, `nmcli connection modify NAME connection.zone ZONE`, or let the default zone be opened too";

/// The permanent configuration as it was last read.
#[derive(Debug)]
pub(super) struct Permanent {
    configuration: Configuration,
    interfaces: Vec<Interface>,
    choice: Choice,
    division: Division,
    /// What boot loads beside firewalld.
    beside: Vec<Table>,
    /// The zones of the running firewalld.
    running: Vec<Zone>,
    /// Whether boot starts `NetworkManager`.
    manager: bool,
}

impl Permanent {
    /// Reads the files. `manager` says whether `NetworkManager` runs after a boot; `running` are the zones of the
    /// running firewalld: an interface that no file binds may be bound again by whatever has bound it now.
    pub(super) fn read(
        folders: &Folders,
        running: Vec<Zone>,
        manager: bool,
        interfaces: Vec<Interface>,
        choice: &Choice,
    ) -> Result<Self> {
        let mut configuration = Configuration::read_in(Path::new("/"), folders)?;
        for zone in &running {
            for name in &zone.interfaces {
                let known = configuration.zones.values().any(|zone| {
                    let mut bound = zone.interfaces.iter();
                    bound.any(|interface| interface.name == *name)
                }) || configuration
                    .bindings
                    .iter()
                    .any(|binding| binding.interface.as_ref() == Some(name));
                if !known {
                    configuration.bindings.push(Binding {
                        path: PathBuf::from("the running firewalld"),
                        zone: zone.name.clone(),
                        interface: Some(name.clone()),
                    });
                }
            }
        }
        // What has left an interface in its zone until now will again.
        configuration.doubt(manager, |interface, name| {
            let mut zones = running.iter().filter(|zone| zone.name == name);
            zones.any(|zone| zone.interfaces.iter().any(|bound| bound == interface))
        });
        Ok(Self {
            running,
            manager,
            ..Self::of(configuration, interfaces, choice)
        })
    }

    /// A configuration that was read.
    pub(super) fn of(
        configuration: Configuration,
        interfaces: Vec<Interface>,
        choice: &Choice,
    ) -> Self {
        Self {
            configuration: configuration.with_direct(),
            interfaces,
            choice: choice.clone(),
            division: Division::default(),
            beside: Vec::new(),
            running: Vec::new(),
            manager: false,
        }
    }

    /// Remembers what was proved of it.
    pub(super) fn remember(&self, folders: &Folders, desired: &Desired, proof: &Proof) {
        let surroundings = Surroundings {
            folders,
            choice: &self.choice,
            running: &self.running,
            manager: self.manager,
            interfaces: &self.interfaces,
        };
        surroundings.remember(&self.configuration.seen, desired, proof);
    }

    /// The same where boot loads these tables too.
    pub(super) fn beside(self, beside: Vec<Table>) -> Self {
        Self { beside, ..self }
    }

    /// What was read.
    pub(super) fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// The ruleset that the next start writes, its questions narrowed to the zones that are to be opened.
    pub(super) fn ruleset(&mut self) -> Ruleset {
        let mut ruleset = self.booted(&self.configuration);
        self.division = Division::make(&mut ruleset, self.zones(), &self.choice);
        ruleset
            .interfaces
            .extend(self.moved().map(|(twin, _)| twin));
        ruleset
    }

    /// What filters once firewalld has started with a configuration. Whether it or another loader comes first is not
    /// certain, nor that both do: what gets through both gets through.
    fn booted(&self, configuration: &Configuration) -> Ruleset {
        let mut ruleset = configuration.ruleset(&self.interfaces);
        ruleset.tables.extend(self.beside.iter().cloned());
        ruleset
    }

    /// Interfaces of the zones to open that may end up in the default zone: as they are there, under names that no zone
    /// binds.
    fn moved(&self) -> impl Iterator<Item = (Interface, &Uncertain)> {
        let configuration = &self.configuration;
        let uncertain = configuration.uncertain.iter().filter(|it| {
            self.division.opens(&it.zone) || self.division.opens(&configuration.default_zone)
        });
        uncertain.flat_map(|it| {
            let meant = |interface: &&Interface| match it.interface.strip_suffix('+') {
                Some(prefix) => interface.name.starts_with(prefix),
                None => interface.name == it.interface,
            };
            self.interfaces.iter().filter(meant).map(move |interface| {
                let name = format!("?{}", interface.name);
                let name = name.chars().take(LONGEST_NAME).collect();
                let twin = Interface {
                    name,
                    ..interface.clone()
                };
                (twin, it)
            })
        })
    }

    fn zones(&self) -> Vec<Zone> {
        let configuration = &self.configuration;
        let zones = configuration.zones.values().filter_map(|zone| {
            let default = zone.name == configuration.default_zone;
            let bindings = configuration.bindings.iter();
            let bound = bindings.filter(|binding| binding.zone == zone.name);
            let bound = bound.filter_map(|binding| binding.interface.clone());
            let own = zone.interfaces.iter().map(|interface| &interface.name);
            let found = Zone {
                name: zone.name.clone(),
                default,
                interfaces: own.cloned().chain(bound).collect(),
                sources: zone
                    .sources
                    .iter()
                    .map(|(source, _)| shown(source))
                    .collect(),
            };
            let active = !found.interfaces.is_empty() || !found.sources.is_empty();
            (default || active || self.choice.zones.contains(&zone.name)).then_some(found)
        });
        zones.collect()
    }

    /// The ports that a zone has by name.
    fn ports(&self, zone: &str) -> PortSet {
        ports_of(&self.configuration, zone)
    }

    /// The service of that name, whoever made it.
    fn service(&self) -> Option<&Service> {
        self.configuration.services.get(SERVICE)
    }

    /// The service of ours.
    fn own(&self) -> Option<&Service> {
        self.service()
            .filter(|service| service.description.starts_with(DESCRIPTION))
    }

    /// The zones that have a service of that name.
    fn having(&self, service: &str) -> Vec<&str> {
        let zones = self.configuration.zones.values();
        let having = zones.filter(|zone| zone.rules.services.iter().any(|it| it.name == service));
        having.map(|zone| zone.name.as_str()).collect()
    }

    /// Whether what is ours is just what is wanted, and no zone lacks anything that the ruleset's own questions do not
    /// tell.
    pub(super) fn settled(&self, ruleset: &Ruleset, desired: &Desired) -> bool {
        let own = self.own().is_none_or(|service| {
            let (includes, _) = self.choice.split(&desired.ports);
            let content = content(service);
            let zones = self.having(SERVICE);
            !zones.is_empty()
                && !desired.ports.is_empty()
                && desired.ports.covers(&content.ports)
                && content
                    .includes
                    .iter()
                    .all(|service| includes.contains(service))
                && zones.iter().all(|zone| self.division.opens(zone))
        });
        own && self
            .division
            .silent_open(ruleset, desired, |zone| self.by_name(zone))
    }

    /// The ports that a zone lets in by name, or by the service of ours.
    fn by_name(&self, zone: &str) -> PortSet {
        let ports = self.ports(zone);
        match self.own() {
            Some(service) if self.having(SERVICE).contains(&zone) => {
                ports.union(&service.ports.iter().copied().collect())
            }
            _ => ports,
        }
    }

    /// The smallest edits: the service of ours as it should be, in the zones that need it.
    pub(super) fn plan(&self, desired: &Desired) -> Plan<Edit> {
        let without = self.with_service(None, &[]);
        let mut ruleset = self.booted(&without);
        self.division.narrow(&mut ruleset);
        let mut missing: Vec<(&str, PortSet)> = Vec::new();
        for (zone, members) in &self.division.opened {
            let open = zones::open(&mut ruleset, zone, members, desired)
                .unwrap_or_else(|| self.ports(&zone.name));
            missing.push((&zone.name, desired.ports.difference(&open)));
        }
        missing.retain(|(_, ports)| !ports.is_empty());
        if self.service().is_some() && self.own().is_none() && !missing.is_empty() {
            return Plan {
                edits: Vec::new(),
                refusals: vec![self.taken(desired)],
            };
        }
        let all: Vec<&str> = missing.iter().map(|(zone, _)| *zone).collect();
        let (needed, refusals) = self.needed(desired, &missing, &all);
        Plan {
            edits: self.edits(&needed, &self.wanted(&desired.ports)),
            refusals,
        }
    }

    /// The zones where the service helps, or is already and will once nothing stands in the way; and what does.
    fn needed<'z>(
        &self,
        desired: &Desired,
        missing: &[(&'z str, PortSet)],
        all: &[&str],
    ) -> (Vec<&'z str>, Vec<Refusal>) {
        let with = self.with_service(Some(&desired.ports), all);
        let mut ruleset = self.booted(&with);
        self.division.narrow(&mut ruleset);
        let policies: Vec<String> = self.configuration.policies.keys().cloned().collect();
        let having = self.having(SERVICE);
        let (mut needed, mut refusals) = (Vec::new(), Vec::new());
        for (zone, members) in &self.division.opened {
            let mut stuck = PortSet::EMPTY;
            for blocker in zones::blockers(&mut ruleset, zone, members, desired) {
                stuck = stuck.union(&blocker.ports);
                zones::note(&mut refusals, blocker.refusal(false, &policies));
            }
            let lacks = missing.iter().find(|(name, _)| *name == zone.name);
            if let Some((name, lacks)) = lacks
                && (!stuck.covers(lacks) || having.contains(name))
            {
                needed.push(*name);
            }
        }
        refusals.extend(self.refused_where_moved(&mut ruleset, desired));
        (needed, refusals)
    }

    /// What the default zone keeps closed for interfaces that may end up there.
    fn refused_where_moved(&self, ruleset: &mut Ruleset, desired: &Desired) -> Vec<Refusal> {
        ruleset.sources = Vec::new();
        ruleset.sources_only = false;
        let mut refusals = Vec::new();
        for (twin, uncertain) in self.moved() {
            ruleset.interfaces = vec![twin];
            let mut ports = PortSet::EMPTY;
            for family in &desired.families {
                let map = proof::trace(ruleset, *family, &desired.ports);
                let entries = map.entries.iter();
                for entry in entries.filter(|entry| entry.reach != Reach::Open) {
                    ports = ports.union(&entry.ports);
                }
            }
            if !ports.is_empty() {
                let because = &uncertain.because;
                refusals.push(Refusal {
                    code: "firewalld-unknown",
                    message: format!("it cannot be told which zone lets the ports in: {because}"),
                    hint: Some(MOVED_HINT.to_owned()),
                    ports,
                });
            }
        }
        refusals
    }

    /// The configuration with the service of ours in these zones, and nowhere else.
    fn with_service(&self, ports: Option<&PortSet>, zones: &[&str]) -> Configuration {
        let mut configuration = self.configuration.clone();
        if self.service().is_some() && self.own().is_none() {
            return configuration;
        }
        configuration.services.remove(SERVICE);
        for zone in configuration.zones.values_mut() {
            zone.rules
                .services
                .retain(|service| service.name != SERVICE);
        }
        let Some(ports) = ports else {
            return configuration;
        };
        let service = Service {
            ports: ports.ranges().to_vec(),
            ..Service::default()
        };
        configuration.services.insert(SERVICE.to_owned(), service);
        for name in zones {
            if let Some(zone) = configuration.zones.get_mut(*name) {
                zone.rules.services.push(Named {
                    name: SERVICE.to_owned(),
                    place: Place {
                        path: zone.path.clone(),
                        line: 0,
                        column: 0,
                    },
                });
            }
        }
        configuration
    }

    /// What the service of ours is to let in for these ports.
    fn wanted(&self, ports: &PortSet) -> Content {
        let (includes, ports) = self.choice.split(ports);
        Content { ports, includes }
    }

    fn edits(&self, needed: &[&str], wanted: &Content) -> Vec<Edit> {
        let mut edits = Vec::new();
        let own = self.own();
        let having = if own.is_some() || self.service().is_none() {
            self.having(SERVICE)
        } else {
            Vec::new()
        };
        let old = own.map(content).unwrap_or_default();
        match own {
            None if !needed.is_empty() => edits.push(Edit::NewService {
                content: wanted.clone(),
            }),
            Some(_) if !needed.is_empty() && old != *wanted => edits.push(Edit::ChangeService {
                from: old.clone(),
                to: wanted.clone(),
            }),
            _ => {}
        }
        let lacking = needed.iter().filter(|zone| !having.contains(zone));
        edits.extend(lacking.map(|zone| Edit::AddToZone {
            zone: (*zone).to_owned(),
        }));
        let superfluous = having.iter().filter(|zone| !needed.contains(zone));
        edits.extend(superfluous.map(|zone| Edit::TakeFromZone {
            zone: (*zone).to_owned(),
        }));
        if own.is_some() && needed.is_empty() {
            edits.push(Edit::DeleteService { content: old });
        }
        edits
    }

    /// Somebody else's service has the name of ours.
    fn taken(&self, desired: &Desired) -> Refusal {
        let path = self
            .service()
            .map(|service| service.path.display().to_string());
        Refusal {
            code: "service-name-taken",
            message: format!(
                "firewalld has a service `{SERVICE}` that pasvsync did not make: {}",
                path.unwrap_or_default()
            ),
            hint: Some(format!(
                "rename it, or, if it is a leftover, let its description begin with `{DESCRIPTION}`"
            )),
            ports: desired.ports.clone(),
        }
    }

    /// Waits until firewalld knows what the zones' files say: its edit of a zone writes the whole file anew, and with
    /// what it remembers it would undo an edit by hand.
    ///
    /// # Errors
    /// `NotOurs` when it does not take notice in time.
    pub(super) fn agree(&self, bus: &Bus, edits: &[Edit]) -> Result<()> {
        let start = Instant::now();
        loop {
            let Some(path) = self.disagreement(bus, edits)? else {
                return Ok(());
            };
            if start.elapsed() > NOTICED_WITHIN {
                return Err(Error::new(
                    ErrorKind::NotOurs,
                    format!(
                        "`{}` was edited, and firewalld has not read it again: an edit of firewalld's would undo that",
                        path.display()
                    ),
                )
                .with_hint("let firewalld read its files: firewall-cmd --reload; this drops what was only added at runtime, bans among it"));
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn disagreement(&self, bus: &Bus, edits: &[Edit]) -> Result<Option<PathBuf>> {
        for edit in edits {
            let (Edit::AddToZone { zone } | Edit::TakeFromZone { zone }) = edit else {
                continue;
            };
            let Some(zone) = self.configuration.zones.get(zone) else {
                continue;
            };
            let bytes = fs_err::read(&zone.path)?;
            let document = Document::parse(&zone.path, &bytes)?;
            let known = bus.permanent_zone_settings(&zone.name)?;
            if known.is_none_or(|known| written(&document) != remembered(&known)) {
                return Ok(Some(zone.path.clone()));
            }
        }
        let concerned = |edit: &&Edit| {
            matches!(
                edit,
                Edit::NewService { .. } | Edit::ChangeService { .. } | Edit::DeleteService { .. }
            )
        };
        if edits.iter().any(|edit| concerned(&edit)) {
            let known = bus.permanent_service_settings(SERVICE)?.filter(is_ours);
            let known = known.map(|settings| loaded(&settings));
            let read = self.own().map(content);
            if known != read {
                let path = self.own().map(|own| own.path.clone());
                let path = path.unwrap_or_else(|| {
                    PathBuf::from(format!("/etc/firewalld/services/{SERVICE}.xml"))
                });
                return Ok(Some(path));
            }
        }
        Ok(None)
    }
}

/// The ports that a zone has by name.
pub(super) fn ports_of(configuration: &Configuration, zone: &str) -> PortSet {
    let zone = configuration.zones.get(zone);
    zone.into_iter()
        .flat_map(|zone| zone.rules.ports.iter().copied())
        .collect()
}

/// What a service lets in, by its file.
fn content(service: &Service) -> Content {
    let includes = service.includes.iter();
    Content {
        ports: service.ports.iter().copied().collect(),
        includes: includes.map(|include| include.name.clone()).collect(),
    }
}

/// What a service lets in, by its settings.
pub(super) fn loaded(settings: &Settings) -> Content {
    let pairs = bus::pairs(settings, "ports");
    let pairs = pairs
        .iter()
        .map(|(ports, kind)| (ports.as_str(), kind.as_str()));
    Content {
        ports: super::records::tcp(pairs),
        includes: bus::strings(settings, "includes"),
    }
}

/// The settings of the service of ours.
pub(super) fn settings(content: &Content) -> HashMap<&'static str, Variant<'static>> {
    let ports: Vec<(String, String)> = content
        .ports
        .ranges()
        .iter()
        .map(|range| (range.to_string(), "tcp".to_owned()))
        .collect();
    HashMap::from([
        ("short", Variant::from("Passive ports")),
        (
            "description",
            Variant::from(format!("{DESCRIPTION}; do not edit.")),
        ),
        ("ports", Variant::from(ports)),
        ("includes", Variant::from(content.includes.clone())),
    ])
}

/// A source as firewalld writes it.
fn shown(source: &Source) -> String {
    match source {
        Source::Network(network) => {
            let address = match <[u8; 4]>::try_from(network.address.as_slice()) {
                Ok(octets) => std::net::IpAddr::from(octets).to_string(),
                Err(_) => <[u8; 16]>::try_from(network.address.as_slice()).map_or_else(
                    |_| String::new(),
                    |octets| std::net::IpAddr::from(octets).to_string(),
                ),
            };
            format!("{address}/{}", network.prefix)
        }
        Source::Mac(octets) => {
            let octets: Vec<String> = octets.iter().map(|octet| format!("{octet:02x}")).collect();
            octets.join(":")
        }
        Source::Set(name) => format!("ipset:{name}"),
    }
}
