//! FFmpeg's objects with owners: each is freed once, by Rust's rules.

use std::ffi::{CStr, CString, c_char};
use std::ptr::{self, NonNull};

use ffmpeg_next::ffi;
use framelift_frame::TimeBase;

use crate::MediaError;
use crate::error::must;

/// The text of a C string; empty for a null pointer.
///
/// # Safety
///
/// `text` is null or a terminated string.
pub(crate) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the caller vouches for it.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A C string of `text`, cut at the first NUL: names with one cannot exist.
pub(crate) fn c_string(text: &str) -> CString {
    c_bytes(text.as_bytes())
}

/// A C string of `bytes`, cut at the first NUL.
pub(crate) fn c_bytes(bytes: &[u8]) -> CString {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    CString::new(&bytes[..end]).unwrap_or_default()
}

/// The bytes by which FFmpeg knows a path: the system's own, or UTF-8 where those are not bytes.
pub(crate) fn os_bytes(text: &std::ffi::OsStr) -> Vec<u8> {
    #[cfg(unix)]
    {
        std::os::unix::ffi::OsStrExt::as_bytes(text).to_vec()
    }
    #[cfg(not(unix))]
    {
        text.to_string_lossy().into_owned().into_bytes()
    }
}

pub(crate) const fn rational((num, den): (i32, i32)) -> ffi::AVRational {
    ffi::AVRational { num, den }
}

/// A fraction that is positive, or `None`.
pub(crate) const fn fraction(value: ffi::AVRational) -> Option<(i32, i32)> {
    if value.num > 0 && value.den > 0 { Some((value.num, value.den)) } else { None }
}

pub(crate) const fn time_base(value: ffi::AVRational) -> TimeBase {
    TimeBase::new(value.num, value.den)
}

pub(crate) const fn av_base(base: TimeBase) -> ffi::AVRational {
    ffi::AVRational { num: base.num, den: base.den }
}

/// A timestamp that is stated.
pub(crate) const fn stated(ticks: i64) -> Option<i64> {
    if ticks == ffi::AV_NOPTS_VALUE { None } else { Some(ticks) }
}

/// `ticks` of `from` in ticks of `to`, to the nearest.
pub(crate) fn rescale(ticks: i64, from: TimeBase, to: TimeBase) -> i64 {
    // SAFETY: a pure function of its arguments.
    unsafe { ffi::av_rescale_q(ticks, av_base(from), av_base(to)) }
}

/// A reference to a picture's memory.
pub(crate) struct Frame(NonNull<ffi::AVFrame>);

// SAFETY: an AVFrame has one owner, and the buffers it refers to are counted atomically.
unsafe impl Send for Frame {}

impl Frame {
    pub(crate) fn new() -> Result<Self, MediaError> {
        // SAFETY: allocates or returns null.
        NonNull::new(unsafe { ffi::av_frame_alloc() }).map(Self).ok_or_else(out_of_memory)
    }

    /// A picture with memory of its own, rows aligned for any vector unit.
    pub(crate) fn with_buffer(format: i32, width: i32, height: i32) -> Result<Self, MediaError> {
        let mut frame = Self::new()?;
        let raw = frame.as_mut();
        raw.format = format;
        raw.width = width;
        raw.height = height;
        // SAFETY: the frame is valid and holds no buffers yet.
        must("allocating a picture", unsafe { ffi::av_frame_get_buffer(raw, ROW_ALIGNMENT_BYTES) })?;
        Ok(frame)
    }

    /// Another owner of the same picture.
    pub(crate) fn share(&self) -> Result<Self, MediaError> {
        let frame = Self::new()?;
        // SAFETY: both are valid, and the new one is blank.
        must("sharing a picture", unsafe { ffi::av_frame_ref(frame.as_ptr(), self.as_ptr()) })?;
        Ok(frame)
    }

    pub(crate) fn as_ptr(&self) -> *mut ffi::AVFrame {
        self.0.as_ptr()
    }

