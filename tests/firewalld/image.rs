//! An image with firewalld: only its files are there. Debian's own tools read what was written.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::command::run;
use crate::support::program::{PROGRAM, Run};
use crate::support::ready;

const ZONE: &str = "etc/firewalld/zones/public.xml";
const SERVICE: &str = "etc/firewalld/services/pasvsync.xml";

/// A system in a folder: firewalld as its package brings it, and a `ProFTPD` that wants 50000-50009.
struct Image {
    root: tempfile::TempDir,
}

/// Every file and folder, with its content, mode, inode and time of change.
type Tree = BTreeMap<PathBuf, (Vec<u8>, u32, u64, i64)>;

impl Image {
    fn new() -> Option<Self> {
        if !ready(&["firewalld", "firewall-offline-cmd"]) {
            return None;
        }
        let image = Self {
            root: tempfile::tempdir().expect("a folder"),
        };
        for folder in ["usr/lib", "etc/systemd/system/multi-user.target.wants"] {
            fs_err::create_dir_all(image.path(folder)).expect("a folder");
        }
        let mut copy = Command::new("cp");
        let copy = copy
            .args(["-r", "/usr/lib/firewalld"])
            .arg(image.path("usr/lib/"));
        run(copy, "").expect_success("cp");
        for folder in ["zones", "services", "policies"] {
            fs_err::create_dir_all(image.path("etc/firewalld").join(folder)).expect("a folder");
        }
        image.write("etc/firewalld/firewalld.conf", "DefaultZone=public\n");
        image.write("usr/lib/systemd/system/firewalld.service", "[Service]\n");
        std::os::unix::fs::symlink(
            "/usr/lib/systemd/system/firewalld.service",
            image.path("etc/systemd/system/multi-user.target.wants/firewalld.service"),
        )
        .expect("enable firewalld");
        image.want(50_000, 50_009);
        Some(image)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs_err::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs_err::write(path, text).expect("write a file");
    }

    fn text(&self, path: &str) -> String {
        fs_err::read_to_string(self.path(path)).expect("read a file")
    }

    fn want(&self, first: u16, last: u16) {
        let text = format!("PassivePorts {first} {last}\n");
        self.write("etc/proftpd/proftpd.conf", &text);
    }

    fn tree(&self) -> Tree {
        fn walk(folder: &Path, tree: &mut Tree) {
            for entry in fs_err::read_dir(folder).expect("read a folder") {
                let path = entry.expect("an entry").path();
                let metadata = fs_err::symlink_metadata(&path).expect("metadata");
                let bytes = if metadata.is_file() {
                    fs_err::read(&path).expect("read a file")
                } else {
                    Vec::new()
                };
                if metadata.is_dir() {
                    walk(&path, tree);
                }
                let mode = metadata.permissions().mode();
                tree.insert(path, (bytes, mode, metadata.ino(), metadata.mtime_nsec()));
            }
        }
        let mut tree = Tree::new();
        walk(&self.path("etc/firewalld"), &mut tree);
        walk(&self.path("usr/lib/firewalld"), &mut tree);
        tree
    }

    fn pasvsync(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(PROGRAM);
        command
            .args(["--output", "json", "--root"])
            .arg(self.root.path());
        Run::from(run(command.args(arguments), ""))
    }

    /// `firewall-offline-cmd` on the image.
    fn offline(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("firewall-offline-cmd");
        command.arg(format!(
            "--system-config={}",
            self.path("etc/firewalld").display()
        ));
        command.arg(format!(
            "--default-config={}",
            self.path("usr/lib/firewalld").display()
        ));
        let output = run(command.args(arguments), "");
        output
            .expect_success("firewall-offline-cmd")
            .trim()
            .to_owned()
    }
}

/// Names, contents and modes: what `remove` restores.
fn contents(tree: &Tree) -> BTreeMap<&PathBuf, (&[u8], u32)> {
    let entries = tree.iter();
    entries
        .map(|(path, (bytes, mode, ..))| (path, (bytes.as_slice(), *mode)))
        .collect()
}

fn edits(run: &Run) -> Vec<String> {
    let report = run.report();
    let edits = &report["backends"][0]["layers"]["permanent"]["edits"];
    let edits = edits.as_array().expect("edits").iter();
    edits
        .map(|edit| edit.as_str().expect("an edit").to_owned())
        .collect()
}

