//! What is permanent: firewalld gives every zone and every service an object with a number, and with every reload a new
//! one. What is said to a number may so be heard by another than was meant.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;
use zbus::{DynamicType, OwnedObjectPath, OwnedVariant, Variant};

use super::bus::{
    Answer, Bus, CONFIG, CONFIG_OBJECT, Exception, PROPERTIES, Settings, strange, strings,
};
use crate::error::{Error, ErrorKind, Result};

/// One kind of object, and how firewalld's interface names it.
#[derive(Debug, PartialEq, Eq)]
struct Kind {
    interface: &'static str,
    /// Lists the names.
    names: &'static str,
    /// Gives the object of a name.
    by_name: &'static str,
    /// Gives its settings.
    settings: &'static str,
    /// Changes them.
    update: &'static str,
    /// What is said when there is none of that name.
    unknown: &'static str,
}

const SERVICE: Kind = Kind {
    interface: "org.fedoraproject.FirewallD1.config.service",
    names: "getServiceNames",
    by_name: "getServiceByName",
    settings: "getSettings2",
    update: "update2",
    unknown: "INVALID_SERVICE",
};
const ADD_SERVICE: &str = "addService2";

const ZONE: Kind = Kind {
    interface: "org.fedoraproject.FirewallD1.config.zone",
    names: "getZoneNames",
    by_name: "getZoneByName",
    settings: "getSettings2",
    update: "update2",
    unknown: "INVALID_ZONE",
};
const POLICY: Kind = Kind {
    interface: "org.fedoraproject.FirewallD1.config.policy",
    names: "getPolicyNames",
    by_name: "getPolicyByName",
    settings: "getSettings",
    update: "update",
    unknown: "INVALID_POLICY",
};

/// The settings that are changed here, with what is left out where nothing is set.
fn changed_here(kind: &Kind) -> Vec<(&'static str, Variant<'static>)> {
    if *kind == ZONE {
        return vec![("services", Variant::from(Vec::<String>::new()))];
    }
    vec![
        ("short", Variant::from("")),
        ("description", Variant::from("")),
        ("ports", Variant::from(Vec::<(String, String)>::new())),
        ("includes", Variant::from(Vec::<String>::new())),
    ]
}

/// Whoever gets an object's number with the next reload, and is to stay as it is.
struct Heir {
    name: String,
    settings: Settings,
    /// Whether firewalld brings it, and no file of the admin's says otherwise.
    builtin: bool,
    /// The zones and policies that have the service, and all services of each: firewalld takes a service that it removes
    /// out of them.
    users: Vec<(&'static Kind, String, Vec<String>)>,
}

impl Bus {
    /// What firewalld takes the permanent service to be; `None` when there is none of that name.
    pub(super) fn permanent_service_settings(&self, name: &str) -> Result<Option<Settings>> {
        self.settings(&SERVICE, name)
    }

    /// What firewalld takes the permanent zone to be; `None` when there is none of that name.
    pub(super) fn permanent_zone_settings(&self, name: &str) -> Result<Option<Settings>> {
        self.settings(&ZONE, name)
    }

    /// Makes a permanent service.
    pub(super) fn new_permanent_service(
        &self,
        name: &str,
        settings: &HashMap<&str, Variant<'_>>,
    ) -> Answer<()> {
        let answer: std::result::Result<OwnedObjectPath, Exception> =
            self.ask(CONFIG_OBJECT, CONFIG, ADD_SERVICE, &(name, settings))?;
        Ok(answer.map(|_| ()))
    }

    /// Changes the settings that are given; the others stay.
    pub(super) fn update_permanent_service(
        &self,
        name: &str,
        settings: &HashMap<&str, Variant<'_>>,
    ) -> Answer<()> {
        self.change(&SERVICE, name, SERVICE.update, settings)
    }

    /// Removes a permanent service.
    pub(super) fn remove_permanent_service(&self, name: &str) -> Answer<()> {
        self.change(&SERVICE, name, "remove", &())
    }

    /// Adds a service to a permanent zone, or takes it out of it.
    pub(super) fn change_permanent_zone(
        &self,
        zone: &str,
        service: &str,
        present: bool,
    ) -> Answer<()> {
        let method = if present {
            "addService"
        } else {
            "removeService"
        };
        self.change(&ZONE, zone, method, &service)
    }

    fn settings(&self, kind: &Kind, name: &str) -> Result<Option<Settings>> {
        match self.object(kind, name)? {
            Ok(path) => self
                .get(path.as_str(), kind.interface, kind.settings, &())
                .map(Some),
            Err(exception) if exception.is(kind.unknown) => Ok(None),
            Err(exception) => Err(exception.into()),
        }
    }

    fn names(&self, kind: &Kind) -> Result<Vec<String>> {
        self.get(CONFIG_OBJECT, CONFIG, kind.names, &())
    }

