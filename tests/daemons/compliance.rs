//! The real daemons of Debian 12, each in namespaces of its own: every port that they answer to PASV and EPSV lies in
//! what was read, and what they refuse is refused in the same words.

use std::time::{Duration, Instant};

use super::running::{PROFTPD, PURE_FTPD, VSFTPD, WRAPPER, command, image, packages, start};

/// Configurations under which each daemon starts.
pub(super) const STARTING: &[(&str, &str)] = &[
    (PROFTPD, "PassivePorts 50000 50009\n"),
    (PROFTPD, ""),
    (PROFTPD, "passiveports \"50000\" 050009abc 9 # more\n"),
    (PROFTPD, "PassivePorts 4295017296 50009#c\r\nPort 2121\r\n"),
    (
        PROFTPD,
        "PassivePorts 50000 50009\nPassivePorts 51000 51009\n",
    ),
    (
        PROFTPD,
        "<Global>\nPassivePorts 50000 50009\n</Global>\n<Global>\nPassivePorts 51000 51009\nPassivePorts 52000 52009\n</Global>\n",
    ),
    (
        PROFTPD,
        "<Global>\nPassivePorts 50000 50009\n</Global>\nPassivePorts 51000 51009\n",
    ),
    (PROFTPD, "Include /etc/inc/*.conf\n"),
    (PROFTPD, "Include /etc/*/9.conf\n"),
    (
        PROFTPD,
        "Include /etc/inc/bad.inc\nPassivePorts 50000 50009\n",
    ),
    (
        PROFTPD,
        "Include /etc/inc/*.inc\nPassivePorts 50000 50009\n",
    ),
    (
        PROFTPD,
        "Include /none\n<IfModule !mod_tls.c>\nPassivePorts 50000 50009\n</IfModule>\nPassivePorts 51000 51009\n",
    ),
    (
        PROFTPD,
        "Define A\n<IfDefine A>\nPassive\\\nPorts 50000 50009\n</IfDefine>\n",
    ),
    (
        PROFTPD,
        "<IfModule ! mod_core.c>\nPassivePorts 50000 50009\n</IfModule>\n",
    ),
    (
        PROFTPD,
        "ServerAdmin x\0lost\nPassivePorts 50000 50009\nPassivePorts 51000 51009\n",
    ),
    (PURE_FTPD, "PassivePortRange 50000 50009\n"),
    (PURE_FTPD, ""),
    (PURE_FTPD, "passiveportrange = 050000 4295017305\r\n"),
    (
        PURE_FTPD,
        "PassivePortRange: 50000 50009\nPassivePortRange 51000 51009\n",
    ),
    (
        PURE_FTPD,
        "Bind ,2121\nInclude /etc/inc/pure.inc\nInclude /none\n",
    ),
    (
        PURE_FTPD,
        "Bind 70000\nPassivePortRange 50000 50009\0 junk\n",
    ),
    (WRAPPER, "\n# ports\n 50000\t50009 \r\nignored\n"),
    (VSFTPD, "pasv_min_port=50000\npasv_max_port=50009\n"),
    (VSFTPD, ""),
    (VSFTPD, "pasv_min_port=60000\n"),
    (VSFTPD, "pasv_max_port=6000\n"),
    (VSFTPD, "pasv_min_port=60000\npasv_max_port=50000\n"),
    (VSFTPD, "pasv_min_port=20\npasv_max_port=1030\n"),
    (VSFTPD, "pasv_min_port=0\npasv_max_port=0\n"),
    (VSFTPD, "pasv_min_port=65000\npasv_max_port=70000\n"),
    (
        VSFTPD,
        "pasv_min_port=0141520\npasv_max_port=0141531\nlisten_port=65557\n",
    ),
    (
        VSFTPD,
        "pasv_min_port= 50000 # c\npasv_max_port=50009abc\nlisten_port=2121\n",
    ),
    (
        VSFTPD,
        "pasv_min_port=50000\npasv_max_port=50009\nuser_config_dir=/etc/users\n",
    ),
    (VSFTPD, "pasv_min_port=50000\0junk\npasv_max_port=50009\n"),
];

