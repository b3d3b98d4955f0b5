//! The running firewalld: what is open now, and what opens the rest without a reload.
//!
//! A reload would drop everything that is only there at runtime, bans among it. So ports are added to the zones as they
//! are needed, beside whatever is there: a range that overlapped an admin's would be merged with it.

use std::collections::BTreeMap;

use super::bus::Bus;
use super::leftovers::Leftovers;
use super::members::Zone;
use super::records::{Record, What, range};
use super::zones::{self, Choice, Division};
use super::{Content, Edit, SERVICE, is_ours, permanent};
use crate::backend::{Desired, Plan, Refusal, Scope};
use crate::error::Result;
use crate::host::owned::Owned;
use crate::model::ports::{PortRange, PortSet};
use crate::model::ruleset::Ruleset;

/// The running firewalld as it was last read.
#[derive(Debug, Default)]
pub(super) struct Runtime {
    pub(super) division: Division,
    /// What is ours, and really there.
    records: Vec<Record>,
    /// Of those, what an admin may have saved meanwhile: why it cannot be told.
    doubtful: Vec<(Record, String)>,
    /// The list has more than that and what is left.
    outdated: bool,
    /// What a firewalld that was killed has left.
    pub(super) leftovers: Leftovers,
    /// The service of ours, as it was loaded.
    loaded: Option<Loaded>,
    /// The ports that are open by name, of the zones that are to be opened.
    ports: BTreeMap<String, PortSet>,
    panics: bool,
    policies: Vec<String>,
    choice: Choice,
}

/// The service of ours, as it was loaded at the last start or reload.
#[derive(Clone, Debug, Default)]
struct Loaded {
    content: Content,
    /// The zones that have it.
    zones: Vec<String>,
}

/// The zones that anything is bound to, and the default zone.
pub(super) fn zones(bus: &Bus, choice: &Choice) -> Result<Vec<Zone>> {
    let default = bus.default_zone()?;
    let mut zones: Vec<Zone> = bus
        .active_zones()?
        .into_iter()
        .map(|(name, mut bound)| Zone {
            default: name == default,
            interfaces: bound.remove("interfaces").unwrap_or_default(),
            sources: bound.remove("sources").unwrap_or_default(),
            name,
        })
        .collect();
    let named = choice.zones.iter().chain([&default]);
    for name in named {
        if !zones.iter().any(|zone| zone.name == *name) {
            zones.push(Zone {
                name: name.clone(),
                default: *name == default,
                ..Zone::default()
            });
        }
    }
    zones.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(zones)
}

impl Runtime {
    /// Reads what belongs to the ruleset, and narrows the ruleset's questions to the zones that are to be opened.
    /// `permanent` are the ports that a zone has by name after the next reload: what is saved there is the admin's.
    /// `closed` is what this run has taken away.
    pub(super) fn read(
        bus: &Bus,
        owned: &Owned,
        choice: &Choice,
        ruleset: &mut Ruleset,
        scope: Scope,
        closed: &[Record],
        permanent: impl Fn(&str) -> Result<PortSet>,
    ) -> Result<Self> {
        let zones = zones(bus, choice)?;
        let names: Vec<String> = zones.iter().map(|zone| zone.name.clone()).collect();
        let division = Division::make(ruleset, zones, choice);
        let mut runtime = Self {
            division,
            choice: choice.clone(),
            ..Self::default()
        };
        let (mut gone, listed) = runtime.read_records(bus, owned, scope, permanent)?;
        gone.extend(closed.iter().cloned());
        gone.retain(|record| !runtime.records.contains(record));
        runtime.leftovers = Leftovers::find(ruleset, &runtime.division, gone);
        runtime.outdated = runtime.list() != listed;
        runtime.read_loaded(bus, names, scope)?;
        if scope == Scope::Everything {
            runtime.panics = bus.panics()?;
            runtime.policies = bus.policies()?;
            for (zone, _) in &runtime.division.opened {
                let ports = ports(bus, &zone.name)?.into_iter().collect();
                runtime.ports.insert(zone.name.clone(), ports);
            }
        }
        Ok(runtime)
    }

