//! Hosts with a firewall, an FTP daemon's configuration and an sshd, in network, mount and process namespaces of their own.

use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;

use crate::support::command::{Running, quiet, run};
use crate::support::connections::Listeners;
use crate::support::namespace::Namespace;
use crate::systemd::root::Root;

/// What a host loads now and at boot.
const FIREWALL: &str = include_str!("../systemd/nftables.conf");
/// Root is let in with the key, and so is an ordinary user who may become root.
pub(super) const SSHD: &str = "HostKey /etc/ssh/host\nAuthorizedKeysFile /etc/ssh/authorized_keys\nPermitRootLogin prohibit-password\n\
                    PasswordAuthentication no\nUsePAM no\nUseDNS no\nPidFile none\nMaxStartups 100\n\
                    Subsystem sftp /usr/lib/openssh/sftp-server\n";
const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n\
                      admin:x:1000:1000::/tmp:/bin/sh\nnobody:x:65534:65534::/:/usr/sbin/nologin\n";
const SHADOW: &str = "root:*:20000::::::\nsshd:!:20000::::::\nadmin:*:20000::::::\n";
const GROUP: &str = "root:x:0:\nadmin:x:1000:\nnogroup:x:65534:\n";
const SUDOERS: &str = "Defaults secure_path=\"/usr/sbin:/usr/bin\"\nroot ALL=(ALL) ALL\nadmin ALL=(ALL) NOPASSWD: ALL\n";
const PAM: &str = "auth sufficient pam_permit.so\naccount sufficient pam_permit.so\nsession sufficient pam_permit.so\n";

/// The passive range of a host's FTP daemon.
pub(super) const RANGE: (u16, u16) = (50_000, 50_009);

/// What hosts have in common.
pub(super) struct Common<'a> {
    /// What stands for /usr, as overlayfs takes it.
    pub(super) usr: &'a Path,
    /// The host key, and the user's public one.
    pub(super) keys: &'a Path,
    /// Whether they have a Python.
    pub(super) python: bool,
}

/// A host that is up.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) number: u16,
    // Before what it runs in: fields are dropped in this order.
    _sshd: Running,
    pub(super) root: Root,
    pub(super) namespace: Namespace,
}

impl Host {
    /// The name in the inventory.
    pub(super) fn name(&self) -> String {
        format!("ftp{}.example.com", self.number)
    }

    /// The addresses, IPv4 first.
    pub(super) fn addresses(&self) -> [IpAddr; 2] {
        let texts = [
            address4(self.number),
            format!("2001:db8::{:x}", self.number),
        ];
        texts.map(|text| text.parse().expect("an address"))
    }

    /// A host behind the controller's bridge, with the firewall loaded and sshd running.
    pub(super) fn new(
        number: u16,
        common: &Common<'_>,
        controller: &Namespace,
    ) -> Result<Self, String> {
        let root = Root::with(common.usr)?;
        let namespace = Namespace::new().map_err(|error| error.to_string())?;
        root.run(|root| {
            furnish(root, common.keys);
            if !common.python {
                remove_python(root);
            }
        });
        let batch = format!(
            "link set lo up\n\
             link add eth0 type veth peer name host{number} netns {}\n\
             addr add {}/15 dev eth0\n\
             addr add 2001:db8::{number:x}/64 dev eth0 nodad\n\
             link set eth0 up\n",
            controller.path(),
            address4(number),
        );
        let loaded = namespace.run(|| {
            run(quiet("ip").args(["-batch", "-"]), &batch).expect_success("ip");
            run(quiet("nft").args(["-f", "-"]), FIREWALL)
        });
        loaded.expect_success("load the firewall");
        let batch = format!("link set host{number} master bridge\nlink set host{number} up\n");
        controller
            .run(|| run(quiet("ip").args(["-batch", "-"]), &batch))
            .expect_success("ip");
        let sshd = namespace.run(|| root.run(sshd));
        Ok(Self {
            number,
            _sshd: sshd,
            root,
            namespace,
        })
    }

