//! The address that passive clients are told to connect to, and what it is from outside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Daemon;
use crate::findings::{Finding, Location};
use crate::passive::{Advertised, Reading};

/// What a reading says of addresses, on a host that has these.
pub(super) fn about_one(addresses: &[IpAddr], daemon: &dyn Daemon, reading: &mut Reading) {
    let mut findings: Vec<Finding> = reading
        .advertised
        .iter()
        .filter_map(about_address)
        .collect();
    let answers = reading.passive_enabled && reading.refuses.is_none();
    if answers && reading.advertised.is_empty() {
        findings.extend(about_none(addresses, daemon, reading));
    }
    reading.findings.extend(findings);
}

/// A host that has private addresses only is behind NAT, if anybody reaches it from outside at all. PASV names IPv4
/// addresses; EPSV names none, so IPv6 does not matter.
fn about_none(addresses: &[IpAddr], daemon: &dyn Daemon, reading: &Reading) -> Option<Finding> {
    let own: Vec<Ipv4Addr> = addresses
        .iter()
        .filter_map(|address| match address {
            IpAddr::V4(address) if !address.is_loopback() && !address.is_link_local() => {
                Some(*address)
            }
            _ => None,
        })
        .collect();
    let first = own.first()?;
    if !own
        .iter()
        .all(|address| address.is_private() || is_shared(*address))
    {
        return None;
    }
    let message = format!(
        "{} tells PASV clients its own address, and this host has private ones only ({first}): clients from outside \
         cannot connect there",
        reading.daemon
    );
    let finding = Finding::new("no-public-address", message);
    let directive = daemon.address_by_hand();
    let finding = finding.with_hint(format!("behind NAT, write {directive}, the public one"));
    Some(match reading.files.first() {
        Some(file) => finding.at(Location::file(file)),
        None => finding,
    })
}

/// 100.64.0.0/10, which carriers share among their customers (RFC 6598).
fn is_shared(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && (64..128).contains(&second)
}

/// An address that clients out on the Internet cannot connect to. EPSV carries none, so it is immune.
fn about_address(advertised: &Advertised) -> Option<Finding> {
    let address: IpAddr = advertised.address.parse().ok()?;
    let what = match address {
        IpAddr::V4(address) => unreachable_v4(address),
        IpAddr::V6(address) => unreachable_v6(address),
    }?;
    let directive = advertised.directive;
    let message =
        format!("{directive} {address} is {what}: clients from outside are sent there by PASV");
    let hint = match directive {
        "pasv_address" => {
            "write the public address: pasv_address=ADDRESS, or remove the line".to_owned()
        }
        _ => format!("write the public address: {directive} ADDRESS, or remove the line"),
    };
    Some(
        Finding::new("private-address", message)
            .with_hint(hint)
            .at(advertised.location.clone()),
    )
}

fn unreachable_v4(address: Ipv4Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("no address")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_private() {
        Some("a private address")
    } else if address.is_link_local() {
        Some("a link-local address")
    } else if address.is_documentation() {
        Some("an address for documentation")
    } else if is_shared(address) {
        Some("an address behind a carrier's NAT (100.64.0.0/10)")
    } else {
        None
    }
}

fn unreachable_v6(address: Ipv6Addr) -> Option<&'static str> {
    let segments = address.segments();
    if address.is_unspecified() {
        Some("no address")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if segments[0] & 0xFE00 == 0xFC00 {
        Some("a private address")
    } else if segments[0] & 0xFFC0 == 0xFE80 {
        Some("a link-local address")
    } else if segments[0] == 0x2001 && segments[1] == 0x0DB8 {
        Some("an address for documentation")
    } else {
        None
    }
}
