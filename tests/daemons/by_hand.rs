//! What runs is not what is configured, or nothing is configured at all: the real daemons' command lines, and SIGHUP.

use super::running::{PROFTPD, PURE_FTPD, VSFTPD, image, packages, part, start, wait_for};

/// The packages' own configurations, out of the way.
const NOTHING: &str = "rm -rf /etc/pure-ftpd /etc/pure-ftpd.conf /etc/vsftpd.conf /etc/proftpd";
/// What answers to anonymous, on port 21.
const ANONYMOUS: &str = "listen=YES\nseccomp_sandbox=NO\nanonymous_enable=YES\n";
const LISTENS: &str = "until ss -ltn | grep -q ':21 '; do sleep 0.05; done; sleep 0.3";

/// Whether a daemon has read its configuration again is told where it can be, and not guessed where it cannot.
#[test]
fn a_daemon_that_reads_again_is_not_outdated() {
    let Some(root) = packages() else {
        return;
    };
    let image = image(PROFTPD, "PassivePorts 50000 50009\n");
    let script = format!(
        "rm -rf /etc/pure-ftpd /etc/vsftpd.conf; proftpd -n -c {PROFTPD} & id=$!; {LISTENS}; \
         sed -i s/500/510/g {PROFTPD}; echo '== changed'; pasvsync check; kill -HUP $id; sleep 1.5; \
         echo '== again'; pasvsync check; sed -i s/510/520/g {PROFTPD}; echo '== later'; pasvsync check; \
         echo '== ready'; echo; sleep 600"
    );
    let mut running = start(&root, &image, &script);
    let said = wait_for(&mut running, "== ready\n");
    let before = "last read its configuration before this file changed: it runs with what was there before\n";
    let changed = part(&said, "changed");
    assert!(changed.contains(before), "{said}");
    assert!(!part(&said, "again").contains("before this file"), "{said}");
    let later = part(&said, "later");
    assert!(later.contains(before), "{said}");
    for answer in running.answers(PROFTPD, 21) {
        assert!((51_000..=51_009).contains(&answer), "{answer}");
    }
}

#[test]
fn what_sessions_read_needs_no_restart() {
    let Some(root) = packages() else {
        return;
    };
    let image = image(
        VSFTPD,
        "user_config_dir=/etc/users\npasv_min_port=50000\npasv_max_port=50009\n",
    );
    let script = format!(
        "rm -rf /etc/pure-ftpd /etc/proftpd; vsftpd {VSFTPD} & {LISTENS}; \
         sed -i s/540/550/g /etc/users/ftp; echo '== users'; pasvsync check; \
         echo '== ready'; echo; sleep 600"
    );
    let mut running = start(&root, &image, &script);
    let said = wait_for(&mut running, "== ready\n");
    let users = part(&said, "users");
    assert!(
        users.contains("55000-55009") && !users.contains("before this file"),
        "{said}"
    );
    for answer in running.answers(VSFTPD, 21) {
        assert!((55_000..=55_009).contains(&answer), "{answer}");
    }
}

