use crate::netfilter::attributes::Attributes;
use crate::netfilter::decode::Body;
pub(in crate::netfilter) fn decode(_body: &mut Body<'_>, _data: &Attributes<'_>) -> Option<()> {
    None
}
