//! Pure-FTPd's grammars, rule by rule; each was seen in the real daemon (1.0.50 of Debian 12).

use indoc::indoc;
use pasvsync::daemons::ConfigErrorKind;

use super::support::{Image, codes, ports, read};

const PATH: &str = "/etc/pure-ftpd.conf";

#[test]
fn a_name_a_separator_and_two_numbers() {
    for text in [
        "PassivePortRange 50000 50009",
        "passiveportrange\t50000 \t 50009  ",
        "  PassivePortRange = 50000 50009",
        "PassivePortRange: 50000 50009\r",
        "PassivePortRange=050000 4295017305",
    ] {
        let reading = read(PATH, format!("ChrootEveryone yes\n{text}\n"));
        assert!(reading.refuses.is_none(), "{text:?}: {:?}", reading.refuses);
        assert_eq!(reading.written(), ports(&[(50_000, 50_009)]), "{text:?}");
        assert_eq!(reading.passive[0].location.line, Some(2));
    }
}

#[test]
fn what_the_daemon_refuses_is_refused_in_its_words() {
    for (text, message) in [
        (
            "PassivePortRange 50000",
            "/etc/pure-ftpd.conf:1:1: syntax error line 1: [PassivePortRange 50000].",
        ),
        (
            "PassivePortRange \"50000 50009\"",
            "/etc/pure-ftpd.conf:1:1: syntax error line 1: [PassivePortRange \"50000 50009\"].",
        ),
        (
            "PassivePortRange 50000-50009",
            "/etc/pure-ftpd.conf:1:1: syntax error line 1: [PassivePortRange 50000-50009].",
        ),
        (
            "PassivePortRange == 50000 50009",
            "/etc/pure-ftpd.conf:1:19: syntax error line 1: [= 50000 50009].",
        ),
        (
            "PassivePortRange 50000 50009 # c",
            "/etc/pure-ftpd.conf:1:29: syntax error line 1: [ # c].",
        ),
        (
            "ChrootEveryone maybe",
            "/etc/pure-ftpd.conf:1:16: syntax error line 1: [maybe].",
        ),
        (
            "Bogus x",
            "/etc/pure-ftpd.conf:1:1: property not found line 1: [Bogus x].",
        ),
        (
            "; comment",
            "/etc/pure-ftpd.conf:1:1: property not found line 1: [; comment].",
        ),
        (
            "PassivePortRange 50009 50000",
            "421 Configuration error: Illegal ports range: 50009:50000",
        ),
        (
            "PassivePortRange 1000 50000",
            "421 Configuration error: Illegal ports range: 1000:50000",
        ),
        ("Bind 127.0.0.1", "Unable to start a standalone server"),
    ] {
        let reading = read(PATH, format!("{text}\n"));
        let error = reading
            .refuses
            .clone()
            .unwrap_or_else(|| panic!("{text} is taken"));
        assert_eq!(error.message, message, "{text}");
        assert!(reading.effective.is_empty(), "{text}");
    }
}

#[test]
fn a_removed_property_refuses_here_only() {
    let reading = read(PATH, "UseFtpUsers no\nPassivePortRange 50000 50009\n");
    assert_eq!(
        reading.refuses.as_ref().unwrap().kind,
        ConfigErrorKind::RefusedHere
    );
    assert_eq!(reading.written(), ports(&[(50_000, 50_009)]));
    assert!(reading.wanted().is_empty());
}

#[test]
fn the_last_range_and_the_last_port_count() {
    let reading = read(
        PATH,
        "PassivePortRange 50000 50009\nPassivePortRange 51000 51199\nBind 192.0.2.1,2121\nBind ,2122\n",
    );
    assert_eq!(reading.written(), ports(&[(51_000, 51_199)]));
    assert_eq!(reading.control, [2122]);
    assert!(codes(&reading).contains(&"duplicate-setting"));
}

#[test]
fn bind_takes_ports_in_many_forms() {
    for (value, expected) in [
        ("2121", 2121),
        (",2121", 2121),
        ("192.0.2.1,", 21),
        (",ftps", 990),
        ("70000", 4464),
    ] {
        assert_eq!(
            read(PATH, format!("Bind {value}\n")).control,
            [expected],
            "{value}"
        );
    }
    assert!(read(PATH, "Bind ,0\n").control.is_empty());
}

#[test]
fn includes_are_followed_and_missing_ones_ignored() {
    let reading = Image::new()
        .with(PATH, "Include /etc/ports.conf\ninclude = /none\n")
        .with("/etc/ports.conf", "PassivePortRange 50000 50199\n")
        .reading();
    assert_eq!(reading.written(), ports(&[(50_000, 50_199)]));
    assert!(codes(&reading).contains(&"include-missing"));
    let looping = read(PATH, format!("Include {PATH}\n"));
    assert!(
        looping
            .refuses
            .unwrap()
            .message
            .ends_with("too many levels of recursion")
    );
}

#[test]
fn without_a_range_every_unprivileged_port_is_used_and_none_opened() {
    let reading = read(PATH, "");
    assert_eq!(reading.effective, ports(&[(1024, 65_535)]));
    assert!(reading.wanted().is_empty());
    assert_eq!(codes(&reading), ["no-range"]);
}

