"""What a trained network gives on whole films whose truth is known, beside bicubic.

    python evaluate.py --run DIR --truth FILM... [--frames N] [--crf 23] [--temporal] [--write DIR]
    python evaluate.py --run DIR --truth FILM... --still 1000

The truth is made small by antialiased bicubic (BI), rounded to 8 bits and, with `--crf`, passed through x264. Printed for each film: PSNR
of luma over whole frames, mean over frames, for bicubic and the network; with `--temporal` also tOF, which needs OpenCV. The numbers are
those of `framelift degrade` and `framelift measure`.

`--still` takes the first frame alone, as often as said, each time with fresh noise of 1/255: printed are the mean change of luma from frame
to frame in the input, in bicubic's and in the network's, and PSNR to the truth along the way, which must not fall.
"""

import argparse
import json
import os
import subprocess
import tempfile

import numpy as np
import torch
from PIL import Image

import picture
from model import load
from prepare import compressed, ffmpeg


def read_film(path, scale, most=None):
    """Frames `[time, 3, h, w]` in [0, 1]; right and bottom are cut to multiples of `scale`."""
    out = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height", "-of", "csv=p=0", path],
                         check=True, capture_output=True).stdout
    width, height = (int(v) for v in out.decode().strip().rstrip(",").split(",")[:2])
    limit = ["-frames:v", str(most)] if most else []
    raw = ffmpeg("-i", path, *limit, "-an", "-sn", "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    frames = np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)
    frames = frames[:, : height // scale * scale, : width // scale * scale]
    return torch.from_numpy(frames.copy()).permute(0, 3, 1, 2).float() / 255


def read_pictures(folder):
    """The PNG files of a folder in the order of their names, `[time, 3, h, w]` in [0, 1]."""
    names = sorted(name for name in os.listdir(folder) if name.endswith(".png"))
    frames = np.stack([np.asarray(Image.open(f"{folder}/{name}").convert("RGB")) for name in names])
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def upscale(net, small, device="cpu"):
    """A shot `[time, 3, h, w]`, frame by frame."""
    hidden, results = None, []
    last = len(small) - 1
    for t in range(len(small)):
        before, now, after = (small[min(max(t + d, 0), last)][None].to(device) for d in (-1, 0, 1))
        output, hidden = net.step(before, now, after, net.begin(now) if hidden is None else hidden)
        results.append(output[0].clamp(0, 1).cpu())
    return torch.stack(results)


def through_x264(small, crf):
    """A shot through x264 and back, 8 bits."""
    frames = picture.to_8_bit(small).permute(0, 2, 3, 1).numpy()[None]
    with tempfile.TemporaryDirectory() as folder:
        out = compressed(np.ascontiguousarray(frames), "x264", crf, f"{folder}/film.mkv")[0]
    return torch.from_numpy(out.copy()).permute(0, 3, 1, 2).float() / 255


def t_of(truth, output):
    """Mean L2 distance between the Farneback flows of the truth and of the output."""
    import cv2

    def flows(frames):
        grey = picture.luma(picture.to_8_bit(frames).float() / 255).round().to(torch.uint8).numpy()
        return [cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, 1.2, 0) for a, b in zip(grey, grey[1:])]

    return float(np.mean([np.sqrt(((a - b) ** 2).sum(-1)).mean() for a, b in zip(flows(truth), flows(output))]))


def still(net, small, truth, count):
    """What becomes of `count` pictures of one thing, `small` `[3, h, w]` with noise of its own in each."""
    generator, before, changes, psnr = torch.Generator().manual_seed(1), None, [], {}

    def noisy():
        return picture.to_8_bit(small + torch.randn(small.shape, generator=generator) / 255).float()[None] / 255

    frames, hidden = [noisy() for _ in range(2)], None
    frames.insert(0, frames[0])
    for t in range(count):
        with torch.no_grad():
            output, hidden = net.step(*frames, net.begin(frames[1]) if hidden is None else hidden)
        pictures = [picture.to_8_bit(x).float() / 255 for x in (frames[1], picture.enlarge(frames[1], net.scale), output)]
        lumas = [picture.luma(x) for x in pictures]
        if before is not None:
            changes.append([(a - b).abs().mean().item() for a, b in zip(lumas, before)])
        before = lumas
        if t % 50 == 0 or t == count - 1:
            psnr[t] = round(picture.psnr_y(output[0], truth).item(), 3)
        frames = [*frames[1:], noisy()]
    return dict(zip(("input_flicker", "bicubic_flicker", "lift_flicker"), np.mean(changes, 0).round(3).tolist()), psnr=psnr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True, help="folder of a training run, or weights that export.py wrote")
    parser.add_argument("--truth", nargs="+", required=True)
    parser.add_argument("--frames", type=int)
    parser.add_argument("--crf", type=int)
    parser.add_argument("--temporal", action="store_true")
    parser.add_argument("--still", type=int, help="so many noisy pictures of the first frame in place of the film")
    parser.add_argument("--write", help="folder for the frames as PNG files, and for what went in")
    parser.add_argument("--pictures", nargs="*", default=[], help="folders of PNG files that something else made of what went in")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    net, saved = load(args.run)
    for path in args.truth:
        truth = read_film(path, net.scale, 1 if args.still else args.frames)
        small = picture.to_8_bit(picture.shrink(truth, net.scale)).float() / 255
        if args.still:
            print(json.dumps(dict(film=os.path.basename(path), step=saved["step"], **still(net, small[0], truth[0], args.still))), flush=True)
            continue
        if args.crf is not None:
            small = through_x264(small, args.crf)
        scores = dict(film=os.path.basename(path), frames=len(truth), crf=args.crf, step=saved["step"])
        outputs = {"bicubic": picture.enlarge(small, net.scale), "lift": upscale(net, small)}
        outputs |= {os.path.basename(os.path.normpath(folder)): read_pictures(folder) for folder in args.pictures}
        for name, output in outputs.items():
            scores[name] = round(picture.psnr_y(output, truth).mean().item(), 3)
            if args.temporal:
                scores[f"{name}_tof"] = round(t_of(truth, output), 4)
        for name, frames in (outputs | {"input": small}).items() if args.write else ():
            os.makedirs(f"{args.write}/{name}", exist_ok=True)
            for t, frame in enumerate(picture.to_8_bit(frames).permute(0, 2, 3, 1).numpy()):
                Image.fromarray(frame).save(f"{args.write}/{name}/{t:08d}.png")
        scores["gain_db"] = round(scores["lift"] - scores["bicubic"], 3)
        print(json.dumps(scores), flush=True)


if __name__ == "__main__":
    main()
