//! Packets out of a container.

use std::path::Path;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ffmpeg_next::ffi;
use framelift_frame::{TimeBase, Timestamp};

use crate::damage::ContainerDamage;
use crate::describe::describe;
use crate::error::{Code, check};
use crate::input::file_url;
use crate::interrupt::Interrupt;
use crate::raw::{self, Dictionary, av_base, c_bytes, os_bytes, stated, time_base};
use crate::sequence::Pattern;
use crate::standard_input::StandardInput;
use crate::survey::Survey;
use crate::templates::StreamTemplates;
use crate::timeline::Timeline;
use crate::{Decoder, Input, MediaError, MediaInfo, ReadOptions, StreamKind, log};

/// Demuxers for text that is drawn as pictures: a text file is no film.
const TEXT_FORMATS: [&str; 6] = ["tty", "bin", "xbin", "adf", "idf", "txd"];

/// Failures to read in a row after which an input counts as unreadable from there on.
const FAILURES_IN_A_ROW: u32 = 200;

/// Opens an input only to describe it.
///
/// # Errors
///
/// [`MediaError::Input`] when it cannot be read.
pub fn probe(input: &Input, options: &ReadOptions) -> Result<MediaInfo, MediaError> {
    Ok(Demuxer::open(input, options)?.info.clone())
}

/// Takes the packets of all streams out of a container, in file order.
pub struct Demuxer {
    context: *mut ffi::AVFormatContext,
    info: MediaInfo,
    input: Input,
    options: ReadOptions,
    first_number: Option<u64>,
    failures: u32,
    timeline: Timeline,
    /// Stretches of the container that could not be read.
    damage: ContainerDamage,
    notices: Vec<String>,
    // FFmpeg holds pointers to these two; they are dropped after the context is closed.
    _standard_input: Option<StandardInput>,
    interrupt: Box<Interrupt>,
}

// SAFETY: the context has one owner and is only used through it, one thread at a time.
unsafe impl Send for Demuxer {}

impl Demuxer {
    /// Opens an input and finds its streams.
    ///
    /// # Errors
    ///
    /// [`MediaError::Input`] when it cannot be read, [`MediaError::Interrupted`] once the options' flag is set.
    pub fn open(input: &Input, options: &ReadOptions) -> Result<Self, MediaError> {
        let mut demuxer = Self::open_container(input, options)?;
        demuxer.look(options)?;
        Ok(demuxer)
    }

    /// Opens an input without a look at its pictures.
    fn open_container(input: &Input, options: &ReadOptions) -> Result<Self, MediaError> {
        log::install();
        log::clear();
        let mut dictionary = Dictionary::new();
        let mut format_name = None;
        let mut first_number = None;
        let url = match input {
            Input::File(path) => {
                check_file(input, path)?;
                // A playlist in a file must not make the program fetch anything.
                dictionary.set("protocol_whitelist", "file,crypto,data");
                os_bytes(&file_url(path))
            }
            Input::Url(url) => url.clone().into_bytes(),
            Input::Stdin => {
                format_name = Some(c"yuv4mpegpipe");
                b"standard input".to_vec()
            }
            Input::Sequence(pattern) => {
                let first = check_sequence(input, pattern)?;
                let (num, den) = options.sequence_rate;
                if num <= 0 || den <= 0 {
                    return Err(MediaError::usage(
                        format!("{num}/{den} is not a frame rate"),
                        "use a positive number of frames a second, such as 24 or 30000/1001",
                    ));
                }
                first_number = Some(first);
                format_name = Some(c"image2");
                dictionary.set("start_number", &first.to_string());
                dictionary.set("framerate", &format!("{num}/{den}"));
                dictionary.set("protocol_whitelist", "file,crypto,data");
                pattern.ffmpeg().as_bytes().to_vec()
            }
        };
        let url = c_bytes(&url);
        let interrupt = Box::new(Interrupt::new(options.interrupt.clone()));
        let standard_input = matches!(input, Input::Stdin).then(|| StandardInput::new(&interrupt)).transpose()?;

        // SAFETY: the new context is filled in before it is opened; avformat_open_input frees it when it fails.
        // The interrupt and the reader outlive it: they are fields dropped after the context is closed.
        let context = unsafe {
            let mut context = ffi::avformat_alloc_context();
            if context.is_null() {
                return Err(raw::out_of_memory());
            }
            (*context).interrupt_callback = interrupt.callback();
            if let Some(reader) = &standard_input {
                (*context).pb = reader.as_ptr();
            }
            let format = match format_name {
                Some(name) => {
                    let format = ffi::av_find_input_format(name.as_ptr());
                    if format.is_null() {
                        ffi::avformat_free_context(context);
                        let what = format!("this FFmpeg was built without the reader {}", name.to_string_lossy());
                        return Err(bad_input(input, what, "install a complete FFmpeg"));
                    }
                    format
                }
                None => ptr::null(),
            };
            let code = ffi::avformat_open_input(&raw mut context, url.as_ptr(), format, dictionary.as_mut_ptr());
            check(code).map_err(|code| open_error(input, &interrupt, code))?;
            context
        };
        let mut demuxer = Self {
            context,
            info: MediaInfo::default(),
            input: input.clone(),
            options: options.clone(),
            first_number,
            failures: 0,
            timeline: Timeline::default(),
            damage: ContainerDamage::default(),
            notices: Vec::new(),
            _standard_input: standard_input,
            interrupt,
        };
        demuxer.find_streams()?;
        Ok(demuxer)
    }