    pub(crate) fn get(&self) -> &ffi::AVFrame {
        // SAFETY: valid while self is, and borrowed from self.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn as_mut(&mut self) -> &mut ffi::AVFrame {
        // SAFETY: valid while self is, and borrowed from self alone.
        unsafe { self.0.as_mut() }
    }

    /// Bytes of the buffers referred to.
    pub(crate) fn bytes(&self) -> usize {
        let buffers = self.get().buf.iter().filter(|buffer| !buffer.is_null());
        // SAFETY: a non-null entry is a valid buffer reference of this frame.
        buffers.map(|&buffer| unsafe { (*buffer).size }).sum()
    }

    /// Sets every byte of a picture that has its buffers alone to zero.
    pub(crate) fn zero(&mut self) {
        for buffer in self.get().buf.iter().filter(|buffer| !buffer.is_null()) {
            // SAFETY: a non-null entry is a valid buffer reference of this frame, of `size` bytes.
            unsafe { ptr::write_bytes((**buffer).data, 0, (**buffer).size) };
        }
    }

    /// Of a picture that is marked as two fields: whether the upper is the earlier.
    pub(crate) fn top_field_first(&self) -> Option<bool> {
        let frame = self.get();
        #[cfg(ffmpeg_6_1)]
        let (fields, top_first) =
            (frame.flags & ffi::AV_FRAME_FLAG_INTERLACED != 0, frame.flags & ffi::AV_FRAME_FLAG_TOP_FIELD_FIRST != 0);
        #[cfg(not(ffmpeg_6_1))]
        let (fields, top_first) = (frame.interlaced_frame != 0, frame.top_field_first != 0);
        fields.then_some(top_first)
    }

    /// Marks a picture as two fields.
    pub(crate) fn set_top_field_first(&mut self, top_first: bool) {
        let frame = self.as_mut();
        #[cfg(ffmpeg_6_1)]
        {
            frame.flags |= ffi::AV_FRAME_FLAG_INTERLACED;
            frame.flags &= !ffi::AV_FRAME_FLAG_TOP_FIELD_FIRST;
            if top_first {
                frame.flags |= ffi::AV_FRAME_FLAG_TOP_FIELD_FIRST;
            }
        }
        #[cfg(not(ffmpeg_6_1))]
        {
            (frame.interlaced_frame, frame.top_field_first) = (1, top_first.into());
        }
    }

    /// The side data of a kind that comes with the picture.
    pub(crate) fn side_data(&self, kind: ffi::AVFrameSideDataType) -> Option<&[u8]> {
        // SAFETY: the frame is valid; a piece found is as long as it says and lives as long as the frame.
        unsafe {
            let piece = ffi::av_frame_get_side_data(self.as_ptr(), kind).as_ref()?;
            (!piece.data.is_null()).then(|| std::slice::from_raw_parts(piece.data, piece.size))
        }
    }

    /// Attaches side data to the picture.
    pub(crate) fn attach(&mut self, kind: ffi::AVFrameSideDataType, bytes: &[u8]) -> Result<(), MediaError> {
        // SAFETY: the frame is valid; the new piece has room for the bytes.
        unsafe {
            let piece = ffi::av_frame_new_side_data(self.as_ptr(), kind, bytes.len());
            let Some(piece) = piece.as_ref() else { return Err(out_of_memory()) };
            ptr::copy_nonoverlapping(bytes.as_ptr(), piece.data, bytes.len());
        }
        Ok(())
    }

    /// Takes side data of a kind off the picture.
    pub(crate) fn remove(&mut self, kind: ffi::AVFrameSideDataType) {
        // SAFETY: the frame is valid.
        unsafe { ffi::av_frame_remove_side_data(self.as_ptr(), kind) };
    }

    /// The first `bytes` bytes of row `y` of plane `plane`.
    ///
    /// # Safety
    ///
    /// The plane has that row, and the row that many bytes.
    pub(crate) unsafe fn row(&self, plane: usize, y: usize, bytes: usize) -> &[u8] {
        let frame = self.get();
        // SAFETY: the caller vouches for the bounds. Rows may run backwards, so the offset is signed.
        unsafe {
            let start = frame.data[plane].offset(y as isize * frame.linesize[plane] as isize);
            std::slice::from_raw_parts(start, bytes)
        }
    }

