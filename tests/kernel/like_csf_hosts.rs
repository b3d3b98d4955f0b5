//! Hosts like csf's where something is wrong or odd; csf itself is not involved.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Stdio;

use rustix::fs::FlockOperation;

use super::like_csf::{CONF, conf, host, load, rules, write};
use super::story::{FIRST, Story};
use crate::support::command::{Running, quiet, run};
use crate::support::program::{PROGRAM, Run};
use crate::support::world::CLIENT;

/// The codes of the findings.
fn codes(run: &Run) -> Vec<String> {
    let report = run.report();
    let findings = report["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|finding| finding["code"].as_str().unwrap().to_owned())
        .collect()
}

/// Whatever csf would not take, or would take for something else: named, and nothing is touched.
#[test]
fn csf_not_involved_nothing_is_written_beside_what_csf_would_refuse() {
    let Some(world) = host(CONF) else { return };
    load(&world);
    let story = Story::begin(&world);
    let line = "TCP_IN = \"21,22\"";
    for (bad, named) in [
        ("TCP_IN = 21,22", "Invalid configuration line"),
        ("TCP_IN = '21,22'", "Invalid configuration line"),
        ("TCP_IN = \"21,\n22\"", "Invalid configuration line"),
        ("TCP_IN = \"21\"\nTCP_IN = \"22\"", "is repeated"),
        ("#TCP_IN = \"21\"", "there is no setting TCP_IN"),
        ("tcp_in = \"21\"", "there is no setting TCP_IN"),
        ("TCP_IN = \"21,:\"", "the item `:` of TCP_IN"),
        ("TCP_IN = \"1:2:3\"", "the item `1:2:3` of TCP_IN"),
        ("TCP_IN = \"049152:065534\"", "leading zero"),
        ("TCP_IN = \"60000:50000\"", "the larger port first"),
        ("TCP_IN = \"50000:70000\"", "above 65535"),
        ("TCP_IN = \"49152-65534\"", "every policy to ACCEPT"),
        ("TCP_IN = \"21\" # \"FTP\"", "more than digits"),
        ("X = 1\nTCP_IN = \"21\"", "X has no value in double quotes"),
    ] {
        let text = CONF.replacen(line, bad, 1);
        assert_ne!(text, CONF);
        write(&world, &text);
        let sync = world.pasvsync(&["sync"]).expect(1);
        assert!(sync.stdout.contains(named), "{bad}: {sync:#?}");
        assert!(
            codes(&sync)
                .iter()
                .any(|code| code == "csf-conf-not-editable"),
            "{sync:#?}"
        );
        assert!(!sync.changed());
        assert_eq!(conf(&world), text);
        story.assert_untouched();
        assert!(!world.file("/var/lib/pasvsync").exists());
    }
}

/// Somebody else could change it: not even the running rules are.
#[test]
fn csf_not_involved_a_file_that_others_can_change_is_left_alone() {
    let Some(world) = host(CONF) else { return };
    load(&world);
    let story = Story::begin(&world);
    let path = world.file("/etc/csf/csf.conf");
    fs_err::set_permissions(&path, PermissionsExt::from_mode(0o666)).unwrap();
    let sync = world.pasvsync(&["sync"]).expect(1);
    assert!(
        sync.stdout.contains("others than root can write"),
        "{sync:#?}"
    );
    // A symbolic link of somebody else's.
    let other = world.file("/etc/csf/other.conf");
    fs_err::rename(&path, &other).unwrap();
    fs_err::set_permissions(&other, PermissionsExt::from_mode(0o600)).unwrap();
    fs_err::os::unix::fs::symlink("other.conf", &path).unwrap();
    std::os::unix::fs::lchown(&path, Some(65534), None).unwrap();
    let sync = world.pasvsync(&["sync"]).expect(1);
    assert!(sync.stdout.contains("belongs to user 65534"), "{sync:#?}");
    assert_eq!(conf(&world), CONF);
    story.assert_untouched();
    // One of root's is followed, and stays.
    std::os::unix::fs::lchown(&path, Some(0), None).unwrap();
    world.pasvsync(&["sync"]).expect(0);
    assert!(fs_err::symlink_metadata(&path).unwrap().is_symlink());
    story.assert_reached(FIRST);
    world.pasvsync(&["remove"]).expect(0);
    story.assert_restored_text();
    assert_eq!(fs_err::metadata(&other).unwrap().mode() & 0o7777, 0o600);
}

/// csf and its web interface lock the file while they use it.
#[test]
fn csf_not_involved_a_locked_file_is_waited_for() {
    let Some(world) = host(CONF) else { return };
    load(&world);
    let story = Story::begin(&world);
    let file = fs_err::File::open(world.file("/etc/csf/csf.conf"))
        .unwrap()
        .into_file();
    rustix::fs::flock(&file, FlockOperation::LockShared).unwrap();
    let sync = world.pasvsync(&["sync"]).expect(1);
    assert!(sync.stdout.contains("csf has held its lock"), "{sync:#?}");
    assert_eq!(conf(&world), CONF);
    story.assert_untouched();
    std::thread::scope(|scope| {
        let sync = scope.spawn(|| world.pasvsync(&["sync"]).expect(0));
        std::thread::sleep(std::time::Duration::from_millis(300));
        rustix::fs::flock(&file, FlockOperation::Unlock).unwrap();
        assert!(sync.join().unwrap().changed());
    });
}

/// While csf makes its rules anew nobody else edits them.
#[test]
fn csf_not_involved_a_restart_of_csf_is_waited_for() {
    let Some(world) = host(CONF) else { return };
    load(&world);
    let story = Story::begin(&world);
    let lock = world.file("/var/lib/csf/csf.lock");
    let file = fs_err::File::create(&lock).unwrap().into_file();
    rustix::fs::flock(&file, FlockOperation::LockExclusive).unwrap();
    std::thread::scope(|scope| {
        let sync = scope.spawn(|| world.pasvsync(&["sync"]).expect(0));
        std::thread::sleep(std::time::Duration::from_millis(700));
        story.assert_untouched();
        rustix::fs::flock(&file, FlockOperation::Unlock).unwrap();
        assert!(sync.join().unwrap().changed());
    });
    story.assert_reached(FIRST);
}

/// Killed at any moment: csf.conf is the old one or the new one, and the next run mends the rest.
#[test]
fn csf_not_involved_killed_at_any_moment() {
    let Some(world) = host(CONF) else { return };
    load(&world);
    let story = Story::begin(&world);
    let arguments = world.arguments(&["sync"]);
    let mut seen = Vec::new();
    // Before each call that could leave something behind; those of the program's children are not counted.
    let calls = "write,fsync,?rename,renameat2,?unlink,unlinkat,?mkdir,?rmdir,flock,fchmod,sendto";
    for call in (1..).step_by(5) {
        let inject = format!("inject={calls}:signal=SIGKILL:when={call}");
        let output = world.server.run(|| {
            let mut strace = world.seeing_files("strace");
            strace
                .args(["-qq", "-o", "/dev/null", "-e", &inject, PROGRAM])
                .args(&arguments);
            run(&mut strace, "")
        });
        let now = conf(&world);
        if !seen.contains(&now) {
            seen.push(now);
        }
        if output.status.success() {
            break;
        }
        let sync = world.pasvsync(&["sync"]).expect(0);
        assert_eq!(sync.verdict("ipv4", FIRST.0), "open");
        let remove = world.pasvsync(&["remove"]).expect(0);
        assert!(remove.changed());
        assert_eq!(conf(&world), CONF);
        story.assert_restored_text();
        assert!(!world.file("/var/lib/pasvsync").exists());
    }
    assert_eq!(seen.len(), 2, "{seen:#?}");
    assert!(seen.contains(&CONF.to_owned()));
}

#[test]
fn csf_not_involved_switched_off_it_is_left_alone() {
    let Some(world) = host(CONF) else { return };
    world.want(FIRST.0, FIRST.1);
    fs_err::write(world.file("/etc/csf/csf.disable"), "").unwrap();
    let sync = world.pasvsync(&["sync"]).expect(0);
    assert!(
        codes(&sync).iter().any(|code| code == "csf-disabled"),
        "{sync:#?}"
    );
    assert!(!sync.changed());
    let named = world.pasvsync(&["sync", "--backend", "csf"]).expect(1);
    assert!(
        named.stdout.contains("switched off") || named.stderr.contains("switched off"),
        "{named:#?}"
    );
    assert_eq!(conf(&world), CONF);
}

/// The next boot is csf's although nothing filters now: the file gets the ports, what filters needs none.
#[test]
fn csf_not_involved_named_where_nothing_filters() {
    let Some(world) = host(CONF) else { return };
    world.want(FIRST.0, FIRST.1);
    let sync = world.pasvsync(&["sync", "--backend", "csf"]).expect(0);
    assert!(sync.changed());
    assert!(conf(&world).contains("TCP_IN = \"21,22,50000:50100\""));
    assert!(
        !world
            .pasvsync(&["sync", "--backend", "csf"])
            .expect(0)
            .changed()
    );
    world.pasvsync(&["remove", "--backend", "csf"]).expect(0);
    assert_eq!(conf(&world), CONF);
}

/// csf gives up over an error, lets everything in, and says so in a file: nothing to open, and much to say.
#[test]
fn csf_not_involved_csf_has_given_up() {
    let Some(world) = host(CONF) else { return };
    world.want(FIRST.0, FIRST.1);
    let reason = "Error: Invalid TCP_IN port [ftp], at line 3777 in /usr/sbin/csf\n";
    fs_err::write(world.file("/etc/csf/csf.error"), reason).unwrap();
    let check = world.pasvsync(&["check"]);
    assert_eq!(check.report()["backends"][0]["backend"], "csf");
    let known = codes(&check);
    assert!(known.iter().any(|code| code == "csf-error"), "{check:#?}");
    assert!(check.stdout.contains("Invalid TCP_IN port [ftp]"));
}

/// Each flushes the other's rules: nothing is edited, and it is said.
#[test]
fn csf_not_involved_firewalld_filters_too() {
    let Some(world) = host(CONF) else { return };
    load(&world);
    world.load("table inet firewalld {\nchain filter_INPUT {\ntype filter hook input priority 10; policy accept;\n}\n}\n");
    let story = Story::begin(&world);
    let sync = world.pasvsync(&["sync"]).expect(1);
    assert!(
        codes(&sync).iter().any(|code| code == "csf-and-firewalld"),
        "{sync:#?}"
    );
    story.assert_untouched();
    assert_eq!(conf(&world), CONF);
}

/// A rule of csfpost.sh's stands before everything: no item of csf.conf opens the ports.
#[test]
fn csf_not_involved_a_block_before_csf_is_named() {
    let Some(world) = host(CONF) else { return };
    let [v4, v6] = rules();
    let block =
        "-A INPUT -p tcp -m tcp --dport 50000:50100 -j DROP\n-A INPUT ! -i lo -j LOCALINPUT";
    let blocked = |text: String| text.replace("-A INPUT ! -i lo -j LOCALINPUT", block);
    world.load_iptables(&blocked(v4), &blocked(v6));
    let story = Story::begin(&world);
    let sync = world.pasvsync(&["sync"]).expect(1);
    assert!(sync.stdout.contains("dport 50000-50100"), "{sync:#?}");
    assert_eq!(sync.verdict("ipv4", FIRST.0), "closed");
    assert!(!story.connects(FIRST.0)[0]);
}

/// An accept typed by hand opens the ports now, and is gone after a boot: csf.conf gets them all the same.
#[test]
fn csf_not_involved_what_was_typed_by_hand_does_not_outlast_a_boot() {
    for typed in ["-p tcp -m tcp --dport 50000:50100 -j ACCEPT", "-j ACCEPT"] {
        let Some(world) = host(CONF) else { return };
        let [v4, v6] = rules();
        let by_hand = format!("-A INPUT {typed}\n-A INPUT ! -i lo -j LOCALINPUT");
        let opened = |text: String| text.replace("-A INPUT ! -i lo -j LOCALINPUT", &by_hand);
        world.load_iptables(&opened(v4), &opened(v6));
        world.want(FIRST.0, FIRST.1);
        let check = world.pasvsync(&["check"]).expect(3);
        assert_eq!(check.verdict("ipv4", FIRST.0), "open");
        let report = check.report();
        let permanent = &report["backends"][0]["layers"]["permanent"]["reach"];
        for entry in permanent.as_array().unwrap() {
            assert_eq!(entry["verdict"], "closed", "{typed}: {check:#?}");
        }
        world.pasvsync(&["sync"]).expect(0);
        assert!(conf(&world).contains("TCP_IN = \"21,22,50000:50100\""));
        world.pasvsync(&["sync", "--quiet"]).expect(0);
    }
}

/// The chains are not as csf makes them from this csf.conf: only csf itself could make them right.
#[test]
fn csf_not_involved_unknown_chains_are_not_edited() {
    let Some(world) = host(CONF) else { return };
    let [v4, v6] = rules().map(|text| text.replace("-m conntrack --ctstate NEW ", ""));
    world.load_iptables(&v4, &v6);
    let story = Story::begin(&world);
    let sync = world.pasvsync(&["sync"]).expect(1);
    assert!(
        codes(&sync).iter().any(|code| code == "csf-chains-unknown"),
        "{sync:#?}"
    );
    assert!(sync.stdout.contains("--restart-csf"));
    story.assert_untouched();
    let check = world.pasvsync(&["check", "--restart-csf"]).expect(3);
    assert!(check.stdout.contains("\"csf -r\""), "{check:#?}");
}

#[test]
fn csf_not_involved_what_csf_conf_says_besides() {
    let text = CONF
        .replace("TESTING = \"0\"", "TESTING = \"1\"")
        .replace("LF_SPI = \"1\"", "LF_SPI = \"1\"\nLFDSTART = \"1\"\nPORTFLOOD = \"22;tcp;5;300,49152:65534;tcp;5;300\"\nCONNLIMIT = \"22;5\"\nCC_DENY = \"xx\"\nUSE_FTPHELPER = \"21\"")
        .replace("TCP_IN = \"21,22\"", "TCP_IN = \"21,22,30000:35000\"");
    let Some(world) = host(&text) else { return };
    load(&world);
    world.want(FIRST.0, FIRST.1);
    fs_err::write(world.file("/etc/csf/version.txt"), "14.24\n").unwrap();
    fs_err::write(
        world.file("/etc/csf/csfpost.sh"),
        "#!/bin/sh\niptables -A INPUT -j DROP\n",
    )
    .unwrap();
    let check = world.pasvsync(&["check"]).expect(3);
    let codes = codes(&check);
    for code in [
        "csf-testing",
        "csf-lfd-start",
        "csf-flood-limit",
        "csf-countries",
        "csf-ftp-helper",
        "csf-stale-hole",
        "csf-end-of-life",
        "csf-script",
        "csf-outbound",
    ] {
        assert_eq!(
            codes.iter().filter(|known| *known == code).count(),
            1,
            "{code}: {check:#?}"
        );
    }
    for code in [
        "csf-ipv6-off",
        "csf-no-tracking",
        "csf-error",
        "csf-disabled",
    ] {
        assert!(!codes.iter().any(|known| known == code), "{code}");
    }
}

/// Below a root that boots csf only its csf.conf is edited.
#[test]
fn csf_not_involved_an_image() {
    let Some(world) = host(CONF) else { return };
    let root = world.folder.path().join("image");
    for folder in [
        "etc/csf",
        "etc/systemd/system/multi-user.target.wants",
        "var/lib",
    ] {
        fs_err::create_dir_all(root.join(folder)).unwrap();
    }
    let enabled = root.join("etc/systemd/system/multi-user.target.wants/csf.service");
    fs_err::os::unix::fs::symlink("/usr/lib/systemd/system/csf.service", enabled).unwrap();
    fs_err::create_dir_all(root.join("etc/pure-ftpd")).unwrap();
    fs_err::write(
        root.join("etc/pure-ftpd.conf"),
        "PassivePortRange 50000 50100\n",
    )
    .unwrap();
    fs_err::write(root.join("etc/csf/csf.conf"), CONF).unwrap();
    let before = world.exact();
    let text = root.display().to_string();
    let pasvsync = |command: &str| {
        let output = world.server.run(|| {
            run(
                quiet(PROGRAM).args([command, "--root", &text, "--output", "json"]),
                "",
            )
        });
        assert!(output.status.success(), "{command}: {output:#?}");
        output.stdout
    };
    let report = pasvsync("sync");
    assert!(
        report.contains("\"permanent\"") && !report.contains("\"runtime\""),
        "{report}"
    );
    let edited = fs_err::read_to_string(root.join("etc/csf/csf.conf")).unwrap();
    assert!(
        edited.contains("TCP_IN = \"21,22,50000:50100\"")
            && edited.contains("TCP6_IN = \"21,22,50000:50100\"")
    );
    let again: serde_json::Value = serde_json::from_str(&pasvsync("sync")).unwrap();
    assert_eq!(again["changed"], false);
    pasvsync("remove");
    assert_eq!(
        fs_err::read_to_string(root.join("etc/csf/csf.conf")).unwrap(),
        CONF
    );
    assert!(!root.join("var/lib/pasvsync").exists());
    assert_eq!(world.exact(), before);
}

/// cPanel's daemon without a range of its own uses 49152-65534.
#[test]
fn csf_not_involved_a_cpanel_host() {
    let Some(world) = host(CONF) else { return };
    load(&world);
    for (path, text) in [
        ("/var/cpanel/cpanel.config", "ftpserver=pure-ftpd\n"),
        (
            "/var/cpanel/conf/pureftpd/main",
            "---\nPassivePortRange: ~\n",
        ),
        ("/etc/pure-ftpd.conf", "PassivePortRange 49152 65534\n"),
    ] {
        let path = world.file(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }
    let edge = [49_151, 49_152, 57_000, 65_534, 65_535];
    let pasvsync = |command: &str| {
        world.server.run(|| {
            run(
                world
                    .seeing_files(PROGRAM)
                    .args([command, "--output", "json"]),
                "",
            )
        })
    };
    let before = world.exact();
    let sync = pasvsync("sync");
    assert!(sync.status.success(), "{sync:#?}");
    assert!(
        conf(&world).contains("TCP_IN = \"21,22,49152:65534\""),
        "{sync:#?}"
    );
    for from in CLIENT {
        let reached = world.reached(from, &edge, |port| (49_152..=65_534).contains(&port));
        assert_eq!(reached.into_iter().collect::<Vec<_>>(), edge[1..4]);
    }
    assert!(pasvsync("remove").status.success());
    assert_eq!(conf(&world), CONF);
    assert_eq!(world.exact().text, before.text);
}

/// Somebody else edits the chain all the time: the rule is put in all the same, in its place.
#[test]
fn csf_not_involved_others_edit_at_the_same_time() {
    let Some(world) = host(CONF) else { return };
    load(&world);
    let story = Story::begin(&world);
    let script = "while :; do iptables-nft -I INPUT 1 -s 192.0.2.9 -j DROP; sleep 0.05; iptables-nft -D INPUT -s 192.0.2.9 -j DROP; sleep 0.05; done";
    let busy = world.server.run(|| {
        let mut shell = quiet("sh");
        shell
            .args(["-c", script])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Running(shell.spawn().unwrap())
    });
    let outcome = world.pasvsync(&["sync"]);
    drop(busy);
    let _ = world.command(
        "iptables-nft",
        &["-D", "INPUT", "-s", "192.0.2.9", "-j", "DROP"],
        "",
    );
    // Where it gave up, nothing of it is left.
    if outcome.code == Some(0) {
        story.assert_reached(FIRST);
    }
    world.pasvsync(&["sync"]).expect(0);
    story.assert_reached(FIRST);
    world.pasvsync(&["remove"]).expect(0);
    assert_eq!(conf(&world), CONF);
    story.assert_restored_text();
}