    fn find_streams(&mut self) -> Result<(), MediaError> {
        // SAFETY: the context is open.
        unsafe {
            check(ffi::avformat_find_stream_info(self.context, ptr::null_mut()))
                .map_err(|code| open_error(&self.input, &self.interrupt, code))?;
            self.info = describe(self.context);
            let discontinuous = (*(*self.context).iformat).flags & ffi::AVFMT_TS_DISCONT != 0;
            self.timeline = Timeline::new(discontinuous, self.info.streams.len());
        }
        if self.interrupt.is_set() {
            return Err(MediaError::Interrupted);
        }
        if TEXT_FORMATS.contains(&self.info.format.as_str()) {
            return Err(bad_input(&self.input, "it is a text file", "give a film"));
        }
        Ok(())
    }

    /// The same input once more, from its beginning.
    ///
    /// # Errors
    ///
    /// As [`Demuxer::open`]; standard input cannot be opened twice.
    pub fn reopen(&self) -> Result<Self, MediaError> {
        if self.input == Input::Stdin {
            return Err(bad_input(&self.input, "it can be read only once", "give a file"));
        }
        let mut again = Self::open_container(&self.input, &self.options)?;
        // Its pictures were looked at before.
        again.info.clone_from(&self.info);
        Ok(again)
    }

    /// What of the options changes the frames, in words that are equal where the options are.
    #[must_use]
    pub fn reading(&self) -> String {
        let options = ReadOptions { decoder_threads: 0, interrupt: None, ..self.options.clone() };
        format!("{options:?}")
    }

    /// Where the film comes from.
    #[must_use]
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// Looks at some pictures of a file, and decides by them how they are deinterlaced.
    fn look(&mut self, options: &ReadOptions) -> Result<(), MediaError> {
        // A pipe or a connection gives its pictures only once.
        let again =
            matches!(&self.input, Input::File(path) if std::fs::metadata(path).is_ok_and(|file| file.is_file()));
        let survey = match self.info.video_stream() {
            Some((_, video)) if again && !video.size.is_empty() => {
                match Survey::look(Self::open_container(&self.input, options)?) {
                    Ok(survey) => survey,
                    Err(MediaError::Interrupted) => return Err(MediaError::Interrupted),
                    Err(error) => {
                        tracing::debug!("a look at the pictures showed nothing: {error}");
                        Survey::default()
                    }
                }
            }
            _ => Survey::default(),
        };
        let Some(index) = self.info.video else { return Ok(()) };
        let Some(StreamKind::Video(video)) = self.info.streams.get_mut(index).map(|stream| &mut stream.kind) else {
            return Ok(());
        };
        video.combing = survey.combing();
        video.pulldown = survey.pulldown > 1;
        video.dynamic_hdr = survey.dynamic_hdr;
        video.captions = survey.captions;
        if video.light.is_empty() {
            video.light = survey.light;
            video.mastering_display |= !video.light.is_empty();
        }
        video.deinterlace_as(options.deinterlace)
    }

    /// What the film holds.
    #[must_use]
    pub fn info(&self) -> &MediaInfo {
        &self.info
    }

