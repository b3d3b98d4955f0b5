//! vsftpd's grammar and repair rules; each row was seen in the real daemon (3.0.3 of Debian 12).

use pasvsync::daemons::{Host, restart};

use super::support::{Image, codes, ports, read};

const PATH: &str = "/etc/vsftpd.conf";

#[test]
fn ranges_are_repaired_as_the_daemon_does() {
    for (text, expected) in [
        ("pasv_min_port=50000\npasv_max_port=50009", (50_000, 50_009)),
        ("pasv_min_port=60000", (60_000, 65_535)),
        ("pasv_max_port=6000", (5001, 6000)),
        ("pasv_min_port=60000\npasv_max_port=50000", (60_000, 65_535)),
        ("pasv_min_port=20\npasv_max_port=1030", (1024, 1030)),
        ("pasv_min_port=20\npasv_max_port=30", (1024, 65_535)),
        ("pasv_min_port=0\npasv_max_port=0", (1024, 65_535)),
        ("pasv_min_port=65000\npasv_max_port=70000", (65_000, 65_535)),
        ("pasv_min_port=70000\npasv_max_port=50000", (1024, 50_000)),
        (
            "pasv_min_port=\"50000\"\npasv_max_port=\"50000\"",
            (1024, 65_535),
        ),
        (
            "pasv_min_port=0141520\npasv_max_port=0141531",
            (50_000, 50_009),
        ),
        (
            "pasv_min_port=050000\npasv_max_port=20489",
            (20_480, 20_489),
        ),
        ("pasv_min_port=0xC350\npasv_max_port=50009", (1024, 50_009)),
        (
            "pasv_min_port= 50000 # c\npasv_max_port=50009abc",
            (50_000, 50_009),
        ),
        ("pasv_min_port=-1\npasv_max_port=50009", (1024, 50_009)),
        (
            "pasv_min_port=1\npasv_min_port=50000\npasv_max_port=50009",
            (50_000, 50_009),
        ),
    ] {
        let reading = read(PATH, format!("listen=YES\n{text}\n"));
        assert!(reading.refuses.is_none(), "{text}: {:?}", reading.refuses);
        assert_eq!(reading.written(), ports(&[expected]), "{text}");
        assert_eq!(reading.effective, ports(&[expected]), "{text}");
    }
}

#[test]
fn what_is_repaired_is_reported() {
    for (text, code) in [
        (
            "pasv_min_port=60000\npasv_max_port=50000",
            "range-beyond-written",
        ),
        ("pasv_min_port=60000", "single-bound"),
        (
            "pasv_min_port=\"50000\"\npasv_max_port=50009",
            "quoted-value",
        ),
        (
            "pasv_min_port=65000\npasv_max_port=70000",
            "range-above-65535",
        ),
        ("pasv_min_port=20\npasv_max_port=1030", "range-below-1024"),
        (
            "pasv_min_port=0141520\npasv_max_port=50009",
            "range-repaired",
        ),
        ("pasv_min_port=0\npasv_max_port=0", "whole-range"),
    ] {
        let reading = read(PATH, format!("listen=YES\n{text}\n"));
        assert!(
            codes(&reading).contains(&code),
            "{text}: {:?}",
            codes(&reading)
        );
    }
}

/// A slip makes vsftpd take thousands of ports that nobody meant: then it is an error, and nothing is opened.
#[test]
fn a_range_beyond_what_is_written_is_an_error() {
    let beyond = |text: &str| {
        let reading = read(PATH, format!("listen=YES\n{text}\n"));
        codes(&reading).contains(&"range-beyond-written")
    };
    for text in [
        "pasv_min_port=hello\npasv_max_port=50009",
        "pasv_min_port=hello",
        "pasv_min_port=\"50000\"",
        "pasv_min_port=70000",
        "pasv_max_port=20",
        "pasv_min_port=050000\npasv_max_port=50009",
        "pasv_min_port=0xC350\npasv_max_port=50009",
        "pasv_min_port=5000O\npasv_max_port=50009",
        "pasv_min_port=-1\npasv_max_port=50009",
    ] {
        assert!(beyond(text), "{text}");
    }
    for text in [
        "pasv_min_port=50000 # from\npasv_max_port=50009,",
        "pasv_min_port= +50000\npasv_max_port= 50009",
        "pasv_min_port=50000",
        "pasv_max_port=6000",
        "pasv_min_port=65000\npasv_max_port=70000",
        "pasv_min_port=20\npasv_max_port=1030",
    ] {
        assert!(!beyond(text), "{text}");
    }
    let image = Image::new()
        .with(
            PATH,
            "listen=YES\nuser_config_dir=/etc/users\npasv_min_port=50000\npasv_max_port=50009\n",
        )
        .with("/etc/users/ann", "pasv_max_port=5009\n");
    let reading = image.reading();
    let mut findings = reading.findings.iter();
    let finding = findings.find(|finding| finding.code == "range-beyond-written");
    assert_eq!(
        finding.unwrap().message,
        "pasv_min_port=50000 and pasv_max_port=5009: vsftpd makes 50000-65535 of that, hardly what is meant"
    );
}

