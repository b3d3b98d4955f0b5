//! Hosts on which something is wrong, and what each parameter does; the playbook says what is expected.

use super::controller::Controller;

const PLAYBOOK: &str = include_str!("cases.yml");

#[test]
fn troubles_and_parameters() {
    let Some(controller) = Controller::new(7) else {
        return;
    };
    let hosts = &controller.hosts;
    hosts[0].remove("usr/sbin/pasvsync");
    let _service = hosts[1].listen(&[50_003]);
    hosts[2].remove("etc/vsftpd.conf");
    hosts[2].write(
        "etc/proftpd/proftpd.conf",
        "Port 21\nPassivePorts 50000-50009\n",
    );
    hosts[3].write("etc/pasvsync.toml", "ports = 1\n");
    hosts[5].write(
        "srv/ftp/proftpd.conf",
        "Port 2121\nPassivePorts 40000 40009\n",
    );
    controller.write("cases.yml", PLAYBOOK);
    let play = controller.play("cases.yml", &[]);
    assert_eq!(play.status, Some(0), "{}", play.text);
    for host in hosts {
        let counts = play.counts(&host.name());
        assert_eq!(
            (counts["failed"], counts["unreachable"]),
            (0, 0),
            "{}",
            play.text
        );
    }
    let warning = play.text.lines().find(|line| line.contains("[WARNING]"));
    let warning = warning.unwrap_or_else(|| panic!("no warning: {}", play.text));
    assert!(
        warning.contains("50003") && warning.contains("ftp2.example.com"),
        "{warning}"
    );
}
