//! Things by number, in chunks that never move: growing copies nothing, and a number whose thing is
//! gone is given to the next one.

use crate::codec::{narrow, wide};

/// Things of a chunk.
const CHUNK: usize = 4_096;

/// Things by number.
#[derive(Debug)]
pub struct Slab<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new() }
    }
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;
    fn index(&self, number: u32) -> &T {
        &self.chunks[wide(number) / CHUNK][wide(number) % CHUNK]
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        &mut self.chunks[wide(number) / CHUNK][wide(number) % CHUNK]
    }
}

impl<T> Slab<T> {
    /// Puts a thing somewhere.
    pub fn insert(&mut self, thing: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self[number] = thing;
            return number;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let last = self.chunks.len() - 1;
        self.chunks[last].push(thing);
        narrow(last * CHUNK + self.chunks[last].len() - 1)
    }

    /// A number may be given away again; what stands there stays until then.
    pub fn free(&mut self, number: u32) {
        self.free.push(number);
    }

    /// Everything with its number, what was freed included.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(self.chunks.iter().flatten())
    }
}
