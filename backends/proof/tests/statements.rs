//! What each kind of statement does to the verdict, in rulesets as small as they get.

use std::net::IpAddr;

use super::{PORT, compare, equal, host};
use crate::model::ports::{PortRange, PortSet};
use crate::model::reach::{Family, Reach};
use crate::model::ruleset::{
    BaseChain, Chain, ChainKind, Element, ElementKey, Elements, Field, Hook, Interface, Ipset,
    Mark, Nat, NatKind, Operator, Outside, PayloadBase, Policy, Rule, Ruleset, Set, Statement,
    Uncertainty, Value, Verdict,
};
use crate::proof::{Effect, judge, walk};

use Reach::{Closed, Open, Restricted, Unknown};

/// The destination port.
fn port() -> Value {
    let (base, offset) = (PayloadBase::Transport, 2);
    Value::field(Field::Payload { base, offset }, 2)
}

/// The source address.
fn source() -> Value {
    let (base, offset) = (PayloadBase::Network, 12);
    Value::field(Field::Payload { base, offset }, 4)
}

fn to_port() -> Statement {
    compare(port(), Operator::Equal, &PORT.to_be_bytes())
}

fn verdict(verdict: Verdict) -> Statement {
    Statement::Verdict(verdict)
}

/// A host whose input chain has these rules.
fn with(policy: Policy, rules: Vec<Vec<Statement>>) -> Ruleset {
    let mut host = host();
    let input = &mut host.tables[0].chains[0];
    input.base.as_mut().expect("a base chain").policy = policy;
    input.rules = Some(rules.into_iter().map(rule).collect());
    host.tables[0].chains[1].rules = Some(Vec::new());
    host
}

fn rule(statements: Vec<Statement>) -> Rule {
    Rule {
        statements: statements.into(),
        ..Rule::default()
    }
}

/// Adds a set, or a map to verdicts.
fn add(host: &mut Ruleset, name: &str, elements: &[(&[u8], Option<Verdict>)]) {
    let element = |(key, verdict): &(&[u8], Option<Verdict>)| Element {
        key: ElementKey::Single(key.to_vec()),
        verdict: verdict.clone(),
        uncertainty: None,
    };
    host.tables[0].sets.push(Set {
        name: name.to_owned(),
        anonymous: false,
        verdict_map: elements.iter().any(|(_, verdict)| verdict.is_some()),
        key_fields: vec![elements.first().map_or(2, |(key, _)| key.len() as u32)],
        elements: Elements::Read(elements.iter().map(element).collect()),
        outside: None,
    });
}

fn lookup(value: Value, set: &str, negated: bool) -> Statement {
    let set = set.to_owned();
    Statement::Lookup {
        value,
        set,
        negated,
    }
}

fn vmap(value: Value) -> Statement {
    let map = "map".to_owned();
    Statement::VerdictMap { value, map }
}

/// The verdicts on the port, and on the one behind it.
#[track_caller]
fn expect(host: &Ruleset, expected: [Reach; 2]) {
    let ports = PortSet::from(PortRange::new(PORT, PORT + 1).expect("a range"));
    let map = judge(host, Family::Ipv4, &ports).map;
    let found = [map.reach(PORT), map.reach(PORT + 1)];
    assert_eq!(found, expected.map(Some), "{map:#?}");
}

#[test]
fn ports_in_a_set() {
    for (negated, expected) in [(false, [Closed, Open]), (true, [Open, Closed])] {
        let rule = vec![lookup(port(), "ports", negated), verdict(Verdict::Drop)];
        let mut host = with(Policy::Accept, vec![rule]);
        add(&mut host, "ports", &[(&PORT.to_be_bytes(), None)]);
        expect(&host, expected);
        // A set that is not there, or not read, could hold anything.
        host.tables[0].sets[0].elements = Elements::NotRead;
        expect(&host, [Unknown, Unknown]);
        host.tables[0].sets.clear();
        expect(&host, [Unknown, Unknown]);
    }
}

