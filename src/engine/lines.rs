//! What a host prints, cut into lines or down to the last ones: never more than a bounded part of it is held.

use std::collections::VecDeque;

use super::advice;
use crate::host::record;

/// The last lines of a stream, bounded.
#[derive(Default)]
pub(super) struct Tail(VecDeque<u8>);

impl Tail {
    const LIMIT: usize = 4096;

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        let excess = self.0.len().saturating_sub(Self::LIMIT);
        self.0.drain(..excess);
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let bytes: Vec<u8> = self.0.iter().copied().collect();
        advice::tail(&String::from_utf8_lossy(&bytes))
    }
}

/// Cuts a stream into lines; a line beyond the limit is cut.
#[derive(Default)]
pub(super) struct LineBuffer(Vec<u8>);

impl LineBuffer {
    pub(super) fn add(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let room = record::LINE_LIMIT.saturating_sub(self.0.len());
            self.0.extend(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.0.pop_if(|end| *end == b'\n');
                lines.push(std::mem::take(&mut self.0));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_line_is_held_up_to_its_limit() {
        let mut lines = LineBuffer::default();
        for _ in 0..100 {
            assert!(lines.add(&vec![b'x'; 1 << 16]).is_empty());
            assert!(lines.0.len() <= record::LINE_LIMIT);
        }
        let line = lines.add(b"y\nnext\nrest");
        let lengths: Vec<usize> = line.iter().map(Vec::len).collect();
        assert_eq!(lengths, [record::LINE_LIMIT, 4]);
        assert_eq!(lines.0, b"rest");
    }

    #[test]
    fn of_endless_noise_the_last_lines_are_held() {
        let mut tail = Tail::default();
        for _ in 0..100 {
            tail.add(&vec![b'x'; 1 << 16]);
            tail.add(b"\nlast");
            assert!(tail.0.len() <= Tail::LIMIT);
        }
        assert_eq!(tail.lines().last().unwrap(), "last");
    }
}
