//! Real FTP daemons behind a default-deny ruleset: transfers hang, `sync`, transfers work.
//!
//! The daemons come from Debian packages, unpacked into a folder of the tests' own: nothing is installed, so it does
//! not matter that the packages conflict with each other.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::command::{Output, Running, quiet, run};
use crate::support::daemons::unpacked;
use crate::support::world::{SERVER, World};
use crate::support::{ready, skip};

/// The range that each daemon's configuration sets.
const RANGE: std::ops::RangeInclusive<u16> = 50_000..=50_010;
/// What curl says when the time is over.
const TIMED_OUT: i32 = 28;
/// The file that is transferred.
const CONTENT: &str = "through the firewall\n";

/// The ways of a passive transfer: the address family, and what curl is told.
const WAYS: [(usize, &[&str]); 3] = [
    (0, &["--ftp-pasv", "--disable-epsv"]),
    (0, &["--ftp-pasv"]),
    (1, &["--ftp-pasv"]),
];

/// A daemon to run.
struct Daemon {
    /// The name that pasvsync knows it by.
    name: &'static str,
    /// The program in the package.
    program: &'static str,
    /// The arguments before the configuration file.
    arguments: &'static [&'static str],
    /// The configuration; `FOLDER` stands for the test's folder, `FILES` for the folder of the transferred file.
    configuration: &'static str,
    /// Who logs in, as in a URL.
    login: &'static str,
}

#[test]
fn pure_ftpd() {
    transfers(&Daemon {
        name: "pure-ftpd",
        program: "usr/sbin/pure-ftpd",
        arguments: &[],
        configuration: "Daemonize no\nNoAnonymous yes\nDontResolve yes\nMinUID 100\n\
            PureDB FOLDER/users.pdb\nPIDFile FOLDER/daemon.pid\nPassivePortRange 50000 50010\n",
        login: "tester:secret@",
    });
}

#[test]
fn proftpd() {
    transfers(&Daemon {
        name: "proftpd",
        program: "usr/sbin/proftpd",
        arguments: &["-n", "-q", "-c"],
        configuration: "ServerName test\nServerType standalone\nUseIPv6 on\nPort 21\n\
            UseReverseDNS off\nWtmpLog off\nTransferLog none\nUser nobody\nGroup nogroup\n\
            PidFile FOLDER/daemon.pid\nScoreboardFile FOLDER/scoreboard\nDelayTable none\n\
            SystemLog FOLDER/daemon.log\n\
            <Global>\n  PassivePorts 50000 50010\n</Global>\n\
            <Anonymous FILES>\n  User nobody\n  Group nogroup\n  UserAlias anonymous nobody\n\
            RequireValidShell off\n  AnonRequirePassword off\n</Anonymous>\n",
        login: "",
    });
}

#[test]
fn vsftpd() {
    transfers(&Daemon {
        name: "vsftpd",
        program: "usr/sbin/vsftpd",
        arguments: &[],
        // The anonymous user needs a home that exists; `daemon` has one on every distribution.
        configuration: "listen=NO\nlisten_ipv6=YES\nbackground=NO\nanonymous_enable=YES\n\
            no_anon_password=YES\nftp_username=daemon\nnopriv_user=nobody\nanon_root=FILES\n\
            secure_chroot_dir=FILES\nseccomp_sandbox=NO\n\
            pasv_min_port=50000\npasv_max_port=50010\n",
        login: "",
    });
}

/// The story of one daemon.
fn transfers(daemon: &Daemon) {
    if !ready(&["nft", "ip", "curl", "apt-get", "dpkg-deb"]) || !may_change_users() {
        return;
    }
    let packages = match unpacked() {
        Ok(folder) => folder,
        Err(reason) => return skip(&reason),
    };
    let world = World::new();
    let configuration = configure(daemon, &packages, world.folder.path());
    let _running = start(daemon, &packages, &configuration, &world);
    world.load(include_str!("rulesets/policy-drop.nft"));
    let before = world.exact();

    for output in fetch_every_way(&world, daemon) {
        passive_port(&output);
        assert_eq!(output.status.code(), Some(TIMED_OUT), "{}", output.stderr);
    }
    let check = world
        .pasvsync_for(daemon.name, &configuration, &["check"])
        .expect(3);
    for family in crate::support::program::FAMILIES {
        assert_eq!(check.verdict(family, *RANGE.start()), "closed");
        assert_eq!(check.verdict(family, *RANGE.end()), "closed");
    }
    world
        .pasvsync_for(daemon.name, &configuration, &["sync"])
        .expect(0);
    for output in fetch_every_way(&world, daemon) {
        passive_port(&output);
        assert!(output.status.success(), "{}", output.stderr);
        assert_eq!(output.stdout, CONTENT);
    }
    world
        .pasvsync_for(daemon.name, &configuration, &["remove"])
        .expect(0);
    assert_eq!(world.exact().text, before.text);
}

