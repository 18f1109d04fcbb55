//! The end of a job: pieces and copied streams become the output, in one pass.
//!
//! The film is read once more. Its video packets are the clock: when one is read, the packets of the pieces that are decoded
//! up to its moment are written; all else is copied as it comes. So the output interleaves its streams as the film does, and
//! its bytes depend on film and pieces alone.

use framelift_frame::Timestamp;
use framelift_media::{Demuxer, Muxer};

use super::pieces::Packets;
use crate::{CancelToken, Event, PipelineError};

/// Sound and subtitles may lie this much behind the video in the film.
const INTERLEAVE_SLACK_S: f64 = 2.0;

/// Copies and joins; gives the frames written.
///
/// # Errors
/// [`PipelineError::Piece`] for pieces that are not what was written, [`PipelineError::Interrupted`], and those of media.
pub(crate) fn join(
    mut packets: Packets<'_>,
    film: &mut Demuxer,
    muxer: &mut Muxer,
    start: Option<Timestamp>,
    cancel: &CancelToken,
    on_event: &(dyn Fn(Event) + Sync),
) -> Result<u64, PipelineError> {
    let info = film.info().clone();
    let Some((stream, pictures)) = info.video_stream() else { return Err(PipelineError::NoVideo) };
    // Where fields become frames, their ticks are halves of the stream's.
    let (video, base) = (stream.index, pictures.time_base);
    let end = packets.pieces().end_ticks().map(|ticks| Timestamp::new(ticks, base));
    packets.pieces().check_room()?;
    film.keep(|index| muxer.copies(index));
    if let Some(start) = start {
        film.seek(start)?;
    }
    let (total, mut written, mut told) = (packets.pieces().frames().max(1), 0, 0);
    while let Some(packet) = film.read()? {
        if cancel.is_cancelled() {
            return Err(PipelineError::Interrupted);
        }
        let time = packet.time();
        if let (Some(time), Some(end)) = (time, end)
            && time.seconds() > end.seconds() + INTERLEAVE_SLACK_S
        {
            break;
        }
        if packet.stream_index() != video {
            if time.is_none_or(|time| end.is_none_or(|end| time < end)) {
                muxer.copy(packet)?;
            }
            continue;
        }
        let Some(now) = packet.decode_time() else { continue };
        while packets.peek()?.is_some_and(|next| next.decode_time() <= now) {
            if let Some(next) = packets.next()? {
                muxer.write_video(next)?;
                written += 1;
            }
        }
        let hundredths = written * 100 / total;
        if hundredths > told {
            told = hundredths;
            on_event(Event::Joining(written as f64 / total as f64));
        }
    }
    while let Some(next) = packets.next()? {
        if cancel.is_cancelled() {
            return Err(PipelineError::Interrupted);
        }
        muxer.write_video(next)?;
        written += 1;
    }
    on_event(Event::Joining(1.0));
    Ok(written)
}
