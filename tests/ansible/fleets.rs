//! How long a fleet takes; measured by hand, while nothing else runs:
//! `PASVSYNC_FLEETS=20,100,500 cargo test --locked --test integration -- --ignored --nocapture ansible::fleets`

use std::time::Instant;

use super::controller::Controller;
use crate::support::say;

/// One task, the ways that it can be done; each connects anew, as a run from cron does.
const WAYS: [(&str, &str); 3] = [
    ("`raw: /bin/true`", "ansible.builtin.raw: /bin/true"),
    ("`pasvsync.pasvsync.sync`", "pasvsync.pasvsync.sync:"),
    (
        "`command: pasvsync sync`",
        "ansible.builtin.command: /usr/sbin/pasvsync sync",
    ),
];
/// So many at once.
const FORKS: &str = "50";

#[test]
#[ignore = "takes minutes, and the times are worth something only while nothing else runs"]
fn seconds() {
    let sizes = std::env::var("PASVSYNC_FLEETS").unwrap_or_else(|_| "20".to_owned());
    for size in sizes.split(',') {
        let size = size.parse().expect("a number");
        let Some(controller) = Controller::with(size, true) else {
            return;
        };
        for (_, task) in WAYS {
            let name = task.split(':').next().expect("a name");
            let play = format!(
                "- hosts: ftp\n  gather_facts: false\n  strategy: free\n  tasks:\n    - {task}\n"
            );
            controller.write(&format!("{name}.yml"), &play);
        }
        let known = controller.folder().join("known");
        let connection = format!(
            r#"{{"ansible_ssh_args": "-F /dev/null -o ControlMaster=no -o UserKnownHostsFile={}"}}"#,
            known.display()
        );
        let run = |task: &str| {
            let playbook = format!("{}.yml", task.split(':').next().expect("a name"));
            let begin = Instant::now();
            let play = controller.play(&playbook, &["--forks", FORKS, "--extra-vars", &connection]);
            assert_eq!(play.status, Some(0), "{}", play.text);
            begin.elapsed().as_secs_f64()
        };
        run(WAYS[1].1);
        // The ways take turns, so that whatever else runs meanwhile slows all of them.
        let mut best = [f64::INFINITY; WAYS.len()];
        for _ in 0..if size > 100 { 1 } else { 3 } {
            for (time, (_, task)) in best.iter_mut().zip(WAYS) {
                *time = time.min(run(task));
            }
        }
        let times = WAYS
            .iter()
            .zip(best)
            .map(|((name, _), time)| format!("{name} {time:.1} s"));
        say(&format!(
            "{size} hosts: {}",
            times.collect::<Vec<_>>().join(", ")
        ));
    }
}
