//! What an installed proftpd has compiled in, read from the program's file: it is never run.

use std::collections::BTreeSet;
use std::io::{Read, Seek};
use std::path::Path;

use elf::endian::AnyEndian;
use elf::{ElfStream, abi};

use super::modules;
use crate::daemons::disk::Disk;

/// An installed program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// The modules that are compiled in, as `proftpd -l` names them.
    pub(super) modules: BTreeSet<String>,
    /// Its version, as `proftpd -v` names it: `1.3.8b`.
    pub(super) version: String,
}

/// In front of the version (RUN `strings`, SRC `show_version` of src/main.c).
const VERSION: &[u8] = b"ProFTPD Version ";
/// Every program has this module (SRC `modules/mod_core.c`).
const CORE: &str = "core";

impl Program {
    /// What the program of that path tells; `None` when there is none, or it does not tell: a script, or a build
    /// without symbols, which only one that cannot load modules can be.
    pub(super) fn read(disk: &Disk, path: &Path) -> Option<Self> {
        Self::of(disk.file(path)?)
    }

    fn of(file: impl Read + Seek) -> Option<Self> {
        let mut file = ElfStream::open_stream(file).ok()?;
        Some(Self {
            modules: compiled_in(&mut file)?,
            version: version(&mut file)?,
        })
    }

    /// Whether the tables in [`modules`] hold for it.
    pub(super) fn is_known(&self) -> bool {
        let rest = self.version.strip_prefix(modules::VERSION);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    }
}

/// A program's file: any bytes.
#[doc(hidden)]
pub fn fuzz_program(bytes: &[u8]) {
    if let Some(program) = Program::of(std::io::Cursor::new(bytes)) {
        program.is_known();
        assert!(program.modules.contains("mod_core.c"), "{program:?}");
    }
}

/// SRC include/modules.h: a module is a global `module NAME_module`, which the program exports to the modules that it
/// loads; RUN: the list is that of `proftpd -l`. Other things of that name have another size (`curr_module` points to a
/// module) or are functions.
fn compiled_in<S: Read + Seek>(file: &mut ElfStream<AnyEndian, S>) -> Option<BTreeSet<String>> {
    let (symbols, names) = file.dynamic_symbol_table().ok()??;
    let defined = symbols
        .iter()
        .filter(|symbol| symbol.st_symtype() == abi::STT_OBJECT && !symbol.is_undefined());
    let named: Vec<(&str, u64)> = defined
        .filter_map(|symbol| {
            let name = names.get(symbol.st_name as usize).ok()?;
            Some((name.strip_suffix("_module")?, symbol.st_size))
        })
        .collect();
    let (_, size) = *named.iter().find(|(name, _)| *name == CORE)?;
    let modules = named.iter().filter(|(_, other)| *other == size);
    Some(modules.map(|(name, _)| format!("mod_{name}.c")).collect())
}

fn version<S: Read + Seek>(file: &mut ElfStream<AnyEndian, S>) -> Option<String> {
    let header = *file.section_header_by_name(".rodata").ok()??;
    let (bytes, _) = file.section_data(&header).ok()?;
    let mut texts = bytes.split(|&byte| byte == 0);
    let found = texts.find_map(|text| text.strip_prefix(VERSION))?;
    String::from_utf8(found.to_vec()).ok()
}