    /// Writes a file on the host.
    pub(super) fn write(&self, path: &str, text: &str) {
        self.root.run(|root| write(root, path, text));
    }

    /// A file of the host.
    pub(super) fn read(&self, path: &str) -> String {
        self.root
            .run(|root| fs_err::read_to_string(root.join(path)).expect("read a file"))
    }

    /// Whether there is such a file.
    pub(super) fn has(&self, path: &str) -> bool {
        self.root.run(|root| root.join(path).exists())
    }

    /// Takes a file from the host.
    pub(super) fn remove(&self, path: &str) {
        self.root
            .run(|root| fs_err::remove_file(root.join(path)).expect("remove a file"));
    }

    /// The ruleset with handles.
    pub(super) fn ruleset(&self) -> String {
        let command = || run(quiet("nft").args(["-a", "-s", "list", "ruleset"]), "");
        self.namespace.run(command).expect_success("nft list")
    }

    /// Listens on ports of the host, as its daemon would during a transfer.
    pub(super) fn listen(&self, ports: &[u16]) -> Listeners {
        let listeners = Listeners::new(self.greeting());
        listeners.add(&self.namespace, ports);
        listeners
    }

    /// What its listeners greet with.
    pub(super) fn greeting(&self) -> u8 {
        u8::try_from(self.number % 256).expect("a small number")
    }
}

/// Of the addresses for measurements (RFC 2544), enough for any fleet.
fn address4(number: u16) -> String {
    let [high, low] = number.to_be_bytes();
    format!("198.18.{high}.{low}")
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs_err::create_dir_all(path.parent().expect("a folder")).expect("make the folder");
    fs_err::write(path, text).expect("write a file");
}

/// The files of a host that its admin has set up, but for pasvsync.
fn furnish(root: &Path, keys: &Path) {
    for (path, text) in [
        ("etc/passwd", PASSWD),
        ("etc/shadow", SHADOW),
        ("etc/group", GROUP),
        ("etc/sudoers", SUDOERS),
        ("etc/pam.d/sudo", PAM),
        ("etc/ssh/sshd_config", SSHD),
        ("etc/nftables.conf", FIREWALL),
        ("etc/hosts", "127.0.0.1 localhost\n"),
    ] {
        write(root, path, text);
    }
    for (from, to) in [("host", "host"), ("user.pub", "authorized_keys")] {
        fs_err::copy(keys.join(from), root.join("etc/ssh").join(to)).expect("copy a key");
    }
    range(root, RANGE);
    let script = "set -e; chmod 440 etc/sudoers; chmod 1777 tmp; mkdir -p run/sshd etc/cron.d var/log; : >var/log/lastlog\n\
                  systemctl --quiet --root . enable nftables.service 2>/dev/null";
    run(quiet("sh").args(["-c", script]).current_dir(root), "").expect_success("furnish a host");
}

fn remove_python(root: &Path) {
    for name in fs_err::read_dir(root.join("usr/bin")).expect("the programs") {
        let path = name.expect("a program").path();
        if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("python"))
        {
            fs_err::remove_file(path).expect("remove a Python");
        }
    }
}

fn range(root: &Path, (first, last): (u16, u16)) {
    let text = format!("listen=YES\npasv_min_port={first}\npasv_max_port={last}\n");
    write(root, "etc/vsftpd.conf", &text);
}

/// Starts sshd as the first process of its process namespace: all that runs on the host ends with it.
fn sshd(root: &Path) -> Running {
    // Bound to itself, for a host's / is a mount of its own.
    let script = "mount --rbind . . && cd \"$PWD\" && mount -t proc proc proc && mount --rbind /dev dev && \
                  mount -t sysfs sysfs sys && exec chroot . /usr/sbin/sshd -D -e";
    let mut command = quiet("unshare");
    command.args(["--pid", "--fork", "--kill-child", "sh", "-c", script]);
    command.current_dir(root).stdout(Stdio::null());
    let log = fs_err::File::create(root.join("var/sshd.log")).expect("a file for the log");
    Running(command.stderr(log.into_file()).spawn().expect("start sshd"))
}