fn refusals(run: &Run) -> Vec<String> {
    let report = run.report();
    let findings = report["findings"].as_array().expect("findings").iter();
    findings
        .map(|finding| format!("{} {}", finding["code"], finding["message"]))
        .collect()
}

/// Closed before, open after, as firewalld's own tools say; the second run changes nothing; `remove` leaves no trace.
#[test]
fn the_story_of_an_image() {
    let Some(image) = Image::new() else {
        return;
    };
    let before = image.tree();
    let check = image.pasvsync(&["check"]).expect(3);
    assert_eq!(edits(&check).len(), 2, "{check:?}");
    assert_eq!(image.tree(), before, "check wrote something");

    let sync = image.pasvsync(&["sync"]).expect(0);
    assert_eq!(edits(&sync), edits(&check));
    image.offline(&["--check-config"]);
    assert!(
        image
            .offline(&["--zone=public", "--list-services"])
            .contains("pasvsync")
    );
    assert_eq!(
        image.offline(&["--service=pasvsync", "--get-ports"]),
        "50000-50009/tcp"
    );
    let stock = image.text("usr/lib/firewalld/zones/public.xml");
    let own = "\n  <service name=\"pasvsync\"/>";
    assert_eq!(image.text(ZONE).replace(own, ""), stock);

    let synced = image.tree();
    image.pasvsync(&["sync"]).expect(0);
    image.pasvsync(&["check"]).expect(0);
    assert_eq!(image.tree(), synced, "a second run wrote something");

    image.want(51_000, 51_009);
    image.pasvsync(&["sync"]).expect(0);
    image.offline(&["--check-config"]);
    assert_eq!(
        image.offline(&["--service=pasvsync", "--get-ports"]),
        "51000-51009/tcp"
    );

    image.pasvsync(&["remove"]).expect(0);
    assert_eq!(contents(&image.tree()), contents(&before));
}

/// firewalld's own writer makes the same file of it.
#[test]
fn the_service_is_written_as_firewalld_writes_it() {
    let Some(image) = Image::new() else {
        return;
    };
    image.pasvsync(&["sync", "--control"]).expect(0);
    let script = "import sys\n\
        from firewall.core.io.service import service_reader, service_writer\n\
        service_writer(service_reader('pasvsync.xml', sys.argv[1]), sys.argv[2])\n";
    let folder = tempfile::tempdir().expect("a folder");
    let services = image.path("etc/firewalld/services");
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", script]).arg(services).arg(folder.path());
    run(&mut python, "").expect_success("python3");
    let written = fs_err::read_to_string(folder.path().join("pasvsync.xml")).expect("the file");
    assert_eq!(image.text(SERVICE), written);
}

/// An admin's zone keeps every byte, whatever it looks like, and comes back byte for byte.
#[test]
fn an_admins_zone_keeps_every_byte() {
    let Some(image) = Image::new() else {
        return;
    };
    let zone = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<!-- ours: don't touch -->\r\n<zone target='DROP'>\r\n\
        \t<service name='ssh'></service> <!-- <service name=\"x\"/> -->\r\n\r\n\
        \t<port protocol=\"tcp\" port=\"50005-50006\"/>\r\n</zone>\r\n\r\n";
    image.write(ZONE, zone);
    fs_err::set_permissions(image.path(ZONE), PermissionsExt::from_mode(0o640)).expect("chmod");
    let before = image.tree();
    image.pasvsync(&["sync"]).expect(0);
    image.offline(&["--check-config"]);
    let own = "\r\n\t<service name=\"pasvsync\"/>";
    let edited = image.text(ZONE);
    assert!(edited.contains(own), "{edited}");
    assert_eq!(edited.replace(own, ""), zone);
    image.pasvsync(&["remove"]).expect(0);
    assert_eq!(contents(&image.tree()), contents(&before));
}

/// What the manuals' recipe leaves behind needs nothing.
#[test]
fn the_manuals_recipe_is_in_sync() {
    let Some(image) = Image::new() else {
        return;
    };
    image.offline(&["--zone=public", "--add-service=ftp"]);
    image.offline(&["--add-port=49152-65534/tcp"]);
    let before = image.tree();
    image.pasvsync(&["sync"]).expect(0);
    image.pasvsync(&["remove"]).expect(0);
    assert_eq!(image.tree(), before);
}

