//! Cutting a batch into messages that fit: at most [`ITEMS_MAX`] items and [`FRAME_BYTES_MAX`]
//! bytes, or one item that is larger. Receivers check the count of what came.

use haulier_core::limits::{FRAME_BYTES_MAX, ITEMS_MAX};
use haulier_core::{Code, Error, Result};
use prost::Message;

/// Bytes that the message around the items may need.
const ENVELOPE: usize = 1024;

/// Cuts `items` into as few messages as the limits allow, in order. No items make no message.
pub fn cut<M: Message>(items: Vec<M>) -> Vec<Vec<M>> {
    cut_by(items, length)
}

/// The same for items that are not encoded yet; `size` says how many bytes one takes at most.
pub fn cut_by<T>(items: Vec<T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut frames = Vec::new();
    let mut frame = Vec::new();
    let mut bytes = ENVELOPE;
    for item in items {
        let taken = size(&item) + 8;
        if !frame.is_empty() && (frame.len() == ITEMS_MAX || bytes + taken > FRAME_BYTES_MAX) {
            frames.push(std::mem::take(&mut frame));
            bytes = ENVELOPE;
        }
        bytes += taken;
        frame.push(item);
    }
    if !frame.is_empty() {
        frames.push(frame);
    }
    frames
}

/// How many bytes a message takes.
pub fn length<M: Message>(message: &M) -> usize {
    message.encoded_len()
}

/// Checks that a call or frame has no more items than the limit.
///
/// # Errors
/// [`Code::TooLarge`] with what is allowed.
pub fn check_items(count: usize, what: &str) -> Result<()> {
    if count <= ITEMS_MAX {
        return Ok(());
    }
    Err(Error::new(
        Code::TooLarge,
        format!("{count} {what} in one call; at most {ITEMS_MAX} are allowed: send several calls"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb::Payload;

    fn item(bytes: usize) -> Payload {
        Payload { bytes: vec![0; bytes].into(), content_type: None }
    }

    #[test]
    fn a_batch_is_cut_at_the_limits_in_order() {
        let small: Vec<_> = (0..=2 * ITEMS_MAX).map(|_| item(1)).collect();
        let lengths: Vec<_> = cut(small).iter().map(Vec::len).collect();
        assert_eq!(lengths, [ITEMS_MAX, ITEMS_MAX, 1]);
        let third = FRAME_BYTES_MAX / 3;
        let sizes = [third, third, third, FRAME_BYTES_MAX * 2, 1];
        let frames = cut(sizes.map(item).into());
        let lengths: Vec<_> = frames.iter().map(Vec::len).collect();
        assert_eq!(lengths, [2, 1, 1, 1], "an item that is too large travels alone");
        assert!(cut(Vec::<Payload>::new()).is_empty());
        assert_eq!(check_items(ITEMS_MAX, "tasks").map_err(|error| error.code()), Ok(()));
        assert!(check_items(ITEMS_MAX + 1, "tasks").is_err());
    }
}
