use super::*;

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let rule = Rule {
        handle: 1,
        comment: Some(String::from("a\u{1b}[31mb\nc")),
        statements: vec![Statement::Verdict(Verdict::Jump(String::from("x\u{7}y")))].into(),
    };
    assert_eq!(rule.to_string(), "jump xy comment \"a[31mbc\"");
}