    /// Reads what is ours. Returns what of it firewalld no longer has, and the list as it is.
    fn read_records(
        &mut self,
        bus: &Bus,
        owned: &Owned,
        scope: Scope,
        permanent: impl Fn(&str) -> Result<PortSet>,
    ) -> Result<(Vec<Record>, Vec<String>)> {
        let lines = owned.read()?;
        let records: Vec<Record> = lines
            .iter()
            .filter_map(|line| Record::parse(line))
            .collect();
        let mut gone = Vec::new();
        for record in records {
            let (there, ours) = match &record.what {
                What::Ports(wanted) => {
                    // What is saved matters only when something is to be taken away.
                    let there = ports(bus, &record.zone)?.contains(wanted);
                    let saved = there
                        && scope == Scope::Everything
                        && self.is_saved(&record, *wanted, &permanent);
                    (there, there && !saved)
                }
                What::Service(service) => {
                    let there = bus.services(&record.zone)?.contains(service);
                    (there, there)
                }
            };
            if ours {
                self.records.push(record);
            } else if !there {
                gone.push(record);
            }
        }
        Ok((gone, lines))
    }

    /// Whether an admin has saved what is on record; what cannot be told stays on record.
    fn is_saved(
        &mut self,
        record: &Record,
        ports: PortRange,
        permanent: impl Fn(&str) -> Result<PortSet>,
    ) -> bool {
        match permanent(&record.zone) {
            Ok(saved) => saved.covers(&PortSet::from(ports)),
            Err(error) => {
                self.doubtful.push((record.clone(), error.to_string()));
                false
            }
        }
    }

    fn read_loaded(&mut self, bus: &Bus, mut names: Vec<String>, scope: Scope) -> Result<()> {
        let Some(settings) = bus.service(SERVICE)?.filter(is_ours) else {
            return Ok(());
        };
        // Those that nothing is bound to let nothing in: they matter when everything of ours has to be found.
        if scope == Scope::Everything {
            names = bus.zones()?;
        }
        let mut zones = Vec::new();
        for zone in names {
            if bus.services(&zone)?.iter().any(|name| name == SERVICE) {
                zones.push(zone);
            }
        }
        self.loaded = (!zones.is_empty()).then(|| Loaded {
            content: permanent::loaded(&settings),
            zones,
        });
        Ok(())
    }

    /// Whether nothing of ours is there that is not wanted, and no zone lacks anything that the ruleset's own questions
    /// do not tell.
    pub(super) fn settled(&self, ruleset: &Ruleset, desired: &Desired) -> bool {
        let keeps = |record: &Record| self.keeps(record, desired);
        let loaded = self.loaded.as_ref().is_none_or(|loaded| {
            loaded
                .zones
                .iter()
                .all(|zone| self.keeps_service(zone, loaded, desired))
        });
        loaded
            && self.records.iter().all(keeps)
            && self
                .division
                .silent_open(ruleset, desired, |zone| self.by_name(zone))
    }

    fn keeps(&self, record: &Record, desired: &Desired) -> bool {
        self.division.opens(&record.zone)
            && match &record.what {
                What::Ports(ports) => desired.ports.covers(&PortSet::from(*ports)),
                What::Service(service) => self.choice.split(&desired.ports).0.contains(service),
            }
    }

    fn keeps_service(&self, zone: &str, loaded: &Loaded, desired: &Desired) -> bool {
        let (services, _) = self.choice.split(&desired.ports);
        let mut includes = loaded.content.includes.iter();
        self.division.opens(zone)
            && desired.ports.covers(&loaded.content.ports)
            && includes.all(|service| services.contains(service))
    }

    /// The ports that a zone lets in by name, or by the service of ours.
    fn by_name(&self, zone: &str) -> PortSet {
        let ports = self.ports.get(zone).cloned().unwrap_or_default();
        let loaded = self.loaded.iter();
        let mut loaded = loaded.filter(|loaded| loaded.zones.iter().any(|name| name == zone));
        match loaded.next() {
            Some(loaded) => ports.union(&loaded.content.ports),
            None => ports,
        }
    }

    /// What takes back what is ours and no longer wanted, and opens what is missing.
    pub(super) fn plan(&self, ruleset: &Ruleset, desired: &Desired) -> Plan<Edit> {
        let mut working = ruleset.clone();
        let mut edits = Vec::new();
        let mut taken: Vec<(&str, PortSet)> = Vec::new();
        let mut doubts = Vec::new();
        for record in &self.records {
            if self.keeps(record, desired) {
                continue;
            }
            if let Some((_, why)) = self.doubtful.iter().find(|(other, _)| other == record) {
                doubts.push(doubt(record, why));
                continue;
            }
            edits.push(Edit::removal(record));
            if let What::Ports(ports) = record.what {
                zones::withdraw(&mut working, &record.zone, ports);
                taken.push((&record.zone, PortSet::from(ports)));
            }
        }
        if let Some(loaded) = &self.loaded {
            for zone in &loaded.zones {
                if self.keeps_service(zone, loaded, desired) {
                    continue;
                }
                edits.push(Edit::RemoveService {
                    zone: zone.clone(),
                    service: SERVICE.to_owned(),
                });
                for ports in loaded.content.ports.ranges() {
                    zones::withdraw(&mut working, zone, *ports);
                }
                taken.push((zone, loaded.content.ports.clone()));
            }
        }
        let (additions, mut refusals) = self.additions(&mut working, &taken, desired);
        edits.extend(additions);
        refusals.extend(doubts);
        Plan { edits, refusals }
    }

