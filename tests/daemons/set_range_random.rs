//! Random configurations: whatever the daemon takes gets the range, reads as exactly that, and a second edit changes
//! nothing.

use firewall::model::ports::{PortRange, PortSet};
use pasvsync::daemons::{ConfigErrorKind, Request, discover, set_range};
use proptest::prelude::*;

use super::running::{PROFTPD, PURE_FTPD, VSFTPD, WRAPPER};
use super::support::Image;

/// What the configurations are put together from.
const FRAGMENTS: [(&str, &str, &[&str]); 5] = [
    (
        PROFTPD,
        "proftpd",
        &[
            "PassivePorts 50000 50009",
            "\tpassiveports \"52000\"   52009 # ours",
            "# PassivePorts 49152 65534",
            "#PassivePorts",
            "Port 21",
            "<Global>",
            "</Global>",
            "<VirtualHost 192.0.2.1>",
            "<VirtualHost 192.0.2.2>",
            "  Port 2121",
            "</VirtualHost>",
            "<IfModule mod_tls.c>",
            "<IfModule mod_core.c>",
            "</IfModule>",
            "Include /etc/more.conf",
            "# a comment \\",
            "",
        ],
    ),
    (
        PURE_FTPD,
        "pure-ftpd",
        &[
            "PassivePortRange 50000 50009",
            "  passiveportrange = 52000\t52009  ",
            "# PassivePortRange 30000 50000",
            "PassivePortRange: 50009 50000",
            "PassivePortRange \"1 2\"",
            "Bind ,21",
            "MaxClientsNumber 50",
            "Include /etc/more.conf",
            "# a comment",
            "",
        ],
    ),
    (
        VSFTPD,
        "vsftpd",
        &[
            "pasv_min_port=50000",
            "pasv_max_port=50009",
            "  pasv_min_port= 0141520 # c",
            "pasv_max_port=\"50009\"",
            "#pasv_min_port=1",
            "# pasv_max_port=2",
            "listen=YES",
            "user_config_dir=/etc/users",
            "# a comment",
            "",
        ],
    ),
    (
        WRAPPER,
        "pure-ftpd",
        &[
            "50000 50009",
            " 52000\t52009 ",
            "# a comment",
            "50009 50000",
            "text",
            "",
        ],
    ),
    (
        "/etc/sftpgo/sftpgo.yaml",
        "sftpgo",
        &[
            "ftpd:",
            "  bindings:",
            "    - port: 21",
            "  passive_port_range:",
            "    start: 50000 # first",
            "    end: '50009'",
            "  passive_port_range: {start: 1, end: 2}",
            "httpd:",
            "  start: 1",
            "# a comment",
            "",
        ],
    ),
];

/// The text that some fragments make, with one kind of line end, the last one there or not.
fn text(fragments: &[&str], picks: &[prop::sample::Index], crlf: bool, ended: bool) -> String {
    let ending = if crlf { "\r\n" } else { "\n" };
    let lines: Vec<&str> = picks.iter().map(|pick| *pick.get(fragments)).collect();
    lines.join(ending) + if ended { ending } else { "" }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn what_a_daemon_takes_gets_the_range(
        kind in 0..FRAGMENTS.len(),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..9),
        more in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        (crlf, ended) in any::<(bool, bool)>(),
        (first, count) in (1025_u16..65_000, 1_u16..500),
    ) {
        let (path, daemon, fragments) = FRAGMENTS[kind];
        // vsftpd takes no truth value with a CR behind it.
        let crlf = crlf && daemon != "vsftpd";
        let image = Image::new()
            .with(path, text(fragments, &picks, crlf, ended))
            .with("/etc/more.conf", text(fragments, &more, crlf, ended))
            .with("/etc/users/ann", "pasv_max_port=40000\n");
        let range = PortRange::new(first, first + count).unwrap();
        let mut request = Request { only: Some(daemon.to_owned()), ..image.request() };
        let Ok(before) = discover(&request) else {
            // Includes that include each other.
            return Ok(());
        };
        let takes = before.readings.len() == 1 && before.readings[0].refuses.is_none();
        // Two keys of one name, or a table that is none, are for a person.
        let sure = takes && daemon != "sftpgo";
        match set_range(&request, range) {
            Ok(change) => {
                prop_assert_eq!(change.reading.written(), PortSet::from(range));
                let refuses = change.reading.refuses.as_ref().map(|error| error.kind);
                // As before: made for inetd.
                prop_assert!(matches!(refuses, None | Some(ConfigErrorKind::RefusedHere)));
                let edits = change.edits.into_iter();
                request.instead.extend(edits.map(|edit| (edit.path, edit.after)));
                let again = set_range(&request, range).unwrap();
                prop_assert_eq!(again.edits, vec![]);
            }
            Err(error) => prop_assert!(!sure, "{}", error),
        }
    }
}
