//! What goes to scripts and what comes back: `MessagePack`, which Redis's Lua reads and writes by
//! itself. Only what scripts use of it: no maps, no extensions. Strings are bytes.

use bytes::Bytes;
use haulier_core::{Error, Result};

/// Writes values, one behind the other.
#[derive(Debug, Default, Clone)]
pub(crate) struct Pack(Vec<u8>);

impl Pack {
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The next so many values are one.
    pub fn array(&mut self, length: usize) -> &mut Self {
        match u16::try_from(length) {
            Ok(short @ 0..16) => self.0.push(0x90 | short.to_be_bytes()[1]),
            Ok(short) => {
                self.0.push(0xdc);
                self.0.extend(short.to_be_bytes());
            }
            Err(_) => {
                self.0.push(0xdd);
                self.0.extend(size(length));
            }
        }
        self
    }

    /// The next value is these, each written by `write`.
    pub fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        let items = items.into_iter();
        self.array(items.len());
        for item in items {
            write(self, item);
        }
        self
    }

    /// The next value is these texts.
    pub fn texts<T: AsRef<str>>(
        &mut self,
        items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    ) -> &mut Self {
        self.list(items, |pack, item| {
            pack.bytes(item.as_ref());
        })
    }

    /// Bytes or text.
    pub fn bytes(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        match u16::try_from(bytes.len()) {
            Ok(short @ 0..32) => self.0.push(0xa0 | short.to_be_bytes()[1]),
            Ok(short) => {
                self.0.push(0xda);
                self.0.extend(short.to_be_bytes());
            }
            Err(_) => {
                self.0.push(0xdb);
                self.0.extend(size(bytes.len()));
            }
        }
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn int(&mut self, number: i64) -> &mut Self {
        if let Ok(small @ -32..) = i8::try_from(number) {
            self.0.extend(small.to_be_bytes());
        } else {
            self.0.push(0xd3);
            self.0.extend(number.to_be_bytes());
        }
        self
    }

    pub fn float(&mut self, number: f64) -> &mut Self {
        self.0.push(0xcb);
        self.0.extend(number.to_be_bytes());
        self
    }

    pub fn bool(&mut self, yes: bool) -> &mut Self {
        self.0.push(0xc2 | u8::from(yes));
        self
    }

    /// The bytes, or `false` for none: Lua's arrays end at a nil.
    pub fn maybe(&mut self, bytes: Option<impl AsRef<[u8]>>) -> &mut Self {
        match bytes {
            Some(bytes) => self.bytes(bytes),
            None => self.bool(false),
        }
    }
}

/// A length on the wire. Calls are far below the limit.
fn size(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

/// A value that a script gave.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Nothing: nil.
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Bytes(Bytes),
    Array(Vec<Self>),
}

/// What a script answered is not what it should.
pub(crate) fn misread() -> Error {
    Error::internal(
        "Redis answered what is not understood; was the store written by another version?",
    )
}

impl Value {
    /// The one value in these bytes.
    pub fn read(bytes: Bytes) -> Result<Self> {
        let mut reader = Reader { rest: bytes };
        let value = reader.value(0)?;
        if reader.rest.is_empty() { Ok(value) } else { Err(misread()) }
    }

    pub fn int(&self) -> Result<i64> {
        match self {
            Self::Int(number) => Ok(*number),
            _ => Err(misread()),
        }
    }

    /// A number that is not negative.
    pub fn count<T: TryFrom<i64>>(&self) -> Result<T> {
        T::try_from(self.int()?).map_err(|_| misread())
    }

    /// A number of any sort: Lua knows no difference.
    pub fn float(&self) -> Result<f64> {
        match self {
            Self::Float(number) => Ok(*number),
            #[expect(clippy::cast_precision_loss, reason = "it was a float before Lua had it")]
            Self::Int(number) => Ok(*number as f64),
            _ => Err(misread()),
        }
    }

    pub fn bool(&self) -> Result<bool> {
        match self {
            Self::Bool(yes) => Ok(*yes),
            _ => Err(misread()),
        }
    }

    pub fn bytes(self) -> Result<Bytes> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(misread()),
        }
    }

    pub fn text(&self) -> Result<&str> {
        match self {
            Self::Bytes(bytes) => std::str::from_utf8(bytes).map_err(|_| misread()),
            _ => Err(misread()),
        }
    }

    /// Nothing where `false` or nil stands for it.
    pub fn maybe(self) -> Option<Self> {
        (!matches!(self, Self::Nil | Self::Bool(false))).then_some(self)
    }

    pub fn list(self) -> Result<Vec<Self>> {
        match self {
            Self::Array(values) => Ok(values),
            _ => Err(misread()),
        }
    }

    /// Exactly so many values.
    pub fn tuple<const N: usize>(self) -> Result<[Self; N]> {
        self.list()?.try_into().map_err(|_| misread())
    }
}

