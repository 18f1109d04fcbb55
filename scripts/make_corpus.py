#!/usr/bin/env python3
"""Makes a folder of small films, one for each way in which films differ, for check_clips.py.

    scripts/make_corpus.py FOLDER

Times (variable rates, edit lists, wraps, gaps), depths and chroma, alpha, colours and HDR, shapes and rotations, fields,
streams beside the pictures, damage. Needs ffmpeg with x264, x265, libvpx and zscale; a film whose encoder is missing is
named and left out. corpus.json says of each film how it is to be written (`output`, `args`) and what is known of it.
"""

import json
import random
import subprocess
import sys
from pathlib import Path

PICTURES = ["-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=1"]
SOUND = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=1"]
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "12"]
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-crf", "12", "-x265-params", "log-level=none"]
FFV1 = ["-c:v", "ffv1"]
AAC = ["-c:a", "aac", "-b:a", "64k"]
KEEP_TIMES = ["-vsync", "passthrough"]
PQ = ["-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc", "-color_range", "tv"]
HLG = ["-color_primaries", "bt2020", "-color_trc", "arib-std-b67", "-colorspace", "bt2020nc", "-color_range", "tv"]
HDR10 = (
    "log-level=none:hdr10=1:repeat-headers=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
)
HDR10_X264 = "mastering-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):cll=1000,400"
# A film of big moving shapes and of noise, so that fields of different moments comb.
MOVING = "testsrc2=size=192x144:rate=50:duration=2"

corpus = {}


class Missing(Exception):
    pass


def ffmpeg(*args):
    run = subprocess.run(["ffmpeg", "-y", "-v", "error", "-nostdin", *map(str, args)], capture_output=True, text=True)
    if run.returncode != 0:
        lines = run.stderr.strip().splitlines() or ["no reason given"]
        raise Missing(lines[-1])


def tags(primaries, transfer, matrix, range_="tv"):
    return ["-color_primaries", primaries, "-color_trc", transfer, "-colorspace", matrix, "-color_range", range_]


def setparams(primaries, transfer, matrix, range_="tv"):
    return f"setparams=color_primaries={primaries}:color_trc={transfer}:colorspace={matrix}:range={range_}"


def film(name, *args, output=None, options=(), **known):
    """Makes one film by ffmpeg, or by `make`, a function of its path."""
    path = folder / name
    make = known.pop("make", None)
    try:
        make(path) if make else ffmpeg(*args, path)
    except Missing as why:
        print(f"left out {name}: {why}")
        path.unlink(missing_ok=True)
        return
    corpus[name] = {"output": output or {".ts": ".mp4", ".mpg": ".mp4", ".avi": ".mkv", ".flv": ".mp4", ".gif": ".mkv", ".y4m": ".mkv"}.get(path.suffix, path.suffix)}
    corpus[name] |= {"args": list(options), **known}


