//! Control groups of a machine's own: two systemds in one group would take each other's services for theirs.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where the hierarchies that systemd uses may be mounted: version 1 and "hybrid" have the first two, version 2 the last.
const MOUNTS: [&str; 3] = [
    "/sys/fs/cgroup/systemd",
    "/sys/fs/cgroup/unified",
    "/sys/fs/cgroup",
];

/// The groups, removed when the value goes away.
#[derive(Debug)]
pub(super) struct Cgroups(Vec<PathBuf>);

impl Cgroups {
    /// Groups of this name at the top of each hierarchy; `Err` where the user or the container may not make any.
    pub(super) fn new(name: &str) -> Result<Self, String> {
        let mut groups = Self(Vec::new());
        for mount in MOUNTS.map(Path::new) {
            if !mount.join("cgroup.procs").exists() {
                continue;
            }
            let group = mount.join(name);
            fs_err::create_dir(&group).map_err(|error| error.to_string())?;
            groups.0.push(group);
        }
        if groups.0.is_empty() {
            return Err("no control groups are mounted".to_owned());
        }
        Ok(groups)
    }

    /// The files that take a process id, to put it into the groups.
    pub(super) fn doors(&self) -> Vec<String> {
        let door = |group: &PathBuf| group.join("cgroup.procs").display().to_string();
        self.0.iter().map(door).collect()
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        let end = Instant::now() + Duration::from_secs(5);
        for group in &self.0 {
            // The last processes may still be on their way out.
            while group.exists() && Instant::now() < end {
                remove(group);
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Removes a group and those below it, as far as they are empty.
fn remove(group: &Path) {
    let below = fs_err::read_dir(group).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove(&entry.path());
    }
    let _ = fs_err::remove_dir(group);
}
