//! `framelift probe`.

use framelift::{ColorSpec, Combing, Input, MediaInfo, ReadOptions, StreamInfo, StreamKind, VideoInfo};
use serde_json::{Map, Value, json};

use crate::Failure;
use crate::args::Probe;
use crate::report::{human_time, out};

pub(crate) fn probe(args: &Probe) -> Result<(), Failure> {
    let info = framelift::probe(&Input::parse(&args.input)?, &ReadOptions::default())?;
    if args.json {
        out(&format!("{:#}", as_json(&info)));
    } else {
        for line in describe(&args.input, &info) {
            out(&line);
        }
    }
    Ok(())
}

fn describe(name: &str, info: &MediaInfo) -> Vec<String> {
    let mut first = format!("{name}: {}", info.format);
    if let Some(duration_s) = info.duration_s.filter(|d| *d > 0.0) {
        first += &format!(", {}", human_time(std::time::Duration::from_secs_f64(duration_s)));
    }
    if let Some(rate) = info.bit_rate {
        first += &format!(", {} kbit/s", rate / 1000);
    }
    let mut lines = vec![first];
    for stream in &info.streams {
        lines.push(describe_stream(stream, info.video == Some(stream.index)));
    }
    for chapter in &info.chapters {
        lines.push(format!(
            "  chapter {} to {}: {}",
            chapter.start,
            chapter.end,
            chapter.title().unwrap_or("untitled")
        ));
    }
    if info.video.is_none() {
        lines.push("  no video: there is nothing to upscale".to_owned());
    }
    lines
}

fn describe_stream(stream: &StreamInfo, is_main: bool) -> String {
    let mut line = format!("  stream {}: {} {}", stream.index, stream.kind.name(), stream.codec);
    match &stream.kind {
        StreamKind::Video(video) => line += &describe_video(stream, video),
        StreamKind::Audio(audio) => line += &format!(", {} Hz, {} channels", audio.sample_rate, audio.channels),
        StreamKind::Attachment { file_name: Some(file) } => line += &format!(", {file}"),
        _ => {}
    }
    for text in [&stream.language, &stream.title].into_iter().flatten() {
        line += &format!(", {text}");
    }
    if !stream.dispositions.is_empty() {
        line += &format!(" ({})", stream.dispositions.join(", "));
    }
    if is_main {
        line += "  <- upscaled";
    }
    line
}

fn describe_video(stream: &StreamInfo, video: &VideoInfo) -> String {
    let mut text = format!(", {} {} ({})", video.size, video.format, video.format_name);
    if let Some((num, den)) = video.average_frame_rate {
        text += &format!(", {:.3} fps", f64::from(num) / f64::from(den));
    }
    if video.variable_frame_rate() {
        text += " on average, variable";
    }
    text += &format!(", ticks of {} s", stream.time_base);
    if let Some(frames) = video.frames_estimate {
        let about = if stream.frames.is_some() { "" } else { "about " };
        text += &format!(", {about}{frames} frames");
    }
    let ColorSpec { matrix, range, primaries, transfer, chroma_location } = video.color;
    text += &format!(
        ", matrix {matrix}, primaries {primaries}, transfer {transfer}, range {range:?}, chroma {chroma_location:?}"
    );
    if video.sample_aspect_ratio.0 != video.sample_aspect_ratio.1 {
        text += &format!(", pixels {}:{}", video.sample_aspect_ratio.0, video.sample_aspect_ratio.1);
    }
    if video.rotation_degrees != 0 {
        text += &format!(", shown turned by {} degrees", video.rotation_degrees);
    }
    text += match video.combing {
        Combing::Fields { top_first: true } => ", interlaced, upper field first",
        Combing::Fields { top_first: false } => ", interlaced, lower field first",
        Combing::Telecined { .. } => ", telecined",
        Combing::Whole if video.scan.is_interlaced() => ", marked as interlaced, but whole",
        Combing::Unknown if video.scan.is_interlaced() => ", marked as interlaced",
        Combing::Unknown | Combing::Whole => "",
    };
    let flags = [
        (video.pulldown, "flags of a telecine"),
        (video.cover, "cover picture"),
        (video.mastering_display, "HDR10 mastering metadata"),
        (video.dolby_vision, "Dolby Vision metadata"),
        (video.dynamic_hdr && !video.dolby_vision, "HDR10+ metadata"),
    ];
    for (_, flag) in flags.iter().filter(|(set, _)| *set) {
        text += &format!(", {flag}");
    }
    text
}