def times():
    jitter = "setpts='N*40/(TB*1000)+if(mod(N,7),floor(random(0)*17),0)/(TB*1000)'"
    film("vfr-jitter.mkv", *PICTURES, *SOUND, "-vf", f"settb=1/1000,{jitter}", *KEEP_TIMES, "-enc_time_base", "1/1000", *X264, *AAC)
    steps = "setpts='if(lt(N,8),N*41708,333667+(N-8)*16683)/(TB*1000000)'"
    film("vfr-24-to-60.mkv", *PICTURES, "-vf", f"settb=1/1000000,{steps}", *KEEP_TIMES, "-enc_time_base", "1/1000000", *X264)
    film("vfr-24-to-60.mp4", *PICTURES, *SOUND, "-vf", f"settb=1/90000,{steps}", *KEEP_TIMES, "-enc_time_base", "1/90000", "-video_track_timescale", "90000", *X264, *AAC)
    gaps = "setpts='(N*3600+floor(N/5)*200000+mod(N*7919,1300))/(TB*90000)'"
    film("vfr-gaps.mov", *PICTURES, "-vf", f"settb=1/90000,{gaps}", *KEEP_TIMES, "-enc_time_base", "1/90000", "-video_track_timescale", "90000", *X264)
    film("vfr.webm", *PICTURES, "-vf", f"settb=1/1000,{jitter}", *KEEP_TIMES, "-c:v", "libvpx-vp9", "-b:v", "1M", "-deadline", "realtime", "-cpu-used", "8")
    film("timescale-600.mov", "-f", "lavfi", "-i", "testsrc2=size=128x96:rate=24:duration=1", "-video_track_timescale", "600", *X264)
    film("ntsc.mp4", "-f", "lavfi", "-i", "testsrc2=size=128x96:rate=30000/1001:duration=1", *SOUND, *X264, *AAC)
    film("film-rate.mkv", "-f", "lavfi", "-i", "testsrc2=size=128x96:rate=24000/1001:duration=1", *SOUND, *X264, *AAC)
    film("edit-list-b-frames.mp4", *PICTURES, *SOUND, *X264, "-bf", "3", *AAC)
    film("edit-list-late-video.mp4", "-itsoffset", "0.52", *PICTURES, *SOUND, *X264, *AAC)
    film("edit-list-late-sound.mp4", *PICTURES, "-itsoffset", "0.3", *SOUND, *X264, *AAC)
    def cut(path):
        whole = path.with_name("whole.tmp.mp4")
        ffmpeg(*PICTURES, *SOUND, *X264, "-g", "25", *AAC, whole)
        ffmpeg("-ss", "0.4", "-i", whole, "-c", "copy", path)
        whole.unlink()
    film("edit-list-cut.mp4", make=cut)
    film("fragmented.mp4", *PICTURES, *SOUND, *X264, *AAC, "-movflags", "frag_keyframe+empty_moov+default_base_moof")
    film("starts-late.mkv", *PICTURES, *SOUND, *X264, *AAC, "-output_ts_offset", "12.345")
    film("one-frame.mp4", *PICTURES, "-frames:v", "1", *X264)
    film("plain.ts", *PICTURES, *SOUND, *X264, *AAC)
    # 2^33 ticks of 1/90000 s are 95443.717 s.
    film("wrap-soon.ts", *PICTURES, *SOUND, *X264, *AAC, "-output_ts_offset", "95441.8", "-muxdelay", "0")
    film("wrap-late.ts", "-f", "lavfi", "-i", "testsrc2=size=128x96:rate=1/4:duration=120", *X264, "-g", "4", "-output_ts_offset", "95365", "-muxdelay", "0")
    def joined(second_offset):
        def make(path):
            parts = [path.with_name(f"part{i}.tmp.ts") for i in range(2)]
            ffmpeg(*PICTURES, *SOUND, *X264, "-bf", "2", *AAC, "-output_ts_offset", "10", parts[0])
            ffmpeg(*PICTURES, *SOUND, "-vf", "negate", *X264, "-bf", "2", *AAC, "-output_ts_offset", second_offset, parts[1])
            path.write_bytes(b"".join(part.read_bytes() for part in parts))
            [part.unlink() for part in parts]
        return make
    film("gap.ts", make=joined("31.5"))
    film("spliced.ts", make=joined("0"), discontinuity=True)
    film("program-stream.mpg", *PICTURES, *SOUND, "-c:v", "mpeg2video", "-q:v", "3", "-c:a", "mp2")
    film("constant.avi", *PICTURES, *SOUND, "-c:v", "mpeg4", "-q:v", "2", "-bf", "2", "-c:a", "mp3")
    film("flash.flv", *PICTURES, *SOUND, *X264, *AAC)
    film("raw.y4m", *PICTURES)