    /// Goes to the last key frame of the video stream at or before `time`, or to the first packet there is.
    ///
    /// # Errors
    ///
    /// [`MediaError::Input`] when the input cannot be sought.
    pub fn seek(&mut self, time: Timestamp) -> Result<(), MediaError> {
        log::clear();
        let (index, base) = match self.info.video_stream() {
            Some((stream, _)) => (stream.index as i32, stream.time_base),
            None => (-1, TimeBase::new(1, ffi::AV_TIME_BASE)),
        };
        // Rounding up would put a key frame at exactly `time` out of reach.
        // SAFETY: the first is a pure function; the context is open.
        let code = unsafe {
            let ticks =
                ffi::av_rescale_q_rnd(time.ticks, av_base(time.base), av_base(base), ffi::AVRounding::AV_ROUND_DOWN);
            ffi::avformat_seek_file(self.context, index, i64::MIN, ticks, ticks, 0)
        };
        self.timeline.seek();
        match check(code) {
            Ok(_) => Ok(()),
            Err(code) if code == Code::EXIT || self.interrupt.is_set() => Err(MediaError::Interrupted),
            Err(code) => Err(bad_input(
                &self.input,
                format!("it cannot be sought to {time}: {}", code.describe()),
                "start at the beginning, or copy it into a Matroska file first",
            )),
        }
    }

    /// Goes, from the beginning or from where [`Demuxer::seek`] to `start` leads, to the last key frame at or before `time`.
    ///
    /// Where the clock of a format may jump, a time says nothing of the place: jumps on the way there must have been
    /// bridged. Such films are read as far as that, without decoding them.
    ///
    /// # Errors
    ///
    /// As [`Demuxer::seek`] and [`Demuxer::read`].
    pub fn go_on(&mut self, start: Option<Timestamp>, time: Timestamp) -> Result<(), MediaError> {
        if !self.timeline.bridges() {
            return self.seek(time);
        }
        let mut scout = Self::open_container(&self.input, &self.options)?;
        for demuxer in [&mut scout, self] {
            if let Some(start) = start {
                demuxer.seek(start)?;
            }
        }
        let (mut packets, mut passed): (u64, u64) = (0, 0);
        while let Some(packet) = scout.read()? {
            if Some(packet.stream_index()) == self.info.video {
                if packet.is_key() && packet.time().is_some_and(|shown| shown <= time) {
                    passed = packets;
                }
                if packet.decode_time().is_some_and(|decoded| decoded > time) {
                    break;
                }
            }
            packets += 1;
        }
        for _ in 0..passed {
            self.read()?;
        }
        Ok(())
    }

    /// The next packet; `None` at the end. Damaged stretches are skipped.
    ///
    /// # Errors
    ///
    /// [`MediaError::Input`] when reading fails, [`MediaError::Interrupted`] once the flag is set.
    pub fn read(&mut self) -> Result<Option<Packet>, MediaError> {
        loop {
            if self.interrupt.is_set() {
                return Err(MediaError::Interrupted);
            }
            log::clear();
            let mut packet = raw::Packet::new()?;
            // SAFETY: context and packet are valid.
            match check(unsafe { ffi::av_read_frame(self.context, packet.as_ptr()) }) {
                Ok(_) => {
                    self.failures = 0;
                    self.damage.look(&self.info.format, self.timeline.reached());
                    let index = packet.get().stream_index as usize;
                    // Streams that turned up after the start have no place in the output.
                    let Some(stream) = self.info.streams.get(index) else { continue };
                    let time_base = stream.time_base;
                    let raw = packet.as_mut();
                    if let Some(ticks) = stated(raw.dts).or(stated(raw.pts)) {
                        let offset = self.timeline.offset(index, ticks, raw.duration, time_base);
                        for time in [&mut raw.pts, &mut raw.dts] {
                            *time = stated(*time).map_or(ffi::AV_NOPTS_VALUE, |ticks| ticks + offset);
                        }
                    }
                    return Ok(Some(Packet { raw: packet, time_base }));
                }
                Err(Code::EOF) => return self.end(),
                Err(Code::EXIT) => return Err(MediaError::Interrupted),
                Err(code) if code == Code::AGAIN || code == Code::INVALID_DATA => {
                    self.failures += 1;
                    self.damage.look(&self.info.format, self.timeline.reached());
                    if self.failures > FAILURES_IN_A_ROW {
                        return Err(self.read_error(code));
                    }
                    tracing::debug!(input = %self.input, "skipped damaged data: {}", code.describe());
                }
                Err(_) if self.interrupt.is_set() => return Err(MediaError::Interrupted),
                Err(code) => return Err(self.read_error(code)),
            }
        }
    }

    /// Tells the end of the film from a disk or a connection that failed.
    fn end(&mut self) -> Result<Option<Packet>, MediaError> {
        // SAFETY: the context is open; its reader is null for formats that have none.
        let code = unsafe { (*self.context).pb.as_ref().map_or(0, |reader| reader.error) };
        match check(code) {
            Ok(_) | Err(Code::EOF) => {
                self.damage.look(&self.info.format, self.timeline.reached());
                self.notices.extend(self.damage.say());
                self.note_early_end();
                Ok(None)
            }
            Err(_) if self.interrupt.is_set() => Err(MediaError::Interrupted),
            Err(code) => Err(self.read_error(code)),
        }
    }

