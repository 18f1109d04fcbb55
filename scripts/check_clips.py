#!/usr/bin/env python3
"""Sends every film of a folder through framelift and compares what ffprobe says of input and output.

    scripts/check_clips.py target/release/framelift FOLDER [--frames N] [--model NAME]… [--only PART]

For each film: frames, their times in exact ticks and the length, streams by kind, codec, language, title, dispositions and
packets with their times, attachments by content, chapters, metadata, colour tags, chroma siting, depth, subsampling, alpha,
pixel shape, rotation, HDR metadata, captions. What containers cannot hold is excused by the entry of docs/containers.md that
says so; anything else is a difference. Prints a line a film and model, and exits with 1 if anything differs. Needs ffprobe.

A folder made by make_corpus.py holds corpus.json, which says how each film is to be written and what else must be true.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from fractions import Fraction
from pathlib import Path

FILMS = {".mp4", ".mkv", ".webm", ".ts", ".mov", ".avi", ".mpg", ".flv", ".gif", ".y4m", ".m4v"}
DOCS = Path(__file__).resolve().parent.parent / "docs" / "containers.md"
MATROSKA = {".mkv", ".webm"}
MOV = {".mp4", ".mov", ".m4v"}
HDR = {"Mastering display metadata", "Content light level metadata"}
# Tags that containers or encoders write of themselves.
OWN_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "creation_time", "handler_name", "vendor_id", "duration"}
STATISTICS = re.compile(r"^(bps|duration|number_of_frames|number_of_bytes|_statistics)", re.IGNORECASE)


def ffprobe(path, *options):
    command = ["ffprobe", "-v", "quiet", "-of", "json", *options, str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def main_video(streams):
    return next(s for s in streams if s["codec_type"] == "video" and not s["disposition"].get("attached_pic") and s.get("width"))


# The film read last: it is sent through several models.
sources = {}


class Film:
    """What ffprobe sees."""

    def __init__(self, path, frames):
        self.suffix = path.suffix
        self.info = ffprobe(path, "-show_streams", "-show_chapters", "-show_format", "-show_packets", "-show_data_hash", "md5")
        self.video = main_video(self.info["streams"])
        index = str(self.video["index"])
        entries = "frame=best_effort_timestamp,pkt_duration,duration,interlaced_frame,side_data_list"
        shown = ffprobe(path, "-select_streams", index, "-show_frames", "-show_entries", entries)["frames"][:frames]
        self.base = Fraction(self.video["time_base"])
        self.frames = shown
        length = lambda f: int(f.get("duration", f.get("pkt_duration", 0))) * self.base
        self.times = []
        for frame, before in zip(shown, [None, *shown]):
            at = frame.get("best_effort_timestamp")
            # A frame without a time follows the one before it.
            self.times.append(at * self.base if at is not None else self.times[-1] + length(before) if self.times else Fraction(0))
        self.last_s = length(shown[-1]) if shown else Fraction(0)
        pieces = self.video.get("side_data_list", []) + (shown[0].get("side_data_list", []) if shown else [])
        png = self.video.get("codec_name") == "png"  # its reader makes such metadata of the primaries
        self.hdr = {d["side_data_type"]: {k: Fraction(v) for k, v in d.items() if k != "side_data_type"} for d in pieces if d.get("side_data_type") in HDR and not png}
        self.captions = sum(any("A53" in d.get("side_data_type", "") for d in f.get("side_data_list", [])) for f in shown)
        self.copied = [s for s in self.info["streams"] if s["index"] != self.video["index"]]
        self.packets = {s["index"]: [p for p in self.info["packets"] if p["stream_index"] == s["index"]] for s in self.copied}

    def tag(self, stream, key, default=None):
        tags = {k.lower(): v for k, v in stream.get("tags", {}).items()}
        return tags.get(key, default)

    def rotation(self):
        return [int(d["rotation"]) % 360 for d in self.video.get("side_data_list", []) if "rotation" in d and int(d["rotation"]) % 360]

    def layout(self):
        name = self.video.get("pix_fmt", "")
        depth = int(re.search(r"(?:p|gray|rgb|gbrap?)(\d\d)[lb]e", name).group(1)) if re.search(r"\d\d[lb]e", name) else 8
        depth = {"rgb48le": 16, "rgb48be": 16, "rgba64be": 16, "rgba64le": 16}.get(name, depth)
        alpha = bool(re.match(r"yuva|.*rgba|bgra|argb|abgr|gbrap|ya", name)) or self.tag(self.video, "alpha_mode") == "1"
        chroma = re.search(r"4[0-4][0-4]", name)
        return ("rgb" if re.search(r"rgb|bgr|gbr|pal8", name) else chroma.group(0) if chroma else "gray" if "gray" in name else name), depth, alpha


def ratio(stream):
    return stream.get("sample_aspect_ratio", "1:1").replace("0:1", "1:1")


def compare(a, b, frames, known, notices):
    """What differs, each as the name of an entry of docs/containers.md (or None) and a phrase."""
    wrong = []

    def differs(phrase, *, excuse=None, when=False):
        wrong.append((excuse if when else None, phrase))

    # An entry of docs/containers.md excuses a difference only where the container it speaks of is written.

    said = "\n".join(notices)
    matroska, mov = b.suffix in MATROSKA, b.suffix in MOV
    compare_times(a, b, known, said, differs)
    if frames is None and not known.get("damaged"):
        compare_length(a, b, known, differs)
    compare_pictures(a, b, known, said, differs)

    kept = lambda s: s["codec_type"] != "data" or a.tag(s, "timecode") is None
    before = [s for s in a.copied if kept(s) and s.get("codec_tag_string") != "text"]
    after = [s for s in b.copied if kept(s) and s.get("codec_tag_string") != "text"]
    left_out = [s for s in before if re.search(rf"{s['index']} \([^)]*\) is left out", said)]
    for s in left_out:
        kind = s["codec_type"]
        holds = {"subtitle": mov or b.suffix == ".webm", "attachment": b.suffix != ".mkv", "data": b.suffix != ".mov"}
        differs(f"{kind} {s['index']} left out", excuse=f"no-{kind}", when=holds.get(kind, False))
    before = [s for s in before if s not in left_out]
    timecode = lambda f: f.tag(f.video, "timecode") or next((f.tag(s, "timecode") for s in f.copied if f.tag(s, "timecode")), f.tag(f.info["format"], "timecode"))
    if timecode(a) != timecode(b):
        differs(f"timecode {timecode(a)} became {timecode(b)}")
    name = lambda s: (s["codec_type"], s.get("codec_name"))
    names = lambda streams: [name(s) for s in streams]
    if names(before) != names(after) and [(k, "mp3" if c == "mp2" else c) for k, c in names(before)] == names(after) and mov:
        differs("mp2 is called mp3", excuse="mp2-in-mp4", when=True)
        after = [s | {"codec_name": p["codec_name"]} for s, p in zip(after, before)]
    if names(before) != names(after):
        differs(f"streams {[name(s) for s in before]} became {[name(s) for s in after]}")
    else:
        for x, y in zip(before, after):
            compare_stream(a, b, x, y, frames, known, differs)
    for x, y in [(a.video, b.video)]:
        compare_words(a, b, x, y, differs)

    chapters = lambda f: [(Fraction(c["start"]) * Fraction(c["time_base"]), Fraction(c["end"]) * Fraction(c["time_base"]), c.get("tags", {}).get("title")) for c in f.info["chapters"]]
    x, y = chapters(a), chapters(b)
    if len(x) != len(y) or any(p[2] != q[2] or abs(p[0] - q[0]) > Fraction(1, 1000) or abs(p[1] - q[1]) > Fraction(1, 1000) for p, q in zip(x, y)):
        differs(f"chapters {x} became {y}")
    words = lambda f: {k.lower(): v for k, v in f.info["format"].get("tags", {}).items() if k.lower() not in OWN_TAGS}
    x, y = words(a), words(b)
    for key, value in x.items():
        if y.get(key) != value and key != "timecode":
            differs(f"tag {key} {value!r} became {y.get(key)!r}")
    return wrong


def compare_times(a, b, known, said, differs):
    expected = a.times
    if known.get("fields"):
        ends = [*expected[1:], expected[-1] + a.last_s] if expected else []
        expected = [t for start, end in zip(expected, ends) for t in (start, (start + end) / 2)]
    if len(expected) != len(b.times):
        differs(f"{len(expected)} frames became {len(b.times)}")
        return
    times = b.times
    if known.get("discontinuity"):
        # Where the film's own clock jumps back no container can follow: it goes on.
        steps = [t for t in zip(expected, expected[1:])]
        if any(y <= x for x, y in zip(times, times[1:])) or sum(y < x for x, y in steps) != 1 or "jump" not in said:
            differs("the jump in time was not bridged", excuse=None)
        for (x, y), (p, q) in zip(steps, zip(times, times[1:])):
            if y > x and y - x != q - p:
                differs(f"a step of {float(y - x)} s became {float(q - p)} s")
                break
        differs("times go on where the film's jump back", excuse="jump-back", when=True)
        return
    moved = Fraction(0)
    if expected and expected[0] < 0 and "moved" in said:
        moved = times[0] - expected[0]
        differs("the film is moved to start at zero", excuse="start-before-zero", when=True)
    tick = b.base if (a.base / (2 if known.get("fields") else 1) / b.base).denominator != 1 else 0
    off = [(x, y) for x, y in zip(expected, times) if abs(x + moved - y) > tick / 2]
    if off:
        differs(f"{len(off)} times differ, first {float(off[0][0])} -> {float(off[0][1])}")
    elif any(x + moved != y for x, y in zip(expected, times)):
        differs("times rounded to milliseconds", excuse="milliseconds", when=b.suffix in MATROSKA)


def compare_length(a, b, known, differs):
    """When the last frame ends, as far as the containers say."""

    def end(film):
        stated = film.video.get("duration_ts") if film.suffix in MOV else None
        if stated is not None:
            return stated * film.base + film.times[0]
        return film.times[-1] + film.last_s if film.last_s else None

    x, y = end(a), end(b)
    if a.suffix in {".gif", ".y4m", ".avi", ".flv", ".mpg", ".ts"} or x is None or y is None:
        return
    if abs((x - a.times[0]) - (y - b.times[0])) > Fraction(3, 2000):
        differs(f"{float(x - a.times[0])} s became {float(y - b.times[0])}")


def compare_pictures(a, b, known, said, differs):
    x, y = a.video, b.video
    rgb = lambda f: f.layout()[0] == "rgb"
    for tag in ["color_space", "color_range", "color_primaries", "color_transfer", "chroma_location"]:
        stated = x.get(tag, "unknown") not in ("unknown", "unspecified", "reserved", "gbr") and not rgb(a)
        subsampled = b.layout()[0] not in ("444", "rgb", "gray")
        if tag == "chroma_location" and not subsampled or x.get(tag) == y.get(tag) or not stated:
            continue
        silent = tag == "chroma_location" and (y.get("codec_name") not in ("h264", "hevc") or b.layout()[0] != "420")
        differs(f"{tag} {x[tag]} became {y.get(tag)}", excuse="siting", when=silent)
    if ratio(x) != ratio(y):
        differs(f"pixels {ratio(x)} became {ratio(y)}")
    if a.rotation() != b.rotation():
        differs(f"rotation {a.rotation()} became {b.rotation()}", excuse="rotation-in-matroska", when=b.suffix in MATROSKA and "turn the film" in said)
    (chroma_a, depth_a, alpha_a), (chroma_b, depth_b, alpha_b) = a.layout(), b.layout()
    if chroma_a != chroma_b and not (chroma_a == "rgb" and "RGB" in said) and f"chroma" not in said and f"keeps" not in said:
        differs(f"samples {x.get('pix_fmt')} became {y.get('pix_fmt')}")
    if depth_a > depth_b and "keeps" not in said:
        differs(f"depth {depth_a} became {depth_b}")
    if alpha_a and not alpha_b and "alpha" not in said:
        differs("alpha is gone without a word")
    if known.get("alpha") and not alpha_b:
        differs("alpha is gone")
    for kind in a.hdr.keys() | b.hdr.keys():
        if a.hdr.get(kind) != b.hdr.get(kind):
            differs(f"{kind} {a.hdr.get(kind)} became {b.hdr.get(kind)}")
    if known.get("hdr") and not a.hdr:
        differs("the corpus film has no HDR metadata")
    if a.captions != b.captions or (known.get("captions") and not a.captions):
        differs(f"{a.captions} frames with captions became {b.captions}")
    if known.get("interlaced"):
        if "deinterlaced" not in said:
            differs("interlaced, and not deinterlaced")
        if y.get("field_order", "progressive") not in ("progressive", "unknown") or any(f.get("interlaced_frame") for f in b.frames):
            differs("the result is marked as interlaced")
    elif "deinterlaced" in said and not known.get("telecined"):
        differs("deinterlaced though progressive")
    if known.get("telecined") and "telecine" not in said:
        differs("telecined, and not said")
    if known.get("damaged") and "damaged" not in said and "cut" not in said and "lost" not in said:
        differs("damage was not reported")


def compare_words(a, b, x, y, differs):
    """Language, title and dispositions."""
    language = lambda f, s: f.tag(s, "language", "und")
    if language(a, x) != language(b, y):
        differs(f"language {language(a, x)} of {x['index']} became {language(b, y)}")
    title = lambda f, s: f.tag(s, "title")
    if title(a, x) != title(b, y):
        differs(f"title {title(a, x)} of {x['index']} became {title(b, y)}")
    flags = lambda s: {k for k, v in s["disposition"].items() if v}
    if flags(x) != flags(y):
        lost, new = flags(x) - flags(y), flags(y) - flags(x)
        mov = b.suffix in MOV and lost <= {"dub", "original", "comment", "lyrics", "karaoke", "forced", "hearing_impaired", "visual_impaired", "captions", "descriptions"} and new <= {"default"}
        mkv = b.suffix in MATROSKA and lost <= {"dub", "lyrics", "karaoke"} and not new
        excuse = "dispositions-in-mp4" if mov else "dispositions-in-matroska"
        differs(f"dispositions {sorted(flags(x))} of {x['index']} became {sorted(flags(y))}", excuse=excuse, when=mov or mkv)


def compare_stream(a, b, x, y, frames, known, differs):
    compare_words(a, b, x, y, differs)
    if x["codec_type"] == "attachment":
        for key in ["filename", "mimetype"]:
            if a.tag(x, key) != b.tag(y, key):
                differs(f"{key} {a.tag(x, key)} became {b.tag(y, key)}")
        if x.get("extradata_hash") != y.get("extradata_hash"):
            differs(f"the bytes of attachment {x['index']} changed")
        return
    if frames is not None or known.get("damaged") or x["disposition"].get("attached_pic"):
        return
    p, q = a.packets[x["index"]], b.packets[y["index"]]
    before_zero = [k for k in p if int(k.get("pts", 0)) < 0]
    if b.suffix in MATROSKA and before_zero and len(p) - len(q) == len(before_zero):
        differs("sound before zero left out", excuse="priming-in-matroska", when=x["codec_type"] == "audio")
        p = [k for k in p if k not in before_zero]
    if len(p) != len(q):
        differs(f"{len(p)} packets of {x['codec_type']} {x['index']} became {len(q)}")
        return
    if known.get("discontinuity"):
        return
    base_x, base_y = Fraction(x["time_base"]), Fraction(y["time_base"])
    at = lambda packets, base: [int(k["pts"]) * base for k in packets if "pts" in k]
    if [k.get("data_hash") for k in p] != [k.get("data_hash") for k in q] and same_payload(a, b, x):
        differs(f"the bytes of {x['codec_type']} {x['index']} changed")
    p, q = at(p, base_x), at(q, base_y)
    # Sync is what counts: a film that was moved was moved as a whole.
    moved = b.times[0] - a.times[0] if a.times and b.times and a.times[0] < 0 else 0
    off = [(s, t) for s, t in zip(p, q) if abs(s + moved - t) > max(base_x, base_y, Fraction(1, 1000))]
    if off:
        differs(f"{len(off)} times of {x['codec_type']} {x['index']} differ, first {float(off[0][0])} -> {float(off[0][1])}")


def same_payload(a, b, stream):
    """Whether containers keep a packet's bytes as they are: some wrap text and H.264 in their own ways."""
    return a.suffix == b.suffix and stream["codec_type"] == "audio"


