//! What the collection's README shows is what Ansible prints.

use std::fmt::Write as _;

use super::controller::{COLLECTION, Controller};

const README: &str = include_str!("../../examples/ansible/README.md");
const BEGIN: &str = "<!-- outputs -->\n";
const END: &str = "<!-- /outputs -->";

/// What the README shows, in this order.
const RUNS: [(&str, &str); 3] = [
    (
        "What would change, and nothing is changed",
        "ansible-playbook site.yml --check --diff",
    ),
    ("Change it", "ansible-playbook site.yml"),
    ("From then on", "ansible-playbook site.yml"),
];

/// The playbook that the README begins with.
pub(super) fn playbook() -> &'static str {
    let (_, rest) = README.split_once("```yaml\n").expect("a playbook");
    rest.split_once("```").expect("its end").0
}

#[test]
fn the_outputs_are_real() {
    let Some(controller) = Controller::new(1) else {
        return;
    };
    controller.write("site.yml", playbook());
    let mut text = String::new();
    for (sentence, command) in RUNS {
        let arguments: Vec<&str> = command.split(' ').skip(2).collect();
        let play = controller.play("site.yml", &arguments);
        // Ansible pads its lines.
        let lines: Vec<String> = play
            .text
            .lines()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect();
        let output = lines.concat();
        let output = output.trim_matches('\n');
        let _ = write!(
            text,
            "\n{sentence}:\n\n```console\n$ {command}\n{output}\n```\n"
        );
    }
    let text = text.trim_start_matches('\n');
    let start = README.find(BEGIN).expect("the marker that begins") + BEGIN.len();
    let end = README.find(END).expect("the marker that ends");
    if std::env::var_os("UPDATE").is_some() {
        let path = format!("{COLLECTION}/README.md");
        let readme = [&README[..start], text, &README[end..]].concat();
        fs_err::write(path, readme).expect("write the README");
    } else {
        assert_eq!(&README[start..end], text, "run `make update`");
    }
}