#[test]
fn natmode_needs_no_ports() {
    let reading = read(PATH, "NATmode yes\nPassivePortRange 50000 50009\n");
    assert!(
        !reading.passive_enabled && reading.wanted().is_empty() && reading.effective.is_empty()
    );
}

#[test]
fn half_the_ports_is_the_number_of_users() {
    let small = read(PATH, "MaxClientsNumber 10\nPassivePortRange 50000 50018\n");
    assert!(codes(&small).contains(&"range-too-small"));
    let fitting = read(PATH, "MaxClientsNumber 10\nPassivePortRange 50000 50019\n");
    assert!(!codes(&fitting).contains(&"range-too-small"));
}

fn wrapper(name: &str, value: impl AsRef<[u8]>) -> Image {
    Image::new().with(&format!("/etc/pure-ftpd/conf/{name}"), value)
}

#[test]
fn the_wrapper_reads_one_file_per_option() {
    let reading = wrapper("PassivePortRange", "\n# ports\n 50000\t50199 \r\nignored\n")
        .with("/etc/pure-ftpd/conf/PassivePortRange.bak", "1 2")
        .with("/etc/pure-ftpd/conf/NoAnonymous", "no\n")
        .with("/etc/pure-ftpd/conf/FSCharset", "anything")
        .with("/etc/pure-ftpd/conf/PureDB", "/etc/pure-ftpd/pureftpd.pdb")
        .with(
            "/etc/pure-ftpd/pure-ftpd.conf",
            "PassivePortRange 30000 30199\n",
        )
        .with_folder("/etc/pure-ftpd/conf/Quota")
        .reading();
    assert!(reading.refuses.is_none(), "{:?}", reading.refuses);
    assert_eq!(reading.written(), ports(&[(50_000, 50_199)]));
    assert_eq!(reading.passive[0].location.line, Some(3));
    let ignored = reading
        .findings
        .iter()
        .find(|finding| finding.code == "ignored-configuration")
        .unwrap();
    assert!(ignored.message.contains("30000-30199"));
}

#[test]
fn the_wrapper_dies_of_what_it_does_not_know() {
    for (name, value, message) in [
        (
            "PassivePortRange",
            "50000:50009",
            "Invalid configuration file /etc/pure-ftpd/conf/PassivePortRange: \"50000:50009\" not two numbers",
        ),
        (
            "PassivePortRange",
            "50000 50009 # c",
            "\"50000 50009 # c\" not two numbers",
        ),
        ("PassivePortRange", "\u{feff}50000 50009", "not two numbers"),
        (
            "passiveportrange",
            "50000 50009",
            "Invalid configuration file /etc/pure-ftpd/conf/passiveportrange: No corresponding directive",
        ),
        (
            "ChrootEveryone",
            "maybe",
            "\"maybe\" not convertible to true or false",
        ),
        ("MaxClientsNumber", "5x", "\"5x\" not a number"),
        (
            "PassivePortRange",
            "50009 50000",
            "421 Configuration error: Illegal ports range: 50009:50000",
        ),
    ] {
        let reading = wrapper(name, value).reading();
        let error = reading
            .refuses
            .unwrap_or_else(|| panic!("{name} {value} is taken"));
        assert!(
            error.message.ends_with(message),
            "{value}: {}",
            error.message
        );
    }
    let dangling = Image::new()
        .with_link("/etc/pure-ftpd/conf/PassivePortRange", "/none")
        .reading();
    assert!(
        dangling
            .refuses
            .unwrap()
            .message
            .contains("Couldn't open configuration file")
    );
}

#[test]
fn switches_come_from_units_and_super_servers() {
    let unit = indoc! {"
        [Service]
        ExecStart=/usr/sbin/pure-ftpd -p 50000:50199 -S ,2121 --maxclientsnumber=50 -E
    "};
    let reading = Image::new()
        .with("/etc/systemd/system/pure-ftpd.service", unit)
        .reading();
    assert_eq!(reading.written(), ports(&[(50_000, 50_199)]));
    assert_eq!(reading.control, [2121]);

    let xinetd = "service ftp\n{\n  disable = no\n  server = /usr/sbin/pure-ftpd\n  server_args = -p 50000:50199\n}\n";
    let reading = Image::new().with("/etc/xinetd.d/ftp", xinetd).reading();
    assert_eq!(reading.written(), ports(&[(50_000, 50_199)]));
    assert_eq!(reading.control, [21]);

    let script =
        "[Service]\nExecStart=/usr/sbin/pure-config.pl /etc/pure-ftpd/pure-ftpd.conf --daemonize\n";
    let reading = Image::new()
        .with("/usr/lib/systemd/system/pure-ftpd.service", script)
        .with(
            "/etc/pure-ftpd/pure-ftpd.conf",
            "# PassivePortRange 1 2\nUnknown x\nPassivePortRange 50000 50199 trailing\n",
        )
        .reading();
    assert_eq!(reading.written(), ports(&[(50_000, 50_199)]));
}
