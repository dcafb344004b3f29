//! The slots of a cluster: in which one keys are, and who serves it.

use redis::{Value, from_redis_value_ref};

use crate::options::Address;

/// A cluster has so many.
pub(crate) const SLOTS: u16 = 16_384;

/// The slot of all keys with this hash tag.
pub(crate) fn of_tag(tag: &str) -> u16 {
    // CRC-16/XMODEM, as it is specified for clusters.
    let mut crc = 0_u16;
    for byte in tag.bytes() {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
    }
    crc % SLOTS
}

/// Slots that belong together, and who serves them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    pub first: u16,
    pub last: u16,
    /// If it is known how it is reached.
    pub master: Option<Address>,
    pub replicas: Vec<Address>,
}

/// Reads the answer to `CLUSTER SLOTS` of the node at this address.
pub(crate) fn read(answer: &Value, asked: &Address) -> Option<Vec<Range>> {
    let ranges: &[Value] = answer.as_sequence()?;
    ranges.iter().map(|range| read_range(range.as_sequence()?, asked)).collect()
}

fn read_range(range: &[Value], asked: &Address) -> Option<Range> {
    let [first, last, master, replicas @ ..] = range else { return None };
    let read = |node: &Value| read_node(node.as_sequence()?, asked);
    Some(Range {
        first: from_redis_value_ref(first).ok()?,
        last: from_redis_value_ref(last).ok()?,
        master: read(master),
        replicas: replicas.iter().filter_map(read).collect(),
    })
}

/// A node that does not know how it is reached leaves it out: then it is where it was asked.
fn read_node(node: &[Value], asked: &Address) -> Option<Address> {
    let [host, port, ..] = node else { return None };
    let port = from_redis_value_ref(port).ok()?;
    let host: Option<String> = from_redis_value_ref(host).ok()?;
    match (host, asked) {
        (Some(host), _) if host == "?" => None,
        (Some(host), _) if !host.is_empty() => Some(Address::Tcp { host, port }),
        (_, Address::Tcp { host, .. }) => Some(Address::tcp(host, port)),
        (_, Address::Unix(_)) => None,
    }
}

/// The slots that nobody serves, as the first such range.
pub(crate) fn gap(ranges: &[Range]) -> Option<(u16, u16)> {
    let mut served: Vec<(u16, u16)> =
        ranges.iter().map(|range| (range.first, range.last)).collect();
    served.sort_unstable();
    let mut next = 0;
    for (first, last) in served {
        if first > next {
            return Some((next, first - 1));
        }
        next = next.max(last.saturating_add(1));
    }
    (next < SLOTS).then_some((next, SLOTS - 1))
}

/// The master of a slot.
pub(crate) fn master(ranges: &[Range], slot: u16) -> Option<&Address> {
    ranges.iter().find(|range| (range.first..=range.last).contains(&slot))?.master.as_ref()
}

/// Everybody.
pub(crate) fn nodes(ranges: &[Range]) -> Vec<Address> {
    let mut nodes = Vec::new();
    for node in ranges.iter().flat_map(|range| range.master.iter().chain(&range.replicas)) {
        if !nodes.contains(node) {
            nodes.push(node.clone());
        }
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u16, last: u16, port: u16) -> Range {
        Range { first, last, master: Some(Address::tcp("a", port)), replicas: Vec::new() }
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(of_tag("123456789"), 0x31c3);
        assert_eq!(of_tag("foo"), 12_182);
        assert_eq!(of_tag(""), 0);
    }

    #[test]
    fn a_slot_is_served_by_the_first_node_of_its_range() {
        let ranges = [range(0, 9, 1), range(10, 16_383, 2)];
        assert_eq!(master(&ranges, 9), Some(&Address::tcp("a", 1)));
        assert_eq!(master(&ranges, 10), Some(&Address::tcp("a", 2)));
        assert_eq!(gap(&ranges), None);
    }

    #[test]
    fn what_nobody_serves_is_found() {
        assert_eq!(gap(&[]), Some((0, 16_383)));
        assert_eq!(gap(&[range(5, 16_383, 1)]), Some((0, 4)));
        assert_eq!(gap(&[range(10, 16_383, 2), range(0, 7, 1)]), Some((8, 9)));
        assert_eq!(gap(&[range(0, 16_382, 1)]), Some((16_383, 16_383)));
    }

    #[test]
    fn a_node_without_a_name_is_where_it_was_asked() {
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), text("id")]);
        let answer = Value::Array(vec![Value::Array(vec![
            Value::Int(0),
            Value::Int(16_383),
            node(Value::Nil, 7000),
            node(text("?"), 7001),
            node(text("b"), 7002),
        ])]);
        let read = read(&answer, &Address::tcp("a", 7009)).unwrap();
        assert_eq!(master(&read, 5), Some(&Address::tcp("a", 7000)));
        assert_eq!(nodes(&read), [Address::tcp("a", 7000), Address::tcp("b", 7002)]);
        assert_eq!(super::read(&Value::Int(1), &Address::tcp("a", 1)), None);
    }
}