#[test]
fn what_the_daemon_refuses_is_refused_in_its_words() {
    for (text, message) in [
        (
            "pasv_min_port =50000",
            "500 OOPS: unrecognised variable in config file: pasv_min_port ",
        ),
        (
            " # comment",
            "500 OOPS: missing value in config file for: # comment",
        ),
        (
            "Listen=YES",
            "500 OOPS: unrecognised variable in config file: Listen",
        ),
        (
            "pasv_enable=on",
            "500 OOPS: bad bool value in config file for: pasv_enable",
        ),
        (
            "pasv_enable=YES\r",
            "500 OOPS: bad bool value in config file for: pasv_enable",
        ),
        (
            "pasv_enable= YES",
            "500 OOPS: bad bool value in config file for: pasv_enable",
        ),
        (
            "pasv_min_port",
            "500 OOPS: missing value in config file for: pasv_min_port",
        ),
        (
            "pasv_min_port=",
            "500 OOPS: missing value in config file for: pasv_min_port",
        ),
        (
            "listen_ipv6=YES",
            "500 OOPS: run two copies of vsftpd for IPv4 and IPv6",
        ),
        (
            "\u{feff}pasv_min_port=50000",
            "500 OOPS: unrecognised variable in config file:  pasv_min_port",
        ),
    ] {
        let reading = read(PATH, format!("listen=YES\n{text}\n"));
        let error = reading.refuses.unwrap_or_else(|| panic!("{text} is taken"));
        assert_eq!(error.message, message, "{text}");
    }
}

#[test]
fn without_listen_only_inetd_starts_it() {
    let image = || Image::new().with(PATH, "pasv_min_port=50000\npasv_max_port=50009\n");
    let refuses = image().reading().refuses.unwrap();
    assert!(refuses.message.contains("must be started from inetd"));
    let reading = image()
        .with(
            "/etc/inetd.conf",
            "2121 stream tcp nowait root /usr/sbin/tcpd /usr/sbin/vsftpd\n",
        )
        .reading();
    assert!(reading.refuses.is_none());
    assert_eq!(reading.control, [2121]);
}

#[test]
fn numbers_wrap_and_ports_are_taken_modulo_65536() {
    assert_eq!(read(PATH, "listen=YES\nlisten_port=65557\n").control, [21]);
    assert!(read(PATH, "listen=YES\nlisten_port=0\n").control.is_empty());
}

#[test]
fn unset_is_5001_to_65535_and_opens_nothing() {
    let reading = read(PATH, "listen=YES\n#pasv_min_port=50000\n");
    assert_eq!(reading.effective, ports(&[(5001, 65_535)]));
    assert!(reading.wanted().is_empty() && reading.passive.is_empty());
    assert!(codes(&reading).contains(&"no-range"));
    let off = read(PATH, "listen=YES\npasv_enable=NO\npasv_min_port=50000\n");
    assert!(off.wanted().is_empty() && off.effective.is_empty());
    assert!(codes(&off).contains(&"passive-disabled"));
}

