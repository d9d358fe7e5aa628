//! Copying the lines of a head that stay as they are, many at a time.

use httparse::Header;

/// Appends lines to a new head. Lines that are kept, stand one behind the other in the old head and
/// have the form that they would be written in (`name: value` CRLF) are copied together: a head of 20
/// fields takes a few copies instead of 80.
pub(super) struct Lines<'h, 'o> {
    old: &'h [u8],
    /// The part of `old` that is kept and not yet copied.
    kept: std::ops::Range<usize>,
    out: &'o mut Vec<u8>,
}

impl<'h, 'o> Lines<'h, 'o> {
    /// A new head, written behind what is in `out`. `kept` bytes of `old` are its first ones.
    pub(super) fn new(old: &'h [u8], kept: usize, out: &'o mut Vec<u8>) -> Self {
        Self { old, kept: 0..kept, out }
    }

    /// Keeps a field of the old head.
    pub(super) fn keep(&mut self, field: &Header<'h>) {
        match self.canonical(field) {
            Some(line) if line.start == self.kept.end => self.kept.end = line.end,
            Some(line) => {
                self.flush();
                self.kept = line;
            }
            None => self.write(field.name, field.value),
        }
    }

    /// Keeps a field of the old head if it has this value, else writes it with it.
    pub(super) fn keep_as(&mut self, field: &Header<'h>, value: &[u8]) {
        if field.value == value { self.keep(field) } else { self.write(field.name, value) }
    }

    /// Writes a field.
    pub(super) fn write(&mut self, name: &str, value: &[u8]) {
        let out = self.raw();
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }

    /// Where anything else is appended.
    pub(super) fn raw(&mut self) -> &mut Vec<u8> {
        self.flush();
        self.out
    }

    fn flush(&mut self) {
        let kept = std::mem::replace(&mut self.kept, 0..0);
        self.out.extend_from_slice(&self.old[kept]);
    }

    /// The place of the field's line in the old head, if it reads as [`Self::write`] would write it.
    fn canonical(&self, field: &Header<'_>) -> Option<std::ops::Range<usize>> {
        let start = self.place(field.name.as_bytes())?;
        let value = self.place(field.value)?;
        let (name_end, value_end) = (start + field.name.len(), value + field.value.len());
        let is_plain = value == name_end + 2
            && self.old.get(name_end..value) == Some(b": ")
            && self.old.get(value_end..value_end + 2) == Some(b"\r\n");
        is_plain.then_some(start..value_end + 2)
    }

    /// Where `part` begins in the old head; `None` if it is not a part of it.
    fn place(&self, part: &[u8]) -> Option<usize> {
        let place = (part.as_ptr() as usize).checked_sub(self.old.as_ptr() as usize)?;
        (place + part.len() <= self.old.len()).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &[u8] = b"GET / HTTP/1.1\r\nA: 1\r\nB:2\r\nC: 3 \r\nD: \r\nE: 5\r\n\r\n";

    fn fields() -> Vec<Header<'static>> {
        let mut fields = vec![httparse::EMPTY_HEADER; 8];
        let mut request = httparse::Request::new(&mut fields);
        assert!(request.parse(OLD).unwrap().is_complete());
        request.headers.to_vec()
    }

    #[test]
    fn what_is_kept_reads_as_if_it_were_written() {
        let fields = fields();
        for mask in 0..1u32 << fields.len() {
            let (mut kept, mut written) = (Vec::new(), Vec::new());
            let mut lines = Lines::new(OLD, 0, &mut kept);
            for (index, field) in fields.iter().enumerate() {
                if mask & (1 << index) != 0 {
                    lines.keep(field);
                    Lines::new(OLD, 0, &mut written).write(field.name, field.value);
                }
            }
            lines.raw();
            assert_eq!(kept, written, "fields {mask:b}");
        }
    }

    #[test]
    fn another_value_is_written_instead() {
        let mut out = Vec::new();
        let mut lines = Lines::new(OLD, 16, &mut out);
        lines.keep_as(&fields()[0], b"1");
        lines.keep_as(&fields()[4], b"6");
        lines.raw();
        assert_eq!(out, b"GET / HTTP/1.1\r\nA: 1\r\nE: 6\r\n");
    }
}
