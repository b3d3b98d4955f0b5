//! The real daemons, in namespaces of their own: `set-range`, a restart, and every passive port lies in the new range;
//! what runs with an old configuration, and what else listens on the ports, is named.

use super::running::{PROFTPD, PURE_FTPD, VSFTPD, WRAPPER, image, packages, part, start, wait_for};
use super::support::Image;

const NEW: std::ops::RangeInclusive<u16> = 51_000..=51_099;

/// The story of one daemon: it runs; its range is set; it is restarted; it uses the range.
fn story(path: &str, service: &str, daemon: &str, text: &str, command: &str) {
    let Some(root) = packages() else {
        return;
    };
    let script = format!(
        "#!/bin/sh\nexport LD_LIBRARY_PATH={root}/usr/lib/x86_64-linux-gnu:{root}/lib/x86_64-linux-gnu\n\
         [ \"$1\" = start ] || {{ kill $(cat /run/test.pid); while [ -d /proc/$(cat /run/test.pid) ]; do sleep 0.05; done; }}\n\
         {command} > /run/test.log 2>&1 < /dev/null &\necho $! > /run/test.pid\n",
        root = root.display()
    );
    let image = image(path, text)
        .with(&format!("/etc/init.d/{service}"), script)
        .with("/etc/pure-ftpd/conf/NoAnonymous", "no\n");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(image.path(&format!("/etc/init.d/{service}")), executable).unwrap();
    let set = format!(
        "pasvsync set-range {}-{} --daemon {daemon}",
        NEW.start(),
        NEW.end()
    );
    let script = format!(
        "for f in /etc/pure-ftpd /etc/vsftpd.conf /etc/proftpd; do case {path} in $f|$f/*) ;; *) rm -rf $f ;; esac; done; \
         /etc/init.d/{service} start; until ss -ltn 2>/dev/null | grep -q ':21 '; do sleep 0.05; done; sleep 0.3; \
         echo '== before'; pasvsync check; echo '== set'; {set}; echo status $?; \
         echo '== after'; pasvsync check; \
         echo '== restart'; {set} --restart; echo status $?; \
         until ss -ltn | grep -q ':21 '; do sleep 0.05; done; \
         echo '== end'; pasvsync check; echo '== ready'; echo; sleep 600"
    );
    let mut running = start(&root, &image, &script);
    let said = wait_for(&mut running, "== ready\n");
    assert!(
        !part(&said, "before").contains("was started before"),
        "{said}"
    );
    let set = part(&said, "set");
    assert!(set.contains("passive 51000-51099 is written\n"), "{said}");
    assert!(
        set.contains(&format!("to use it, restart: service {service} restart\n")),
        "{said}"
    );
    assert!(!set.contains("was started before"), "said twice: {said}");
    assert!(set.contains("status 0"), "{said}");
    let doubt = match daemon {
        // The daemon's own test has taken the place of the socket that would tell when ProFTPD read its configuration.
        "vsftpd" | "proftpd" => ", unless it has got a SIGHUP since, which leaves no trace",
        _ => "",
    };
    let words = format!(
        "was started before this file last changed: it runs with what was there before{doubt}\nhint: restart it: service {service} restart\n"
    );
    assert!(part(&said, "after").contains(&words), "{said}");
    let restart = part(&said, "restart");
    assert!(restart.contains("is set already"), "{said}");
    assert!(
        restart.contains(&format!("restarted: service {service} restart\n")),
        "{said}"
    );
    assert!(
        restart.contains("status 0") && !restart.contains("was started before"),
        "{said}"
    );
    assert!(!part(&said, "end").contains("was started before"), "{said}");
    for answer in running.answers(path, 21) {
        assert!(NEW.contains(&answer), "{answer}");
    }
}

#[test]
fn proftpd() {
    let text = "PassivePorts 50000 50009\n";
    story(
        PROFTPD,
        "proftpd",
        "proftpd",
        text,
        "proftpd -n -c /etc/proftpd/proftpd.conf",
    );
}

#[test]
fn vsftpd() {
    story(
        VSFTPD,
        "vsftpd",
        "vsftpd",
        "# no range\n",
        "vsftpd /etc/vsftpd.conf",
    );
}

#[test]
fn pure_ftpd() {
    let text = "Daemonize no\n# PassivePortRange 30000 50000\n";
    story(
        PURE_FTPD,
        "pure-ftpd",
        "pure-ftpd",
        text,
        "pure-ftpd /etc/pure-ftpd.conf",
    );
}

#[test]
fn pure_ftpd_under_debians_wrapper() {
    story(
        WRAPPER,
        "pure-ftpd",
        "pure-ftpd",
        "# ours\n50000 50009\n",
        "pure-ftpd-wrapper",
    );
}

