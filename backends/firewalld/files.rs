//! An image whose boot firewalld is in charge of: its files alone, edited as firewalld would write them.
//!
//! What is wanted is planned as for a running firewalld; here it becomes a service file and a line in zones' files. A zone
//! of the package's gets a copy in etc, which goes again when nothing but the copy is left.

pub(super) mod zone;

use std::fmt;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use self::zone::Edited;
use super::config::{Binding, Configuration, Zone};
use super::permanent::Permanent;
use super::zones::Choice;
use super::{Content, DESCRIPTION, Edit, SERVICE, memory};
use crate::backend::{Backend, Desired, Layer, Plan, Proof, Scope};
use crate::boot::BootLayer;
use crate::error::{Error, ErrorKind, Result};
use crate::host::create::create;
use crate::host::file::Snapshot;
use crate::model::ruleset::{Interface, Ruleset};

/// The folder of the admin's services.
const SERVICES: &str = "/etc/firewalld/services";
/// The package's zones.
const STOCK_ZONES: &str = "/usr/lib/firewalld/zones";
/// As firewalld makes its files and its folders.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o750;
/// As many bytes has the name of an interface (`IFNAMSIZ`, without the NUL).
const LONGEST_NAME: usize = 15;

/// The number of the first stand-in for an interface: no other system's rules ask for one like that.
const FIRST_INDEX: u32 = 1 << 30;

/// The permanent configuration of the system under a root.
#[derive(Debug)]
pub struct Files {
    root: PathBuf,
    choice: Choice,
    /// What else boot loads.
    boot: BootLayer,
    permanent: Option<Permanent>,
}

/// One file, made, changed or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEdit {
    /// As the booted system sees it.
    path: PathBuf,
    /// Where it is now.
    shown: PathBuf,
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
    /// What differs, behind the path.
    words: String,
}

impl fmt::Display for FileEdit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.shown.display(), self.words)
    }
}

impl FileEdit {
    fn undo(&self) -> Self {
        Self {
            before: self.after.clone(),
            after: self.before.clone(),
            words: ": as before".to_owned(),
            ..self.clone()
        }
    }
}

impl Files {
    /// The files under `root`, none of which is read yet, and what boot loads there beside firewalld.
    pub fn open(root: &Path, choice: Choice, boot: BootLayer) -> Self {
        Self {
            root: std::path::absolute(root).unwrap_or_else(|_| root.to_owned()),
            choice,
            boot,
            permanent: None,
        }
    }

    /// Whether the files hold a service of the name of ours.
    pub fn have_ours(root: &Path) -> bool {
        let path = Path::new(SERVICES).join(format!("{SERVICE}.xml"));
        let path = root.join(path.strip_prefix("/").unwrap_or(&path));
        path.symlink_metadata().is_ok()
    }