def samples():
    for format_ in ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"]:
        film(f"h264-{format_}.mkv", *PICTURES, "-pix_fmt", format_, *X264)
    for format_ in ["yuv420p", "yuv420p10le", "yuv420p12le", "yuv422p12le", "yuv444p12le"]:
        film(f"h265-{format_}.mp4", *PICTURES, "-pix_fmt", format_, *X265, "-tag:v", "hvc1", options=["--codec", "libx265"])
    ffv1 = ["--codec", "ffv1"]
    for format_ in ["gray", "gray10le", "gray16le", "yuv411p", "yuv410p", "yuv440p", "yuv420p16le", "yuv444p16le", "bgr0", "gbrp", "gbrp10le", "gbrp16le"]:
        film(f"ffv1-{format_}.mkv", *PICTURES, "-pix_fmt", format_, *FFV1, options=ffv1)
    film("h264-gray.mkv", *PICTURES, "-pix_fmt", "gray", *X264)
    film("h264-rgb.mkv", *PICTURES, "-c:v", "libx264rgb", "-crf", "10", options=["--codec", "libx264rgb"])
    film("rgb-to-yuv.mkv", *PICTURES, "-pix_fmt", "gbrp", *FFV1)
    film("full-range.avi", *PICTURES, "-pix_fmt", "yuvj422p", "-c:v", "mjpeg", "-q:v", "2")
    film("packed.mov", *PICTURES, "-pix_fmt", "uyvy422", "-c:v", "rawvideo")
    film("v210.mov", *PICTURES, "-pix_fmt", "yuv422p10le", "-c:v", "v210")
    film("prores.mov", *PICTURES, *SOUND, "-pix_fmt", "yuv422p10le", "-c:v", "prores_ks", "-c:a", "pcm_s24le", options=["--codec", "prores_ks"])
    film("palette.gif", *PICTURES)
    film("vp8.webm", *PICTURES, *SOUND, "-c:v", "libvpx", "-b:v", "1M", "-deadline", "realtime", "-c:a", "libvorbis", options=["--codec", "libvpx"])
    film("av1.mkv", *PICTURES, "-pix_fmt", "yuv420p10le", "-c:v", "libsvtav1", "-preset", "12")
    fade = "format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='255*X/W'"
    film("alpha-ffv1.mkv", *PICTURES, "-vf", f"{fade},format=yuva420p", *FFV1, options=ffv1, alpha=True)
    film("alpha-ffv1-444-10.mkv", *PICTURES, "-vf", f"{fade},format=yuva444p10le", *FFV1, options=ffv1, alpha=True)
    film("alpha-rgb.mkv", *PICTURES, "-vf", f"{fade},format=bgra", *FFV1, options=ffv1, alpha=True)
    film("alpha-prores.mov", *PICTURES, "-vf", f"{fade},format=yuva444p10le", "-c:v", "prores_ks", options=["--codec", "prores_ks"], alpha=True)
    film("alpha-png.mov", *PICTURES, "-vf", fade, "-c:v", "png", options=["--codec", "png"], alpha=True)
    film("alpha-vp9.webm", *PICTURES, "-vf", f"{fade},format=yuva420p", "-c:v", "libvpx-vp9", "-auto-alt-ref", "0", "-deadline", "realtime", "-cpu-used", "8", alpha=True)
    film("alpha-dropped.mkv", *PICTURES, "-vf", f"{fade},format=yuva420p", *FFV1)


def colours():
    named = {
        "bt601-525": ("smpte170m", "smpte170m", "smpte170m", "tv"),
        "bt601-625": ("bt470bg", "smpte170m", "bt470bg", "tv"),
        "bt709": ("bt709", "bt709", "bt709", "tv"),
        "bt709-full": ("bt709", "bt709", "bt709", "pc"),
        "bt2020": ("bt2020", "bt2020-10", "bt2020nc", "tv"),
        "smpte240m": ("smpte240m", "smpte240m", "smpte240m", "tv"),
    }
    for name, spec in named.items():
        suffix = ".mp4" if name == "bt709" else ".mkv"
        depth = "yuv420p10le" if name == "bt2020" else "yuv420p"
        film(f"{name}{suffix}", *PICTURES, "-vf", f"scale=out_range={spec[3]},format={depth},{setparams(*spec)}", *tags(*spec), *X264)
    film("chroma-topleft.mkv", *PICTURES, "-pix_fmt", "yuv420p", *X264, "-x264-params", "chromaloc=2")
    hdr = ["-pix_fmt", "yuv420p10le"]
    x265 = ["--codec", "libx265"]
    x265_hdr = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", HDR10]
    for suffix in [".mkv", ".mp4", ".ts"]:
        film(f"pq-h265{suffix}", *PICTURES, *hdr, *PQ, *x265_hdr, options=x265, hdr=True)
        film(f"hlg-h265{suffix}", *PICTURES, *hdr, *HLG, *x265_hdr, options=x265, hdr=True)
    for suffix in [".mkv", ".mp4"]:
        film(f"pq-h264{suffix}", *PICTURES, *hdr, *PQ, *X264, "-x264-params", HDR10_X264)
        film(f"pq-h265-to-h264{suffix}", *PICTURES, *hdr, *PQ, *x265_hdr, hdr=True)
    film("hlg-vp9.webm", *PICTURES, *hdr, *HLG, "-c:v", "libvpx-vp9", "-profile:v", "2", "-deadline", "realtime", "-cpu-used", "8")
    film("pq-av1.mkv", *PICTURES, *hdr, *PQ, "-c:v", "libsvtav1", "-preset", "12", options=["--codec", "libsvtav1"])