    /// Says where a film ends long before its own header says it does.
    fn note_early_end(&mut self) {
        let (Some(duration_s), Some(reached)) = (self.info.duration_s, self.timeline.reached()) else { return };
        let end_s = self.info.start_s.unwrap_or(0.0) + duration_s;
        // Headers are rounded, and sound may end a little before them.
        if reached.seconds() < end_s - 0.5 - duration_s * 0.01 && matches!(self.input, Input::File(_)) {
            self.notices.push(format!(
                "the film ends at {reached}, {:.1} s before the end that its header states: it was cut short or lost parts",
                end_s - reached.seconds()
            ));
        }
    }

    /// What was found wrong with the film, since the last call.
    pub fn take_notices(&mut self) -> Vec<String> {
        self.notices.append(&mut self.timeline.notices);
        std::mem::take(&mut self.notices)
    }

    fn read_error(&self, code: Code) -> MediaError {
        bad_input(
            &self.input,
            format!("reading stopped: {}", code.describe()),
            "check the disk or the connection, and copy the file again",
        )
    }

    /// A decoder of the video stream.
    ///
    /// # Errors
    ///
    /// [`MediaError::Input`] when there is no video stream, it has no size, or FFmpeg has no decoder for it.
    pub fn decoder(&self) -> Result<Decoder, MediaError> {
        let (stream, video) = self.info.require_video(&self.input)?;
        // SAFETY: the stream's index is one of the context's, and its parameters are valid.
        let parameters = unsafe {
            let stream = *(*self.context).streams.add(stream.index);
            raw::Parameters::copy_of((*stream).codecpar)?
        };
        Decoder::new(&self.input, &parameters, stream, video, self.options.decoder_threads)
    }

    /// What a muxer needs to copy the streams.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory.
    pub fn template(&self) -> Result<StreamTemplates, MediaError> {
        // SAFETY: the context is open and its streams are known.
        unsafe { StreamTemplates::of(self.context, &self.info, self.first_number) }
    }

    /// Spares the work of reading packets that nobody wants: `wanted` says of a stream whether they are. Where the clock may
    /// jump all are read: by how much it does follows from all streams.
    pub fn keep(&mut self, wanted: impl Fn(usize) -> bool) {
        if self.timeline.bridges() {
            return;
        }
        for index in 0..self.info.streams.len() {
            let discard = if wanted(index) || self.info.video == Some(index) {
                ffi::AVDiscard::AVDISCARD_DEFAULT
            } else {
                ffi::AVDiscard::AVDISCARD_ALL
            };
            // SAFETY: the index is one of the context's streams.
            unsafe { (**(*self.context).streams.add(index)).discard = discard };
        }
    }

    /// Once `flag` is true, a read that waits for a pipe or the network ends with [`MediaError::Interrupted`].
    pub fn set_interrupt(&mut self, flag: Arc<AtomicBool>) {
        self.options.interrupt = Some(Arc::clone(&flag));
        self.interrupt.set_flag(flag);
    }
}

impl Drop for Demuxer {
    fn drop(&mut self) {
        // SAFETY: the context is open and gone after this; a reader of our own is left alone by FFmpeg.
        unsafe { ffi::avformat_close_input(&raw mut self.context) };
    }
}

impl MediaInfo {
    /// The stream framelift works on, or why there is none.
    ///
    /// # Errors
    ///
    /// [`MediaError::Input`] when there is no video stream or its pictures have no size.
    pub fn require_video(&self, input: &Input) -> Result<(&crate::StreamInfo, &crate::VideoInfo), MediaError> {
        let Some((stream, video)) = self.video_stream() else {
            let kinds: Vec<_> = self.streams.iter().map(|stream| stream.kind.name()).collect();
            let what = if kinds.is_empty() {
                "it holds no streams at all".to_owned()
            } else {
                format!("there is no video in it, only {}", kinds.join(", "))
            };
            return Err(bad_input(input, what, "give a film"));
        };
        if video.size.is_empty() {
            return Err(bad_input(
                input,
                format!("its video stream {} has pictures of size {}", stream.index, video.size),
                "the file is damaged or cut short: copy it again",
            ));
        }
        Ok((stream, video))
    }
}

pub(crate) fn bad_input(input: &Input, what: impl Into<String>, remedy: impl Into<String>) -> MediaError {
    MediaError::Input { input: input.to_string(), what: what.into(), remedy: remedy.into() }
}

