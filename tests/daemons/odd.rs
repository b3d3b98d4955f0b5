//! Configurations as administrators really leave them behind, with more than one file: the real daemon answers with
//! the ports that were read, all of them and no others.

use std::collections::BTreeSet;

use super::running::{PROFTPD, PURE_FTPD, VSFTPD, WRAPPER, image, packages, start};
use super::support::ports;

/// The main file and its text, other files, what starts the daemon, and the ranges that it then uses.
type Case<'a> = (
    &'a str,
    &'a str,
    &'a [(&'a str, &'a str)],
    &'a str,
    &'a [(u16, u16)],
);

const RUN_PROFTPD: &str = "proftpd -n -c /etc/proftpd/proftpd.conf";
const RUN_VSFTPD: &str = "vsftpd /etc/vsftpd.conf";
const RUN_PURE: &str = "pure-ftpd /etc/pure-ftpd.conf";
/// Goes to the background.
const RUN_WRAPPER: &str = "pure-ftpd-wrapper";

const CASES: &[Case<'_>] = &[
    // A <Global> inside a virtual host is everybody's.
    (
        PROFTPD,
        "<VirtualHost 127.0.0.1>\nPort 2121\n<Global>\nPassivePorts 52000 52009\n</Global>\n</VirtualHost>\n",
        &[],
        RUN_PROFTPD,
        &[(52000, 52009)],
    ),
    (
        PROFTPD,
        "<Global>\nInclude /etc/inc/*.conf\n</Global>\nPassivePorts 50000 50009\n<VirtualHost 127.0.0.1>\nPort 2121\n</VirtualHost>\n",
        &[],
        RUN_PROFTPD,
        &[(50000, 50009), (51000, 51009)],
    ),
    // Two words for one directive, in quotes, with tabs, vertical tabs and form feeds.
    (
        PROFTPD,
        "\t\x0b\"PassivePorts\"\x0c\t\"50000\"\t\t50009 \t\n",
        &[],
        RUN_PROFTPD,
        &[(50000, 50009)],
    ),
    // A section that does not hold, with one inside that would.
    (
        PROFTPD,
        "<IfModule mod_nothing.c>\n<IfModule mod_core.c>\nPassivePorts 50000 50009\n</IfModule>\nPassivePorts 51000 51009\n</IfModule>\nPassivePorts 52000 52009\n",
        &[],
        RUN_PROFTPD,
        &[(52000, 52009)],
    ),
    // Defined on the command line, by the file that the unit names.
    (
        PROFTPD,
        "<IfDefine !MANY>\nPassivePorts 50000 50009\n</IfDefine>\n<IfDefine FEW>\nPassivePorts 51000 51009\n</IfDefine>\nPassivePorts 52000 52009\n",
        &[
            (
                "/etc/default/proftpd",
                "# CONFIG_FILE=/none\nOPTIONS=\"-DMANY -D FEW\"\nCONFIG_FILE=\"/etc/proftpd/proftpd.conf\"\n",
            ),
            (
                "/etc/systemd/system/proftpd.service",
                "[Service]\nType=forking\nEnvironment=CONFIG_FILE=/etc/none.conf OPTIONS=\nEnvironmentFile=-/etc/default/proftpd\nExecStart=/usr/sbin/proftpd -c $CONFIG_FILE $OPTIONS\n",
            ),
        ],
        "proftpd -n -c /etc/proftpd/proftpd.conf -DMANY -D FEW",
        &[(51000, 51009)],
    ),
    // Windows line ends, where a backslash continues nothing.
    (
        PROFTPD,
        "PassivePorts 50000 50009\r\n# PassivePorts 51000 51009 \\\r\nServerAdmin x\r\n",
        &[],
        RUN_PROFTPD,
        &[(50000, 50009)],
    ),
    // A comment is not continued; a directive is, in the middle of a number.
    (
        PROFTPD,
        "# off: \\\nPassivePorts 500\\\n00 500\\\n09\n",
        &[],
        RUN_PROFTPD,
        &[(50000, 50009)],
    ),
    // Sets in names, hidden files and folders below.
    (
        PROFTPD,
        "Include /etc/more/[ab]?.conf\n",
        &[
            ("/etc/more/.a1.conf", "PassivePorts 53000 53009\n"),
            ("/etc/more/b2.conf", "PassivePorts 52000 52009\n"),
            ("/etc/more/c1.conf", "PassivePorts 51000 51009\n"),
        ],
        RUN_PROFTPD,
        &[(52000, 52009)],
    ),
    (
        PROFTPD,
        "Include /etc/more\n",
        &[
            ("/etc/more/.hidden", "PassivePorts 53000 53009\n"),
            ("/etc/more/a", "PassivePorts 52000 52009\n"),
            ("/etc/more/sub/b", "PassivePorts 51000 51009\n"),
        ],
        RUN_PROFTPD,
        &[(53000, 53009)],
    ),
    // An included file that ends inside a section that the including one closes, and without a last line end.
    (
        PROFTPD,
        "<VirtualHost 127.0.0.1>\nInclude /etc/more/start\nPassivePorts 51000 51009\n</VirtualHost>\nPassivePorts 50000 50009\n",
        &[("/etc/more/start", "Port 2121\nPassivePorts 52000 52009")],
        RUN_PROFTPD,
        &[(50000, 50009), (52000, 52009)],
    ),
    // The environment of the daemon.
    (
        PROFTPD,
        "PassivePorts %{env:FIRST_PORT} %{env:LAST_PORT}\n",
        &[(
            "/etc/systemd/system/proftpd.service",
            "[Service]\nEnvironment=\"FIRST_PORT=50000\" 'LAST_PORT=50009'\nExecStart=/usr/sbin/proftpd -c /etc/proftpd/proftpd.conf\n",
        )],
        "env FIRST_PORT=50000 LAST_PORT=50009 proftpd -n -c /etc/proftpd/proftpd.conf",
        &[(50000, 50009)],
    ),
    // Several addresses; a later server with one of them and the same port.
    (
        PROFTPD,
        "PassivePorts 50000 50009\n<VirtualHost 127.0.0.2 127.0.0.1>\nPort 2121\nPassivePorts 51000 51009\n</VirtualHost>\n<VirtualHost 127.0.0.2>\nPassivePorts 52000 52009\nPort 2121\n</VirtualHost>\n",
        &[],
        RUN_PROFTPD,
        &[(50000, 50009), (51000, 51009)],
    ),
    // The last <Global> is in an included file.
    (
        PROFTPD,
        "Include /etc/more/late\n<Global>\nPassivePorts 50000 50009\n</Global>\nInclude /etc/more/later\n",
        &[
            (
                "/etc/more/late",
                "<Global>\nPassivePorts 51000 51009\n</Global>\n",
            ),
            ("/etc/more/later", "<Global>\nUmask 022\n</Global>\n"),
        ],
        RUN_PROFTPD,
        &[(50000, 50009)],
    ),
    (
        PURE_FTPD,
        "\t PASSIVEPORTRANGE\t=\t50000 \t 50009\t\r\nBind\t127.0.0.1,2121\r\n\x0b\x0c# x\n",
        &[],
        RUN_PURE,
        &[(50000, 50009)],
    ),
    (
        PURE_FTPD,
        "PassivePortRange 50000 50009\nInclude /etc/more/one\n",
        &[
            (
                "/etc/more/one",
                "include=/etc/more/two\nPassivePortRange 51000 51009\n",
            ),
            ("/etc/more/two", "PassivePortRange: 52000 52009"),
        ],
        RUN_PURE,
        &[(51000, 51009)],
    ),
    (
        PURE_FTPD,
        "Include etc/more/one\n",
        &[("/etc/more/one", "PassivePortRange 51000 51009\n")],
        "sh -c 'cd / && pure-ftpd /etc/pure-ftpd.conf'",
        &[(51000, 51009)],
    ),
    (
        PURE_FTPD,
        "PassivePortRange 50000 50000\nBind ,ftp\nIPV4Only yes",
        &[],
        RUN_PURE,
        &[(50000, 50000)],
    ),
    (
        WRAPPER,
        "   50000 50009   \n\n\n",
        &[
            ("/etc/pure-ftpd/conf/NoAnonymous", "no\n"),
            ("/etc/pure-ftpd/conf/Bind", "\n  ,2121  \n\n"),
            (
                "/etc/pure-ftpd/conf/Bind.d/PassivePortRange",
                "51000 51009\n",
            ),
            ("/etc/pure-ftpd/conf/AltLog/x", "y"),
            (
                "/etc/pure-ftpd/conf/PassivePortRange.dpkg-old",
                "52000 52009\n",
            ),
            (
                "/etc/pure-ftpd/pure-ftpd.conf",
                "PassivePortRange 53000 53009\n",
            ),
        ],
        RUN_WRAPPER,
        &[(50000, 50009)],
    ),
    (
        WRAPPER,
        "50000 50009",
        &[
            ("/etc/pure-ftpd/conf/NoAnonymous", "no\n"),
            (
                "/etc/default/pure-ftpd-common",
                "STANDALONE_OR_INETD=standalone # inetd\nVIRTUALCHROOT=false\n",
            ),
        ],
        RUN_WRAPPER,
        &[(50000, 50009)],
    ),
    // Switches, as the unit writes them.
    (
        "/etc/systemd/system/pure-ftpd.service",
        "[Service]\nExecStart=/usr/sbin/pure-ftpd -Ap50000:50009 -S ,2121\n",
        &[],
        "pure-ftpd -Ap50000:50009 -S ,2121",
        &[(50000, 50009)],
    ),
    (
        "/etc/systemd/system/pure-ftpd.service",
        "[Service]\nExecStart=/usr/sbin/pure-ftpd --bind=127.0.0.1,2121 --passive 50000:50009 -p 51000:51009abc -c 9\n",
        &[],
        "pure-ftpd --bind=127.0.0.1,2121 --passive 50000:50009 -p 51000:51009abc -c 9",
        &[(51000, 51009)],
    ),
    (
        "/etc/systemd/system/pure-ftpd.service",
        "[Service]\nExecStart=/usr/sbin/pure-ftpd -l unix -p 50000:50009 \\\n# a comment between\n   -c 20 -u 100\n",
        &[],
        "pure-ftpd -l unix -p 50000:50009 -c 20 -u 100",
        &[(50000, 50009)],
    ),
    // Drop-ins: the folder does not matter, the names do.
    (
        VSFTPD,
        "pasv_min_port=50000\npasv_max_port=50009\n",
        &[
            (
                "/usr/lib/systemd/system/vsftpd.service",
                "[Service]\nExecStart=/usr/sbin/vsftpd /etc/vsftpd.conf\n",
            ),
            (
                "/usr/lib/systemd/system/vsftpd.service.d/50-vendor.conf",
                "[Service]\nExecStart=\nExecStart=/usr/sbin/vsftpd /etc/vsftpd.conf -opasv_max_port=50019\n",
            ),
            (
                "/etc/systemd/system/vsftpd.service.d/10-admin.conf",
                "[Service]\nExecStart=\nExecStart=/usr/sbin/vsftpd /etc/vsftpd.conf -opasv_max_port=50029\n",
            ),
            (
                "/etc/systemd/system/vsftpd.service.d/60-note",
                "[Service]\nExecStart=\n",
            ),
        ],
        "vsftpd /etc/vsftpd.conf -opasv_max_port=50019",
        &[(50000, 50019)],
    ),
    (
        VSFTPD,
        "pasv_min_port=50000\npasv_max_port=50009\n",
        &[
            (
                "/usr/lib/systemd/system/vsftpd.service",
                "[Service]\nExecStart=/usr/sbin/vsftpd /etc/vsftpd.conf\n",
            ),
            (
                "/usr/lib/systemd/system/vsftpd.service.d/50-x.conf",
                "[Service]\nExecStart=\nExecStart=/usr/sbin/vsftpd /etc/vsftpd.conf -opasv_max_port=50019\n",
            ),
            (
                "/etc/systemd/system/vsftpd.service.d/50-x.conf",
                "# masked\n",
            ),
            (
                "/etc/systemd/system/vsftpd.service.d/90-x.conf",
                "[Unit]\nDescription=x\n[X-Notes]\nExecStart=/usr/sbin/vsftpd /etc/vsftpd.conf -opasv_max_port=50029\n",
            ),
        ],
        RUN_VSFTPD,
        &[(50000, 50009)],
    ),
    // Two files and settings between them, and an environment file with quotes.
    (
        VSFTPD,
        "pasv_min_port=50000\npasv_max_port=50009\n",
        &[
            ("/etc/second.conf", "pasv_min_port=51000\n"),
            (
                "/etc/sysconfig/vsftpd",
                "; x\nMAX='-opasv_max_port=51009'\nEMPTY=\n",
            ),
            (
                "/etc/systemd/system/vsftpd.service",
                "[Service]\nEnvironmentFile=/etc/sysconfig/vsftpd\nExecStart=@/usr/sbin/vsftpd vsftpd /etc/vsftpd.conf ${MAX} $EMPTY /etc/second.conf\n",
            ),
        ],
        "vsftpd /etc/vsftpd.conf -opasv_max_port=51009 /etc/second.conf",
        &[(51000, 51009)],
    ),
    (
        VSFTPD,
        "\tpasv_min_port=\t+50000\n \x0bpasv_max_port=50009\r\n#\n   \n",
        &[],
        RUN_VSFTPD,
        &[(50000, 50009)],
    ),
    (
        VSFTPD,
        "pasv_min_port=08\npasv_max_port=-64511\nlisten_port=02111",
        &[],
        RUN_VSFTPD,
        &[(1024, 65535)],
    ),
    (
        VSFTPD,
        "pasv_min_port=4295017296\npasv_max_port=4295017305\n",
        &[],
        RUN_VSFTPD,
        &[(50000, 50009)],
    ),
];