    /// What each zone lacks, as far as opening it there helps.
    fn additions(
        &self,
        working: &mut Ruleset,
        taken: &[(&str, PortSet)],
        desired: &Desired,
    ) -> (Vec<Edit>, Vec<Refusal>) {
        let mut missing: Vec<PortSet> = Vec::new();
        for (zone, members) in &self.division.opened {
            let taken = taken.iter().filter(|(name, _)| *name == zone.name);
            let taken = taken.fold(PortSet::EMPTY, |sum, (_, ports)| sum.union(ports));
            let there = self.by_name(&zone.name).difference(&taken);
            let open = zones::open(working, zone, members, desired);
            let open = open.unwrap_or_default().union(&there);
            missing.push(desired.ports.difference(&open));
        }
        let mut after = working.clone();
        let mut placed = Vec::new();
        for ((zone, _), ports) in self.division.opened.iter().zip(&missing) {
            placed.push(zones::accept(&mut after, &zone.name, ports));
        }
        let (mut edits, mut refusals) = (Vec::new(), Vec::new());
        for (((zone, members), ports), placed) in
            self.division.opened.iter().zip(&missing).zip(placed)
        {
            let mut useful = ports.clone();
            // Where firewalld has no chain for the zone yet, the proof has to wait until it has made one.
            if placed || ports.is_empty() {
                for blocker in zones::blockers(&mut after, zone, members, desired) {
                    useful = useful.difference(&blocker.ports);
                    zones::note(&mut refusals, blocker.refusal(self.panics, &self.policies));
                }
            }
            let (services, useful) = self.choice.split(&useful);
            edits.extend(services.into_iter().map(|service| Edit::AddService {
                zone: zone.name.clone(),
                service,
            }));
            edits.extend(useful.ranges().iter().map(|range| Edit::AddPort {
                zone: zone.name.clone(),
                ports: *range,
            }));
        }
        (edits, refusals)
    }

    /// What is in the list and really there, and what is left of what was.
    pub(super) fn records(&self) -> Vec<Record> {
        let records = self.records.iter().chain(self.leftovers.records());
        records.cloned().collect()
    }

    /// What the list should have.
    fn list(&self) -> Vec<String> {
        let records = self.records.iter().chain(self.leftovers.records());
        records.map(ToString::to_string).collect()
    }

    /// Takes out of the list what a reload or a restart has taken away.
    pub(super) fn tidy(&self, owned: &Owned) -> Result<()> {
        if self.outdated {
            owned.write(&self.list())?;
        }
        Ok(())
    }

    /// What is no longer there as soon as these edits are made; of the service of ours, its ports.
    pub(super) fn closes(&self, edits: &[Edit]) -> Vec<Record> {
        let mut closed: Vec<Record> = Vec::new();
        for edit in edits.iter().filter(|edit| !edit.adds()) {
            match (edit, &self.loaded) {
                (Edit::RemoveService { zone, service }, Some(loaded)) if service == SERVICE => {
                    let ports = loaded.content.ports.ranges().iter();
                    closed.extend(ports.map(|ports| Record {
                        zone: zone.clone(),
                        what: What::Ports(*ports),
                    }));
                }
                _ => closed.extend(edit.record()),
            }
        }
        closed
    }
}

/// Why something of ours is left where it is.
fn doubt(record: &Record, why: &str) -> Refusal {
    Refusal {
        code: "firewalld-unknown",
        message: format!(
            "it cannot be told whether `{record}`, which pasvsync had added, has been saved since, so it stays: {why}"
        ),
        hint: Some("mend the permanent configuration: firewall-cmd --check-config".to_owned()),
        ports: PortSet::EMPTY,
    }
}

/// The TCP ports that a zone of the running firewalld has by name, one by one as they were added.
fn ports(bus: &Bus, zone: &str) -> Result<Vec<PortRange>> {
    let ports = bus.ports(zone)?;
    Ok(ports
        .iter()
        .filter_map(|port| match port.as_slice() {
            [ports, kind] if kind == "tcp" => range(ports),
            _ => None,
        })
        .collect())
}
