//! Fields with fixed places, as scripts read and write them with `struct`: numbers with the largest
//! byte first, and texts behind their length.

use bytes::Bytes;
use haulier_core::Result;

use crate::pack::misread;

/// Reads one field after the other.
#[derive(Debug)]
pub(crate) struct Fields(Bytes);

impl Fields {
    pub fn of(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// So many bytes.
    pub fn bytes(&mut self, length: usize) -> Result<Bytes> {
        if length > self.0.len() {
            return Err(misread());
        }
        Ok(self.0.split_to(length))
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (number, _) = self.0.split_first_chunk().ok_or_else(misread)?;
        let number = *number;
        self.bytes(N)?;
        Ok(number)
    }

    pub fn byte(&mut self) -> Result<u8> {
        self.number().map(u8::from_be_bytes)
    }

    /// A byte that may be negative.
    pub fn small(&mut self) -> Result<i8> {
        self.number().map(i8::from_be_bytes)
    }

    pub fn short(&mut self) -> Result<u16> {
        self.number().map(u16::from_be_bytes)
    }

    pub fn count(&mut self) -> Result<u32> {
        self.number().map(u32::from_be_bytes)
    }

    pub fn long(&mut self) -> Result<u64> {
        self.number().map(u64::from_be_bytes)
    }

    /// A number that is not negative, or nothing.
    pub fn maybe_long(&mut self) -> Result<Option<u64>> {
        let number = self.number().map(i64::from_be_bytes)?;
        Ok(u64::try_from(number).ok())
    }

    /// A text behind a byte with its length.
    pub fn name(&mut self) -> Result<Bytes> {
        let length = self.byte()?;
        self.bytes(length.into())
    }

    /// What is left.
    pub fn rest(self) -> Bytes {
        self.0
    }
}

/// The text in these bytes.
pub(crate) fn text(bytes: &Bytes) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| misread())
}