/// A daemon that was started with other arguments than its configuration: what is configured is wanted, and a finding
/// says what is used.
#[test]
fn what_runs_otherwise_than_configured_is_named() {
    let Some(root) = packages() else {
        return;
    };
    let unit = |command: &str| format!("[Service]\nExecStart={command}\n");
    let range = "pasv_min_port=50000\npasv_max_port=50009\n";
    for (path, text, service, command, used) in [
        (
            VSFTPD,
            range.to_owned(),
            unit("/usr/sbin/vsftpd /etc/vsftpd.conf"),
            "vsftpd /etc/vsftpd.conf -opasv_max_port=50019",
            50_000..=50_019,
        ),
        (
            VSFTPD,
            range.to_owned(),
            unit("/usr/sbin/vsftpd /etc/vsftpd.conf -opasv_max_port=50019"),
            "vsftpd /etc/vsftpd.conf",
            50_000..=50_009,
        ),
        (
            PURE_FTPD,
            "PassivePortRange 50000 50009\n".to_owned(),
            unit("/usr/sbin/pure-ftpd /etc/pure-ftpd.conf"),
            "pure-ftpd /etc/other.conf",
            51_000..=51_009,
        ),
    ] {
        let name = if path == VSFTPD {
            "vsftpd"
        } else {
            "pure-ftpd"
        };
        let image = image(path, &text)
            .with("/etc/other.conf", "PassivePortRange 51000 51009\n")
            .with(&format!("/etc/systemd/system/{name}.service"), service);
        let script = format!(
            "for f in /etc/pure-ftpd /etc/proftpd /etc/vsftpd.conf; do [ $f = {path} ] || rm -rf $f; done; \
             {command} & id=$!; {LISTENS}; echo '== pid'; echo \"{name} (pid $id)\"; \
             echo '== check'; pasvsync check; echo '== json'; pasvsync check --output json 2>/dev/null; \
             echo '== ready'; echo; sleep 600"
        );
        let mut running = start(&root, &image, &script);
        let said = wait_for(&mut running, "== ready\n");
        let (check, pid) = (part(&said, "check"), part(&said, "pid"));
        let named = format!(
            "warning: {path}: {pid} was not started as it is configured, but as `{command}`: passive ports {}-{}, not ",
            used.start(),
            used.end()
        );
        assert!(check.contains(&named), "{named}: {said}");
        assert!(
            check.contains(&format!("hint: restart it: service {name} restart\n")),
            "{said}"
        );
        for answer in running.answers(path, 21) {
            assert!(used.contains(&answer), "{command}: {answer}");
        }
    }
}

#[test]
fn what_runs_as_configured_is_not_named() {
    let Some(root) = packages() else {
        return;
    };
    for (path, text, command) in [
        (VSFTPD, "pasv_min_port=50000\n", "vsftpd"),
        (
            VSFTPD,
            "pasv_min_port=50000\nsetproctitle_enable=YES\n",
            "vsftpd /etc/vsftpd.conf -olisten_port=21",
        ),
        (
            PURE_FTPD,
            "PassivePortRange 50000 50009\n",
            "pure-ftpd /etc/pure-ftpd.conf",
        ),
        // The title is over the switches: nobody can know.
        (
            PURE_FTPD,
            "PassivePortRange 50000 50009\n",
            "pure-ftpd -p 51000:51009",
        ),
    ] {
        let image = image(path, text);
        let script = format!(
            "for f in /etc/pure-ftpd /etc/proftpd /etc/vsftpd.conf; do [ $f = {path} ] || rm -rf $f; done; \
             {command} & {LISTENS}; echo '== check'; pasvsync check; echo '== ready'; echo; sleep 600"
        );
        let mut running = start(&root, &image, &script);
        let said = wait_for(&mut running, "== ready\n");
        let check = part(&said, "check");
        assert!(check.contains("50000-"), "{said}");
        assert!(!check.contains("was not started"), "{said}");
    }
}

/// Nothing is configured where it usually is: then the command line is the configuration, but only root's.
#[test]
fn what_was_started_by_hand_is_found() {
    let Some(root) = packages() else {
        return;
    };
    let range = "pasv_min_port=50000\npasv_max_port=50009\n";
    let cases = [
        (
            VSFTPD,
            "vsftpd x.conf -opasv_max_port=50019",
            50_000..=50_019,
        ),
        (
            VSFTPD,
            "vsftpd -olisten=YES -oseccomp_sandbox=NO -opasv_min_port=52000 -opasv_max_port=52009",
            52_000..=52_009,
        ),
        (PURE_FTPD, "pure-ftpd y.conf", 51_000..=51_009),
    ];
    for (path, command, used) in cases {
        let image = image("/etc/hand/x.conf", &format!("{ANONYMOUS}{range}"))
            .with("/etc/hand/y.conf", "PassivePortRange 51000 51009\n");
        let script = format!(
            "{NOTHING}; cd /etc/hand; {command} & {LISTENS}; cd /; echo '== check'; pasvsync check; \
             echo '== ready'; echo; sleep 600"
        );
        let mut running = start(&root, &image, &script);
        let said = wait_for(&mut running, "== ready\n");
        let check = part(&said, "check");
        assert!(
            check.contains(&format!("{}-{}", used.start(), used.end())),
            "{said}"
        );
        for answer in running.answers(path, 21) {
            assert!(used.contains(&answer), "{command}: {answer}");
        }
    }
    // Anybody can give a program a daemon's name, and any file behind it.
    let image = image("/etc/hand/x.conf", range);
    let script = format!(
        "{NOTHING}; id=$(setpriv --reuid 999 --clear-groups bash -c 'exec -a vsftpd tail -f /etc/hand/x.conf' > /dev/null & echo $!); \
         until grep -q vsftpd /proc/$id/cmdline; do sleep 0.05; done; \
         echo '== user'; pasvsync check; echo '== ready'; echo; sleep 600"
    );
    let mut running = start(&root, &image, &script);
    let said = wait_for(&mut running, "== ready\n");
    assert!(
        part(&said, "user").contains("no configuration of any FTP daemon was found"),
        "{said}"
    );
}