    fn object(&self, kind: &Kind, name: &str) -> Answer<OwnedObjectPath> {
        self.ask(CONFIG_OBJECT, CONFIG, kind.by_name, &name)
    }

    /// Has the object of that name do something. There is no saying "if that is still your name": who came in between
    /// is put back as it was.
    ///
    /// # Errors
    /// `Changed` when firewalld was reloaded meanwhile, so that it was not done.
    fn change<B>(&self, kind: &Kind, name: &str, method: &str, body: &B) -> Answer<()>
    where
        B: Serialize + DynamicType + fmt::Debug,
    {
        let path = match self.object(kind, name)? {
            Ok(path) => path,
            Err(exception) => return Ok(Err(exception)),
        };
        let heir = self.heir(kind, name, &path)?;
        let answer = self.ask(path.as_str(), kind.interface, method, body);
        let moved = matches!(self.object(kind, name)?, Ok(now) if now != path);
        if !moved {
            return answer;
        }
        let was_hit = match &heir {
            Some(heir) => self.put_back(kind, heir)?,
            None => false,
        };
        if !was_hit && matches!(answer, Ok(Ok(()))) {
            return answer;
        }
        let message = format!("firewalld was reloaded while `{name}` was changed");
        Err(Error::new(ErrorKind::Changed, message))
    }

    /// Who would be at that object's place after a reload: it numbers them in the order of their names. `None` when that
    /// is the same one, or nobody.
    fn heir(&self, kind: &Kind, name: &str, path: &OwnedObjectPath) -> Result<Option<Heir>> {
        let number = path.as_str().rsplit('/').next();
        let Some(number) = number.and_then(|number| number.parse::<usize>().ok()) else {
            return Ok(None);
        };
        let mut names = self.names(kind)?;
        names.sort();
        let Some(heir) = names.into_iter().nth(number).filter(|heir| heir != name) else {
            return Ok(None);
        };
        let path = self.object(kind, &heir)??;
        let property = (kind.interface, "builtin");
        let builtin: OwnedVariant = self.get(path.as_str(), PROPERTIES, "Get", &property)?;
        let builtin = bool::try_from(builtin).map_err(|error| strange("builtin", &error))?;
        let removable = *kind == SERVICE && !builtin;
        Ok(Some(Heir {
            settings: self.get(path.as_str(), kind.interface, kind.settings, &())?,
            builtin,
            users: if removable {
                self.users(&heir)?
            } else {
                Vec::new()
            },
            name: heir,
        }))
    }

    /// The zones and policies that have the service, with all of their services.
    fn users(&self, service: &str) -> Result<Vec<(&'static Kind, String, Vec<String>)>> {
        let mut users = Vec::new();
        for kind in [&ZONE, &POLICY] {
            for name in self.names(kind)? {
                let settings = self.settings(kind, &name)?.unwrap_or_default();
                let services = strings(&settings, "services");
                if services.iter().any(|known| known == service) {
                    users.push((kind, name, services));
                }
            }
        }
        Ok(users)
    }

    /// Adds a service that is gone, and says whether it was. Where a policy had the service, firewalld (1.3.3) removes the
    /// file and lists the object as before: only that it can be added tells that it is gone.
    fn add_again(&self, heir: &Heir) -> Result<bool> {
        let body = (heir.name.as_str(), &heir.settings);
        let answer: std::result::Result<OwnedObjectPath, Exception> =
            self.ask(CONFIG_OBJECT, CONFIG, ADD_SERVICE, &body)?;
        match answer {
            Ok(_) => {}
            Err(exception) if exception.is("NAME_CONFLICT") => return Ok(false),
            Err(exception) => return Err(exception.into()),
        }
        for (kind, name, services) in &heir.users {
            let services = HashMap::from([("services", Variant::from(services.clone()))]);
            let path = self.object(kind, name)??;
            let () = self.get(path.as_str(), kind.interface, kind.update, &services)?;
        }
        Ok(true)
    }

    /// Makes it what it was, and says whether it was not.
    fn put_back(&self, kind: &Kind, heir: &Heir) -> Result<bool> {
        if *kind == SERVICE && !heir.builtin && self.add_again(heir)? {
            return Ok(true);
        }
        let now = self.settings(kind, &heir.name)?.unwrap_or_default();
        let was_changed = |key: &str| now.get(key) != heir.settings.get(key);
        let unset = changed_here(kind);
        if !unset.iter().any(|(key, _)| was_changed(key)) {
            return Ok(false);
        }
        let before: HashMap<&str, Variant<'_>> = unset
            .into_iter()
            .map(|(key, unset)| match heir.settings.get(key) {
                Some(value) => (key, Variant::clone(value)),
                None => (key, unset),
            })
            .collect();
        let path = self.object(kind, &heir.name)??;
        let () = self.get(path.as_str(), kind.interface, kind.update, &before)?;
        if heir.builtin {
            let () = self.get(path.as_str(), kind.interface, "loadDefaults", &())?;
        }
        Ok(true)
    }
}
