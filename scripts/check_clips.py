#!/usr/bin/env python3
"""Sends every film of a folder through framelift and compares what ffprobe says of input and output.

    scripts/check_clips.py target/release/framelift FOLDER [--frames N] [--model bicubic]

For each film: frames and their times (in ticks where the containers allow, else to the output's tick), streams by kind,
codec (copied ones), language and packet count, chapters, colour tags where the input states them, aspect ratio, rotation.
Prints a line a film and exits with 1 if anything differs. Needs ffprobe.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

FILMS = {".mp4", ".mkv", ".webm", ".ts", ".mov"}


def ffprobe(path, *options):
    command = ["ffprobe", "-v", "error", "-of", "json", *options, str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def main_video(streams):
    videos = [s for s in streams if s["codec_type"] == "video" and not s["disposition"].get("attached_pic")]
    return videos[0]["index"]


def describe(path, frames):
    info = ffprobe(path, "-show_streams", "-show_chapters", "-count_packets")
    video = main_video(info["streams"])
    shown = ffprobe(path, "-select_streams", str(video), "-show_frames", "-show_entries", "frame=best_effort_timestamp")["frames"]
    base = Fraction(info["streams"][video]["time_base"])
    ticks = [f["best_effort_timestamp"] for f in shown if "best_effort_timestamp" in f]
    return info, info["streams"][video], [t * base for t in ticks][:frames], base


def packets(stream):
    return int(stream.get("nb_read_packets", 0))


def compare(source, result, frames):
    """What differs, as a list of phrases."""
    a, video_a, times_a, base_a = describe(source, frames)
    b, video_b, times_b, base_b = describe(result, frames)
    wrong = []
    if len(times_a) != len(times_b):
        wrong.append(f"{len(times_a)} frames became {len(times_b)}")
    tick = base_b if (base_a / base_b).denominator != 1 else 0
    off = [(x, y) for x, y in zip(times_a, times_b) if abs(x - y) > tick / 2]
    if off:
        wrong.append(f"{len(off)} times differ, first {float(off[0][0])} -> {float(off[0][1])}")
    for tag in ["color_space", "color_range", "color_primaries", "color_transfer"]:
        kept = video_a.get("color_space") != "gbr" and video_a.get(tag, "unknown") not in ("unknown", "reserved")
        if kept and video_a[tag] != video_b.get(tag):
            wrong.append(f"{tag} {video_a[tag]} became {video_b.get(tag)}")
    ratio = lambda s: s.get("sample_aspect_ratio", "1:1").replace("0:1", "1:1")
    if ratio(video_a) != ratio(video_b):
        wrong.append(f"pixels {ratio(video_a)} became {ratio(video_b)}")
    turn = lambda s: [d.get("rotation") for d in s.get("side_data_list", []) if "rotation" in d]
    if turn(video_a) != turn(video_b):
        wrong.append(f"rotation {turn(video_a)} became {turn(video_b)}")
    if len(a["chapters"]) != len(b["chapters"]):
        wrong.append(f"{len(a['chapters'])} chapters became {len(b['chapters'])}")
    copied = lambda info, video: [s for s in info["streams"] if s["index"] != video["index"] and s["codec_type"] != "data"]
    before, after = copied(a, video_a), copied(b, video_b)
    name = lambda s: (s["codec_type"], s["codec_name"], s.get("tags", {}).get("language", "und"))
    if [name(s) for s in before] != [name(s) for s in after]:
        wrong.append(f"streams {[name(s) for s in before]} became {[name(s) for s in after]}")
    elif frames is None:
        for x, y in zip(before, after):
            if packets(x) != packets(y):
                wrong.append(f"{packets(x)} packets of {name(x)} became {packets(y)}")
    return wrong, len(times_b)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("framelift")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int)
    parser.add_argument("--model", default="bicubic")
    args = parser.parse_args()
    failed = 0
    films = sorted(p for p in args.folder.rglob("*") if p.suffix in FILMS)
    for film in films:
        suffix = {".ts": ".mp4"}.get(film.suffix, film.suffix)
        with tempfile.TemporaryDirectory() as scratch:
            result = Path(scratch) / f"out{suffix}"
            command = [args.framelift, "upscale", film, "-o", result, "--model", args.model, "--progress", "plain"]
            command += ["--encoder-options", "deadline=realtime:cpu-used=8"] if suffix == ".webm" else ["--preset", "ultrafast"]
            command += ["--frames", str(args.frames)] if args.frames else []
            run = subprocess.run([str(c) for c in command], capture_output=True, text=True)
            notes = [line for line in run.stderr.splitlines() if line.startswith("note:")]
            if run.returncode != 0:
                wrong, count = [f"exit code {run.returncode}: {run.stderr.splitlines()[-1]}"], 0
            else:
                wrong, count = compare(film, result, args.frames)
        print(f"{'FAIL' if wrong else 'ok  '} {film.relative_to(args.folder)} {count} frames {'; '.join(wrong)}", flush=True)
        for note in notes:
            print(f"       {note}", flush=True)
        failed += bool(wrong)
    print(f"{len(films) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