/// What a packet puts into a set is found there, by this packet and by those behind it.
#[test]
fn sets_that_packets_change() {
    let learn = vec![
        to_port(),
        Statement::UpdateSet {
            set: "seen".to_owned(),
            uncertainty: None,
            text: String::new(),
        },
    ];
    let banned = vec![lookup(source(), "seen", false), verdict(Verdict::Drop)];
    for rules in [
        vec![learn.clone(), banned.clone()],
        vec![banned.clone(), learn.clone()],
    ] {
        let mut host = with(Policy::Accept, rules);
        add(&mut host, "seen", &[]);
        expect(&host, [Restricted, Open]);
        // The same list by another name, and another list.
        let ipset = |name: &str, members: &[&str]| {
            Some(Outside::Ipset(Ipset {
                number: None,
                name: name.to_owned(),
                sources: vec![true],
                exceptions: false,
                members: members.iter().map(|name| (*name).to_owned()).collect(),
            }))
        };
        add(&mut host, "other", &[]);
        host.tables[0].sets[1].outside = ipset("one", &[]);
        let chain = host.tables[0].chains[0].rules.as_mut().expect("rules");
        for statement in chain.iter_mut().flat_map(|rule| rule.statements.iter_mut()) {
            if let Statement::UpdateSet { set, .. } = statement {
                "other".clone_into(set);
            }
        }
        for (outside, expected) in [
            (ipset("one", &[]), Restricted),
            (ipset("all", &["one", "two"]), Restricted),
            (ipset("two", &[]), Open),
            (Some(Outside::Recent("one".to_owned())), Open),
            (None, Open),
        ] {
            host.tables[0].sets[0].outside = outside;
            expect(&host, [expected, Open]);
        }
    }
}

/// Who is not in a map meets the end of the rule, and what continues its rest.
#[test]
fn verdict_maps() {
    let rule = vec![vmap(port()), verdict(Verdict::Accept)];
    let mut host = with(Policy::Drop, vec![rule]);
    let behind = (PORT + 1).to_be_bytes();
    let (here, there) = (PORT.to_be_bytes(), behind.as_slice());
    add(&mut host, "map", &[(&here, Some(Verdict::Continue))]);
    expect(&host, [Open, Closed]);
    host.tables[0].sets.clear();
    let jump = Some(Verdict::Goto("sub".to_owned()));
    add(
        &mut host,
        "map",
        &[(&here, Some(Verdict::Accept)), (there, jump)],
    );
    expect(&host, [Open, Closed]);
    // A verdict that was not understood, and a map that is not there.
    host.tables[0].sets[0].elements = Elements::NotRead;
    expect(&host, [Unknown, Unknown]);
    host.tables[0].sets.clear();
    expect(&host, [Unknown, Unknown]);
}

/// Marks differ from port to port.
#[test]
fn a_map_of_marks() {
    let mark = Mark::Packet;
    let value = Value::field(Field::Mark(mark), 4);
    let set = |value| Statement::SetMark { mark, value };
    let mut host = with(
        Policy::Drop,
        vec![vec![to_port(), set(Some(1))], vec![vmap(value.clone())]],
    );
    let one = 1_u32.to_ne_bytes();
    add(
        &mut host,
        "map",
        &[
            (&one, Some(Verdict::Accept)),
            (&[0; 4], Some(Verdict::Drop)),
        ],
    );
    expect(&host, [Open, Closed]);
    let rules = vec![
        vec![to_port(), set(None)],
        vec![
            compare(value, Operator::Equal, &one),
            verdict(Verdict::Drop),
        ],
    ];
    expect(&with(Policy::Accept, rules), [Restricted, Open]);
}