/// A zone that lets the control port in is opened as well, others are not; `--zone` says otherwise.
#[test]
fn which_zones() {
    let Some(image) = Image::new() else {
        return;
    };
    let zone = |content: &str| format!("<zone>\n{content}\n</zone>\n");
    image.write(
        "etc/firewalld/zones/dmz.xml",
        &zone("<interface name=\"eth1\"/>\n<service name=\"ftp\"/>"),
    );
    image.write(
        "etc/firewalld/zones/work.xml",
        &zone("<interface name=\"eth2\"/>"),
    );
    image.pasvsync(&["sync"]).expect(0);
    for (zone, opened) in [("public", true), ("dmz", true), ("work", false)] {
        let services = image.offline(&[&format!("--zone={zone}"), "--list-services"]);
        assert_eq!(services.contains("pasvsync"), opened, "{zone}: {services}");
    }
    image.pasvsync(&["sync", "--zone", "work"]).expect(0);
    for (zone, opened) in [("public", false), ("dmz", false), ("work", true)] {
        let services = image.offline(&[&format!("--zone={zone}"), "--list-services"]);
        assert_eq!(services.contains("pasvsync"), opened, "{zone}: {services}");
    }
    // Nothing is bound to it yet.
    image.pasvsync(&["sync", "--zone", "home"]).expect(0);
    let services = image.offline(&["--zone=home", "--list-services"]);
    assert!(services.contains("pasvsync"), "{services}");
    image.pasvsync(&["check", "--zone", "home"]).expect(0);
    let wrong = image.pasvsync(&["sync", "--zone", "nosuch"]);
    assert_ne!(wrong.code, Some(0), "{wrong:?}");
    assert!(
        format!("{wrong:?}").contains("no zone `nosuch`"),
        "{wrong:?}"
    );
}

/// What it is about, the files that make it so, and what is said of it.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

/// Nothing is written, and it is said why, where the ports cannot be opened or the files are not ours to change.
#[test]
fn what_is_left_alone() {
    let cases: [Case<'_>; 6] = [
        (
            "somebody else's service of that name",
            &[(
                SERVICE,
                "<service><description>mine</description></service>",
            )],
            "service-name-taken",
        ),
        (
            "a rich rule that drops",
            &[(
                ZONE,
                "<zone><rule><protocol value=\"tcp\"/><drop/></rule></zone>",
            )],
            "filter_IN_public_deny",
        ),
        (
            "a policy that drops",
            &[(
                "etc/firewalld/policies/p.xml",
                "<policy target=\"DROP\" priority=\"-1\"><ingress-zone name=\"ANY\"/><egress-zone name=\"HOST\"/></policy>",
            )],
            "filter_IN_policy_p",
        ),
        (
            "a zone that firewalld refuses",
            &[(ZONE, "<zone>\n  <service name=\"nosuch\"/>\n</zone>")],
            "zones/public.xml:2:3: there is no service `nosuch`",
        ),
        (
            "a zone that is no XML",
            &[("etc/firewalld/zones/work.xml", "<zone>\n  <port")],
            "zones/work.xml:2:3",
        ),
        (
            "a direct rule",
            &[(
                "etc/firewalld/direct.xml",
                "<direct>\n <rule ipv=\"ipv4\" table=\"filter\" chain=\"INPUT\" priority=\"0\">-p tcp -j DROP</rule>\n</direct>",
            )],
            "of chain ip filter INPUT",
        ),
    ];
    for (what, files, words) in cases {
        let Some(image) = Image::new() else {
            return;
        };
        for (path, text) in files {
            image.write(path, text);
        }
        let before = image.tree();
        let sync = image.pasvsync(&["sync"]).expect(1);
        assert!(sync.stdout.contains(words), "{what}: {sync:?}");
        if what == "a direct rule" {
            let found = refusals(&sync).join("\n");
            assert!(found.contains("beside-firewalld"), "{found}");
        }
        assert_eq!(image.tree(), before, "{what}: {:?}", refusals(&sync));
    }
    let Some(image) = Image::new() else {
        return;
    };
    let stock = "../../../usr/lib/firewalld/zones/public.xml";
    std::os::unix::fs::symlink(stock, image.path(ZONE)).expect("a link");
    let before = image.tree();
    let sync = image.pasvsync(&["sync"]).expect(1);
    assert!(
        sync.stdout.contains("is a link to the package's file"),
        "{sync:?}"
    );
    assert_eq!(contents(&image.tree()), contents(&before), "{sync:?}");
}