/// Daemons give up root; a user namespace with a single user has nobody to become.
fn may_change_users() -> bool {
    let map = fs_err::read_to_string("/proc/self/uid_map").expect("the map of users");
    let whole = map
        .split_whitespace()
        .nth(2)
        .is_some_and(|count| count.len() > 5);
    if !whole {
        skip("real daemons need a root that can become another user");
    }
    whole
}

/// A program of the packages, with the packages' libraries.
fn program(packages: &Path, name: &str) -> Command {
    let mut libraries = Vec::new();
    for parent in ["usr/lib", "lib"] {
        let Ok(entries) = fs_err::read_dir(packages.join(parent)) else {
            continue;
        };
        let folders = entries.filter_map(Result::ok).map(|entry| entry.path());
        libraries.extend(folders.filter(|path| path.to_string_lossy().ends_with("-linux-gnu")));
    }
    let mut command = quiet(packages.join(name).to_str().expect("a plain path"));
    command.env(
        "LD_LIBRARY_PATH",
        std::env::join_paths(libraries).expect("plain paths"),
    );
    command
}

/// Writes the daemon's configuration, its user, and the file to transfer.
fn configure(daemon: &Daemon, packages: &Path, folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let files = folder.join("files");
    fs_err::create_dir(&files).expect("a folder");
    fs_err::write(files.join("file"), CONTENT).expect("a file");
    // The daemon's session runs as an ordinary user.
    for path in [folder, &files] {
        let open = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(path, open).expect("let the daemon in");
    }
    let text = daemon
        .configuration
        .replace("FOLDER", folder.to_str().expect("a plain path"))
        .replace("FILES", files.to_str().expect("a plain path"));
    let path = folder.join("daemon.conf");
    fs_err::write(&path, text).expect("the configuration");
    if daemon.name == "pure-ftpd" {
        // The password is `secret`.
        let user = format!(
            "tester:$6$pasvsync$1vPV3jA0hwuCQaouwLHAhn5DsojLXVC/B30h7nxLueGzcSuFmaCC7cffdx0zo03FpD2VWpPUGg7PCHHvUJpu11:65534:65534::{}/./::::::::::::\n",
            files.display()
        );
        let users = folder.join("users");
        fs_err::write(&users, user).expect("the user");
        let mut pure_pw = program(packages, "usr/bin/pure-pw");
        pure_pw
            .arg("mkdb")
            .arg(folder.join("users.pdb"))
            .arg("-f")
            .arg(&users);
        run(&mut pure_pw, "").expect_success("pure-pw");
    }
    path
}

/// Starts the daemon in the server's namespace and waits for its control port.
fn start(daemon: &Daemon, packages: &Path, configuration: &Path, world: &World) -> Running {
    let mut command = program(packages, daemon.program);
    command.args(daemon.arguments).arg(configuration);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = world
        .server
        .run(|| Running(command.spawn().expect("the daemon")));
    let begin = Instant::now();
    while world
        .server
        .run(|| TcpStream::connect("127.0.0.1:21").is_err())
    {
        let ended = running.0.try_wait().expect("the daemon's state");
        assert!(ended.is_none(), "{} does not start: {ended:?}", daemon.name);
        assert!(
            begin.elapsed() < Duration::from_secs(90),
            "{} does not listen",
            daemon.name
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    running
}

/// One transfer for each way, side by side.
fn fetch_every_way(world: &World, daemon: &Daemon) -> Vec<Output> {
    std::thread::scope(|scope| {
        WAYS.map(|way| scope.spawn(move || fetch(world, daemon, way)))
            .into_iter()
            .map(|transfer| transfer.join().expect("a transfer"))
            .collect()
    })
}

fn fetch(world: &World, daemon: &Daemon, (family, arguments): (usize, &[&str])) -> Output {
    let host = if family == 0 {
        SERVER[0].to_owned()
    } else {
        format!("[{}]", SERVER[1])
    };
    let url = format!("ftp://{}{host}/file", daemon.login);
    let mut all = vec!["-q", "-v", "-sS", "--max-time", "4", "--noproxy", "*"];
    all.extend(arguments);
    all.push(&url);
    world.client_command("curl", &all)
}

/// The port in the daemon's answer to PASV or EPSV, which must lie in the range that was read.
#[track_caller]
fn passive_port(output: &Output) -> u16 {
    let numbers = |line: &str| -> Vec<u16> {
        line.split(|byte: char| !byte.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect()
    };
    let line = |code: &str| output.stderr.lines().find(|line| line.starts_with(code));
    let port = if let Some(line) = line("< 229 ") {
        numbers(line).last().copied()
    } else {
        line("< 227 ").and_then(|line| match numbers(line)[..] {
            [.., high, low] => Some(high * 256 + low),
            _ => None,
        })
    };
    let port = port.unwrap_or_else(|| panic!("no passive answer:\n{}", output.stderr));
    assert!(RANGE.contains(&port), "port {port}");
    port
}
