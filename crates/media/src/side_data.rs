//! What containers attach to a stream as a whole: rotation, HDR metadata, spherical projection.
//!
//! FFmpeg 6.1 moved these from the stream to its codec parameters.

use ffmpeg_next::ffi;

#[cfg(not(ffmpeg_6_1))]
use crate::error::must;
use crate::raw::out_of_memory;
use crate::{MediaError, hdr};

/// The kinds that stay true of pictures that were decoded, upscaled and encoded again.
const OF_PICTURES: [ffi::AVPacketSideDataType; 5] = [
    ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX,
    ffi::AVPacketSideDataType::AV_PKT_DATA_STEREO3D,
    ffi::AVPacketSideDataType::AV_PKT_DATA_SPHERICAL,
    ffi::AVPacketSideDataType::AV_PKT_DATA_MASTERING_DISPLAY_METADATA,
    ffi::AVPacketSideDataType::AV_PKT_DATA_CONTENT_LIGHT_LEVEL,
];

/// One piece, as FFmpeg lays it out.
#[derive(Clone, Debug)]
pub(crate) struct SideData {
    pub(crate) kind: ffi::AVPacketSideDataType,
    pub(crate) bytes: Vec<u8>,
}

impl SideData {
    pub(crate) fn is_of_pictures(&self) -> bool {
        OF_PICTURES.contains(&self.kind)
    }

    /// Whether it is HDR10's metadata.
    pub(crate) fn is_light(&self) -> bool {
        hdr::OF_FRAMES.iter().any(|(_, kind)| *kind == self.kind)
    }

    /// Whether it says that the pictures are of Dolby Vision's own colours: its configuration record's profile is 5, and its
    /// base layer is compatible with nothing.
    pub(crate) fn is_dolby_vision_only(&self) -> bool {
        let is_record = self.kind == ffi::AVPacketSideDataType::AV_PKT_DATA_DOVI_CONF;
        is_record && self.bytes.get(2) == Some(&5) && self.bytes.get(7) == Some(&0)
    }

    /// A rotation by `degrees` clockwise.
    pub(crate) fn rotation(degrees: i32) -> Self {
        let mut matrix = [0i32; 9];
        // SAFETY: the matrix has the nine entries that FFmpeg writes.
        unsafe { ffi::av_display_rotation_set(matrix.as_mut_ptr(), f64::from(degrees)) };
        Self {
            kind: ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX,
            bytes: matrix.iter().flat_map(|entry| entry.to_ne_bytes()).collect(),
        }
    }

    /// The clockwise rotation that a display matrix asks for.
    pub(crate) fn rotation_degrees(&self) -> Option<i32> {
        if self.kind != ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX {
            return None;
        }
        let (entries, _) = self.bytes.as_chunks::<4>();
        let matrix: [i32; 9] =
            entries.iter().map(|entry| i32::from_ne_bytes(*entry)).collect::<Vec<_>>().try_into().ok()?;
        // SAFETY: the matrix has the nine entries that FFmpeg reads. It answers counter-clockwise degrees.
        let degrees = -unsafe { ffi::av_display_rotation_get(matrix.as_ptr()) };
        degrees.is_finite().then(|| (degrees.round() as i32).rem_euclid(360))
    }
}

/// All side data of a stream.
///
/// # Safety
///
/// `stream` is valid.
pub(crate) unsafe fn of_stream(stream: *const ffi::AVStream) -> Vec<SideData> {
    // SAFETY: the caller vouches for the stream; the list has the length beside it.
    unsafe {
        #[cfg(ffmpeg_6_1)]
        let (list, count) = {
            let parameters = (*stream).codecpar;
            ((*parameters).coded_side_data, (*parameters).nb_coded_side_data)
        };
        #[cfg(not(ffmpeg_6_1))]
        let (list, count) = ((*stream).side_data, (*stream).nb_side_data);
        if list.is_null() || count <= 0 {
            return Vec::new();
        }
        let list = std::slice::from_raw_parts(list, count as usize);
        let pieces = list.iter().filter(|piece| !piece.data.is_null());
        pieces
            .map(|piece| SideData {
                kind: piece.type_,
                bytes: std::slice::from_raw_parts(piece.data, piece.size).to_vec(),
            })
            .collect()
    }
}

/// Attaches `data` to a stream of a muxer, unless its codec parameters already brought such a piece along.
///
/// # Safety
///
/// `stream` is valid and its header not yet written.
pub(crate) unsafe fn attach(stream: *mut ffi::AVStream, data: &SideData) -> Result<(), MediaError> {
    // SAFETY: the caller vouches for the stream; the new block has room for the bytes and passes to the stream.
    unsafe {
        #[cfg(ffmpeg_6_1)]
        {
            let parameters = (*stream).codecpar;
            let (list, count) = (&raw mut (*parameters).coded_side_data, &raw mut (*parameters).nb_coded_side_data);
            if !ffi::av_packet_side_data_get(*list, *count, data.kind).is_null() {
                return Ok(());
            }
            let piece = ffi::av_packet_side_data_new(list, count, data.kind, data.bytes.len(), 0);
            if piece.is_null() {
                return Err(out_of_memory());
            }
            std::ptr::copy_nonoverlapping(data.bytes.as_ptr(), (*piece).data, data.bytes.len());
            Ok(())
        }
        #[cfg(not(ffmpeg_6_1))]
        {
            let block = ffi::av_memdup(data.bytes.as_ptr().cast(), data.bytes.len()).cast::<u8>();
            if block.is_null() {
                return Err(out_of_memory());
            }
            must("attaching side data", ffi::av_stream_add_side_data(stream, data.kind, block, data.bytes.len()))
                .map(drop)
        }
    }
}
