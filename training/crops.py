"""The picture of `docs/lift-crops.png`: ten places in films and photographs, made small by BI and enlarged by bicubic, lift-x4 and general-x4v3, beside the truth.

    python crops.py --framelift PROGRAM --films DIR --photos DIR --general realesr-general-x4v3-fp16.safetensors --out crops.png

Photographs are panned. Six frames of each place go through the program as a shot; the last is shown, 160 × 120 pixels of it.
"""

import argparse
import os
import subprocess
import tempfile

import numpy as np
import torch
from PIL import Image

import picture
from evaluate import read_film
from prepare import ffmpeg

# What it shows, film or photograph, seconds, and where the middle of the crop lies, as shares of width and height.
PLACES = [
    ("face", "elephants-dream.mp4", 12.0, 0.5, 0.5),
    ("text", "motherboard-circuits.jpg", 0, 0.4, 0.4),
    ("foliage", "tea-gardens.jpg", 0, 0.5, 0.6),
    ("water", "ocean-waves.jpg", 0, 0.5, 0.6),
    ("brick", "roman-colosseum.jpg", 0, 0.5, 0.45),
    ("cartoon lines", "bigbuckbunny.mp4", 2.0, 0.5, 0.5),
    ("night", "singaporean-cityscape.jpg", 0, 0.5, 0.55),
    ("sport", "max-heromode.mp4", 4.0, 0.5, 0.3),
    ("sky", "karma.mp4", 6.0, 0.5, 0.45),
    ("grain", "sintel-trailer.mp4", 13.0, 0.5, 0.45),
]
WIDE, HIGH, MARGIN = 160, 120, 80


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--framelift", required=True)
    parser.add_argument("--films", required=True)
    parser.add_argument("--photos", required=True)
    parser.add_argument("--general", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for what, film, start, across, down in PLACES:
        with tempfile.TemporaryDirectory() as folder:
            path = next(p for p in (f"{args.films}/{film}", f"{args.photos}/{film}") if os.path.exists(p))
            if film.endswith(".jpg"):
                photo = Image.open(path).convert("RGB")
                photo = photo.reduce(2) if min(photo.size) >= 2 * HIGH + 6 * MARGIN else photo
                # A camera that pans by three pixels a frame.
                for t in range(6):
                    photo.crop((3 * t, t, photo.width // 2 * 2 - 20 + 3 * t, photo.height // 2 * 2 - 8 + t)).save(f"{folder}/{t}.png")
                source = ["-i", f"{folder}/%d.png"]
            else:
                source = ["-ss", str(start), "-i", path]
            ffmpeg(*source, "-frames:v", "6", "-an", "-sn", "-c:v", "ffv1", "-pix_fmt", "bgr0", f"{folder}/piece.mkv")
            truth = read_film(f"{folder}/piece.mkv", 4)
            height, width = truth.shape[-2:]
            h, w = HIGH + 2 * MARGIN, WIDE + 2 * MARGIN
            y = int(min(max(down * height - h / 2, 0), height - h)) // 4 * 4
            x = int(min(max(across * width - w / 2, 0), width - w)) // 4 * 4
            truth = truth[..., y : y + h, x : x + w]
            small = picture.to_8_bit(picture.shrink(truth, 4)).permute(0, 2, 3, 1).numpy()
            os.mkdir(f"{folder}/small")
            for t, frame in enumerate(small):
                Image.fromarray(frame).save(f"{folder}/small/{t:03d}.png")
            tiles = []
            for i, model in enumerate((["--model", "bicubic", "--scale", "4"], ["--model", "lift-x4"], ["--weights", args.general])):
                os.mkdir(f"{folder}/{i}")
                subprocess.run([args.framelift, "upscale", f"{folder}/small/%03d.png", "-o", f"{folder}/{i}/%03d.png", *model, "--progress", "none", "--no-resume"], check=True,
                               stderr=subprocess.DEVNULL)
                names = sorted(os.listdir(f"{folder}/{i}"))
                tiles.append(np.asarray(Image.open(f"{folder}/{i}/{names[-1]}").convert("RGB")))
            tiles.append(picture.to_8_bit(truth[-1]).permute(1, 2, 0).numpy())
            rows.append(np.concatenate([tile[MARGIN : MARGIN + HIGH, MARGIN : MARGIN + WIDE] for tile in tiles], 1))
            print(what, flush=True)
    half = len(rows) // 2
    Image.fromarray(np.concatenate([np.concatenate(rows[:half]), np.concatenate(rows[half:])], 1)).save(args.out, optimize=True)


if __name__ == "__main__":
    main()
