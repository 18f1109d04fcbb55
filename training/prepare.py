"""Folders of films and photographs → clips to train on, and a manifest of where they come from.

    python prepare.py --films DIR --photos DIR --out DIR [--credits FILE] [--scale 4] [--pack FILE]
    python prepare.py --unpack FILE --out DIR

Writes into `--out`:
  hr.npy         `[clips, time, side, side, 3]`, 8 bits: films scaled down 1.5 to 3 times, so that their own compression
                 disappears, cut so that no clip crosses a cut; and generated clips (`synth.py`)
  lr.npy         `[clips, kinds, time, side/scale, side/scale, 3]`, 8 bits: the same clips made small, once for each of `KINDS`
  manifest.json  for each source its file, licence, credit and SHA-256, and how many clips it gave

`--pack` also writes as many clips as fit `--pack-mib` into one archive of WebP pictures, for a machine that takes little data;
`--unpack` makes the folder of it again there, without FFmpeg. Compressed kinds pass through x264 and x265 here, since encoding inside the training loop would cost more than the training.
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import zipfile

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import picture
import synth

# About how many pixels the side of a clip has (`side_of`), and its frames.
SIDE, COUNT = 224, 14
# How a clip is made small. "clean" is antialiased bicubic alone; "soft" is blurred, resampled and noisy, as cameras are.
KINDS = ["clean", "soft", "x264-18", "x264-23", "x264-27", "x265-25", "soft-x264-21", "soft-x264-25"]
FILMS = (".mp4", ".mkv", ".webm", ".mov", ".ts", ".avi", ".y4m")
ACROSS_CUT = 0.11


def side_of(scale):
    """The side of clips for a scale: that of the small ones is even, as 4:2:0 wants."""
    return SIDE // (2 * scale) * 2 * scale


def ffmpeg(*arguments, stdin=None):
    command = ["ffmpeg", "-nostdin", "-v", "error", "-threads", "1", *arguments]
    done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def probe(path):
    """Width and height as shown, and seconds."""
    show = "stream=width,height:stream_tags=rotate:stream_side_data=rotation:format=duration"
    out = subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", show, "-of", "json", path],
        check=True, capture_output=True,
    ).stdout
    found = json.loads(out)
    stream = found["streams"][0]
    width, height = stream["width"], stream["height"]
    turned = [s.get("rotation", 0) for s in stream.get("side_data_list", [])]
    if any(abs(int(turn)) % 180 == 90 for turn in turned):
        width, height = height, width
    return width, height, float(found["format"]["duration"])


def crosses_cut(frames):
    """Whether a frame differs far more from the one before than its neighbours do."""
    small = frames[:, ::8, ::8].astype(np.float32).mean(-1) / 255
    steps = np.abs(np.diff(small, axis=0)).mean((1, 2))
    return steps.max() > ACROSS_CUT and steps.max() > 3 * np.median(steps)


def liveliness(frames):
    """How much detail there is: the mean magnitude of the gradients of luma."""
    grey = frames.astype(np.float32).mean(-1)
    return np.abs(np.diff(grey, axis=-1)).mean() + np.abs(np.diff(grey, axis=-2)).mean()


def film_clips(path, rng, wanted, side):
    """Up to `wanted` clips of a film, `[COUNT, side, side, 3]` each."""
    width, height, seconds = probe(path)
    clips, tries = [], 0
    while len(clips) < wanted and tries < 2 * wanted:
        tries += 1
        most = min(3.0, min(width, height) / side)
        factor = rng.uniform(min(1.5, most), most)
        w, h = max(side, round(width / factor)), max(side, round(height / factor))
        start = rng.uniform(0, max(seconds - 1.2, 0.01))
        raw = ffmpeg("-ss", f"{start:.3f}", "-i", path, "-frames:v", str(COUNT), "-an", "-sn", "-fps_mode", "passthrough",
                     "-vf", f"scale={w}:{h}:flags=area+accurate_rnd+full_chroma_int,setsar=1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
        frames = np.frombuffer(raw, np.uint8).reshape(-1, h, w, 3)
        if len(frames) < COUNT or crosses_cut(frames):
            continue
        # Two crops of each stretch of frames, of each the livelier of two places.
        for _ in range(2):
            places = [(rng.integers(0, h - side + 1), rng.integers(0, w - side + 1)) for _ in range(2)]
            crops = [frames[:, y : y + side, x : x + side] for y, x in places]
            best = max(crops, key=lambda crop: liveliness(crop[::6]))
            if liveliness(best[::6]) > 2.0:
                clips.append(best.copy())
    return clips[:wanted]


def soften(clip, rng, scale):
    """A clip made small as cameras do it: blur, another resampling, sensor noise. RGB in [0, 1], `[time, 3, h, w]`."""
    sigma = rng.uniform(0.4, 1.8) * scale / 4
    radius = max(1, int(3 * sigma + 0.5))
    taps = torch.exp(-torch.arange(-radius, radius + 1).float() ** 2 / (2 * sigma**2))
    taps = (taps / taps.sum())[None, None]
    flat = clip.flatten(0, 1)[:, None]
    flat = F.conv2d(F.pad(flat, (radius, radius, 0, 0), mode="replicate"), taps[:, :, None, :])
    flat = F.conv2d(F.pad(flat, (0, 0, radius, radius), mode="replicate"), taps[..., None])
    clip = flat[:, 0].unflatten(0, clip.shape[:2])
    size = (clip.shape[-2] // scale, clip.shape[-1] // scale)
    if rng.random() < 0.5:
        small = picture.shrink(clip, scale)
    else:
        small = F.interpolate(clip, size=size, mode="bilinear", antialias=True)
    noise = torch.from_numpy(rng.standard_normal(small.shape).astype(np.float32))
    return small + noise * rng.uniform(0, 4 / 255)


def make_small(clip, rng, scale):
    """The clean and the soft version, 8 bits."""
    rgb = torch.from_numpy(clip).permute(0, 3, 1, 2).float() / 255
    both = (picture.shrink(rgb, scale), soften(rgb, rng, scale))
    return [picture.to_8_bit(x).permute(0, 2, 3, 1).numpy() for x in both]


def compressed(clips, codec, crf, scratch):
    """`clips` `[n, time, h, w, 3]` as they come out of an encoder, chroma subsampled; every clip begins with a key frame."""
    n, count, h, w, _ = clips.shape
    colour = "in_color_matrix=bt601:out_color_matrix=bt601:flags=bicubic+accurate_rnd+full_chroma_int"
    keys = f"keyint={count}:min-keyint={count}:scenecut=0"
    library = {"x264": ["-c:v", "libx264", "-x264-params", f"{keys}:threads=1"],
               "x265": ["-c:v", "libx265", "-x265-params", f"{keys}:pools=1:frame-threads=1:log-level=none"]}[codec]
    ffmpeg("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{w}x{h}", "-r", "24", "-i", "-", "-vf", f"scale={colour}",
           *library, "-preset", "fast", "-crf", str(crf), "-pix_fmt", "yuv420p", "-y", scratch, stdin=clips.tobytes())
    raw = ffmpeg("-i", scratch, "-vf", f"scale={colour}", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    os.remove(scratch)
    return np.frombuffer(raw, np.uint8).reshape(clips.shape)


def as_webp(frames, quality):
    """Frames `[time, h, w, 3]` as one tall picture."""
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frames).reshape(-1, frames.shape[2], 3)).save(out, "WEBP", quality=quality, method=4)
    return out.getvalue()


def pack(folder, path, most_bytes):
    """Clips of a prepared folder, in an order that takes from all parts of it, until the archive is full."""
    hr, lr = (np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in ("hr", "lr"))
    with open(f"{folder}/manifest.json", encoding="utf-8") as file:
        manifest = file.read()
    size = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("manifest.json", manifest)
        for i in np.random.default_rng(1).permutation(len(hr)):
            # The clean kind follows from the large clip; the other kinds hardly suffer, being damaged already.
            entries = {"hr": as_webp(hr[i], 88)} | {str(k): as_webp(lr[i, k], 90) for k in range(1, lr.shape[1])}
            size += sum(len(entry) + 200 for entry in entries.values())
            if size + 2000 > most_bytes:
                break
            for name, entry in entries.items():
                archive.writestr(f"{i:05d}/{name}.webp", entry)


def unpack(path, folder):
    """The folder that `pack` read, of the clips that it took."""
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        names = sorted({name.split("/")[0] for name in archive.namelist() if "/" in name})

        def frames(name):
            return np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB"))

        scale, kinds = manifest["scale"], manifest["kinds"]
        side = side_of(scale)
        small = side // scale
        hr = np.lib.format.open_memmap(f"{folder}/hr.npy", "w+", np.uint8, (len(names), COUNT, side, side, 3))
        lr = np.lib.format.open_memmap(f"{folder}/lr.npy", "w+", np.uint8, (len(names), len(kinds), COUNT, small, small, 3))
        for i, name in enumerate(names):
            hr[i] = frames(f"{name}/hr.webp").reshape(hr.shape[1:])
            rgb = torch.from_numpy(hr[i].copy()).permute(0, 3, 1, 2).float() / 255
            lr[i, 0] = picture.to_8_bit(picture.shrink(rgb, scale)).permute(0, 2, 3, 1).numpy()
            for k in range(1, len(kinds)):
                lr[i, k] = frames(f"{name}/{k}.webp").reshape(lr.shape[2:])
        hr.flush(), lr.flush()
    with open(f"{folder}/manifest.json", "w", encoding="utf-8") as out:
        json.dump(manifest, out, indent=1)


def read_credits(path):
    """Lines `NAME<tab>LICENCE<tab>CREDIT`; NAME is a file's name, its stem or a folder's."""
    credits = {}
    if path:
        for line in open(path, encoding="utf-8"):
            if line.strip() and not line.startswith("#"):
                name, licence, credit = line.rstrip("\n").split("\t")
                credits[name] = (licence, credit)
    return credits


def source_entry(path, folder, credits, clips):
    name = os.path.basename(path)
    for key in (name, os.path.splitext(name)[0], folder):
        if key in credits:
            licence, credit = credits[key]
            break
    else:
        raise SystemExit(f"{name}: no licence is given for it; add a line to --credits or take the file away")
    digest = hashlib.sha256(open(path, "rb").read()).hexdigest()
    return dict(file=name, licence=licence, credit=credit, sha256=digest, clips=clips)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", help="folder of films")
    parser.add_argument("--photos", help="folder of photographs")
    parser.add_argument("--credits", help="licence and credit of each file, tab separated")
    parser.add_argument("--out", required=True)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--film-clips", type=int, default=14, help="clips of each film")
    parser.add_argument("--generated", type=int, default=500, help="generated clips")
    parser.add_argument("--pack", help="archive to write")
    parser.add_argument("--pack-mib", type=float, default=60)
    parser.add_argument("--unpack", help="archive to read in place of films and photographs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    os.makedirs(args.out, exist_ok=True)
    if args.unpack:
        unpack(args.unpack, args.out)
        return
    rng, side = np.random.default_rng(args.seed), side_of(args.scale)
    credits, manifest, clips = read_credits(args.credits), [], []

    for name in sorted(os.listdir(args.films)) if args.films else []:
        if name.lower().endswith(FILMS):
            path = os.path.join(args.films, name)
            found = film_clips(path, rng, args.film_clips, side)
            manifest.append(source_entry(path, os.path.basename(os.path.normpath(args.films)), credits, len(found)))
            clips += found
            print(f"{name}: {len(found)} clips", flush=True)
    photos = []
    for name in sorted(os.listdir(args.photos)) if args.photos else []:
        if name.lower().endswith((".jpg", ".jpeg", ".png", ".webp")):
            path = os.path.join(args.photos, name)
            photos.append(Image.open(path).convert("RGB"))
            manifest.append(source_entry(path, os.path.basename(os.path.normpath(args.photos)), credits, 0))
    files = synth.fonts()
    clips += [synth.clip(rng, photos, files, COUNT, side) for _ in range(args.generated)]
    manifest.append(dict(file="synth.py", licence="MIT OR Apache-2.0", credit="framelift", clips=args.generated))
    print(f"{args.generated} generated clips", flush=True)

    hr = np.lib.format.open_memmap(f"{args.out}/hr.npy", "w+", np.uint8, (len(clips), COUNT, side, side, 3))
    small = side // args.scale
    lr = np.lib.format.open_memmap(f"{args.out}/lr.npy", "w+", np.uint8, (len(clips), len(KINDS), COUNT, small, small, 3))
    for i, clip in enumerate(clips):
        hr[i] = clip
        lr[i, 0], lr[i, 1] = make_small(clip, rng, args.scale)
    for k, kind in enumerate(KINDS[2:], 2):
        *soft, codec, crf = kind.split("-")
        lr[:, k] = compressed(np.ascontiguousarray(lr[:, 1 if soft else 0]), codec, int(crf), f"{args.out}/scratch.mkv")
        print(kind, flush=True)
    hr.flush(), lr.flush()
    with open(f"{args.out}/manifest.json", "w", encoding="utf-8") as out:
        json.dump(dict(scale=args.scale, kinds=KINDS, sources=manifest), out, indent=1)
    if args.pack:
        pack(args.out, args.pack, args.pack_mib * 2**20)


if __name__ == "__main__":
    main()
