//! `pasvsync demo` tells a true story.

use std::process::Command;

use anstyle_svg::Term;

use super::support::isolated;

#[test]
fn the_story_is_true() {
    // Only to know whether namespaces can be made here.
    if isolated(&["true"]).is_none() {
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_pasvsync"))
        .args(["demo", "--color", "never"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("NOT TRUE"), "{text}");
    assert_eq!(output.status.code(), Some(0), "{text}\n{output:?}");
    assert!(text.contains("claims held"), "{text}");
}

/// The picture in the README is what the demo prints.
#[test]
fn the_picture_is_real() {
    if isolated(&["true"]).is_none() {
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_pasvsync"))
        .args(["demo", "--color", "always"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut text = String::from("$ pasvsync demo\n");
    text += &String::from_utf8(output.stdout).unwrap();
    // How long it took is another number each time.
    let end = text.rfind(", in ").expect("the summary names the time");
    text.truncate(end);
    text.push_str(".\n");
    let picture = Term::new().render_svg(&text);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/demo.svg");
    if std::env::var_os("UPDATE").is_some() {
        fs_err::write(path, picture).unwrap();
    } else {
        assert_eq!(
            fs_err::read_to_string(path).unwrap(),
            picture,
            "run `make update`"
        );
    }
}
