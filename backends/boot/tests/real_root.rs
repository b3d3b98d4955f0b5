//! The root itself: files under their own names, covered in a mount namespace of the test's.

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};

use super::*;

const MAIN: &str = "flush ruleset
include \"./pasvsync-test.d/*.nft\"
include \"pasvsync-test.d/*.nft\"
include \"/etc/pasvsync-test.d/absolute/*.nft\"
";

const TABLE: &str = "define ports = { 22, 80 }
table inet f {
\tchain c {
\t\ttype filter hook input priority 0; policy drop;
\t\tct state established,related accept
\t\ttcp dport $ports accept
\t}
}
";

/// Covers `/etc` and `/run`, for this thread and its children alone.
fn cover(system: &System) -> bool {
    if unshare(CloneFlags::CLONE_NEWNS).is_err() {
        return false;
    }
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .unwrap();
    let layers = system.path("layers");
    fs_err::create_dir(&layers).unwrap();
    let size = std::ffi::CString::new("mode=755").unwrap();
    mount("tmpfs", &layers, "tmpfs", MountFlags::empty(), &*size).unwrap();
    for folder in ["upper", "work"] {
        fs_err::create_dir(layers.join(folder)).unwrap();
    }
    let options = format!(
        "lowerdir={}:/etc,upperdir={layers}/upper,workdir={layers}/work",
        system.path("etc").display(),
        layers = layers.display()
    );
    let options = std::ffi::CString::new(options).unwrap();
    if mount("overlay", "/etc", "overlay", MountFlags::empty(), &*options).is_err() {
        return false;
    }
    // What the machine of the test itself loads at boot, firewalld perhaps, is not to matter.
    for entry in fs_err::read_dir("/etc/systemd/system").unwrap() {
        let path = entry.unwrap().path();
        if path.extension() == Some("wants".as_ref()) {
            for link in fs_err::read_dir(&path).into_iter().flatten() {
                let link = link.unwrap().path();
                if !system.path(&link.to_str().unwrap()[1..]).is_symlink() {
                    fs_err::remove_file(link).unwrap();
                }
            }
        }
    }
    fs_err::create_dir_all(system.path("run/systemd/system")).unwrap();
    mount_bind(system.path("run"), "/run").unwrap();
    true
}

#[test]
fn includes_by_absolute_names_see_the_candidate() {
    let thread = std::thread::spawn(|| {
        let system = System::new();
        system
            .enable("nftables")
            .file("etc/nftables.conf", MAIN)
            .file("etc/pasvsync-test.d/absolute/table.nft", TABLE);
        if !cover(&system) {
            return crate::netfilter::tests::skip(
                "no mount namespace with an overlay; run as root",
            );
        }
        let mut layer = BootLayer::open(Path::new("/"), true);
        if !layer.in_charge() || !layer.boot().loads() {
            return crate::netfilter::tests::skip("not in the first process's network namespace");
        }
        let ruleset = layer.ruleset().unwrap();
        let plan = layer.plan(&ruleset, &desired("50000")).unwrap();
        assert_eq!(
            plan.edits
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            [
                "/etc/pasvsync-test.d/absolute/table.nft:7: + tcp dport 50000 accept comment \"pasvsync\""
            ]
        );
        let undo = layer.apply(&ruleset, &plan.edits).unwrap();
        let after = layer.ruleset().unwrap();
        assert!(proof::trace(&after, Family::Ipv6, &ports("50000")).all_open());
        let file = Path::new("/etc/pasvsync-test.d/absolute/table.nft");
        assert!(fs_err::read_to_string(file).unwrap().contains("50000"));
        layer.apply(&after, &undo).unwrap();
        assert_eq!(fs_err::read_to_string(file).unwrap(), TABLE);
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}
