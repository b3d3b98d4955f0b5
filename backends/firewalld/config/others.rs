//! Services, ipsets, and the files that need only be well-formed.

use super::elements::{Context, Fault, network, protocol, tcp};
use super::objects::{IpSet, Named, Service};
use super::xml::{Document, Element, Tag};
use super::{Checked, Schema};
use crate::error::Result;
use crate::model::reach::Family;

const SERVICE: Schema = Schema {
    required: &[("short", &[]), ("description", &[]), ("service", &[])],
    optional: &[
        ("service", &["name", "version"]),
        ("port", &["port", "protocol"]),
        ("protocol", &["value"]),
        ("module", &["name"]),
        ("destination", &["ipv4", "ipv6"]),
        ("source-port", &["port", "protocol"]),
        ("include", &["service"]),
        ("helper", &["name"]),
    ],
    since_2: &[],
};

const IPSET: Schema = Schema {
    required: &[
        ("short", &[]),
        ("description", &[]),
        ("ipset", &["type"]),
        ("option", &["name"]),
        ("entry", &[]),
    ],
    optional: &[("ipset", &["version"]), ("option", &["value"])],
    since_2: &[],
};

/// Types of ICMP: only the names of the files count here.
pub(super) const ICMP_TYPE: Schema = Schema {
    required: &[("short", &[]), ("description", &[]), ("icmptype", &[])],
    optional: &[
        ("icmptype", &["name", "version"]),
        ("destination", &["ipv4", "ipv6"]),
    ],
    since_2: &[],
};

/// Connection tracking helpers.
pub(super) const HELPER: Schema = Schema {
    required: &[
        ("short", &[]),
        ("description", &[]),
        ("helper", &["module"]),
    ],
    optional: &[
        ("helper", &["name", "version", "family"]),
        ("port", &["port", "protocol"]),
    ],
    since_2: &[],
};

/// The types of ipsets that firewalld knows.
const KINDS: &[&str] = &[
    "hash:ip",
    "hash:ip,port",
    "hash:ip,port,ip",
    "hash:ip,port,net",
    "hash:ip,mark",
    "hash:net",
    "hash:net,net",
    "hash:net,port",
    "hash:net,port,net",
    "hash:net,iface",
    "hash:mac",
];

/// Every element must be known, with its attributes.
pub(super) fn check(document: &Document<'_>, schema: &Schema, context: Context<'_>) -> Result<()> {
    elements(document, schema, context, |_| Ok(()))
}

fn elements(
    document: &Document<'_>,
    schema: &Schema,
    context: Context<'_>,
    mut each: impl FnMut(&Element) -> Checked<(), Fault>,
) -> Result<()> {
    for tag in &document.tags {
        if let Tag::Start(element) = tag {
            let refuse = |message: String| document.refused(element.span.start, &message);
            schema.check(element, context.version).map_err(refuse)?;
            each(element)
                .map_err(|(Fault::Fatal(message) | Fault::Ignored(message))| refuse(message))?;
        }
    }
    Ok(())
}

/// A service's file.
pub(super) fn service(document: &Document<'_>, context: Context<'_>) -> Result<Service> {
    let mut service = Service {
        path: document.path.to_owned(),
        ..Service::default()
    };
    elements(document, &SERVICE, context, |element| {
        let get = |name: &str| {
            let value = element.get(name);
            value.ok_or_else(|| format!("the attribute `{name}` of {} is missing", element.name))
        };
        match element.name.as_str() {
            "port" if get("port")?.is_empty() => {
                service.others = true;
                service.protocols.push(protocol(get("protocol")?)?);
            }
            "port" => match tcp(context.ports, get("port")?, get("protocol")?)? {
                Some(range) => service.ports.push(range),
                None => service.others = true,
            },
            "protocol" => {
                service.others = true;
                service.protocols.push(protocol(get("value")?)?);
            }
            "source-port" => {
                service.others = true;
                let range = tcp(context.ports, get("port")?, get("protocol")?)?;
                service.source_ports.extend(range);
            }
            "destination" => {
                for (family, name) in [(Family::Ipv4, "ipv4"), (Family::Ipv6, "ipv6")] {
                    let Some(address) = element.get(name) else {
                        continue;
                    };
                    let address = network(address)?;
                    if address.family != family {
                        return Err(format!("no {name} address").into());
                    }
                    service.destinations.entry(family).or_insert(address);
                }
            }
            "module" | "helper" => {
                get("name")?;
            }
            "include" => {
                let name = get("service")?.to_owned();
                let place = document.place(element.span.start);
                service.includes.push(Named { name, place });
            }
            _ => {}
        }
        Ok(())
    })?;
    for tag in &document.tags {
        if let Tag::End { name, text, .. } = tag
            && name == "description"
        {
            service.description.clone_from(text);
        }
    }
    Ok(service)
}

/// An ipset's file.
pub(super) fn ipset(document: &Document<'_>, context: Context<'_>) -> Result<IpSet> {
    let mut set = IpSet {
        kind: String::new(),
        family: Family::Ipv4,
        timeout: false,
        entries: Vec::new(),
    };
    elements(document, &IPSET, context, |element| {
        let get = |name: &str| element.get(name).unwrap_or_default();
        match element.name.as_str() {
            "ipset" => {
                let kind = get("type");
                if !KINDS.contains(&kind) {
                    return Err(format!("`{kind}` is no type of an ipset").into());
                }
                kind.clone_into(&mut set.kind);
            }
            "option" => match (get("name"), get("value")) {
                ("family", _) if set.kind == "hash:mac" => {
                    return Err("a set of hardware addresses has no family"
                        .to_owned()
                        .into());
                }
                ("family", "inet") => {}
                ("family", "inet6") => set.family = Family::Ipv6,
                ("timeout" | "hashsize" | "maxelem", value) if value.parse::<u32>().is_ok() => {
                    set.timeout |= get("name") == "timeout" && value != "0";
                }
                (name, value) => {
                    return Err(format!("`{value}` is no value of the option `{name}`").into());
                }
            },
            _ => {}
        }
        Ok(())
    })?;
    for tag in &document.tags {
        if let Tag::End { name, text, span } = tag
            && name == "entry"
        {
            let (name, place) = (text.trim().to_owned(), document.place(span.start));
            set.entries.push(Named { name, place });
        }
    }
    Ok(set)
}