/// `ProFTPD` writes over its command line: that it runs is seen, what it needs is not. What was opened for it stays open.
#[test]
fn what_runs_without_a_configuration_that_is_found_is_named() {
    let Some(root) = packages() else {
        return;
    };
    let image = image("/etc/hand/p.conf", "PassivePorts 50000 50009\n").with(
        "/etc/hand/rules.nft",
        "table inet filter { chain input { type filter hook input priority filter; policy drop; iif lo accept; \
         tcp dport 50000-50009 accept comment pasvsync; }; }\n",
    );
    let rules = "nft -a list ruleset";
    // Another's, on a port that anybody may have: no daemon of root's.
    let other = "setpriv --reuid 999 --clear-groups bash -c 'exec -a proftpd python3 -m http.server 2121' > /dev/null 2>&1 & \
                 until ss -ltn | grep -q ':2121 '; do sleep 0.05; done";
    let script = format!(
        "{NOTHING}; nft -f /etc/hand/rules.nft; {other}; echo '== before'; pasvsync check; echo status $?; \
         proftpd -n -c /etc/hand/p.conf & id=$!; {LISTENS}; echo '== pid'; echo $id; \
         echo '== check'; pasvsync check; echo status $?; \
         echo '== rules'; {rules}; echo '== sync'; pasvsync sync; echo status $?; echo '== after'; {rules}; \
         echo '== named'; pasvsync sync --daemon-config proftpd=/etc/hand/p.conf; echo status $?; \
         echo '== ready'; echo; sleep 600"
    );
    let mut running = start(&root, &image, &script);
    let said = wait_for(&mut running, "== ready\n");
    let before = part(&said, "before");
    assert!(
        before.contains("no configuration of any FTP daemon was found"),
        "{said}"
    );
    let named = format!(
        "error: proftpd (pid {}) runs, and its configuration was not found, so nothing is opened or closed\n\
         hint: name it: --daemon-config proftpd=PATH; `pasvsync remove` closes what was opened\n",
        part(&said, "pid").trim()
    );
    for mark in ["check", "sync"] {
        let said = part(&said, mark);
        assert!(said.contains(&named) && said.contains("status 1"), "{said}");
    }
    assert_eq!(part(&said, "rules"), part(&said, "after"));
    let named = part(&said, "named");
    assert!(
        named.contains("in sync: 50000-50009 open") && named.contains("status 0"),
        "{said}"
    );
}

#[test]
fn a_host_with_private_addresses_only_is_told() {
    let Some(root) = packages() else {
        return;
    };
    let image = image(VSFTPD, "pasv_min_port=50000\n");
    let script = "rm -rf /etc/pure-ftpd /etc/proftpd; echo '== none'; pasvsync status; \
         ip link add d0 type veth peer name d1; ip addr add 10.1.2.3/24 dev d0; echo '== private'; pasvsync status; \
         echo '== image'; pasvsync status --root /; ip addr add 198.51.100.1/24 dev d0; \
         echo '== public'; pasvsync status; echo '== ready'; echo; sleep 600";
    let mut running = start(&root, &image, script);
    let said = wait_for(&mut running, "== ready\n");
    let hint = "hint: behind NAT, write pasv_address=ADDRESS, the public one\n";
    for (mark, expected) in [
        ("none", false),
        ("private", true),
        ("image", false),
        ("public", false),
    ] {
        assert_eq!(part(&said, mark).contains(hint), expected, "{mark}: {said}");
    }
    assert!(
        part(&said, "private").contains("private ones only (10.1.2.3)"),
        "{said}"
    );
}