/// Listens on a port of all addresses, of all IPv6 addresses, and of loopback only.
const SERVICE: &str = "use Socket qw(:all); sub l { my ($f, $a) = @_; my $s; socket($s, $f, SOCK_STREAM, 0) or die; \
    setsockopt($s, 41, 26, 1) if $f == AF_INET6; bind($s, $a) or die $!; listen($s, 5) or die; push @s, $s } \
    l(AF_INET, pack_sockaddr_in(50005, INADDR_ANY)); l(AF_INET6, pack_sockaddr_in6(50005, IN6ADDR_ANY)); \
    l(AF_INET, pack_sockaddr_in(50006, INADDR_LOOPBACK)); l(AF_INET, pack_sockaddr_in(50100, INADDR_ANY)); sleep 600";

#[test]
fn what_else_listens_on_the_ports_is_named() {
    let Some(root) = packages() else {
        return;
    };
    let image = image(PROFTPD, "PassivePorts 50000 50009\n");
    let ruleset = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/default-deny.nft");
    let script = format!(
        "rm -rf /etc/pure-ftpd /etc/vsftpd.conf; nft -f {ruleset}; echo '== quiet'; pasvsync check; \
         perl -e '{SERVICE}' & service=$!; until ss -ltn | grep -q ':50100 '; do sleep 0.05; done; \
         echo '== pid'; echo \"pid $service)\"; echo '== check'; pasvsync check; echo status $?; \
         echo '== json'; pasvsync check --refuse-exposed --output json 2>/dev/null; echo status $?; \
         echo '== refused'; pasvsync sync --refuse-exposed; echo status $?; nft list ruleset | grep -c pasvsync; \
         echo 'refuse-exposed = true' > /etc/pasvsync.toml; echo '== setting'; pasvsync sync -q; echo status $?; \
         echo '== sync'; pasvsync sync --refuse-exposed=false; echo status $?; \
         echo '== ready'; echo; sleep 600"
    );
    let mut running = start(&root, &image, &script);
    let said = wait_for(&mut running, "== ready\n");
    assert!(!part(&said, "quiet").contains("listens"), "{said}");
    let id = part(&said, "pid");
    let check = part(&said, "check");
    let listens = format!(
        "/etc/proftpd/proftpd.conf:10: perl (pid {}",
        id.trim_start_matches("pid ")
    );
    let named = format!(
        "{listens} listens on 0.0.0.0:50005 and [::]:50005, inside the passive range 50000-50009 of proftpd: "
    );
    assert!(
        check.contains(&format!(
            "warning: {named}an open range lets anybody connect to it\n"
        )),
        "{said}"
    );
    assert!(
        !check.contains("50006") && !check.contains("50100"),
        "{said}"
    );
    assert!(check.contains("status 3"), "{said}");
    let json = part(&said, "json");
    assert!(
        json.contains("\"code\": \"exposed-service\",\n      \"severity\": \"error\""),
        "{said}"
    );
    assert!(json.contains("status 1"), "{said}");
    let refused = part(&said, "refused");
    assert!(
        refused.contains(&format!("error: {named}nothing is opened\n")),
        "{said}"
    );
    assert!(
        refused.contains("nothing was touched\nstatus 1\n0"),
        "{said}"
    );
    let setting = part(&said, "setting");
    assert!(
        setting.contains("nothing is opened") && setting.contains("status 1"),
        "{said}"
    );
    let sync = part(&said, "sync");
    assert!(
        sync.contains("changed and proved") && sync.contains("status 0"),
        "{said}"
    );
}

/// The daemon's own test fails: the file is as it was, to the byte, and so is its mode.
#[test]
fn what_the_daemons_own_test_refuses_is_taken_back() {
    let Some(root) = packages() else {
        return;
    };
    let image = image(WRAPPER, "50000 50009\n");
    let set = "pasvsync set-range 51000-51099 --daemon";
    let script = format!(
        "printf '#!/bin/sh\\necho \"Invalid configuration file: no\" >&2; exit 255\\n' > /run/no; chmod 755 /run/no; \
         chmod 640 {WRAPPER}; chown 7:8 {WRAPPER}; rm -rf /etc/vsftpd.conf /etc/proftpd; \
         mount --bind /run/no /usr/sbin/pure-ftpd-wrapper; chown 0:8 {WRAPPER}; \
         echo '== refused'; {set} pure-ftpd; echo status $?; cat {WRAPPER}; stat -c '%a %u:%g' {WRAPPER}; \
         echo '== missing'; rm {WRAPPER}; {set} pure-ftpd; echo status $?; ls /etc/pure-ftpd/conf; \
         umount /usr/sbin/pure-ftpd-wrapper; {set} pure-ftpd -q; echo status $?; cat {WRAPPER}; stat -c '%a %u:%g' {WRAPPER}; \
         echo '== ready'; echo; sleep 600"
    );
    let mut running = start(&root, &image, &script);
    let said = wait_for(&mut running, "== ready\n");
    let refused = part(&said, "refused");
    assert!(refused.contains("error: the configuration is as it was before: pure-ftpd does not take it: Invalid configuration file: no\n"), "{said}");
    assert!(
        refused.contains("hint: `/usr/sbin/pure-ftpd-wrapper --show-options` says it all"),
        "{said}"
    );
    assert!(
        refused.ends_with("status 1\n50000 50009\n640 0:8"),
        "{said}"
    );
    let missing = part(&said, "missing");
    assert!(!missing.contains("PassivePortRange\n"), "{said}");
    assert!(
        missing.ends_with("status 0\n51000 51099\n644 0:0"),
        "{said}"
    );
}

