//! Which configuration counts: panels, several daemons, overrides, other formats.

use indoc::indoc;
use pasvsync::daemons::{Request, discover, names};
use pasvsync::findings::CODES;

use super::support::{Image, codes, ports};

#[test]
fn an_empty_host_has_no_daemon() {
    let discovery = Image::new().discover();
    assert!(discovery.readings.is_empty());
    assert_eq!(discovery.findings[0].code, "no-daemon");
}

#[test]
fn two_daemons_that_share_ports_are_reported() {
    let discovery = Image::new()
        .with(
            "/etc/vsftpd.conf",
            "listen=YES\npasv_min_port=50000\npasv_max_port=50009\n",
        )
        .with(
            "/etc/proftpd/proftpd.conf",
            "Port 2121\nPassivePorts 50005 50019\n",
        )
        .discover();
    assert_eq!(discovery.findings[0].code, "daemon-overlap");
    assert!(discovery.findings[0].message.contains("50005-50009"));
}

#[test]
fn a_named_configuration_is_read_instead() {
    let image = Image::new()
        .with("/etc/proftpd/proftpd.conf", "PassivePorts 50000 50009\n")
        .with("/srv/x.conf", "PassivePorts 51000 51009\n");
    let mut request = image.request();
    request.only = Some("proftpd".to_owned());
    request
        .overrides
        .push(("proftpd".to_owned(), "/srv/x.conf".into()));
    let discovery = discover(&request).unwrap();
    assert_eq!(discovery.readings[0].written(), ports(&[(51_000, 51_009)]));
    request.overrides[0].1 = "/srv/none.conf".into();
    assert!(
        discover(&request)
            .unwrap_err()
            .to_string()
            .contains("/srv/none.conf: there is no such file")
    );
}

#[test]
fn cpanel_says_which_daemon_counts() {
    let image = |server: &str| {
        Image::new()
            .with(
                "/var/cpanel/cpanel.config",
                format!("a=b\nftpserver={server}\n"),
            )
            .with("/etc/pure-ftpd.conf", "PassivePortRange 49152 65534\n")
            .with("/etc/proftpd.conf", "PassivePorts 40000 40100\n")
    };
    let names = |server: &str| {
        image(server)
            .discover()
            .readings
            .iter()
            .map(|reading| reading.daemon)
            .collect::<Vec<_>>()
    };
    assert_eq!(names("pure-ftpd"), ["pure-ftpd"]);
    assert_eq!(names("proftpd"), ["proftpd"]);
    assert!(names("disabled").is_empty());
}

#[test]
fn cpanel_runs_the_generated_file_and_a_difference_is_reported() {
    let image = |generated: &str| {
        Image::new()
            .with("/var/cpanel/cpanel.config", "ftpserver=pure-ftpd\n")
            .with("/var/cpanel/conf/pureftpd/main", "---\nPassivePortRange: 49152 65534\nForcePassiveIP: ~\n")
            .with("/var/cpanel/conf/pureftpd/local", "PassivePortRange: 30000 30001\nPassivePortRange: '30000 35000'\nPassivePorts: 1 2\n")
            .with("/etc/pure-ftpd.conf", generated)
    };
    let same = image("PassivePortRange 30000 35000\n").reading();
    assert!(
        !codes(&same).contains(&"cpanel-generated-differs"),
        "{:?}",
        same.findings
    );
    assert!(codes(&same).contains(&"duplicate-setting"));
    assert!(codes(&same).contains(&"cpanel-misplaced-key"));
    let other = image("PassivePortRange 49152 65534\n").reading();
    assert_eq!(other.written(), ports(&[(49_152, 65_534)]));
    let finding = other
        .findings
        .iter()
        .find(|finding| finding.code == "cpanel-generated-differs")
        .unwrap();
    assert!(
        finding
            .hint
            .as_deref()
            .unwrap()
            .contains("setupftpserver pure-ftpd --force")
    );
}

#[test]
fn cpanel_tilde_is_no_value() {
    let reading = Image::new()
        .with(
            "/var/cpanel/conf/pureftpd/main",
            "PassivePortRange: 49152 65534\n",
        )
        .with("/var/cpanel/conf/pureftpd/local", "PassivePortRange: ~\n")
        .reading();
    assert!(reading.passive.is_empty());
    assert!(codes(&reading).contains(&"no-range"));
    let broken = Image::new()
        .with(
            "/var/cpanel/conf/proftpd/local",
            "PassivePorts: 50009 50000\n",
        )
        .reading();
    assert!(broken.refuses.is_some() && broken.wanted().is_empty());
}

