//! Many runs at once make the edit of one.

use super::{closed, foreign, iptables, legacy, lines, nftables, own};
use crate::support::command::Output;
use crate::support::host::Host;

/// Starts so many runs at the same time.
fn at_once(host: &Host, number: usize, command: &str) -> Vec<Output> {
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..number)
            .map(|_| scope.spawn(|| host.pasvsync(&[command])))
            .collect();
        runs.into_iter()
            .map(|run| run.join().expect("a run"))
            .collect()
    })
}

/// One of them changes something; all of them end well.
#[track_caller]
fn one_for_all(firewall: fn(&Host), number: usize, rules: usize) {
    let Some(host) = closed(firewall) else {
        return;
    };
    let before = lines(&host);
    for (command, word, marks) in [
        ("sync", "changed and proved", rules),
        ("remove", "removed: ", 0),
    ] {
        let runs = at_once(&host, number, command);
        for run in &runs {
            assert!(run.status.success(), "{run:?}");
        }
        let changed = runs.iter().filter(|run| run.stdout.contains(word));
        assert_eq!(changed.count(), 1, "{runs:#?}");
        let after = lines(&host);
        assert_eq!(own(&after).len(), marks, "{after:#?}");
        assert_eq!(foreign(&after), foreign(&before));
        let path = "/etc/nftables.conf";
        if host.run(|| std::path::Path::new(path).exists()) {
            let text = host.read(path);
            let marked = text
                .lines()
                .filter(|line| line.contains("comment \"pasvsync\""));
            assert_eq!(marked.count(), marks, "{text}");
        }
        let locks = host.must("sh", &["-c", "ls -A /run/pasvsync"]);
        assert_eq!(locks, "", "a lock is left");
    }
}

#[test]
fn thirty_two_at_once_on_nftables() {
    one_for_all(nftables, 32, 1);
}

#[test]
fn thirty_two_at_once_on_iptables() {
    one_for_all(iptables, 32, 2);
}

/// Each of them starts four programs while the others wait for the lock, which they do for ten seconds.
#[test]
fn eight_at_once_on_iptables_legacy() {
    one_for_all(legacy, 8, 2);
}
