use super::*;

#[test]
fn smoke() {
    with_rules(
        "inet",
        "tcp dport 50000-50100 accept comment \"hello\"\nct state established,related accept\niifname lo accept\nip saddr . tcp dport { 1.2.3.4 . 80, 10.0.0.0/8 . 100-200 } drop\ntcp dport vmap { 80 : accept, 1000-2000 : jump x }",
        |rules| {
            for rule in rules {
                eprintln!("{rule:#?}");
            }
        },
    );
}