    fn read(&self) -> Result<Permanent> {
        let mut configuration = Configuration::read(&self.root)?;
        let zones = &configuration.zones;
        if let Some(zone) = self
            .choice
            .zones
            .iter()
            .find(|zone| !zones.contains_key(*zone))
        {
            let known: Vec<&str> = zones.keys().map(String::as_str).collect();
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("firewalld has no zone `{zone}`"),
            )
            .with_hint(format!("its zones are {}", known.join(", "))));
        }
        // A zone that was chosen and has nothing yet will get an interface once the system runs.
        let bound = configuration.active_zones();
        let bound: Vec<String> = bound.iter().map(|zone| zone.name.clone()).collect();
        for zone in self
            .choice
            .zones
            .iter()
            .filter(|zone| !bound.contains(zone))
        {
            configuration.bindings.push(Binding {
                path: PathBuf::from("--zone"),
                zone: zone.clone(),
                interface: Some(format!("in-{zone}").chars().take(LONGEST_NAME).collect()),
            });
        }
        configuration.doubt(self.boot.network_manager(), |_, _| false);
        let interfaces = stand_ins(&configuration);
        Ok(Permanent::of(configuration, interfaces, &self.choice))
    }

    fn last(&self) -> Result<&Permanent> {
        self.permanent.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::Protocol,
                "the files were not read before they were judged",
            )
        })
    }

    /// The files that a change of the configuration is made of.
    fn files(&self, configuration: &Configuration, edit: &Edit) -> Result<FileEdit> {
        match edit {
            Edit::NewService { content } | Edit::ChangeService { to: content, .. } => {
                let mut words: Vec<String> = content.includes.clone();
                let ranges = content.ports.ranges().iter();
                words.extend(ranges.map(|range| format!("{range}/tcp")));
                let words = format!(": {}", words.join(", "));
                self.service_file(Some(service(content)), &words)
            }
            Edit::DeleteService { .. } => self.service_file(None, ": removed"),
            Edit::AddToZone { zone } => self.zone_file(configuration, zone, true),
            Edit::TakeFromZone { zone } => self.zone_file(configuration, zone, false),
            Edit::AddPort { .. }
            | Edit::RemovePort { .. }
            | Edit::AddService { .. }
            | Edit::RemoveService { .. } => Err(Error::new(
                ErrorKind::Protocol,
                format!("`{edit}` is no change of a file"),
            )),
        }
    }

    fn service_file(&self, after: Option<String>, words: &str) -> Result<FileEdit> {
        let path = Path::new(SERVICES).join(format!("{SERVICE}.xml"));
        Ok(FileEdit {
            before: self.text(&path)?,
            after: after.map(String::into_bytes),
            shown: self.at(&path),
            words: words.to_owned(),
            path,
        })
    }

    fn zone_file(&self, configuration: &Configuration, name: &str, add: bool) -> Result<FileEdit> {
        let combined = configuration.zones.get(name).filter(|zone| zone.combined);
        if let Some(Zone { path, .. }) = combined {
            let message = format!(
                "zone {name} is made of several files in `{}`",
                path.display()
            );
            return Err(Error::new(ErrorKind::NotOurs, message).with_hint(format!(
                "put {} into one of them, or choose other zones with --zone",
                zone::element()
            )));
        }
        let path = Configuration::zone_file(name);
        let shown = self.at(&path);
        let stock = self.text(&Path::new(STOCK_ZONES).join(format!("{name}.xml")))?;
        let before = self.text(&path)?;
        let text = before.as_ref().or(stock.as_ref()).ok_or_else(|| {
            Error::new(
                ErrorKind::Io,
                format!("zone {name} has no file `{}`", shown.display()),
            )
        })?;
        let Edited { bytes, line } = if add {
            zone::with_service(&shown, text)?
        } else {
            zone::without_service(&shown, text)?
        };
        let link = std::fs::symlink_metadata(&shown).is_ok_and(|metadata| metadata.is_symlink());
        let only_a_copy = !add && !link && stock.as_ref() == Some(&bytes);
        let copied = match (&before, only_a_copy) {
            (None, _) => format!(" (copied from {STOCK_ZONES})"),
            (_, true) => format!(" (removed: the same is in {STOCK_ZONES})"),
            _ => String::new(),
        };
        let sign = if add { '+' } else { '-' };
        Ok(FileEdit {
            words: format!(":{line}: {sign} {}{copied}", zone::element()),
            after: (!only_a_copy).then_some(bytes),
            before,
            shown,
            path,
        })
    }

    fn at(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// What is in a file that only root can change; `None` when there is none.
    fn text(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        if std::fs::symlink_metadata(self.at(path)).is_err() {
            return Ok(None);
        }
        Ok(Some(Snapshot::read(&self.root, path)?.bytes().to_vec()))
    }

    fn write(&self, edit: &FileEdit) -> Result<()> {
        let changed = || {
            let message = format!(
                "`{}` changed since the edit was planned",
                edit.shown.display()
            );
            Error::new(ErrorKind::Changed, message)
        };
        let Some(before) = &edit.before else {
            let Some(after) = &edit.after else {
                return Ok(());
            };
            self.make_folder(edit.path.parent().unwrap_or(Path::new("/")))?;
            return create(&self.root, &edit.path, after, FILE_MODE).map(drop);
        };
        let snapshot = Snapshot::read(&self.root, &edit.path)?;
        if snapshot.bytes() != before {
            return Err(changed());
        }
        // A zone of the admin's may be a link to the package's.
        if snapshot.path().starts_with(self.at(Path::new("/usr/lib"))) {
            let (shown, target) = (edit.shown.display(), snapshot.path().display());
            let message = format!("`{shown}` is a link to the package's file `{target}`");
            return Err(Error::new(ErrorKind::NotOurs, message).with_hint(format!(
                "make it a file of its own: cp --remove-destination {target} {shown}"
            )));
        }
        match &edit.after {
            Some(after) => snapshot.replace(after),
            None => remove(snapshot.path()),
        }
    }

    fn make_folder(&self, folder: &Path) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let real = self.at(folder);
        if real.is_dir() {
            return Ok(());
        }
        let made = std::fs::DirBuilder::new().mode(FOLDER_MODE).create(&real);
        made.map_err(|source| {
            let message = format!("cannot make the folder `{}`", real.display());
            Error::new(ErrorKind::Io, message).with_source(source)
        })
    }
}

