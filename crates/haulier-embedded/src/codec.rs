//! The spelling of numbers, texts and ids in the log: little-endian, lengths and counts as varints.
//!
//! Reading never panics and never allocates more than the input holds: whatever stands on the disk
//! is answered with [`Malformed`].

use haulier_core::TaskId;

/// Bytes that do not follow the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes do not follow the format: {0}")]
pub struct Malformed(pub &'static str);

/// A length or count that the log's limits keep far below four thousand million.
///
/// # Panics
/// If a caller broke those limits, which would write a log that cannot be read.
pub fn narrow(number: usize) -> u32 {
    let Ok(narrow) = u32::try_from(number) else {
        panic!("{number} bytes in one place of the log; limits keep it below 4 GiB")
    };
    narrow
}

/// A 32-bit length as an index. Haulier runs on machines of at least 32 bits.
pub const fn wide(number: u32) -> usize {
    number as usize
}

/// Appends to a buffer.
pub trait Put {
    /// One byte.
    fn put_u8(&mut self, byte: u8);
    /// Bytes without their length.
    fn put_raw(&mut self, bytes: &[u8]);

    /// A number in as few bytes as it needs, seven bits each.
    fn put_varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.put_u8((number & 0x7f).to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.put_u8(number.to_le_bytes()[0]);
    }

    /// Bytes after their length.
    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_varint(bytes.len() as u64);
        self.put_raw(bytes);
    }

    /// A text after its length.
    fn put_str(&mut self, text: &str) {
        self.put_bytes(text.as_bytes());
    }

    /// Sixteen bytes.
    fn put_id(&mut self, id: TaskId) {
        self.put_raw(&id.to_bytes());
    }

    /// Zero for nothing, else one more than the number.
    fn put_option(&mut self, number: Option<u64>) {
        self.put_varint(number.map_or(0, |number| number.saturating_add(1)));
    }
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, byte: u8) {
        self.push(byte);
    }
    fn put_raw(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Reads from a slice, front to back.
#[derive(Debug, Clone, Copy)]
pub struct Take<'a> {
    rest: &'a [u8],
}

impl<'a> Take<'a> {
    /// Reads these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    pub const fn left(&self) -> usize {
        self.rest.len()
    }

    /// That many bytes.
    pub fn raw(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed("cut short"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// That many bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed("cut short"))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// A varint.
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed("a number has more than 64 bits"))
    }

    /// A varint of at most 32 bits.
    pub fn varint32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.varint()?).map_err(|_| Malformed("a number has more than 32 bits"))
    }

    /// Bytes after their length.
    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let count = self.varint32()?;
        self.raw(wide(count))
    }

    /// A text after its length.
    pub fn str(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed("a text is not UTF-8"))
    }

    /// A task's id.
    pub fn id(&mut self) -> Result<TaskId, Malformed> {
        self.array().map(TaskId::from_bytes)
    }

    /// What [`Put::put_option`] wrote.
    pub fn option(&mut self) -> Result<Option<u64>, Malformed> {
        Ok(self.varint()?.checked_sub(1))
    }

    /// A count of things that need at least one byte each: more than is left cannot be meant.
    pub fn count(&mut self) -> Result<usize, Malformed> {
        let count = wide(self.varint32()?);
        if count > self.left() {
            return Err(Malformed("a count is larger than what follows"));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_number_reads_back_and_any_bytes_are_answered(
            number in any::<u64>(), noise in proptest::collection::vec(any::<u8>(), 0..32)
        ) {
            let mut bytes = Vec::new();
            bytes.put_varint(number);
            prop_assert_eq!(Take::new(&bytes).varint(), Ok(number));
            let mut take = Take::new(&noise);
            let read = take.varint();
            prop_assert!(read.is_ok() || take.left() < noise.len() || noise.is_empty());
        }
    }
}
