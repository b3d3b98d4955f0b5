//! ProFTPD's grammar, rule by rule; each was seen in the real daemon (1.3.8 of Debian 12).

use indoc::indoc;
use pasvsync::daemons::ConfigErrorKind;

use super::running::{packages, start};
use super::support::{Image, codes, ports, read};

const PATH: &str = "/etc/proftpd/proftpd.conf";

/// A slip that makes thousands of ports of a range is an error, and nothing is opened.
#[test]
fn a_range_that_is_hardly_meant_is_an_error() {
    for (words, meant) in [
        ("5000O 50009", false),
        ("50000 50009abc", false),
        ("4295017296 50009", false),
        ("50000 50009#c", true),
        ("+50000 050009", true),
        ("\"50000\" 50009.9", true),
    ] {
        let reading = read(PATH, format!("ServerName t\nPassivePorts {words}\n"));
        assert!(reading.refuses.is_none(), "{words}: {:?}", reading.refuses);
        let found = codes(&reading).contains(&"range-beyond-written");
        assert_eq!(found, !meant, "{words}: {:?}", codes(&reading));
    }
    // What does not count is no error.
    let text = "PassivePorts 50000 50009\nPassivePorts 5000O 50009\n";
    let reading = read(PATH, format!("ServerName t\n{text}"));
    assert!(!codes(&reading).contains(&"range-beyond-written"));
}

/// The ranges that each text asks for.
#[test]
fn values_are_read_with_atoi() {
    for (text, expected) in [
        ("PassivePorts 50000 50009", Some((50_000, 50_009))),
        ("  passiveports\t50000   50009", Some((50_000, 50_009))),
        (
            "PassivePorts 50000 50009 50010 # more",
            Some((50_000, 50_009)),
        ),
        ("PassivePorts \"50000\" \"50009\"", Some((50_000, 50_009))),
        ("PassivePorts +50000abc 050009", Some((50_000, 50_009))),
        ("PassivePorts 4295017296 50009.9", Some((50_000, 50_009))),
        ("PassivePorts 50000 50009#c", Some((50_000, 50_009))),
        ("Passive\\\nPorts 50000 500\\\n09", Some((50_000, 50_009))),
        ("# PassivePorts 50000 50009", None),
    ] {
        let reading = read(PATH, format!("ServerName t\n{text}\n"));
        assert!(reading.refuses.is_none(), "{text}: {:?}", reading.refuses);
        assert_eq!(
            reading.written(),
            ports(&expected.into_iter().collect::<Vec<_>>()),
            "{text}"
        );
    }
}

#[test]
fn what_the_daemon_refuses_is_refused_in_its_words() {
    for (text, message) in [
        (
            "PassivePorts 50000",
            "fatal: PassivePorts: missing parameters on line 2",
        ),
        (
            "PassivePorts 50009 50000",
            "fatal: PassivePorts: min port must be less than max port on line 2",
        ),
        (
            "PassivePorts 50000 50000",
            "fatal: PassivePorts: min port must be less than max port on line 2",
        ),
        (
            "PassivePorts 1000 50000",
            "fatal: PassivePorts: port numbers must be above 1023 on line 2",
        ),
        (
            "PassivePorts 0xC350 50000",
            "fatal: PassivePorts: min port must be allowable port number on line 2",
        ),
        (
            "PassivePorts 50000 70000",
            "fatal: PassivePorts: max port must be allowable port number on line 2",
        ),
        (
            "PassivePorts '50000 50009'",
            "fatal: PassivePorts: min port must be allowable port number on line 2",
        ),
        (
            "<Anonymous /x>\nPassivePorts 50000 50009\n</Anonymous>",
            "fatal: PassivePorts: directive not allowed in <Anonymous> context on line 3",
        ),
        (
            "Port 70000",
            "fatal: Port: value must be between 0 and 65535 on line 2",
        ),
        (
            "Include foo",
            "fatal: Include: unable to use path for configuration file 'foo' on line 2",
        ),
        (
            "PasivePorts 50000 50009",
            "fatal: unknown configuration directive 'PasivePorts' on line 2",
        ),
        (
            "<IfModule mod_x.c>\n</IfModule> # end",
            "fatal: <IfModule>: unclosed <IfModule> context on line 3",
        ),
        (
            "<Global>",
            "fatal: error processing configuration file '/etc/proftpd/proftpd.conf': unclosed configuration section",
        ),
        (
            "<Global>\n</Limit>\n</Global>",
            "fatal: </Limit>: directive not allowed in <Global> context on line 3",
        ),
        (
            "Umask 022 \\\n# comment\n\u{a0}Port 1",
            "fatal: unknown configuration directive '\u{a0}Port' on line 4",
        ),
    ] {
        let reading = read(PATH, format!("ServerName t\n{text}\n"));
        let error = reading
            .refuses
            .clone()
            .unwrap_or_else(|| panic!("{text} is taken"));
        assert!(
            error.message.starts_with(message),
            "{text}: {}",
            error.message
        );
        assert_eq!(error.kind, ConfigErrorKind::Refused, "{text}");
        assert!(error.help.is_some(), "{text}");
        assert!(
            reading.effective.is_empty() && reading.wanted().is_empty(),
            "{text}"
        );
        assert!(codes(&reading).contains(&"daemon-refuses"), "{text}");
    }
}