#[test]
fn sftpgo_reads_three_formats() {
    for (file, text) in [
        (
            "sftpgo.json",
            "{\"FTPD\": {\"bindings\": [{\"port\": 2121}],\n \"passive_port_range\": {\"start\": 50000, \"end\": 50009}}}",
        ),
        (
            "sftpgo.toml",
            "[ftpd]\n[[ftpd.bindings]]\nport = 2121\n[ftpd.passive_port_range]\nstart = 50000\nend = 50009\n",
        ),
        (
            "sftpgo.yaml",
            "ftpd:\n  bindings:\n    - port: 2121\n  passive_port_range:\n    start: 50000\n    end: 50009\n",
        ),
    ] {
        let reading = Image::new()
            .with(&format!("/etc/sftpgo/{file}"), text)
            .reading();
        assert!(reading.refuses.is_none(), "{file}: {:?}", reading.refuses);
        assert_eq!(reading.wanted(), ports(&[(50_000, 50_009)]), "{file}");
        assert_eq!(reading.control, [2121], "{file}");
        assert!(reading.passive[0].location.line.is_some(), "{file}");
    }
}

#[test]
fn sftpgo_environment_is_stronger_than_its_file() {
    let image = Image::new()
        .with("/etc/sftpgo/sftpgo.json", "{\"ftpd\": {\"passive_port_range\": {\"start\": 50000, \"end\": 50100}}}")
        .with("/etc/sftpgo/sftpgo.env", "SFTPGO_FTPD__BINDINGS__0__PORT=2121\nSFTPGO_FTPD__PASSIVE_PORT_RANGE__START=50050\n")
        .with("/etc/sftpgo/env.d/ftp.env", "SFTPGO_FTPD__PASSIVE_PORT_RANGE__START=1\nSFTPGO_FTPD__BINDINGS__0__FORCE_PASSIVE_IP=10.0.0.1\n");
    let reading = image.reading();
    assert_eq!(reading.wanted(), ports(&[(50_050, 50_100)]));
    assert_eq!(reading.control, [2121]);
    assert!(codes(&reading).contains(&"private-address"));
    let mut request = image.request();
    request.environment.push((
        "SFTPGO_FTPD__PASSIVE_PORT_RANGE__START".to_owned(),
        "50060".to_owned(),
    ));
    assert_eq!(
        discover(&request).unwrap().readings[0].wanted(),
        ports(&[(50_060, 50_100)])
    );
}

#[test]
fn sftpgo_off_wants_nothing_and_a_broken_file_is_refused() {
    let off = Image::new()
        .with(
            "/etc/sftpgo/sftpgo.json",
            "{\"ftpd\": {\"passive_port_range\": {\"start\": 50000, \"end\": 50100}}}",
        )
        .reading();
    assert!(off.wanted().is_empty() && codes(&off).contains(&"ftp-disabled"));
    for (file, text) in [
        ("sftpgo.json", "{\n \"ftpd\": oops}"),
        ("sftpgo.toml", "[ftpd]\nx = = 1\n"),
        ("sftpgo.yaml", "ftpd:\n  a: [1\n"),
    ] {
        let reading = Image::new()
            .with(&format!("/etc/sftpgo/{file}"), text)
            .reading();
        let error = reading.refuses.unwrap_or_else(|| panic!("{file} is taken"));
        assert!(
            error.location.line.is_some_and(|line| line >= 2),
            "{file}: {error}"
        );
    }
}