/// Deeper than any answer goes.
const DEPTH_MAX: u32 = 16;

struct Reader {
    rest: Bytes,
}

impl Reader {
    fn take(&mut self, length: usize) -> Result<Bytes> {
        if length > self.rest.len() {
            return Err(misread());
        }
        Ok(self.rest.split_to(length))
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.as_ref().try_into().map_err(|_| misread())
    }

    fn length<const N: usize>(&mut self) -> Result<usize> {
        let bytes = self.number::<N>()?;
        Ok(bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }

    fn string(&mut self, length: usize) -> Result<Value> {
        self.take(length).map(Value::Bytes)
    }

    fn array(&mut self, length: usize, depth: u32) -> Result<Value> {
        // Each value has a byte at least: a length that is a lie reserves nothing.
        if depth >= DEPTH_MAX || length > self.rest.len() {
            return Err(misread());
        }
        (0..length).map(|_| self.value(depth + 1)).collect::<Result<_>>().map(Value::Array)
    }

    fn value(&mut self, depth: u32) -> Result<Value> {
        let [tag] = self.number()?;
        Ok(match tag {
            0x00..=0x7f => Value::Int(tag.into()),
            // An empty table may be written as an empty map.
            0x80 => Value::Array(Vec::new()),
            0x90..=0x9f => return self.array((tag & 0x0f).into(), depth),
            0xa0..=0xbf => return self.string((tag & 0x1f).into()),
            0xc0 => Value::Nil,
            0xc2 | 0xc3 => Value::Bool(tag == 0xc3),
            0xc4 | 0xd9 => {
                let length = self.length::<1>()?;
                return self.string(length);
            }
            0xc5 | 0xda => {
                let length = self.length::<2>()?;
                return self.string(length);
            }
            0xc6 | 0xdb => {
                let length = self.length::<4>()?;
                return self.string(length);
            }
            0xca => Value::Float(f32::from_be_bytes(self.number()?).into()),
            0xcb => Value::Float(f64::from_be_bytes(self.number()?)),
            0xcc => Value::Int(u8::from_be_bytes(self.number()?).into()),
            0xcd => Value::Int(u16::from_be_bytes(self.number()?).into()),
            0xce => Value::Int(u32::from_be_bytes(self.number()?).into()),
            0xcf => {
                let number = u64::from_be_bytes(self.number()?);
                Value::Int(i64::try_from(number).map_err(|_| misread())?)
            }
            0xd0 => Value::Int(i8::from_be_bytes(self.number()?).into()),
            0xd1 => Value::Int(i16::from_be_bytes(self.number()?).into()),
            0xd2 => Value::Int(i32::from_be_bytes(self.number()?).into()),
            0xd3 => Value::Int(i64::from_be_bytes(self.number()?)),
            0xdc => {
                let length = self.length::<2>()?;
                return self.array(length, depth);
            }
            0xdd => {
                let length = self.length::<4>()?;
                return self.array(length, depth);
            }
            0xe0..=0xff => Value::Int(i8::from_be_bytes([tag]).into()),
            _ => return Err(misread()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pack: Pack) -> Value {
        Value::read(pack.into_bytes().into()).unwrap()
    }

    #[test]
    fn what_is_written_reads_back() {
        for number in [0, 1, 127, 128, -1, -32, -33, 1 << 53, i64::MIN, i64::MAX] {
            let mut pack = Pack::new();
            pack.int(number);
            assert_eq!(read(pack).int().unwrap(), number);
        }
        for length in [0, 1, 31, 32, 65_535, 65_536] {
            let mut pack = Pack::new();
            pack.bytes(vec![7; length]);
            assert_eq!(read(pack).bytes().unwrap().len(), length);
            let mut pack = Pack::new();
            pack.list(0..length, |pack, _| {
                pack.bool(true);
            });
            assert_eq!(read(pack).list().unwrap().len(), length);
        }
        let mut pack = Pack::new();
        pack.array(3).float(0.25).maybe(None::<&[u8]>).maybe(Some("text"));
        let [fraction, none, text] = read(pack).tuple().unwrap();
        assert_eq!(fraction.float().unwrap().to_bits(), 0.25_f64.to_bits());
        assert!(none.maybe().is_none());
        assert_eq!(text.text().unwrap(), "text");
    }

    #[test]
    fn what_is_cut_short_or_too_deep_is_refused() {
        let mut pack = Pack::new();
        pack.array(2).bytes("text").int(1 << 40);
        let whole = Bytes::from(pack.into_bytes());
        for length in 0..whole.len() {
            assert!(Value::read(whole.slice(..length)).is_err(), "{length}");
        }
        assert!(Value::read(Bytes::from(vec![0xdd, 0xff, 0xff, 0xff, 0xff])).is_err());
        assert!(Value::read(Bytes::from(vec![0x91; 1_000])).is_err());
    }
}