#[test]
fn what_is_not_understood() {
    let unknown = |name: &str| Statement::NotDecoded {
        name: name.to_owned(),
    };
    for then in [Verdict::Accept, Verdict::Drop] {
        for policy in [Policy::Accept, Policy::Drop] {
            for name in ["-m new", "new"] {
                let decides = (policy == Policy::Accept) != (then == Verdict::Accept);
                let rule = vec![to_port(), unknown(name), verdict(then.clone())];
                let host = with(policy, vec![rule]);
                let otherwise = if policy == Policy::Accept {
                    Open
                } else {
                    Closed
                };
                let here = if decides || name == "new" {
                    Unknown
                } else {
                    otherwise
                };
                expect(&host, [here, otherwise]);
            }
        }
    }
    let queue = vec![to_port(), verdict(Verdict::Queue(String::new()))];
    expect(&with(Policy::Drop, vec![queue.clone()]), [Unknown, Closed]);
    expect(&with(Policy::Accept, vec![queue]), [Unknown, Open]);
    let nowhere = vec![to_port(), verdict(Verdict::Jump("nowhere".to_owned()))];
    expect(&with(Policy::Accept, vec![nowhere]), [Unknown, Open]);
}

#[test]
fn headers_that_are_rewritten() {
    let rewrite = |base| {
        let statement = Statement::Rewrite {
            base,
            offset: 0,
            length: 1,
            text: String::new(),
        };
        with(Policy::Accept, vec![vec![to_port(), statement]])
    };
    for base in [
        PayloadBase::Link,
        PayloadBase::Network,
        PayloadBase::Transport,
        PayloadBase::Inner,
    ] {
        expect(&rewrite(base), [Restricted, Open]);
    }
}

/// Only the family that is meant is translated.
#[test]
fn ports_that_are_redirected() {
    for (family, expected) in [
        (None, [Restricted, Open]),
        (Some(Family::Ipv4), [Restricted, Open]),
        (Some(Family::Ipv6), [Open, Open]),
    ] {
        let redirect = Statement::Nat(Nat {
            kind: NatKind::Redirect,
            family,
            address: None,
            sets_address: true,
            ports: Some((22, 22)),
            sets_port: true,
            text: String::new(),
        });
        let mut host = with(Policy::Accept, vec![vec![to_port(), redirect]]);
        let base = host.tables[0].chains[0].base.as_mut().expect("a base");
        (base.kind, base.hook) = (ChainKind::Nat, Hook::Prerouting);
        expect(&host, expected);
    }
}

/// An accept for one source that names the port says for whom the port is.
#[test]
fn accepts_for_one_source() {
    let one = compare(source(), Operator::Equal, &[192, 0, 2, 1]);
    let accept = || verdict(Verdict::Accept);
    let rules = vec![vec![one.clone(), to_port(), accept()]];
    expect(&with(Policy::Drop, rules), [Restricted, Closed]);
    let rules = vec![vec![one.clone(), accept()]];
    expect(&with(Policy::Drop, rules), [Closed, Closed]);
    // The port is named by the jump.
    let rules = vec![vec![to_port(), verdict(Verdict::Jump("sub".to_owned()))]];
    let mut host = with(Policy::Drop, rules);
    host.tables[0].chains[1].rules = Some(vec![rule(vec![one, accept()])]);
    expect(&host, [Restricted, Closed]);
}

/// Frames may come by a port of the bridge whose chain drops them, or by another.
#[test]
fn a_chain_of_a_part() {
    let mut host = with(Policy::Accept, Vec::new());
    host.interfaces.push(Interface {
        name: "part".to_owned(),
        index: 3,
        hardware_type: 1,
        up: true,
        ..Interface::default()
    });
    host.tables[0].chains.push(Chain {
        name: "early".to_owned(),
        handle: 0,
        base: Some(BaseChain {
            kind: ChainKind::Filter,
            hook: Hook::Ingress,
            priority: 0,
            policy: Policy::Accept,
            devices: vec!["part".to_owned()],
        }),
        rules: Some(vec![rule(vec![to_port(), verdict(Verdict::Drop)])]),
    });
    expect(&host, [Unknown, Open]);
    host.interfaces[1].up = false;
    expect(&host, [Open, Open]);
}