def run(args, film, known, scratch, model):
    result = scratch / f"out{known.get('output', {'.ts': '.mp4'}.get(film.suffix, film.suffix))}"
    result.unlink(missing_ok=True)
    command = [args.framelift, "upscale", film, "-o", result, "--model", model, "--progress", "plain"]
    command += known.get("args", [])
    if "--codec" not in known.get("args", []):
        command += ["--encoder-options", "deadline=realtime:cpu-used=8"] if result.suffix == ".webm" else ["--preset", "ultrafast"]
    elif "libx265" in known["args"]:
        command += ["--preset", "ultrafast"]
    command += ["--scale", "2"] if model in ("bicubic", "lanczos") else []
    command += ["--frames", str(args.frames)] if args.frames else []
    ran = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    notices = [line for line in ran.stderr.splitlines() if line.startswith("note:")]
    if ran.returncode != 0:
        last = (ran.stderr.splitlines() or ["nothing said"])[-1]
        return None, [(None, f"exit code {ran.returncode}: {last}")], notices
    made = Film(result, None)
    source = sources.get(film) or Film(film, args.frames)
    sources.clear()
    sources[film] = source
    return made, compare(source, made, args.frames, known, notices), notices


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("framelift")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int)
    parser.add_argument("--model", action="append", help="default: bicubic; may be given again")
    parser.add_argument("--only", default="", help="films whose name holds this")
    parser.add_argument("--quiet", action="store_true", help="only what fails, and the sum")
    args = parser.parse_args()
    corpus = args.folder / "corpus.json"
    known = json.loads(corpus.read_text()) if corpus.exists() else {}
    entries = set(re.findall(r"^\| `([a-z0-9-]+)`", DOCS.read_text(), re.MULTILINE)) if DOCS.exists() else set()
    failed, runs, excuses = 0, 0, Counter()
    films = sorted(p for p in args.folder.rglob("*") if p.suffix in FILMS and args.only in p.name)
    with tempfile.TemporaryDirectory() as scratch:
        for film in films:
            for model in args.model or ["bicubic"]:
                made, found, notices = run(args, film, known.get(film.name, {}), Path(scratch), model)
                wrong = [phrase for excuse, phrase in found if excuse not in entries]
                excuses.update(excuse for excuse, _ in found if excuse in entries)
                runs += 1
                failed += bool(wrong)
                if wrong or not args.quiet:
                    count = len(made.frames) if made else 0
                    print(f"{'FAIL' if wrong else 'ok  '} {film.relative_to(args.folder)} {model} {count} frames {'; '.join(wrong)}", flush=True)
                    for note in notices:
                        print(f"       {note}", flush=True)
    print(f"{len(films)} films, {runs} runs: {runs - failed} passed, {failed} failed")
    for excuse, count in sorted(excuses.items()):
        print(f"  excused by {excuse} of docs/containers.md: {count}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