#[test]
fn every_port_and_no_other() {
    let Some(root) = packages() else {
        return;
    };
    let mut wrong = Vec::new();
    for (path, text, files, command, expected) in CASES {
        let image = files.iter().fold(image(path, text), |image, (path, text)| {
            image.with(path, text)
        });
        let discovery = image.discover();
        let [reading] = discovery.readings.as_slice() else {
            wrong.push(format!("{text:?}: {} readings", discovery.readings.len()));
            continue;
        };
        if reading.wanted() != ports(expected) {
            wrong.push(format!(
                "{text:?}: {} is read, not {}",
                reading.wanted(),
                ports(expected)
            ));
        }
        if let Some(error) = &reading.refuses {
            wrong.push(format!("{text:?}: {error}"));
        }
        let keep = if *path == WRAPPER { "; sleep 600" } else { "" };
        let mut running = start(&root, &image, &format!("{command}{keep}"));
        let mut seen = BTreeSet::new();
        for port in &reading.control {
            let kind = if *path == PROFTPD { PROFTPD } else { VSFTPD };
            seen.extend(running.answers(kind, *port));
        }
        if let Some(port) = seen.iter().find(|port| !ports(expected).contains(**port)) {
            wrong.push(format!(
                "{text:?}: {command} answers {port}, not in {}",
                ports(expected)
            ));
        }
        // ProFTPD takes the last port only when all others are busy.
        let missing =
            |(first, last): (u16, u16)| (first..last).filter(|port| !seen.contains(port)).count();
        if expected
            .iter()
            .any(|&(first, last)| last - first < 10 && missing((first, last)) > 0)
        {
            wrong.push(format!(
                "{text:?}: {command} never answers some of {}: {seen:?}",
                ports(expected)
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!(
        "{} odd configurations are used as they are read",
        CASES.len()
    );
}
