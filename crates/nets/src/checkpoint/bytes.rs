//! A position in a slice of bytes; reading past its end is a [`Fault`], never a panic.

use super::Fault;

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a> {
    whole: &'a [u8],
    at: usize,
    /// What the bytes are, for the error.
    what: &'static str,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(whole: &'a [u8], what: &'static str) -> Self {
        Self { whole, at: 0, what }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(count);
        let Some(taken) = end.and_then(|end| self.whole.get(self.at..end)) else {
            return Err(Fault::Damaged(format!(
                "{} wants {count} bytes at byte {} of {}",
                self.what,
                self.at,
                self.whole.len()
            )));
        };
        self.at += count;
        Ok(taken)
    }

    pub(super) fn skip(&mut self, count: usize) -> Result<(), Fault> {
        self.take(count).map(|_| ())
    }

    /// What comes before the next `end`, which is passed over.
    pub(super) fn take_until(&mut self, end: u8) -> Result<&'a [u8], Fault> {
        let rest = &self.whole[self.at..];
        let Some(length) = rest.iter().position(|&byte| byte == end) else {
            return Err(Fault::Damaged(format!("{} has a line without end at byte {}", self.what, self.at)));
        };
        self.at += length + 1;
        Ok(&rest[..length])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Fault> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn i32(&mut self) -> Result<i32, Fault> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A length or an offset in 64 bits.
    pub(super) fn length(&mut self) -> Result<usize, Fault> {
        let length = self.u64()?;
        let too_long = || Fault::Damaged(format!("{} gives a length of {length} bytes", self.what));
        usize::try_from(length).map_err(|_| too_long())
    }
}