impl Backend for Files {
    type Edit = FileEdit;

    fn name(&self) -> &'static str {
        "firewalld"
    }

    fn layers(&self) -> Vec<Layer> {
        vec![Layer::Permanent]
    }

    fn ruleset(&mut self, _layer: Layer, _scope: Scope) -> Result<Ruleset> {
        let mut permanent = self.read()?.beside(self.boot.beside("firewalld")?);
        let ruleset = permanent.ruleset();
        self.permanent = Some(permanent);
        Ok(ruleset)
    }

    fn remember(&self, _layer: Layer, desired: &Desired, _proof: &Proof) {
        if desired.ports.is_empty() {
            memory::forget(&self.root);
        }
    }

    fn settled(&self, _layer: Layer, ruleset: &Ruleset, desired: &Desired) -> bool {
        let permanent = self.permanent.as_ref();
        permanent.is_some_and(|permanent| permanent.settled(ruleset, desired))
    }

    fn plan(&self, _layer: Layer, _ruleset: &Ruleset, desired: &Desired) -> Result<Plan<FileEdit>> {
        let permanent = self.last()?;
        let plan = permanent.plan(desired);
        // A service must be there before a zone names it, and until no zone does.
        let mut edits = plan.edits;
        edits.sort_by_key(|edit| matches!(edit, Edit::DeleteService { .. }));
        let edits = edits
            .iter()
            .map(|edit| self.files(permanent.configuration(), edit));
        Ok(Plan {
            edits: edits.collect::<Result<_>>()?,
            refusals: plan.refusals,
        })
    }

    fn apply(&mut self, _: Layer, _: &Ruleset, edits: &[FileEdit]) -> Result<Vec<FileEdit>> {
        let mut undo: Vec<FileEdit> = Vec::new();
        for edit in edits {
            if let Err(error) = self.write(edit) {
                for back in &undo {
                    self.write(back)?;
                }
                return Err(error);
            }
            undo.insert(0, edit.undo());
        }
        Ok(undo)
    }
}

/// The service's file, as firewalld writes it.
fn service(content: &Content) -> String {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<service>\n  <short>Passive ports</short>\n  <description>{DESCRIPTION}; do not edit.</description>\n"
    );
    for range in content.ports.ranges() {
        let _ = writeln!(text, "  <port port=\"{range}\" protocol=\"tcp\"/>");
    }
    for include in &content.includes {
        let _ = writeln!(text, "  <include service=\"{include}\"/>");
    }
    text + "</service>\n"
}

/// The interfaces of a system that does not run: those that its files name, and one that they do not.
fn stand_ins(configuration: &Configuration) -> Vec<Interface> {
    let zones = configuration
        .zones
        .values()
        .flat_map(|zone| &zone.interfaces);
    let bindings = configuration.bindings.iter();
    let names = zones
        .map(|interface| interface.name.replace('+', "0"))
        .chain(bindings.filter_map(|binding| binding.interface.clone()));
    let mut all: Vec<String> = Vec::new();
    for name in names.chain(["any-other".to_owned()]) {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    let interfaces = all
        .into_iter()
        .zip(FIRST_INDEX..)
        .map(|(name, index)| Interface {
            name,
            index,
            hardware_type: 1,
            up: true,
            ..Interface::default()
        });
    interfaces.collect()
}

/// Removes a file so that it is gone after a power cut too.
fn remove(path: &Path) -> Result<()> {
    let gone = || -> std::io::Result<()> {
        std::fs::remove_file(path)?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        std::fs::File::open(folder)?.sync_all()
    };
    gone().map_err(|source| {
        let message = format!("cannot remove `{}`", path.display());
        Error::new(ErrorKind::Io, message).with_source(source)
    })
}
