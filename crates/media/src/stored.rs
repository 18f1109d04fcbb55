//! Packets of the encoded video in files of our own, as they are, until they are muxed.
//!
//! A packet is kept as little-endian numbers: `pts`, `dts` and `duration` in ticks of the video's time base (8 bytes each),
//! `flags` and the number of side data (4 each), the length of the payload (8); then each side data as kind (4), length (8)
//! and bytes; then the payload.

use std::io::{self, Read, Seek, SeekFrom, Write};

use ffmpeg_next::ffi;
use framelift_frame::TimeBase;

use crate::{EncodedPacket, raw};

/// Bytes before side data and payload.
const HEAD_BYTES: usize = 40;

/// The largest payload or side data that FFmpeg holds.
const MOST_BYTES: u64 = i32::MAX as u64 - 4096;

/// The most side data that a packet can have.
const MOST_SIDE_DATA: u32 = 64;

impl EncodedPacket {
    /// Writes the packet for [`EncodedPacket::read`].
    ///
    /// # Errors
    ///
    /// Those of `to`.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let packet = self.raw.get();
        let payload = self.raw.payload();
        let side = side_data(packet);
        let mut head = Vec::with_capacity(HEAD_BYTES);
        for ticks in [packet.pts, packet.dts, packet.duration] {
            head.extend(ticks.to_le_bytes());
        }
        head.extend(packet.flags.to_le_bytes());
        head.extend((side.len() as u32).to_le_bytes());
        head.extend((payload.len() as u64).to_le_bytes());
        to.write_all(&head)?;
        for (kind, bytes) in side {
            to.write_all(&kind.to_le_bytes())?;
            to.write_all(&(bytes.len() as u64).to_le_bytes())?;
            to.write_all(bytes)?;
        }
        to.write_all(payload)
    }

    /// The next packet that [`EncodedPacket::write`] has written to `from`; `None` at its end.
    ///
    /// # Errors
    ///
    /// Those of `from`; [`io::ErrorKind::InvalidData`] for what no packet was written as.
    pub fn read(from: &mut impl Read, time_base: TimeBase) -> io::Result<Option<Self>> {
        let Some(head) = Head::read(from)? else { return Ok(None) };
        let mut side = Vec::new();
        for _ in 0..head.side_data {
            let kind = i32::from_le_bytes(array(from)?);
            let length = checked(u64::from_le_bytes(array(from)?))?;
            side.push((kind, read_bytes(from, length)?));
        }
        let payload = read_bytes(from, head.payload)?;
        let mut packet = raw::Packet::of(&payload).map_err(io::Error::other)?;
        let raw = packet.as_mut();
        (raw.pts, raw.dts, raw.duration, raw.flags) = (head.pts, head.dts, head.duration, head.flags);
        for (kind, bytes) in side {
            add_side_data(&mut packet, kind, &bytes)?;
        }
        Ok(Some(Self { raw: packet, time_base }))
    }

    /// When the picture of the next packet of `from` is shown, in ticks; skips the packet. `None` at the end.
    ///
    /// # Errors
    ///
    /// As [`EncodedPacket::read`].
    pub fn skip(from: &mut (impl Read + Seek)) -> io::Result<Option<i64>> {
        let Some(head) = Head::read(from)? else { return Ok(None) };
        for _ in 0..head.side_data {
            let _kind: [u8; 4] = array(from)?;
            let length = checked(u64::from_le_bytes(array(from)?))?;
            from.seek(SeekFrom::Current(length as i64))?;
        }
        from.seek(SeekFrom::Current(head.payload as i64))?;
        Ok(Some(head.pts))
    }
}

/// What a packet's first bytes say.
struct Head {
    pts: i64,
    dts: i64,
    duration: i64,
    flags: i32,
    side_data: u32,
    payload: u64,
}

impl Head {
    fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut head = [0; HEAD_BYTES];
        let mut read = 0;
        while read < HEAD_BYTES {
            match from.read(&mut head[read..])? {
                0 if read == 0 => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => read += bytes,
            }
        }
        let mut rest = &head[..];
        let [pts, dts, duration] = [array(&mut rest)?, array(&mut rest)?, array(&mut rest)?].map(i64::from_le_bytes);
        let flags = i32::from_le_bytes(array(&mut rest)?);
        let side_data = u32::from_le_bytes(array(&mut rest)?);
        let payload = checked(u64::from_le_bytes(array(&mut rest)?))?;
        if side_data > MOST_SIDE_DATA {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Some(Self { pts, dts, duration, flags, side_data, payload }))
    }
}

fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn checked(length: u64) -> io::Result<u64> {
    if length > MOST_BYTES { Err(io::ErrorKind::InvalidData.into()) } else { Ok(length) }
}

/// Grows with what is there, so that a false length allocates nothing.
fn read_bytes(from: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Kind and bytes of each side data.
fn side_data(packet: &ffi::AVPacket) -> Vec<(i32, &[u8])> {
    let count = usize::try_from(packet.side_data_elems).unwrap_or(0);
    if packet.side_data.is_null() || count == 0 {
        return Vec::new();
    }
    // SAFETY: the list has as many entries as the packet says, each with as many bytes as it says, and they live as long
    // as the packet. A kind is a C enum, and any bits make an i32.
    unsafe {
        let list = std::slice::from_raw_parts(packet.side_data, count);
        let entry = |data: &ffi::AVPacketSideData| {
            let kind = (&raw const data.type_).cast::<i32>().read();
            let bytes = match data.size {
                0 => &[][..],
                size => std::slice::from_raw_parts(data.data, size),
            };
            (kind, bytes)
        };
        // `entry` borrows from the packet's own memory, not from the list.
        list.iter().map(|data| entry(&*std::ptr::from_ref(data))).collect()
    }
}

fn add_side_data(packet: &mut raw::Packet, kind: i32, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: the packet is valid. The function takes a kind as an int; unknown ones are only carried. The new block has
    // room for the bytes.
    unsafe {
        let new: unsafe extern "C" fn(*mut ffi::AVPacket, i32, usize) -> *mut u8 =
            std::mem::transmute(ffi::av_packet_new_side_data as *const ());
        let block = new(packet.as_ptr(), kind, bytes.len());
        if block.is_null() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), block, bytes.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const BASE: TimeBase = TimeBase::new(1, 90_000);

    fn packet(n: i64) -> EncodedPacket {
        let mut packet = raw::Packet::of(&vec![n as u8; 100 * n as usize]).unwrap();
        let raw = packet.as_mut();
        (raw.pts, raw.dts, raw.duration, raw.flags) = (n * 7, n * 7 - 14, 7, ffi::AV_PKT_FLAG_KEY);
        add_side_data(&mut packet, ffi::AVPacketSideDataType::AV_PKT_DATA_QUALITY_STATS as i32, &[n as u8; 9]).unwrap();
        EncodedPacket { raw: packet, time_base: BASE }
    }

    #[test]
    fn packets_come_back_as_they_were() {
        let mut bytes = Vec::new();
        for n in 0..4 {
            packet(n).write(&mut bytes).unwrap();
        }
        let mut from = Cursor::new(&bytes);
        for n in 0..4 {
            let (got, due) = (EncodedPacket::read(&mut from, BASE).unwrap().unwrap(), packet(n));
            let numbers = |p: &EncodedPacket| {
                let raw = p.raw.get();
                (raw.pts, raw.dts, raw.duration, raw.flags)
            };
            assert_eq!(numbers(&got), numbers(&due));
            assert_eq!(got.raw.payload(), due.raw.payload());
            assert_eq!(side_data(got.raw.get()), side_data(due.raw.get()));
        }
        assert!(EncodedPacket::read(&mut from, BASE).unwrap().is_none());
        let mut from = Cursor::new(&bytes);
        let times: Vec<i64> = std::iter::from_fn(|| EncodedPacket::skip(&mut from).unwrap()).collect();
        assert_eq!(times, [0, 7, 14, 21]);
    }

    #[test]
    fn what_is_cut_short_or_was_never_a_packet_is_an_error() {
        let mut bytes = Vec::new();
        packet(3).write(&mut bytes).unwrap();
        for length in 1..bytes.len() {
            assert!(EncodedPacket::read(&mut &bytes[..length], BASE).is_err(), "{length} bytes");
        }
        let mut false_length = bytes.clone();
        false_length[32..40].fill(0xff);
        assert!(EncodedPacket::read(&mut &false_length[..], BASE).is_err());
        let mut false_count = bytes;
        false_count[28..32].fill(0xff);
        assert!(EncodedPacket::read(&mut &false_count[..], BASE).is_err());
    }
}