#[test]
fn users_have_ranges_of_their_own() {
    let reading = Image::new()
        .with(PATH, "listen=YES\npasv_min_port=50000\npasv_max_port=50009\nuser_config_dir=/etc/vsftpd_users\n")
        .with("/etc/vsftpd_users/ann", "pasv_min_port=51000\npasv_max_port=51009\n")
        .with("/etc/vsftpd_users/bob", "local_root=/srv\n")
        .with("/etc/vsftpd_users/eve", "bogus=1\n")
        .reading();
    assert_eq!(
        reading.written(),
        ports(&[(50_000, 50_009), (51_000, 51_009)])
    );
    assert!(codes(&reading).contains(&"user-directory"));
}

#[test]
fn files_and_switches_of_the_unit_count_in_order() {
    let unit =
        "[Service]\nExecStart=/usr/sbin/vsftpd /etc/a.conf -opasv_min_port=51000 /etc/b.conf\n";
    let reading = Image::new()
        .with("/etc/systemd/system/vsftpd.service", unit)
        .with(
            "/etc/a.conf",
            "listen=YES\npasv_min_port=50000\npasv_max_port=50009\n",
        )
        .with("/etc/b.conf", "pasv_max_port=51009\n")
        .reading();
    assert_eq!(reading.written(), ports(&[(51_000, 51_009)]));
}

#[test]
fn only_the_first_100000_bytes_are_read() {
    let text = format!("listen=YES\n{}pasv_min_port=50000\n", "#\n".repeat(50_000));
    let reading = read(PATH, text);
    assert!(reading.passive.is_empty());
    assert!(codes(&reading).contains(&"ignored-configuration"));
}

#[test]
fn red_hat_has_one_instance_per_file() {
    let discovery = Image::new()
        .with(
            "/etc/vsftpd/vsftpd.conf",
            "listen=YES\npasv_min_port=50000\npasv_max_port=50009\n",
        )
        .with(
            "/etc/vsftpd/second.conf",
            "listen=YES\nlisten_port=2121\npasv_min_port=51000\npasv_max_port=51009\n",
        )
        .with("/etc/vsftpd/ftpusers", "root\n")
        .discover();
    assert_eq!(discovery.readings.len(), 2);
    assert!(discovery.findings.is_empty(), "{:?}", discovery.findings);
}

/// A template, and two instances that are enabled; one has a drop-in of its own.
#[test]
fn enabled_instances_of_a_template_are_read() {
    let unit = "[Service]\nExecStart=/usr/sbin/vsftpd /etc/vsftpd_%i.conf\n";
    let image = Image::new()
        .with("/usr/lib/systemd/system/vsftpd@.service", unit)
        .with_link("/etc/systemd/system/multi-user.target.wants/vsftpd@one.service", "/usr/lib/systemd/system/vsftpd@.service")
        .with_link("/etc/systemd/system/multi-user.target.wants/vsftpd@two.service", "/usr/lib/systemd/system/vsftpd@.service")
        .with("/etc/systemd/system/vsftpd@two.service.d/o.conf", "[Service]\nExecStart=\nExecStart=/usr/sbin/vsftpd /etc/vsftpd_%i.conf -opasv_max_port=51019\n")
        .with("/etc/vsftpd_one.conf", "listen=YES\npasv_min_port=50000\npasv_max_port=50009\n")
        .with("/etc/vsftpd_two.conf", "listen=YES\nlisten_port=2121\npasv_min_port=51000\npasv_max_port=51009\n")
        .with("/etc/vsftpd_three.conf", "listen=YES\npasv_min_port=52000\n");
    let readings = image.discover().readings;
    let read: Vec<_> = readings
        .iter()
        .map(|reading| (reading.wanted(), reading.control.clone()))
        .collect();
    assert_eq!(
        read,
        [
            (ports(&[(50_000, 50_009)]), vec![21]),
            (ports(&[(51_000, 51_019)]), vec![2121]),
        ]
    );
    let host = Host::new(&image.request()).unwrap();
    let commands: Vec<_> = ["one", "two"]
        .map(|name| {
            let mut reading = readings[0].clone();
            reading.files = vec![format!("/etc/vsftpd_{name}.conf").into()];
            restart(&host, &reading).unwrap().command().unwrap()
        })
        .into();
    assert_eq!(
        commands,
        [
            "systemctl restart vsftpd@one",
            "systemctl restart vsftpd@two"
        ]
    );
}