#[test]
fn a_directive_of_a_module_that_is_not_loaded_refuses_here_only() {
    let reading = read(PATH, "IdentLookups off\nPassivePorts 50000 50009\n");
    let error = reading.refuses.clone().unwrap();
    assert_eq!(error.kind, ConfigErrorKind::RefusedHere);
    assert!(error.help.as_deref().unwrap().contains("mod_ident.c"));
    assert_eq!(reading.effective, ports(&[(50_000, 50_009)]));
    assert!(reading.wanted().is_empty());
    let removed = read(
        PATH,
        "DisplayFirstChdir .message\nPassivePorts 50000 50009\n",
    );
    let kind = removed.refuses.as_ref().map(|error| error.kind);
    assert_eq!(kind, Some(ConfigErrorKind::RefusedHere));
    assert_eq!(removed.effective, ports(&[(50_000, 50_009)]));
    let loaded = read(PATH, "LoadModule mod_ident.c\nIdentLookups off\n");
    assert!(loaded.refuses.is_none(), "{:?}", loaded.refuses);
}

#[test]
fn the_error_shows_the_line_and_what_is_wrong_in_it() {
    let error = read(PATH, "ServerName t\n  PassivePorts 50009 \x1b50000\n")
        .refuses
        .unwrap();
    let shown = error.to_string();
    assert!(shown.contains("/etc/proftpd/proftpd.conf:2:"), "{shown}");
    assert!(!shown.contains('\x1b'), "{shown}");
    assert!(
        shown.contains("2 |   PassivePorts 50009  50000\n"),
        "{shown}"
    );
    assert!(shown.contains("\nhelp: "), "{shown}");
    let error = read(PATH, "ServerName t\n  PassivePorts 50009 50000\n")
        .refuses
        .unwrap();
    assert!(
        error.to_string().ends_with(indoc! {"
        2 |   PassivePorts 50009 50000
          |                ^^^^^
        help: write two ports from 1024 to 65535, the lower one first: PassivePorts 49152 65534"}),
        "{error}"
    );
}

#[test]
fn each_server_has_its_own_range_or_that_of_the_last_global() {
    let reading = read(
        PATH,
        indoc! {"
        Port 2121
        <Global>
        PassivePorts 51000 51009
        </Global>
        <VirtualHost 192.0.2.1>
        Port 2122
        PassivePorts 53000 53009
        </VirtualHost>
        <VirtualHost 192.0.2.2>
        </VirtualHost>
        <VirtualHost 192.0.2.3>
        Port 2222
        SFTPEngine on
        PassivePorts 54000 54009
        </VirtualHost>
        <VirtualHost 192.0.2.4>
        Port 0
        PassivePorts 55000 55009
        </VirtualHost>
        <Global>
        PassivePorts 52000 52009
        PassivePorts 56000 56009
        </Global>
    "},
    );
    let error = reading.refuses.clone().unwrap();
    assert_eq!(
        error.kind,
        ConfigErrorKind::RefusedHere,
        "SFTPEngine is mod_sftp's"
    );
    assert_eq!(
        reading.written(),
        ports(&[(52_000, 52_009), (53_000, 53_009)])
    );
    assert_eq!(reading.control, [21, 2121, 2122]);
}

#[test]
fn the_first_value_of_a_server_counts() {
    let reading = read(
        PATH,
        "PassivePorts 50000 50009\nPassivePorts 51000 51009\nPort 2121\nPort 2122\n",
    );
    assert_eq!(reading.written(), ports(&[(50_000, 50_009)]));
    assert_eq!(reading.control, [2121]);
    assert!(codes(&reading).contains(&"duplicate-setting"));
}

#[test]
fn a_virtual_host_without_a_range_is_reported() {
    let reading = read(
        PATH,
        "PassivePorts 50000 50009\n<VirtualHost 192.0.2.1>\nPort 2121\n</VirtualHost>\n",
    );
    assert!(codes(&reading).contains(&"server-without-range"));
    assert_eq!(reading.effective, ports(&[(1024, 65_535)]));
    assert_eq!(reading.wanted(), ports(&[(50_000, 50_009)]));
}

#[test]
fn conditions_follow_modules_and_defines() {
    for (text, expected) in [
        ("<IfModule mod_core.c>\nPort 1\n</IfModule>", 1),
        ("<IfModule MOD_CORE.C>\nPort 1\n</IfModule>", 21),
        ("<IfModule !mod_tls.c>\nPort 1\n</IfModule> ", 1),
        ("<IfModule ! mod_core.c>\nPort 1\n</IfModule>", 1),
        ("<IfModule mod_tls.c>\nPort 1\n</IfModule>", 21),
        (
            "LoadModule mod_tls.c\n<IfModule mod_tls.c>\nPort 1\n</IfModule>",
            1,
        ),
        ("<IfDefine A>\nPort 1\n</IfDefine>", 21),
        ("Define A\n<IfDefine A>\nPort 1\n</IfDefine>", 1),
        ("<IfDefine !A>\nPort 1\n</IfDefine>", 1),
        (
            "<IfModule mod_x.c>\n<IfModule mod_core.c>\nPort 1\n</IfModule>\nPort 2\n</IfModule>",
            21,
        ),
    ] {
        let reading = read(PATH, format!("{text}\n"));
        assert!(reading.refuses.is_none(), "{text}: {:?}", reading.refuses);
        assert_eq!(reading.control, [expected], "{text}");
    }
}

#[test]
fn an_error_in_an_included_file_loses_the_rest_of_the_including_file() {
    for include in ["/etc/proftpd/a.conf", "/etc/proftpd/a*.conf"] {
        let reading = Image::new()
            .with(
                PATH,
                format!("Port 2121\nInclude {include}\nPassivePorts 50000 50009\n"),
            )
            .with(
                "/etc/proftpd/a.conf",
                "LoadModule mod_wrap.c\nMaxInstances 5\nPassivePorts 51000 51009\n",
            )
            .reading();
        assert!(reading.refuses.is_none(), "{:?}", reading.refuses);
        assert_eq!(reading.written(), ports(&[(51_000, 51_009)]), "{include}");
        let failed = reading
            .findings
            .iter()
            .find(|finding| finding.code == "include-failed")
            .unwrap();
        assert!(
            failed
                .message
                .contains("remaining 1 lines of /etc/proftpd/proftpd.conf"),
            "{}",
            failed.message
        );
        assert_eq!(failed.location.as_ref().unwrap().line, Some(1));
    }
}

#[test]
fn an_error_in_an_include_inside_a_section_is_fatal() {
    let reading = Image::new()
        .with(
            PATH,
            "<VirtualHost 192.0.2.1>\nInclude /etc/proftpd/a.conf\n</VirtualHost>\n",
        )
        .with("/etc/proftpd/a.conf", "Bogus\n")
        .reading();
    assert!(
        reading
            .refuses
            .unwrap()
            .message
            .ends_with("unclosed configuration section")
    );
}

#[test]
fn includes_are_read_in_strcmp_order() {
    let image = |include: &str| {
        Image::new()
            .with(PATH, format!("Include {include}\n"))
            .with("/etc/proftpd/c.d/9.conf", "Port 9\n")
            .with("/etc/proftpd/c.d/10.conf", "Port 10\n")
            .with("/etc/proftpd/c.d/.0.conf", "Port 5\n")
            .with("/etc/proftpd/c.d/sub/x.conf", "Port 6\n")
    };
    assert_eq!(image("/etc/proftpd/c.d/*.conf").reading().control, [10]);
    assert_eq!(image("/etc/proftpd/c.d").reading().control, [5]);
    assert_eq!(image("/etc/proftpd/c.d/").reading().control, [5]);
    assert_eq!(image("/etc/proftpd/c.d/*.none").reading().control, [21]);
    assert_eq!(image("/etc/proftpd/*/9.conf").reading().control, [9]);
    let missing = image("/etc/proftpd/none.conf").reading();
    assert_eq!(missing.control, [21]);
    assert!(codes(&missing).contains(&"include-missing"));
}

#[test]
fn links_stay_inside_the_root() {
    let reading = Image::new()
        .with(
            PATH,
            "Include /etc/proftpd/link.conf\nInclude /etc/proftpd/c.d/*.conf\n",
        )
        .with_link("/etc/proftpd/link.conf", "/srv/ports.conf")
        .with("/srv/ports.conf", "Port 2121\n")
        .with_link("/etc/proftpd/c.d", "/srv/c.d")
        .with("/srv/c.d/a.conf", "PassivePorts 50000 50009\n")
        .reading();
    assert_eq!(reading.control, [2121]);
    assert!(reading.passive.is_empty(), "a link to a folder is refused");
}

#[test]
fn defines_and_file_come_from_the_unit_and_its_environment() {
    let unit = indoc! {"
        [Service]
        Environment=OPTIONS= CONFIG_FILE=/etc/proftpd/proftpd.conf
        EnvironmentFile=-/etc/default/proftpd
        ExecStart=/usr/sbin/proftpd -c $CONFIG_FILE $OPTIONS
    "};
    let reading = Image::new()
        .with("/usr/lib/systemd/system/proftpd.service", unit)
        .with("/etc/default/proftpd", "CONFIG_FILE=/srv/p.conf\nOPTIONS=\"-DA -D B\"\nRANGE=50000\n")
        .with("/srv/p.conf", "<IfDefine A>\n<IfDefine B>\nPort 2121\n</IfDefine>\n</IfDefine>\nPassivePorts %{env:RANGE} 50009\n")
        .reading();
    assert_eq!(reading.control, [2121]);
    assert_eq!(reading.written(), ports(&[(50_000, 50_009)]));
}

#[test]
fn an_environment_that_is_not_known_is_said() {
    let reading = read(PATH, "ServerName %{env:NAME}\n");
    assert!(codes(&reading).contains(&"environment-unknown"));
}

#[test]
fn ranges_are_weighed_against_clients_and_the_kernel() {
    let reading = read(
        PATH,
        "MaxInstances 30\nPassivePorts 50000 50009\nMasqueradeAddress 10.0.0.1\n",
    );
    let found = codes(&reading);
    for code in ["range-too-small", "ephemeral-overlap", "private-address"] {
        assert!(found.contains(&code), "{code} in {found:?}");
    }
    let whole = read(PATH, "PassivePorts 1024 65535\n");
    assert!(codes(&whole).contains(&"whole-range"));
}

#[test]
fn passive_mode_can_be_denied() {
    let reading = read(
        PATH,
        "PassivePorts 50000 50009\n<Limit PASV,EPSV>\nDenyAll\n</Limit>\n",
    );
    assert!(!reading.passive_enabled && reading.wanted().is_empty());
    assert!(codes(&reading).contains(&"passive-disabled"));
}

#[test]
fn a_line_longer_than_the_buffer_is_cut_even_in_a_comment() {
    let mut text = vec![b'#'; 4096];
    text.extend_from_slice(b"Port 2121\n");
    assert_eq!(read(PATH, text).control, [2121]);
}

/// What the program itself has compiled in decides, also where nothing else says which build it is.
#[test]
fn a_program_tells_its_modules() {
    let Some(root) = packages() else {
        return;
    };
    let program = std::fs::read(root.join("usr/sbin/proftpd")).unwrap();
    let elsewhere = "/etc/proftpd.conf";
    let image = |text: &str| Image::new().with(elsewhere, text);
    let text = "ServerName t\nIdentLookups off\nPassivePorts 50000 50009\n";
    let untold = image(text).reading();
    assert!(untold.refuses.is_none() && codes(&untold).contains(&"unknown-directive"));
    let told = image(text).with("/usr/sbin/proftpd", &program).reading();
    let message = told.refuses.unwrap().to_string();
    assert!(
        message.contains("unknown configuration directive 'IdentLookups'"),
        "{message}"
    );

    // The list is that of `proftpd -l`, no more and no less.
    let host = image("");
    let mut running = start(&root, &host, "exec proftpd -l");
    running.child.wait().unwrap();
    let said = running.said();
    let listed: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("mod_"))
        .collect();
    assert!(listed.len() > 10, "{said}");
    let other = [
        "mod_tls.c",
        "mod_curr.c",
        "mod_static.c",
        "mod_sftp.c",
        "core",
    ];
    for (module, compiled_in) in listed
        .iter()
        .map(|module| (module, true))
        .chain(other.iter().map(|module| (module, false)))
    {
        let text = format!("<IfModule {module}>\nPassivePorts 50000 50009\n</IfModule>\n");
        let reading = image(&text).with("/usr/sbin/proftpd", &program).reading();
        assert_eq!(!reading.passive.is_empty(), compiled_in, "{module}");
    }

    // A build without one of Debian's modules, made by giving its symbol another name; and one with a module more.
    let renamed = |from: &str, to: &str| {
        let (from, to) = (from.as_bytes(), to.as_bytes());
        let mut bytes = program.clone();
        let at = bytes
            .windows(from.len())
            .position(|window| window == from)
            .unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    };
    let reading = |program: Vec<u8>, text: &str| {
        let image = image(text).with("/usr/sbin/proftpd", program);
        image.reading()
    };
    let without = reading(
        renamed("\0lang_module\0", "\0case_module\0"),
        "CaseEngine on\nLangEngine off\n",
    );
    let message = without.refuses.unwrap().to_string();
    assert!(message.contains("'LangEngine'"), "{message}");
    let foreign = renamed("\0lang_module\0", "\0nope_module\0");
    let foreign = reading(foreign, "LangEngine off\nSomeDirective x\n");
    assert!(foreign.refuses.is_none(), "{:?}", foreign.refuses);
    let newer = renamed("\0ProFTPD Version 1.3.8\0", "\0ProFTPD Version 1.3.9\0");
    let newer = reading(newer, "IdentLookups off\n");
    assert!(newer.refuses.is_none() && codes(&newer).contains(&"unknown-directive"));
    let script = reading(b"#!/bin/sh\nexec true\n".to_vec(), "IdentLookups off\n");
    assert!(script.refuses.is_none());
}

/// Names are not resolved; those that this host knows by itself need no word.
#[test]
fn servers_with_names_are_reported() {
    let text = "<VirtualHost ours.example lo 192.0.2.1>\nPort 2121\nPassivePorts 50000 50009\n</VirtualHost>\n\
         <VirtualHost theirs.example>\nPort 2122\n</VirtualHost>\nDefaultAddress also.theirs.example\n";
    let reading = Image::new()
        .with(PATH, text)
        .with(
            "/etc/hosts",
            "127.0.0.1 localhost\n192.0.2.9\tours Ours.example # theirs.example\n",
        )
        .with_folder("/sys/class/net/lo")
        .reading();
    assert_eq!(reading.wanted(), ports(&[(50_000, 50_009)]));
    assert_eq!(reading.control, [21, 2121, 2122]);
    let named: Vec<&str> = reading
        .findings
        .iter()
        .filter(|finding| finding.code == "unresolved-name")
        .map(|finding| finding.message.split(':').next().unwrap())
        .collect();
    assert_eq!(
        named,
        [
            "<VirtualHost theirs.example>",
            "DefaultAddress also.theirs.example"
        ]
    );
}
