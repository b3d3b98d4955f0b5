//! Elements that several kinds of files have, and what may be wrong with one.

use super::objects::{ForwardPort, Network};
use super::text::{self, PortNames};
use super::xml::Element;
use super::{Checked, Version};
use crate::model::ports::PortRange;

/// What reading a file needs besides the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    pub(super) version: Version,
    pub(super) ports: &'a PortNames,
}

/// Why an element is not taken.
#[derive(Debug)]
pub(super) enum Fault {
    /// firewalld does not start with it.
    Fatal(String),
    /// firewalld 1 goes on without it, firewalld 2 does not start.
    Ignored(String),
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self::Fatal(message)
    }
}

/// A whole number as it is usually written.
pub(super) fn number(text: &str) -> Checked<i32, Fault> {
    text.trim()
        .parse()
        .map_err(|_| Fault::Fatal(format!("`{text}` is no number")))
}

/// The ports when they are of TCP.
pub(super) fn tcp(
    names: &PortNames,
    ports: &str,
    protocol: &str,
) -> Checked<Option<PortRange>, Fault> {
    let range = names.range(ports)?;
    if !text::is_transport(protocol) {
        return Err(Fault::Fatal(format!(
            "`{protocol}` is none of tcp, udp, sctp, dccp"
        )));
    }
    Ok((protocol == "tcp").then_some(range))
}

/// A protocol.
pub(super) fn protocol(value: &str) -> Checked<text::Protocol, Fault> {
    text::protocol(value)
        .ok_or_else(|| Fault::Fatal(format!("the protocol `{value}` is not known")))
}

/// A forwarded port, when it is of TCP, and whether it has another address.
pub(super) fn forward(
    element: &Element,
    names: &PortNames,
) -> Checked<(Option<ForwardPort>, bool), Fault> {
    let get = |name: &str| element.get(name).unwrap_or_default();
    let ports = tcp(names, get("port"), get("protocol"))?;
    let to_ports = match get("to-port") {
        "" => None,
        text => Some(names.range(text)?),
    };
    let to_address = match get("to-addr") {
        "" => None,
        text => {
            let address = text.trim_start_matches('[').trim_end_matches(']').parse();
            Some(address.map_err(|_| format!("`{text}` is no address"))?)
        }
    };
    if to_ports.is_none() && to_address.is_none() {
        return Err(Fault::Fatal("neither `to-port` nor `to-addr`".to_owned()));
    }
    let forward = ports.map(|ports| ForwardPort {
        ports,
        to_ports,
        to_address,
    });
    Ok((forward, to_address.is_some()))
}

/// A network, for services.
pub(super) fn network(text: &str) -> Checked<Network, Fault> {
    Network::parse(text).ok_or_else(|| format!("`{text}` is no address").into())
}
