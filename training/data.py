"""What `prepare.py` wrote, as batches: clips cut in space and time, flipped, turned and reversed."""

import json

import numpy as np
import torch

# How often each kind of small clip is taken, by profile.
SHARES = {
    "clean": {"clean": 1.0},
    "mixed": {"clean": 0.66, "soft": 0.04, "x264-18": 0.06, "x264-23": 0.10, "x264-27": 0.04, "x265-25": 0.04,
              "soft-x264-21": 0.03, "soft-x264-25": 0.03},
}


# How often a clip is one picture all the time, and how often such a one then has noise of its own in every frame, of this
# standard deviation at most: what flickers must be told from what moves.
STILL, STILL_NOISY, NOISE = 0.14, 0.8, 3 / 255


def noisy(rng, pictures):
    """Pictures `[time, 3, h, w]` in [0, 1] with fresh noise in each, 8 bits; in a third of the cases the same in all colours."""
    channels = 1 if rng.random() < 1 / 3 else 3
    shape = (len(pictures), channels, *pictures.shape[-2:])
    noise = torch.from_numpy(rng.normal(0, rng.uniform(0.1, 1) * NOISE, shape).astype(np.float32)).to(pictures.device)
    return ((pictures + noise).clamp(0, 1) * 255).round() / 255


class Clips:
    """Clips of a folder; the last of every `every` is kept for validation."""

    def __init__(self, folder, profile, device, every=25):
        with open(f"{folder}/manifest.json", encoding="utf-8") as file:
            manifest = json.load(file)
        self.scale, self.kinds = manifest["scale"], manifest["kinds"]
        self.hr, self.lr = (np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in ("hr", "lr"))
        if device.type != "cpu":
            self.hr, self.lr = (torch.from_numpy(np.array(x)).to(device) for x in (self.hr, self.lr))
        self.device = device
        order = np.arange(len(self.lr))
        self.train, self.held = order[order % every != every - 1], order[order % every == every - 1]
        share = np.array([SHARES[profile].get(kind, 0) for kind in self.kinds])
        self.share = share / share.sum()

    def pictures(self, pictures):
        """`[time, h, w, 3]`, 8 bits, as `[time, 3, h, w]` in [0, 1]."""
        if isinstance(pictures, np.ndarray):
            pictures = torch.from_numpy(np.array(pictures))
        return pictures.permute(0, 3, 1, 2).float() / 255

    def cut(self, clip, kind, times, y, x, patch):
        """A patch of a clip, small and large."""
        s = self.scale
        small = self.pictures(self.lr[clip, kind][times][:, y : y + patch, x : x + patch])
        return small, self.pictures(self.hr[clip][times][:, y * s : (y + patch) * s, x * s : (x + patch) * s])

    def batch(self, rng, size, count, patch):
        """`[size, count, 3, patch, patch]` and the truth at `scale` times the size."""
        smalls, bigs = [], []
        length, side = self.lr.shape[2], self.lr.shape[3]
        for _ in range(size):
            clip, kind = rng.choice(self.train), rng.choice(len(self.kinds), p=self.share)
            step = 2 if (count - 1) * 2 < length and rng.random() < 0.15 else 1
            start = rng.integers(0, length - (count - 1) * step)
            times = list(range(start, start + (count - 1) * step + 1, step))
            still = rng.random() < STILL
            if still:
                times = [times[0]] * count
            if rng.random() < 0.5:
                times.reverse()
            y, x = rng.integers(0, side - patch + 1, 2)
            small, big = self.cut(clip, kind, times, y, x, patch)
            if still and rng.random() < STILL_NOISY:
                small = noisy(rng, small)
            flips = [d for d in (-1, -2) if rng.random() < 0.5]
            turn = rng.random() < 0.5
            for pictures, into in ((small, smalls), (big, bigs)):
                pictures = pictures.flip(flips) if flips else pictures
                into.append(pictures.transpose(-1, -2) if turn else pictures)
        return torch.stack(smalls), torch.stack(bigs)

    def validation(self, count):
        """The clips held back, whole, cleanly shrunk and through x264 at CRF 23: pairs of `[1, count, 3, h, w]`."""
        side = self.lr.shape[3]
        for clip in self.held[:count]:
            for kind in ("clean", "x264-23"):
                if kind in self.kinds:
                    times = list(range(self.lr.shape[2]))
                    small, big = self.cut(clip, self.kinds.index(kind), times, 0, 0, side)
                    yield kind, small[None], big[None]
