//! Debian's packages, unpacked below target/ and never installed: the real FTP daemons, which conflict with each other, and
//! whatever else would start a service on the host.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

/// Pulled in one by one, since no two daemons can be installed at once.
const PACKAGES: &[&[&str]] = &[
    &["proftpd-core", "proftpd-mod-crypto"],
    &["vsftpd"],
    &["pure-ftpd", "pure-ftpd-common"],
];

/// The folder with the FTP daemons' files, and the libraries that this host lacks; or why there is none.
pub(crate) fn unpacked() -> Result<PathBuf, String> {
    unpack("daemons", PACKAGES)
}

/// The same of fail2ban: installing it would start it.
pub(crate) fn fail2ban() -> Result<PathBuf, String> {
    unpack("fail2ban", &[&["fail2ban"]])
}

/// The same for other packages, in a folder of this name; those of one list need not get on with those of the others.
pub(crate) fn unpack(name: &str, packages: &[&[&str]]) -> Result<PathBuf, String> {
    // Tests run side by side; a program must not be written while another test runs it.
    static ONCE: Mutex<()> = Mutex::new(());
    let _one_at_a_time = ONCE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (root, complete) = (folder.join("root"), folder.join("complete"));
    if complete.exists() {
        return Ok(root);
    }
    let archives = folder.join("archives");
    fs_err::create_dir_all(&archives).map_err(|error| error.to_string())?;
    if download(&archives, packages).is_err() {
        // The package lists are old, or there are none.
        let _ = succeed(Command::new("apt-get").args(["-q", "update"]));
        download(&archives, packages)?;
    }
    for entry in fs_err::read_dir(&archives).map_err(|error| error.to_string())? {
        let archive = entry.map_err(|error| error.to_string())?.path();
        succeed(Command::new("dpkg-deb").arg("-x").arg(archive).arg(&root))?;
    }
    fs_err::write(complete, "").map_err(|error| error.to_string())?;
    Ok(root)
}

fn download(archives: &Path, lists: &[&[&str]]) -> Result<(), String> {
    let mut packages = BTreeSet::new();
    for wanted in lists {
        packages.extend(wanted.iter().map(|name| (*name).to_owned()));
        let simulated = succeed(
            Command::new("apt-get")
                .args(["-s", "--no-install-recommends", "install"])
                .args(*wanted),
        )?;
        let simulated = String::from_utf8_lossy(&simulated.stdout).into_owned();
        let new = simulated
            .lines()
            .filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
        packages.extend(new.map(ToOwned::to_owned));
    }
    succeed(
        Command::new("apt-get")
            .arg("download")
            .args(packages)
            .current_dir(archives),
    )
    .map(drop)
}

fn succeed(command: &mut Command) -> Result<Output, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        Ok(output)
    } else {
        let words = String::from_utf8_lossy(&output.stderr);
        Err(format!("{command:?}: {words}"))
    }
}
