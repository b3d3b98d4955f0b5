//! What may stop packets beside netfilter: nothing that is said of the firewall says anything of it.

use firewall::netfilter::beside;

use crate::findings::Finding;

/// As many places are named.
const NAMED: usize = 4;

/// The finding about XDP programs and tc filters at the host's interfaces.
///
/// # Errors
/// When the kernel does not list them.
pub fn about_interfaces() -> firewall::Result<Option<Finding>> {
    let found = beside()?;
    if found.is_empty() {
        return Ok(None);
    }
    let places = found.iter().take(NAMED);
    let places: Vec<String> = places
        .map(|place| format!("{} at {}", place.what, place.interface))
        .collect();
    let more = match found.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!(
        "{}{more}: they may stop connections that the firewall lets in, and are not looked at",
        places.join(", ")
    );
    let hint = "see what they do: `ip -details link show`, `tc filter show dev NAME ingress`, `bpftool net`";
    Ok(Some(
        Finding::new("beside-netfilter", message).with_hint(hint),
    ))
}
