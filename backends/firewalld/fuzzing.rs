//! firewalld's files and our notes about them, from any bytes.

use std::path::Path;

use super::config::Configuration;
use super::files::zone::{with_service, without_service};
use super::records::Record;
use crate::fuzzing::{ethernet, judge};

/// The files that are read, one of each kind.
const PATHS: [&str; 12] = [
    "etc/firewalld/zones/public.xml",
    "etc/firewalld/zones/public/part.xml",
    "etc/firewalld/policies/any.xml",
    "etc/firewalld/services/ftp.xml",
    "etc/firewalld/ipsets/hosts.xml",
    "etc/firewalld/icmptypes/ping.xml",
    "etc/firewalld/helpers/ftp.xml",
    "etc/firewalld/direct.xml",
    "etc/firewalld/firewalld.conf",
    "etc/services",
    "etc/NetworkManager/system-connections/wired.nmconnection",
    "etc/sysconfig/network-scripts/ifcfg-eth0",
];

thread_local! {
    static ROOT: Option<tempfile::TempDir> = root().ok();
}

/// A host with the zones that firewalld cannot do without, and one that uses a service and an ipset.
fn root() -> std::io::Result<tempfile::TempDir> {
    let root = tempfile::tempdir()?;
    let file = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap_or(root.path()))?;
        fs_err::write(path, text)
    };
    for zone in ["block", "drop", "trusted", "public"] {
        file(&format!("usr/lib/firewalld/zones/{zone}.xml"), "<zone/>")?;
    }
    let zone = r#"<zone><service name="ftp"/><source ipset="hosts"/></zone>"#;
    file("etc/firewalld/zones/work.xml", zone)?;
    file("usr/lib/firewalld/services/ftp.xml", "<service/>")?;
    let set = r#"<ipset type="hash:ip"/>"#;
    file("usr/lib/firewalld/ipsets/hosts.xml", set)?;
    for path in PATHS {
        file(path, "")?;
        fs_err::remove_file(root.path().join(path))?;
    }
    fs_err::remove_dir(root.path().join("etc/firewalld/zones/public"))?;
    Ok(root)
}

/// Files of firewalld, the first byte says which: an edit of a zone is taken back without a trace, and the ruleset that
/// comes of it can be judged.
pub fn firewalld(bytes: &[u8]) {
    let Some((choice, bytes)) = bytes.split_first() else {
        return;
    };
    let choice = usize::from(*choice);
    let name = PATHS[choice % PATHS.len()];
    if name.contains("zones") {
        edit(bytes);
    }
    ROOT.with(|root| {
        let root = root
            .as_ref()
            .map_or(Path::new("/nonexistent"), |root| root.path());
        let path = root.join(name);
        let folder = path.parent().unwrap_or(root);
        let made = std::fs::create_dir(folder).is_ok();
        let written = std::fs::write(&path, bytes);
        assert!(written.is_ok(), "{written:?}");
        if let Ok(configuration) = Configuration::read(root) {
            judge(&configuration.ruleset(&[ethernet()]), choice);
        }
        // The next input finds the host as it was.
        let _ = std::fs::remove_file(&path);
        if made {
            let _ = std::fs::remove_dir(folder);
        }
    });
}

fn edit(bytes: &[u8]) {
    let path = Path::new("public.xml");
    let Ok(edited) = with_service(path, bytes) else {
        return;
    };
    let back = without_service(path, &edited.bytes);
    let Ok(back) = back else {
        panic!("{back:?}: {}", String::from_utf8_lossy(&edited.bytes));
    };
    // Where one stands already, it is that one that goes.
    if without_service(path, bytes).is_err() {
        assert_eq!(back.bytes, bytes);
        assert_eq!(back.line, edited.line);
    }
}

/// A line of the list of what is ours.
pub(crate) fn record(line: &str) {
    if let Some(record) = Record::parse(line) {
        assert_eq!(Record::parse(&record.to_string()), Some(record));
    }
}