    /// The first `bytes` bytes of row `y` of plane `plane`, to write to.
    ///
    /// # Safety
    ///
    /// As for [`Self::row`]; and the buffers have no other owner.
    pub(crate) unsafe fn row_mut(&mut self, plane: usize, y: usize, bytes: usize) -> &mut [u8] {
        let frame = self.get();
        // SAFETY: the caller vouches for the bounds and for owning the buffers alone.
        unsafe {
            let start = frame.data[plane].offset(y as isize * frame.linesize[plane] as isize);
            std::slice::from_raw_parts_mut(start, bytes)
        }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let mut raw = self.as_ptr();
        // SAFETY: self owns the frame and is gone after this.
        unsafe { ffi::av_frame_free(&raw mut raw) };
    }
}

/// What AVX-512 asks of a row's start.
const ROW_ALIGNMENT_BYTES: i32 = 64;

/// A packet and a reference to its payload.
pub(crate) struct Packet(NonNull<ffi::AVPacket>);

// SAFETY: an AVPacket has one owner, and the buffer it refers to is counted atomically.
unsafe impl Send for Packet {}

impl Packet {
    pub(crate) fn new() -> Result<Self, MediaError> {
        // SAFETY: allocates or returns null.
        NonNull::new(unsafe { ffi::av_packet_alloc() }).map(Self).ok_or_else(out_of_memory)
    }

    /// A packet with a copy of `payload`.
    pub(crate) fn of(payload: &[u8]) -> Result<Self, MediaError> {
        let packet = Self::new()?;
        let size = i32::try_from(payload.len()).map_err(|_| out_of_memory())?;
        // SAFETY: the packet is valid and blank; av_new_packet gives it `size` writable bytes.
        unsafe {
            must("allocating a packet", ffi::av_new_packet(packet.as_ptr(), size))?;
            ptr::copy_nonoverlapping(payload.as_ptr(), packet.get().data, payload.len());
        }
        Ok(packet)
    }

    pub(crate) fn as_ptr(&self) -> *mut ffi::AVPacket {
        self.0.as_ptr()
    }

    pub(crate) fn get(&self) -> &ffi::AVPacket {
        // SAFETY: valid while self is, and borrowed from self.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn as_mut(&mut self) -> &mut ffi::AVPacket {
        // SAFETY: valid while self is, and borrowed from self alone.
        unsafe { self.0.as_mut() }
    }

    pub(crate) fn payload(&self) -> &[u8] {
        let packet = self.get();
        if packet.data.is_null() || packet.size <= 0 {
            return &[];
        }
        // SAFETY: data points to size bytes that live as long as the packet.
        unsafe { std::slice::from_raw_parts(packet.data, packet.size as usize) }
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        let mut raw = self.as_ptr();
        // SAFETY: self owns the packet and is gone after this.
        unsafe { ffi::av_packet_free(&raw mut raw) };
    }
}

/// What a decoder or a muxer must know of a stream.
pub(crate) struct Parameters(NonNull<ffi::AVCodecParameters>);

// SAFETY: plain data with one owner.
unsafe impl Send for Parameters {}
// SAFETY: nothing changes behind a shared reference.
unsafe impl Sync for Parameters {}

impl Parameters {
    pub(crate) fn new() -> Result<Self, MediaError> {
        // SAFETY: allocates or returns null.
        NonNull::new(unsafe { ffi::avcodec_parameters_alloc() }).map(Self).ok_or_else(out_of_memory)
    }

    /// A copy of `source`.
    ///
    /// # Safety
    ///
    /// `source` is valid.
    pub(crate) unsafe fn copy_of(source: *const ffi::AVCodecParameters) -> Result<Self, MediaError> {
        let copy = Self::new()?;
        // SAFETY: both are valid.
        must("copying a stream's parameters", unsafe { ffi::avcodec_parameters_copy(copy.as_ptr(), source) })?;
        Ok(copy)
    }