#[test]
fn filezilla_server_keeps_its_settings_in_xml() {
    let settings = indoc! {r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <filezilla>
          <ftp_server>
            <session><pasv>
              <host_override>192.168.1.1</host_override>
              <port_range><min>50000</min><max>50009</max></port_range>
            </pasv></session>
            <listener><address>0.0.0.0</address><port>21</port><tls_mode>0</tls_mode></listener>
            <listener><address>::</address><port>990</port><tls_mode>1</tls_mode></listener>
          </ftp_server>
        </filezilla>
    "#};
    let path = "/opt/filezilla-server/etc/settings.xml";
    let reading = Image::new().with(path, settings).reading();
    assert_eq!(reading.wanted(), ports(&[(50_000, 50_009)]));
    assert_eq!(reading.control, [21, 990]);
    assert_eq!(reading.passive[0].location.line, Some(6));
    assert!(
        codes(&reading).contains(&"implicit-ftps") && codes(&reading).contains(&"private-address")
    );
    let broken = Image::new()
        .with(path, "<filezilla>\n<ftp_server>\n</filezilla>")
        .error();
    assert_eq!(broken.location.line, Some(3), "{broken}");
}

#[test]
fn every_code_that_is_used_is_in_the_table() {
    let image = Image::new()
        .with(
            "/etc/vsftpd.conf",
            "listen=YES\nmax_clients=200\npasv_min_port=9\npasv_address=x\n",
        )
        .with(
            "/etc/pure-ftpd.conf",
            "CallUploadScript yes\nUseFtpUsers no\n",
        )
        .with("/etc/proftpd/proftpd.conf", "Include /none\nBogus\n");
    let discovery = image.discover();
    let all = discovery
        .readings
        .iter()
        .flat_map(|reading| &reading.findings)
        .chain(&discovery.findings);
    for finding in all {
        assert!(
            CODES.iter().any(|(code, ..)| *code == finding.code),
            "{}",
            finding.code
        );
        assert!(finding.hint.is_some(), "{finding:?}");
    }
    for (code, _, meaning) in CODES {
        assert!(
            code.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
            "{code}"
        );
        assert!(!meaning.ends_with('.'), "{code}");
    }
}

#[test]
fn every_name_can_be_asked_for() {
    for name in names() {
        let image = Image::new();
        let mut request: Request = image.request();
        request.only = Some((*name).to_owned());
        let discovery = discover(&request).unwrap();
        assert!(discovery.readings.is_empty() && discovery.findings[0].message.contains(name));
    }
    let image = Image::new().with("/etc/vsftpd.conf", "listen=YES\n");
    let mut request = image.request();
    request.only = Some("proftpd".to_owned());
    assert!(discover(&request).unwrap().readings.is_empty());
}

#[test]
fn a_configuration_that_others_can_write_is_reported() {
    use std::os::unix::fs::PermissionsExt;
    let image = Image::new().with("/etc/vsftpd.conf", "listen=YES\n");
    std::fs::set_permissions(
        image.path("/etc/vsftpd.conf"),
        std::fs::Permissions::from_mode(0o666),
    )
    .unwrap();
    assert!(codes(&image.reading()).contains(&"user-writable"));
}

/// Only where every IPv4 address is private, and no other is advertised.
#[test]
fn a_host_behind_nat_is_told_to_advertise() {
    let codes_of = |daemon: (&str, &str), addresses: &[&str]| {
        let image = Image::new().with(daemon.0, daemon.1);
        let mut request = image.request();
        request.addresses = addresses
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        let discovery = discover(&request).unwrap();
        codes(&discovery.readings[0]).contains(&"no-public-address")
    };
    let plain = ("/etc/proftpd/proftpd.conf", "PassivePorts 50000 50009\n");
    for addresses in [
        &["127.0.0.1", "::1", "10.0.0.5", "2001:db8::1"][..],
        &["100.64.0.1", "172.17.0.1", "169.254.1.1"],
        &["192.168.1.2"],
    ] {
        assert!(codes_of(plain, addresses), "{addresses:?}");
    }
    for addresses in [
        &["127.0.0.1", "::1"][..],
        &[],
        &["10.0.0.5", "198.51.100.1"],
        &["fd00::1"],
        &["172.32.0.1"],
    ] {
        assert!(!codes_of(plain, addresses), "{addresses:?}");
    }
    let private: &[&str] = &["10.0.0.5"];
    for (path, text, expected) in [
        (
            plain.0,
            "PassivePorts 50000 50009\nMasqueradeAddress ftp.example\n",
            false,
        ),
        (
            "/etc/pure-ftpd.conf",
            "PassivePortRange 50000 50009\n",
            true,
        ),
        (
            "/etc/pure-ftpd.conf",
            "PassivePortRange 50000 50009\nForcePassiveIP 198.51.100.1\n",
            false,
        ),
        (
            "/etc/pure-ftpd.conf",
            "PassivePortRange 50000 50009\nNATmode yes\n",
            false,
        ),
        (
            "/etc/vsftpd.conf",
            "listen=YES\npasv_min_port=50000\n",
            true,
        ),
        (
            "/etc/vsftpd.conf",
            "listen=YES\npasv_address=198.51.100.1\n",
            false,
        ),
        ("/etc/vsftpd.conf", "listen=YES\npasv_enable=NO\n", false),
    ] {
        assert_eq!(codes_of((path, text), private), expected, "{text}");
    }
}