fn as_json(info: &MediaInfo) -> Value {
    let chapter = |c: &framelift::Chapter| json!({"start_s": c.start.seconds(), "end_s": c.end.seconds(), "title": c.title(), "metadata": object(&c.metadata)});
    json!({
        "format": info.format,
        "duration_s": info.duration_s,
        "start_s": info.start_s,
        "bit_rate": info.bit_rate,
        "metadata": object(&info.metadata),
        "video_stream": info.video,
        "streams": info.streams.iter().map(stream_json).collect::<Vec<_>>(),
        "chapters": info.chapters.iter().map(chapter).collect::<Vec<_>>(),
    })
}

fn stream_json(stream: &StreamInfo) -> Value {
    let mut value = json!({
        "index": stream.index,
        "kind": stream.kind.name(),
        "codec": stream.codec,
        "time_base": stream.time_base.to_string(),
        "start_s": stream.start.map(framelift::Timestamp::seconds),
        "duration_ticks": stream.duration_ticks,
        "frames": stream.frames,
        "language": stream.language,
        "title": stream.title,
        "dispositions": stream.dispositions,
        "metadata": object(&stream.metadata),
    });
    match &stream.kind {
        StreamKind::Video(video) => value["video"] = video_json(video),
        StreamKind::Audio(audio) => {
            value["audio"] = json!({"sample_rate": audio.sample_rate, "channels": audio.channels});
        }
        StreamKind::Attachment { file_name } => value["file_name"] = json!(file_name),
        _ => {}
    }
    value
}

fn video_json(video: &VideoInfo) -> Value {
    let rate = |rate: Option<(i32, i32)>| rate.map(|(num, den)| format!("{num}/{den}"));
    json!({
        "width": video.size.width,
        "height": video.size.height,
        "pixel_format": video.format_name,
        "bit_depth": video.format.depth,
        "subsampling": video.format.subsampling(),
        "alpha": video.format.alpha,
        "matrix": video.color.matrix.name(),
        "primaries": video.color.primaries.name(),
        "transfer": video.color.transfer.name(),
        "range": format!("{:?}", video.color.range).to_lowercase(),
        "chroma_location": format!("{:?}", video.color.chroma_location).to_lowercase(),
        "sample_aspect_ratio": format!("{}:{}", video.sample_aspect_ratio.0, video.sample_aspect_ratio.1),
        "average_frame_rate": rate(video.average_frame_rate),
        "base_frame_rate": rate(video.base_frame_rate),
        "variable_frame_rate": video.variable_frame_rate(),
        "rotation_degrees": video.rotation_degrees,
        "interlaced": video.scan.is_interlaced(),
        "combing": match video.combing {
            Combing::Unknown => "unknown",
            Combing::Whole => "whole",
            Combing::Fields { .. } => "fields",
            Combing::Telecined { .. } => "telecined",
        },
        "pulldown_flags": video.pulldown,
        "deinterlaced": video.deinterlace.is_some(),
        "cover": video.cover,
        "mastering_display": video.mastering_display,
        "hdr10": video.hdr10(),
        "dolby_vision": video.dolby_vision,
        "dynamic_hdr": video.dynamic_hdr,
        "frames_estimate": video.frames_estimate,
    })
}

fn object(pairs: &[(String, String)]) -> Value {
    let map: Map<String, Value> = pairs.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    Value::Object(map)
}