/// Configurations that each daemon refuses.
const REFUSED: &[(&str, &str)] = &[
    (PROFTPD, "PassivePorts 50009 50000\n"),
    (PROFTPD, "PassivePorts 1000 50000\n"),
    (PROFTPD, "PassivePorts 50000\n"),
    (PROFTPD, "PassivePorts '50000 50009'\n"),
    (PROFTPD, "IdentLookups off\n"),
    (PROFTPD, "PasivePorts 50000 50009\n"),
    (PROFTPD, "LoadModule mod_vroot.c\n"),
    (
        PROFTPD,
        "<Anonymous /x>\nPassivePorts 50000 50009\n</Anonymous>\n",
    ),
    (PROFTPD, "<IfModule mod_x.c>\n</IfModule> # end\n"),
    (PROFTPD, "<Global>\n"),
    (PROFTPD, "Include inc/10.conf\n"),
    (
        PROFTPD,
        "<VirtualHost 127.0.0.1>\nInclude /etc/inc/bad.inc\n</VirtualHost>\n",
    ),
    (PROFTPD, "Port 70000\n"),
    (PROFTPD, "<Global>\nserveradmin a@b\n</Global>\n"),
    (
        PROFTPD,
        "<VirtualHost 127.0.0.1>\nMaxInstances 30\n</VirtualHost>\n",
    ),
    (PROFTPD, "AnonRequirePassword on\n"),
    (PROFTPD, "<ifmodule mod_x.c>\n"),
    (PURE_FTPD, "PassivePortRange 50000\n"),
    (PURE_FTPD, "PassivePortRange \"50000 50009\"\n"),
    (PURE_FTPD, "PassivePortRange == 50000 50009\n"),
    (PURE_FTPD, "PassivePortRange 50000 50009 # c\n"),
    (PURE_FTPD, "PassivePortRange 50000-50009\n"),
    (PURE_FTPD, "ChrootEveryone maybe\n"),
    (PURE_FTPD, "Umask 133 022\nAnonymousBandwidth 8\nBogus\n"),
    (PURE_FTPD, "FileSystemCharset UTF-8\n"),
    (PURE_FTPD, "Bind \"127.0.0.1,21\"\n"),
    (PURE_FTPD, "Include /etc/pure-ftpd.conf\n"),
    (VSFTPD, "pasv_min_port =50000\n"),
    (VSFTPD, " # c\n"),
    (VSFTPD, "pasv_enable=on\n"),
    (VSFTPD, "pasv_enable=YES\r\n"),
    (VSFTPD, "pasv_min_port\n"),
    (VSFTPD, "listen_ipv6=YES\n"),
];

#[test]
fn every_port_of_a_real_daemon_lies_in_what_was_read() {
    let Some(root) = packages() else {
        return;
    };
    let (mut cases, mut answers) = (0, 0);
    for (path, text) in STARTING {
        let image = image(path, text);
        let reading = image.reading();
        assert!(reading.refuses.is_none(), "{text:?}: {:?}", reading.refuses);
        let mut running = start(&root, &image, &format!("exec {}", command(path, &reading)));
        for &port in &reading.control {
            for answer in running.answers(path, port) {
                assert!(
                    reading.effective.contains(answer),
                    "{path} {text:?}: {answer} is not in {}",
                    reading.effective
                );
                answers += 1;
            }
        }
        cases += 1;
    }
    println!("{answers} answers of real daemons under {cases} configurations lie in what was read");
}