/// cPanel's settings are written, and its script makes the daemon's file of them.
#[test]
fn cpanel_writes_the_rest() {
    let Some(root) = packages() else {
        return;
    };
    let image = Image::new().with("/etc/pure-ftpd.conf", "PassivePortRange 49152 65534\n");
    let set = "pasvsync set-range 51000-51099 --daemon pure-ftpd";
    let script = format!(
        "rm -rf /etc/vsftpd.conf /etc/proftpd; mount -t tmpfs tmpfs /var; mount -t tmpfs tmpfs /usr/local; \
         mkdir -p /var/cpanel/conf/pureftpd /usr/local/cpanel/scripts; cd /usr/local/cpanel/scripts; \
         echo ftpserver=pure-ftpd > /var/cpanel/cpanel.config; \
         printf '%s\\n' --- 'PassivePortRange: 49152 65534' > /var/cpanel/conf/pureftpd/main; \
         printf '#!/bin/sh\\n[ -e /run/fail ] && exit 1; echo \"$*\" > /run/asked; sed -n \"s/PassivePortRange:/PassivePortRange/p\" /var/cpanel/conf/pureftpd/local > /etc/pure-ftpd.conf\\n' > setupftpserver; \
         printf '#!/bin/sh\\necho restarted > /run/restarted\\n' > restartsrv_ftpserver; chmod 755 *; \
         echo '== fails'; touch /run/fail; {set}; echo status $?; ls /var/cpanel/conf/pureftpd; \
         echo '== works'; rm /run/fail; {set} --restart; echo status $?; cat /var/cpanel/conf/pureftpd/local /etc/pure-ftpd.conf /run/asked /run/restarted; \
         echo '== ready'; echo; sleep 600"
    );
    let mut running = start(&root, &image, &script);
    let said = wait_for(&mut running, "== ready\n");
    let fails = part(&said, "fails");
    assert!(fails.contains("setupftpserver failed"), "{said}");
    assert!(fails.ends_with("status 1\nmain"), "{said}");
    let works = part(&said, "works");
    assert!(
        works.contains("restarted: /usr/local/cpanel/scripts/restartsrv_ftpserver\n"),
        "{said}"
    );
    assert!(works.ends_with("status 0\n---\nPassivePortRange: 51000 51099\nPassivePortRange 51000 51099\npure-ftpd --force\nrestarted"), "{said}");
}

/// Two instances of one daemon: the one that was not restarted is named, by its pid; its sessions are not.
#[test]
fn each_instance_is_told_apart() {
    let Some(root) = packages() else {
        return;
    };
    let common = "listen=YES\nseccomp_sandbox=NO\nanonymous_enable=YES\npasv_min_port=50000\n";
    let image = image(VSFTPD, "")
        .with(
            "/etc/vsftpd/one.conf",
            format!("{common}pasv_max_port=50009\n"),
        )
        .with(
            "/etc/vsftpd/two.conf",
            format!(
                "{}pasv_max_port=51009\nlisten_port=2121\n",
                common.replace("50000", "51000")
            ),
        );
    let script = "rm -rf /etc/pure-ftpd /etc/proftpd /etc/vsftpd.conf; \
         vsftpd /etc/vsftpd/one.conf & one=$!; vsftpd /etc/vsftpd/two.conf & \
         until [ $(ss -ltn | grep -cE ':(21|2121) ') = 2 ]; do sleep 0.05; done; sleep 0.3; \
         echo '== before'; pasvsync check; echo '# later' >> /etc/vsftpd/one.conf; \
         echo '== pid'; echo \"pid $one)\"; echo '== after'; pasvsync check; \
         kill $one; sleep 0.3; echo '== gone'; pasvsync check; echo '== ready'; echo; sleep 600";
    let mut running = start(&root, &image, script);
    let said = wait_for(&mut running, "== ready\n");
    assert!(
        !part(&said, "before").contains("was started before"),
        "{said}"
    );
    let after = part(&said, "after");
    let named = format!(
        "warning: /etc/vsftpd/one.conf: vsftpd ({} was started before",
        part(&said, "pid")
    );
    assert_eq!(after.matches("was started before").count(), 1, "{said}");
    assert!(after.contains(&named), "{said}");
    assert!(
        !part(&said, "gone").contains("was started before"),
        "{said}"
    );
}