/// Says of a path what FFmpeg would say less clearly.
fn check_file(input: &Input, path: &Path) -> Result<(), MediaError> {
    let metadata = std::fs::metadata(path).map_err(|error| {
        let (what, remedy) = match error.kind() {
            std::io::ErrorKind::NotFound => ("there is no such file".to_owned(), "check the name"),
            std::io::ErrorKind::PermissionDenied => ("permission denied".to_owned(), "check its permissions"),
            _ => (error.to_string(), "check the name and the disk"),
        };
        bad_input(input, what, remedy)
    })?;
    if metadata.is_dir() {
        return Err(bad_input(
            input,
            "it is a folder",
            "give a film, or the pictures in it by a pattern such as frames/%08d.png",
        ));
    }
    if metadata.is_file() && metadata.len() == 0 {
        return Err(bad_input(input, "the file is empty", "copy it again"));
    }
    Ok(())
}

/// The number of the first picture of a sequence, after checking that none is missing.
fn check_sequence(input: &Input, pattern: &Pattern) -> Result<u64, MediaError> {
    let numbers = pattern.numbers().map_err(|error| {
        let (what, remedy) = match error.kind() {
            std::io::ErrorKind::NotFound => {
                (format!("there is no folder {}", pattern.folder().display()), "check the name")
            }
            _ => (format!("{}: {error}", pattern.folder().display()), "check the folder and its permissions"),
        };
        bad_input(input, what, remedy)
    })?;
    let Some(&first) = numbers.first() else {
        return Err(bad_input(
            input,
            format!("no picture in {} has such a name", pattern.folder().display()),
            "check the pattern: %08d stands for a number of eight digits, %d for one without leading zeros",
        ));
    };
    if let Some(gap) = numbers.windows(2).find(|pair| pair[1] != pair[0] + 1) {
        return Err(bad_input(
            input,
            format!("picture {} is missing, but {} is there", pattern.file_name(gap[0] + 1), pattern.file_name(gap[1])),
            "number the pictures without gaps",
        ));
    }
    if i32::try_from(numbers.last().copied().unwrap_or(first)).is_err() {
        return Err(bad_input(input, "its numbers exceed 2147483647", "number the pictures from 1"));
    }
    Ok(first)
}

fn open_error(input: &Input, interrupt: &Interrupt, code: Code) -> MediaError {
    if code == Code::EXIT || interrupt.is_set() {
        return MediaError::Interrupted;
    }
    let complaint = log::take_all().into_iter().next();
    let (what, remedy) = match (input, code) {
        (Input::Stdin, Code::INVALID_DATA | Code::EOF) => {
            ("it is not YUV4MPEG2".to_owned(), "pipe a film in with: ffmpeg -i film.mp4 -f yuv4mpegpipe -strict -1 -")
        }
        (_, Code::INVALID_DATA | Code::EOF) => (
            match complaint {
                Some(line) => format!("FFmpeg finds no film in it ({line})"),
                None => "FFmpeg finds no film in it".to_owned(),
            },
            "give a film; if it is one, it is damaged or cut short: copy it again",
        ),
        _ => (
            match complaint {
                Some(line) => format!("{} ({line})", code.describe()),
                None => code.describe(),
            },
            "check the name and the connection or disk",
        ),
    };
    bad_input(input, what, remedy)
}

/// A piece of one stream as the container holds it.
pub struct Packet {
    pub(crate) raw: raw::Packet,
    pub(crate) time_base: TimeBase,
}

impl Packet {
    /// The stream it belongs to.
    #[must_use]
    pub fn stream_index(&self) -> usize {
        self.raw.get().stream_index as usize
    }

    /// Bytes of payload.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.raw.payload().len()
    }

    /// Whether decoding can begin with it.
    pub(crate) fn is_key(&self) -> bool {
        self.raw.get().flags & ffi::AV_PKT_FLAG_KEY != 0
    }

    /// When it is decoded; when it is shown, where it does not say.
    #[must_use]
    pub fn decode_time(&self) -> Option<Timestamp> {
        stated(self.raw.get().dts).map(|ticks| Timestamp::new(ticks, self.time_base)).or_else(|| self.time())
    }

    /// When it is shown or heard.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        stated(self.raw.get().pts).map(|ticks| Timestamp::new(ticks, self.time_base))
    }
}

/// The time base of a stream of FFmpeg's.
///
/// # Safety
///
/// `stream` is valid.
pub(crate) unsafe fn stream_base(stream: *const ffi::AVStream) -> TimeBase {
    // SAFETY: the caller vouches for it.
    time_base(unsafe { (*stream).time_base })
}