    pub(crate) fn try_clone(&self) -> Result<Self, MediaError> {
        // SAFETY: self is valid.
        unsafe { Self::copy_of(self.as_ptr()) }
    }

    pub(crate) fn as_ptr(&self) -> *mut ffi::AVCodecParameters {
        self.0.as_ptr()
    }

    pub(crate) fn get(&self) -> &ffi::AVCodecParameters {
        // SAFETY: valid while self is, and borrowed from self.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn as_mut(&mut self) -> &mut ffi::AVCodecParameters {
        // SAFETY: valid while self is, and borrowed from self alone.
        unsafe { self.0.as_mut() }
    }

    /// Replaces the codec's header by a copy of `bytes`.
    pub(crate) fn set_extradata(&mut self, bytes: &[u8]) -> Result<(), MediaError> {
        let size = i32::try_from(bytes.len()).map_err(|_| out_of_memory())?;
        let parameters = self.as_mut();
        // SAFETY: the old block is FFmpeg's own; the new one has room for the bytes and the zeroed padding
        // that FFmpeg's readers may run into.
        unsafe {
            ffi::av_freep((&raw mut parameters.extradata).cast());
            parameters.extradata_size = 0;
            let block = ffi::av_mallocz(bytes.len() + ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize).cast::<u8>();
            if block.is_null() {
                return Err(out_of_memory());
            }
            ptr::copy_nonoverlapping(bytes.as_ptr(), block, bytes.len());
            parameters.extradata = block;
        }
        parameters.extradata_size = size;
        Ok(())
    }
}

impl Drop for Parameters {
    fn drop(&mut self) {
        let mut raw = self.as_ptr();
        // SAFETY: self owns the parameters and is gone after this.
        unsafe { ffi::avcodec_parameters_free(&raw mut raw) };
    }
}

/// Keys and values handed to FFmpeg.
pub(crate) struct Dictionary(*mut ffi::AVDictionary);

impl Dictionary {
    pub(crate) const fn new() -> Self {
        Self(ptr::null_mut())
    }

    pub(crate) fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut dictionary = Self::new();
        for (key, value) in pairs {
            dictionary.set(key, value);
        }
        dictionary
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) {
        let (key, value) = (c_string(key), c_string(value));
        // SAFETY: the strings are terminated and copied. Without memory the entry is missing, which is what
        // every reader of a dictionary must expect.
        unsafe { ffi::av_dict_set(&raw mut self.0, key.as_ptr(), value.as_ptr(), 0) };
    }

    /// Where FFmpeg may take entries it understood away.
    pub(crate) fn as_mut_ptr(&mut self) -> *mut *mut ffi::AVDictionary {
        &raw mut self.0
    }

    /// Gives the entries to an object of FFmpeg's that frees them.
    pub(crate) fn into_raw(mut self) -> *mut ffi::AVDictionary {
        std::mem::replace(&mut self.0, ptr::null_mut())
    }

    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        // SAFETY: self is a valid dictionary.
        unsafe { pairs(self.0) }
    }
}

impl Drop for Dictionary {
    fn drop(&mut self) {
        // SAFETY: self owns the dictionary and is gone after this.
        unsafe { ffi::av_dict_free(&raw mut self.0) };
    }
}

/// The entries of a dictionary.
///
/// # Safety
///
/// `dictionary` is null or valid.
pub(crate) unsafe fn pairs(dictionary: *const ffi::AVDictionary) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut entry = ptr::null();
    // SAFETY: the caller vouches for the dictionary; entries stay valid while it is not changed.
    unsafe {
        loop {
            entry = ffi::av_dict_get(dictionary, c"".as_ptr(), entry, ffi::AV_DICT_IGNORE_SUFFIX);
            if entry.is_null() {
                return pairs;
            }
            pairs.push((text((*entry).key), text((*entry).value)));
        }
    }
}

pub(crate) fn out_of_memory() -> MediaError {
    MediaError::internal("FFmpeg could not allocate memory")
}