/// An interface without hardware addresses has none to test (`mac_mt`), whatever the others say.
#[test]
fn interfaces_without_hardware_addresses() {
    let (base, offset) = (PayloadBase::Link, 6);
    let hardware = Value::field(Field::Payload { base, offset }, 6);
    let test = compare(hardware, Operator::NotEqual, &[2, 0, 0, 0, 0, 9]);
    let mut host = with(Policy::Drop, vec![vec![test, verdict(Verdict::Accept)]]);
    expect(&host, [Open, Open]);
    let address: IpAddr = "198.51.100.1".parse().expect("an address");
    host.interfaces.push(Interface {
        name: "ppp0".to_owned(),
        index: 3,
        hardware_type: 512,
        up: true,
        addresses: vec![address],
        ..Interface::default()
    });
    expect(&host, [Restricted, Restricted]);
}

/// Bans of many add up, and are named; those of few are named only.
#[test]
fn bans_that_add_up() {
    let ban = |set: &str| {
        vec![
            to_port(),
            lookup(source(), set, false),
            verdict(Verdict::Drop),
        ]
    };
    let large = 3 << 29;
    for (shares, expected) in [
        ([1, 1], Open),
        ([large, 0], Open),
        ([large, large], Restricted),
    ] {
        let mut host = with(Policy::Accept, vec![ban("a"), ban("b")]);
        for (name, share) in ["a", "b"].into_iter().zip(shares) {
            add(&mut host, name, &[]);
            let set = host.tables[0].sets.last_mut().expect("the set");
            set.elements = Elements::Addresses { share };
        }
        expect(&host, [expected, Open]);
        let ports = PortSet::from(PortRange::single(PORT));
        let exceptions = judge(&host, Family::Ipv4, &ports).exceptions(&host);
        assert_eq!(exceptions.len(), 2, "{exceptions:?}");
    }
}

/// The policy decides where a chain that was entered for good has no more rules: that is where an accept belongs.
#[test]
fn the_end_of_a_chain_that_was_entered_for_good() {
    let there = vec![to_port(), verdict(Verdict::Goto("sub".to_owned()))];
    let host = with(Policy::Drop, vec![there]);
    let ports = PortSet::from(PortRange::new(PORT, PORT + 1).expect("a range"));
    let blocks = judge(&host, Family::Ipv4, &ports).blocks;
    let places = blocks.iter().map(|block| {
        let spot = &block.spot;
        (block.ports.to_string(), spot.chain, spot.rule)
    });
    let places: Vec<_> = places.collect();
    let wanted = [
        (PORT.to_string(), 1, None),
        ((PORT + 1).to_string(), 0, None),
    ];
    assert_eq!(places, wanted);
}

#[test]
fn the_walk_shows_what_happens() {
    let chance = Statement::Condition {
        uncertainty: Uncertainty::Other,
        text: "chance".to_owned(),
    };
    let host = with(
        Policy::Drop,
        vec![
            vec![
                equal(Field::TransportProtocol, &[17]),
                verdict(Verdict::Drop),
            ],
            vec![chance, verdict(Verdict::Drop)],
            vec![to_port(), verdict(Verdict::Accept)],
        ],
    );
    let shown = |port| {
        let (_, steps) = walk(&host, Family::Ipv4, port);
        let first = steps.iter().filter(|step| step.packet == "new connection");
        let effects = first.map(|step| (step.effect.clone(), step.sure));
        effects.collect::<Vec<_>>()
    };
    let perhaps = (Effect::Drop, false);
    assert_eq!(shown(PORT), [perhaps.clone(), (Effect::Accept, true)]);
    assert_eq!(shown(PORT + 1), [perhaps, (Effect::Drop, true)]);
}