/// What enables `NetworkManager`, and a connection of its.
const UNIT: &str = "etc/systemd/system/multi-user.target.wants/NetworkManager.service";
const CONNECTION: &str = "etc/NetworkManager/system-connections/x.nmconnection";

/// What it is, the files, and what is said of them.
type Doubtful = (
    &'static str,
    &'static [(&'static str, &'static str)],
    Option<&'static str>,
);

/// `NetworkManager` puts an interface whose connection has no zone into the default zone, whatever a zone's file says: only
/// what both zones let in is open.
#[test]
fn interfaces_that_network_manager_may_move() {
    let dmz = "<zone><interface name=\"eth0\"/><service name=\"ftp\"/></zone>\n";
    let cases: [Doubtful; 5] = [
        ("no NetworkManager", &[], None),
        (
            "NetworkManager, which needs no file",
            &[
                ("usr/lib/systemd/system/NetworkManager.service", ""),
                (UNIT, ""),
            ],
            Some("NetworkManager may put eth0 into the default zone"),
        ),
        (
            "a connection of eth0",
            &[(CONNECTION, "[connection]\ninterface-name=eth0\n")],
            Some("x.nmconnection has no zone"),
        ),
        (
            "a connection of any interface",
            &[(CONNECTION, "[connection]\ntype=ethernet\nzone=\n")],
            Some("x.nmconnection has no zone"),
        ),
        (
            "a connection with a zone",
            &[
                ("usr/lib/systemd/system/NetworkManager.service", ""),
                (UNIT, ""),
                (CONNECTION, "[connection]\ninterface-name=eth0\nzone=dmz\n"),
            ],
            None,
        ),
    ];
    for (what, files, doubt) in cases {
        let Some(image) = Image::new() else {
            return;
        };
        image.write("etc/firewalld/zones/dmz.xml", dmz);
        for (path, text) in files {
            image.write(path, text);
        }
        // Of the two zones only the one of the file is to be opened.
        let code = i32::from(doubt.is_some());
        let sync = image.pasvsync(&["sync", "--zone", "dmz"]).expect(code);
        if let Some(doubt) = doubt {
            let found = refusals(&sync).join("\n");
            assert!(found.contains("firewalld-unknown"), "{what}: {found}");
            assert!(found.contains(doubt), "{what}: {found}");
        }
        // Both are, and then it does not matter.
        image.pasvsync(&["sync"]).expect(0);
        assert!(!image.pasvsync(&["sync"]).expect(0).changed(), "{what}");
        for zone in ["dmz", "public"] {
            let zone = format!("--zone={zone}");
            let services = image.offline(&[&zone, "--list-services"]);
            assert!(services.contains("pasvsync"), "{what}: {zone} {services}");
        }
    }
}

/// Boot of the image also loads another program's rules.
#[test]
fn other_loaders_in_an_image() {
    let closed =
        "table inet own {\nchain input {\ntype filter hook input priority 0; policy drop;\n}\n}\n";
    let open = "table inet own {\nchain input {\ntype filter hook input priority 0;\n}\n}\n";
    for (service, path, text, words) in [
        (
            "nftables",
            "etc/nftables.conf",
            closed,
            Some("chain inet own input"),
        ),
        ("nftables", "etc/nftables.conf", open, None),
        (
            "netfilter-persistent",
            "etc/iptables/rules.v6",
            "*filter\n:INPUT DROP [0:0]\nCOMMIT\n",
            Some("INPUT"),
        ),
        (
            "ufw",
            "etc/ufw/ufw.conf",
            "ENABLED=yes\n",
            Some("ufw loads rules at boot too"),
        ),
    ] {
        let Some(image) = Image::new() else {
            return;
        };
        let unit = format!("usr/lib/systemd/system/{service}.service");
        image.write(&unit, "[Service]\n");
        image.write(
            &format!("etc/systemd/system/multi-user.target.wants/{service}.service"),
            "",
        );
        image.write(path, text);
        let sync = image.pasvsync(&["sync"]).expect(i32::from(words.is_some()));
        if let Some(words) = words {
            let found = refusals(&sync).join("\n");
            assert!(found.contains(words), "{service}: {found}");
        }
    }
}