def shapes():
    film("sar-16-11.mp4", *PICTURES, "-vf", "setsar=16/11", *X264)
    film("sar-64-45.mkv", *PICTURES, "-vf", "setsar=64/45", *X264)
    film("sar-8-9.mpg", *PICTURES, "-vf", "setsar=8/9", "-c:v", "mpeg2video", "-q:v", "2", "-aspect", "32/27")
    for degrees in [90, 180, 270]:
        suffix = ".mov" if degrees == 180 else ".mp4"
        def turned(path, degrees=degrees):
            straight = path.with_name(f"straight.tmp{path.suffix}")
            ffmpeg(*PICTURES, *SOUND, *X264, *AAC, straight)
            ffmpeg("-i", straight, "-c", "copy", "-metadata:s:v:0", f"rotate={degrees}", path)
            straight.unlink()
        film(f"rotated-{degrees}{suffix}", make=turned)
        if degrees == 90:
            film("rotated-90-to-mkv.mp4", make=turned, output=".mkv")
    film("odd-444.mkv", "-f", "lavfi", "-i", "testsrc2=size=129x97:rate=25:duration=1", "-pix_fmt", "yuv444p", *X264)
    film("odd-420.webm", "-f", "lavfi", "-i", "testsrc2=size=129x97:rate=25:duration=1", "-pix_fmt", "yuv420p", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
    film("cropped-by-codec.mp4", "-f", "lavfi", "-i", "testsrc2=size=130x90:rate=25:duration=1", "-pix_fmt", "yuv420p", *X264)
    film("letterbox.mkv", *PICTURES, "-vf", "drawbox=0:0:128:12:black:fill,drawbox=0:84:128:12:black:fill", *X264)


def fields():
    moving = ["-f", "lavfi", "-i", MOVING]
    woven = {"tff": "tinterlace=mode=interleave_top", "bff": "tinterlace=mode=interleave_bottom"}
    for order, weave in woven.items():
        flags = ["-flags", "+ildct+ilme", "-top", "1" if order == "tff" else "0"]
        film(f"interlaced-{order}.mpg", *moving, "-vf", f"{weave},format=yuv420p", "-c:v", "mpeg2video", "-q:v", "2", *flags, interlaced=True)
        film(f"interlaced-{order}.mkv", *moving, "-vf", f"{weave},format=yuv420p", *X264, "-x264-params", f"{order}=1", interlaced=True)
    film("interlaced-unflagged.mp4", *moving, "-vf", f"{woven['tff']},setfield=prog,format=yuv420p", *X264, interlaced=True)
    film("interlaced-field-rate.mkv", *moving, "-vf", f"{woven['tff']},format=yuv420p", *X264, "-x264-params", "tff=1", options=["--deinterlace", "field"], interlaced=True, fields=True)
    film("interlaced-field-rate.mp4", *moving, *SOUND, "-vf", f"{woven['tff']},format=yuv420p", *X264, "-x264-params", "tff=1", *AAC, options=["--deinterlace", "field"], interlaced=True, fields=True)
    film("interlaced-kept.mkv", *moving, "-vf", f"{woven['tff']},format=yuv420p", *X264, "-x264-params", "tff=1", options=["--deinterlace", "off"])
    film("progressive-flagged.mkv", "-f", "lavfi", "-i", "testsrc2=size=192x144:rate=25:duration=1", "-pix_fmt", "yuv420p", *X264, "-x264-params", "fake-interlaced=1")
    film("telecined.mpg", "-f", "lavfi", "-i", "testsrc2=size=192x144:rate=24000/1001:duration=2", "-vf", "telecine=pattern=23,format=yuv420p", "-c:v", "mpeg2video", "-q:v", "2", "-flags", "+ildct+ilme", telecined=True)


def font():
    """The bytes of a font as far as a container looks at them."""
    return b"\0\1\0\0" + bytes(2000)


def streams():
    film("two-videos.mkv", *PICTURES, *PICTURES, "-map", "0:v", "-map", "1:v", "-filter:v:1", "negate", *X264, "-metadata:s:v:1", "title=Other angle")
    film("two-videos.mp4", *PICTURES, *PICTURES, *SOUND, "-map", "0:v", "-map", "1:v", "-map", "2:a", *X264, *AAC)
    cover = folder / "cover.tmp.png"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x64:duration=1", "-frames:v", "1", cover)
    film("cover.mp4", *PICTURES, *SOUND, "-i", cover, "-map", "0", "-map", "1", "-map", "2", *X264, *AAC, "-c:v:1", "png", "-disposition:v:1", "attached_pic")
    film("cover.mkv", *PICTURES, *SOUND, "-map", "0", "-map", "1", *X264, *AAC, "-attach", cover, "-metadata:s:t", "mimetype=image/png", "-metadata:s:t", "filename=cover.png")
    cover.unlink()
    film("timecode.mov", *PICTURES, *X264, "-timecode", "10:00:00:00")
    film("timecode.mp4", *PICTURES, *SOUND, *X264, *AAC, "-timecode", "01:02:03:04")
    film("no-sound.mp4", *PICTURES, *X264)
    languages = ["eng", "fra", "ger", "jpn", "spa", "ita", "por", "kor"]
    def eight(suffix):
        args = [*PICTURES, *SOUND, "-map", "0:v", *["-map", "1:a"] * 8, *X264, *AAC]
        for i, language in enumerate(languages):
            args += [f"-metadata:s:a:{i}", f"language={language}", f"-metadata:s:a:{i}", f"title=Track {i}", f"-metadata:s:a:{i}", f"handler_name=Track {i}"]
            args += [f"-disposition:a:{i}", {1: "default", 3: "dub", 5: "comment", 6: "hearing_impaired", 7: "visual_impaired"}.get(i, "0")]
        film(f"eight-sounds{suffix}", *args)
    eight(".mkv")
    eight(".mp4")
    film("sound-codecs.mkv", *PICTURES, *SOUND, "-map", "0:v", *["-map", "1:a"] * 6, *X264, "-c:a:0", "aac", "-c:a:1", "ac3", "-c:a:2", "flac", "-c:a:3", "libopus", "-c:a:4", "libmp3lame", "-c:a:5", "pcm_s16le")
    film("surround.mkv", *PICTURES, "-f", "lavfi", "-i", "sine=duration=1,aformat=channel_layouts=5.1", *X264, "-c:a", "ac3")
    film("opus.webm", *PICTURES, *SOUND, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus")
    ass, srt, ttf = folder / "subs.tmp.ass", folder / "subs.tmp.srt", folder / "font.tmp.ttf"
    srt.write_text("1\n00:00:00,100 --> 00:00:00,500\nOne\n\n2\n00:00:00,600 --> 00:00:00,900\nZwei – drei\n")
    ffmpeg("-i", srt, ass)
    ttf.write_bytes(font())
    film("ass-fonts.mkv", *PICTURES, *SOUND, "-i", ass, "-i", srt, "-map", "0", "-map", "1", "-map", "2", "-map", "3", *X264, *AAC, "-c:s:0", "ass", "-c:s:1", "srt", "-metadata:s:s:0", "language=eng", "-metadata:s:s:1", "language=ger", "-disposition:s:1", "forced+hearing_impaired", "-attach", ttf, "-metadata:s:t", "mimetype=application/x-truetype-font", "-metadata:s:t", "filename=Own Font.ttf")
    film("mov-text.mp4", *PICTURES, *SOUND, "-i", srt, "-map", "0", "-map", "1", "-map", "2", *X264, *AAC, "-c:s", "mov_text", "-metadata:s:s:0", "language=fra")
    film("webvtt.webm", *PICTURES, "-i", srt, "-map", "0", "-map", "1", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:s", "webvtt")
    film("subtitles-to-mp4.mkv", *PICTURES, "-i", srt, "-map", "0", "-map", "1", *X264, "-c:s", "srt", output=".mp4")
    [path.unlink() for path in (ass, srt, ttf)]
    chapters = folder / "chapters.tmp.txt"
    chapters.write_text(";FFMETADATA1\ntitle=Ein Film – 映画\nartist=Nobody\n" + "".join(
        f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={a}\nEND={b}\ntitle={t}\n" for a, b, t in [(0, 333, "Anfang"), (333, 700, "Mitte é"), (700, 1000, "終")]))
    for suffix in [".mkv", ".mp4", ".mov"]:
        film(f"chapters{suffix}", *PICTURES, *SOUND, "-i", chapters, "-map_metadata", "2", "-map", "0", "-map", "1", *X264, *AAC, "-metadata:s:v:0", "language=jpn")
    chapters.unlink()
    def klv(path):
        data = path.with_name("data.tmp.bin")
        data.write_bytes(bytes(range(256)) * 4)
        plain = path.with_name("plain.tmp.ts")
        ffmpeg(*PICTURES, *SOUND, *X264, *AAC, plain)
        try:
            ffmpeg("-i", plain, "-f", "data", "-i", data, "-map", "0", "-map", "1", "-c", "copy", path)
        finally:
            data.unlink()
            plain.unlink()
    film("data-stream.ts", make=klv)
    film("captions.mp4", make=captions, captions=True)


def captions(path):
    """An H.264 film with an SEI message of CEA-608 bytes before each picture."""
    bare, with_captions = path.with_name("bare.tmp.h264"), path.with_name("captions.tmp.h264")
    ffmpeg(*PICTURES, *X264, "-aud", "1", "-bsf:v", "h264_mp4toannexb", "-x264-params", "slices=1:bframes=0", bare)
    units = bare.read_bytes().replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]
    made, number = bytearray(), 0
    for unit in units:
        if unit[0] & 31 in (1, 5):
            text = bytes([0xFC, 0x41 + number % 26, 0x61 + number % 26])
            payload = b"\xb5\x00\x31GA94\x03" + bytes([0x40 | 1, 0xFF]) + text + b"\xff"
            sei = bytes([6, 4, len(payload)]) + payload + b"\x80"
            made += b"\0\0\0\1" + sei
            number += 1
        made += b"\0\0\0\1" + unit
    with_captions.write_bytes(made)
    try:
        ffmpeg("-r", "25", "-i", with_captions, "-c", "copy", path)
    finally:
        bare.unlink()
        with_captions.unlink()


def damage():
    rng = random.Random(7)
    # A picture that needs many packets, so that damage hits some of them.
    noisy = ["-f", "lavfi", "-i", "testsrc2=size=192x144:rate=25:duration=3,noise=alls=12:allf=t"]
    def hurt(name, encoder, harm):
        def make(path):
            ffmpeg(*noisy, *SOUND, *encoder, "-g", "12", *AAC, path)
            data = bytearray(path.read_bytes())
            harm(data)
            path.write_bytes(data)
        film(name, make=make, damaged=True)
    def flip(data):
        for _ in range(30):
            data[rng.randrange(len(data) // 5, len(data) - len(data) // 5)] ^= 1 << rng.randrange(8)
    def drop_packets(data):
        for _ in range(12):
            at = rng.randrange(len(data) // 188 // 5, len(data) // 188 * 4 // 5) * 188
            del data[at : at + 188]
    def cut_off(data):
        del data[len(data) * 2 // 3 :]
    hurt("flipped-bits-h264.mkv", X264, flip)
    hurt("flipped-bits-h265.mkv", X265, flip)
    hurt("lost-packets-h264.ts", X264, drop_packets)
    hurt("lost-packets-mpeg2.ts", ["-c:v", "mpeg2video", "-q:v", "3"], drop_packets)
    hurt("cut-off.mkv", X264, cut_off)
    def front(path):
        ffmpeg(*noisy, *SOUND, *X264, *AAC, "-movflags", "+faststart", path)
        data = bytearray(path.read_bytes())
        cut_off(data)
        path.write_bytes(data)
    film("cut-off.mp4", make=front, damaged=True)


def main():
    global folder
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for group in [times, samples, colours, shapes, fields, streams, damage]:
        group()
    (folder / "corpus.json").write_text(json.dumps(corpus, indent=1))
    print(f"{len(corpus)} films in {folder}")


if __name__ == "__main__":
    main()
