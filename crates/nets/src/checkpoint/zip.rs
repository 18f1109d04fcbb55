//! The entries of a zip archive, zip64 included (PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5.3).
//!
//! `torch.save` stores entries as they are; files that were packed again may have them deflated. Check sums are not
//! looked at: PyTorch may leave them out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use miniz_oxide::inflate::decompress_to_vec_with_limit;

use super::Fault;
use super::bytes::Bytes;

const CENTRAL_ENTRY: u32 = 0x0201_4b50;
const LOCAL_ENTRY: u32 = 0x0403_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const END_64_LOCATOR: u32 = 0x0706_4b50;
/// Bytes of the end record, without its comment.
const END_BYTES: usize = 22;
const LOCATOR_BYTES: usize = 20;
/// Stands in a 32-bit field for "see the zip64 record".
const IN_ZIP64: usize = u32::MAX as usize;

/// How many times its own size an archive may hold: weights hardly shrink, so one that grows more is a trap.
const MAX_GROWTH: usize = 4;

/// The entries by name.
pub(super) fn entries(archive: &[u8]) -> Result<BTreeMap<&str, Cow<'_, [u8]>>, Fault> {
    let mut directory = Bytes::new(archive, "the archive's directory");
    let (offset, count) = directory_place(archive)?;
    directory.skip(offset)?;
    let mut budget_bytes = archive.len().saturating_mul(MAX_GROWTH);
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        let Entry { name, data, size, deflated } = entry(archive, &mut directory)?;
        let data = if deflated {
            let left = budget_bytes.checked_sub(size);
            budget_bytes = left.ok_or_else(|| Fault::damaged("it is packed more tightly than weights can be"))?;
            let whole = decompress_to_vec_with_limit(data, size).ok().filter(|whole| whole.len() == size);
            let broken = || Fault::Damaged(format!("`{name}` in the archive cannot be unpacked"));
            Cow::Owned(whole.ok_or_else(broken)?)
        } else {
            Cow::Borrowed(data)
        };
        if entries.insert(name, data).is_some() {
            return Err(Fault::Damaged(format!("the archive holds `{name}` twice")));
        }
    }
    Ok(entries)
}

/// An entry as the archive holds it.
struct Entry<'a> {
    name: &'a str,
    data: &'a [u8],
    /// Bytes once unpacked.
    size: usize,
    deflated: bool,
}

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Offset of the central directory and the number of its entries.
fn directory_place(archive: &[u8]) -> Result<(usize, usize), Fault> {
    let missing = || Fault::damaged("the end of the archive is missing");
    // The comment that may follow is at most 65535 bytes long.
    let first = archive.len().saturating_sub(END_BYTES + usize::from(u16::MAX));
    let last = archive.len().checked_sub(END_BYTES).ok_or_else(missing)?;
    let is_end = |&at: &usize| archive[at..].starts_with(&END.to_le_bytes());
    let end_at = (first..=last).rev().find(is_end).ok_or_else(missing)?;

    let mut end = Bytes::new(&archive[end_at..], "the archive's end record");
    end.skip(10)?;
    let count = usize::from(end.u16()?);
    end.skip(4)?;
    let offset = end.u32()? as usize;

    let locator_at = end_at.checked_sub(LOCATOR_BYTES);
    let Some(locator_at) = locator_at.filter(|&at| archive[at..].starts_with(&END_64_LOCATOR.to_le_bytes())) else {
        return Ok((offset, count));
    };
    let mut locator = Bytes::new(&archive[locator_at..], "the archive's zip64 locator");
    locator.skip(8)?;
    let mut end = Bytes::new(archive, "the archive's zip64 end record");
    end.skip(locator.length()?)?;
    if end.u32()? != END_64 {
        return Err(Fault::damaged("its zip64 locator points to no end record"));
    }
    end.skip(28)?;
    let count = end.length()?;
    end.skip(8)?;
    Ok((end.length()?, count))
}

/// The next entry of the directory.
fn entry<'a>(archive: &'a [u8], directory: &mut Bytes<'a>) -> Result<Entry<'a>, Fault> {
    if directory.u32()? != CENTRAL_ENTRY {
        return Err(Fault::damaged("the archive's directory is broken"));
    }
    directory.skip(4)?;
    let flags = directory.u16()?;
    let method = directory.u16()?;
    directory.skip(8)?;
    let mut stored = directory.u32()? as usize;
    let mut size = directory.u32()? as usize;
    let name_bytes = usize::from(directory.u16()?);
    let extra_bytes = usize::from(directory.u16()?);
    let comment_bytes = usize::from(directory.u16()?);
    directory.skip(8)?;
    let mut offset = directory.u32()? as usize;
    let name = std::str::from_utf8(directory.take(name_bytes)?);
    let name = name.map_err(|_| Fault::damaged("a name in the archive is not UTF-8"))?;
    let extra = directory.take(extra_bytes)?;
    directory.skip(comment_bytes)?;

    if let Some(mut wide) = zip64_field(extra)? {
        for value in [&mut size, &mut stored, &mut offset] {
            if *value == IN_ZIP64 {
                *value = wide.length()?;
            }
        }
    }
    if flags & 1 != 0 {
        return Err(Fault::Unsupported("the archive is encrypted".into()));
    }
    let deflated = match method {
        STORED if stored == size => false,
        DEFLATED => true,
        STORED => return Err(Fault::Damaged(format!("`{name}` in the archive has two sizes"))),
        _ => return Err(Fault::Unsupported(format!("`{name}` in the archive is compressed by method {method}"))),
    };

    // The local header repeats the name and has an extra field of its own.
    let mut local = Bytes::new(archive, "an entry of the archive");
    local.skip(offset)?;
    if local.u32()? != LOCAL_ENTRY {
        return Err(Fault::Damaged(format!("`{name}` is not where the archive's directory says")));
    }
    local.skip(22)?;
    let header_rest = usize::from(local.u16()?) + usize::from(local.u16()?);
    local.skip(header_rest)?;
    Ok(Entry { name, data: local.take(stored)?, size, deflated })
}

/// The body of the zip64 field among the extra fields of an entry.
fn zip64_field(extra: &[u8]) -> Result<Option<Bytes<'_>>, Fault> {
    let mut fields = Bytes::new(extra, "an extra field of the archive");
    while fields.position() + 4 <= extra.len() {
        let (tag, length) = (fields.u16()?, fields.u16()?);
        let body = fields.take(usize::from(length))?;
        if tag == 1 {
            return Ok(Some(Bytes::new(body, "a zip64 field of the archive")));
        }
    }
    Ok(None)
}