#[test]
fn what_a_real_daemon_refuses_is_refused_in_its_words() {
    let Some(root) = packages() else {
        return;
    };
    for (path, text) in REFUSED {
        let image = image(path, text);
        let reading = image.reading();
        let error = reading
            .refuses
            .clone()
            .unwrap_or_else(|| panic!("{path} {text:?} is taken"));
        let mut running = start(&root, &image, &format!("exec {}", command(path, &reading)));
        let deadline = Instant::now() + Duration::from_secs(60);
        while running.child.try_wait().unwrap().is_none() {
            assert!(
                Instant::now() < deadline,
                "{path} {text:?}: the daemon runs; it said: {}",
                running.said()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let said = running.said().replace('\t', " ");
        assert!(
            said.contains(error.message.trim()),
            "{path} {text:?}: {:?}, not {said:?}",
            error.message
        );
    }
    println!(
        "{} configurations are refused in the words of the real daemons",
        REFUSED.len()
    );
}

/// Values for Debian's folder of options.
const OPTION_FILES: &[(&str, &str)] = &[
    ("PassivePortRange", "50000 50009"),
    ("PassivePortRange", "\n# c\n\t50000   50009 \r\n1 2\n"),
    ("PassivePortRange", "50009 50000"),
    ("PassivePortRange", "50000 99999"),
    ("PassivePortRange", "50000:50009"),
    ("PassivePortRange", "50000-50009"),
    ("PassivePortRange", "50000 50009 # c"),
    ("PassivePortRange", "\"50000 50009\""),
    ("PassivePortRange", "\u{feff}50000 50009"),
    ("PassivePortRange", "50000 50009\0"),
    ("PassivePortRange", "50000"),
    ("PassivePortRange", "# nothing\n"),
    ("passiveportrange", "50000 50009"),
    ("PassivePortRange.bak", "x"),
    ("Unknown", "x"),
    ("NoAnonymous", "Yes"),
    ("NoAnonymous", "no\nyes\n"),
    ("NoAnonymous", "maybe"),
    ("MaxClientsNumber", "50x"),
    ("Bind", "192.0.2.1, 2121"),
    ("Bind", ",2121"),
    ("ForcePassiveIP", "10.0.0.1"),
    ("Umask", "133 022"),
    ("Umask", "0133 022"),
    ("TrustedIP", "300.1.1.1"),
    ("LimitRecursion", "-1 8"),
    ("UserBandwidth", "8:"),
    ("UserBandwidth", "x"),
    ("SyslogFacility", "f-p"),
    ("FSCharset", "anything at all"),
];

#[test]
fn the_wrapper_takes_and_refuses_the_same_files() {
    let Some(root) = packages() else {
        return;
    };
    for (name, value) in OPTION_FILES {
        let image =
            image(&format!("/etc/pure-ftpd/conf/{name}"), value).with_folder("/etc/pure-ftpd/auth");
        // The package's own options are in the layer below.
        let reading = image.reading();
        let mut running = start(&root, &image, "exec pure-ftpd-wrapper --show-options");
        let status = running.child.wait().unwrap();
        let said = running.said();
        let refused = reading
            .refuses
            .as_ref()
            .filter(|error| !error.message.starts_with("421"));
        assert_eq!(
            status.success(),
            refused.is_none(),
            "{name} {value:?}: {refused:?}, not {said:?}"
        );
        if let Some(error) = refused {
            // A byte order mark is a blank to us, and three bytes to the script.
            let printed = |text: &str| {
                text.chars()
                    .filter(char::is_ascii_graphic)
                    .collect::<String>()
            };
            let (ours, theirs) = (printed(&error.message), printed(&said));
            assert!(
                theirs.contains(&ours),
                "{name} {value:?}: {ours}, not {theirs}"
            );
        }
        if let Some(range) = reading.passive.first() {
            let option = format!("-p {}:{}", range.ports.first(), range.ports.last());
            assert!(said.contains(&option), "{name} {value:?}: {said:?}");
        }
    }
    println!(
        "{} option files are taken or refused as by pure-ftpd-wrapper",
        OPTION_FILES.len()
    );
}
