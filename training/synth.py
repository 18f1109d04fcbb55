"""Generated clips: photographs, text and textures under a moving camera, with layers that cover one another.

Each clip is `[time, height, width, 3]`, 8 bits, and depends on its random generator alone.
"""

import glob
import math
import string

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont

WORDS = (
    "the of and a to in is you that it he was for on are as with his they I at be this have from or one had by word but not what "
    "all were we when your can said there use an each which she do how their if will up other about out many then them these so "
    "MONDAY TUESDAY FRIDAY JUNE August October exit open closed platform market museum street river north south"
).split()


def fonts():
    """Font files found on the system; empty where there are none, then Pillow's own font is used."""
    return sorted(glob.glob("/usr/share/fonts/**/*.ttf", recursive=True))


def font(rng, files, size):
    return ImageFont.truetype(files[rng.integers(len(files))], size) if files else ImageFont.load_default(size)


def colour(rng, dark=None):
    if dark is None:
        return tuple(int(v) for v in rng.integers(0, 256, 3))
    low, high = (0, 90) if dark else (165, 256)
    return tuple(int(v) for v in rng.integers(low, high, 3))


def page(rng, files, side):
    """A page of text: lines of words, a table of numbers, or large letters."""
    dark = bool(rng.integers(2))
    image = Image.new("RGB", (side, side), colour(rng, dark) if rng.random() < 0.8 else colour(rng))
    draw = ImageDraw.Draw(image)
    kind = rng.integers(3)
    if kind == 0:
        y = 4
        while y < side:
            size = int(rng.integers(14, 56))
            ink, face = colour(rng, not dark), font(rng, files, size)
            for _ in range(int(rng.integers(1, 5))):
                draw.text((int(rng.integers(0, 30)), y), " ".join(rng.choice(WORDS, 14)), fill=ink, font=face)
                y += int(size * 1.25)
    elif kind == 1:
        cell = int(rng.integers(28, 90))
        ink, face = colour(rng, not dark), font(rng, files, int(cell * rng.uniform(0.4, 0.7)))
        rule, weight = colour(rng), int(rng.integers(1, 4))
        for row in range(side // cell + 1):
            for column in range(side // cell + 1):
                draw.text((column * cell + 4, row * cell + 2), str(rng.integers(1, 99)), fill=ink, font=face)
            draw.line([(0, row * cell), (side, row * cell)], fill=rule, width=weight)
            draw.line([(row * cell, 0), (row * cell, side)], fill=rule, width=weight)
    else:
        for _ in range(60):
            face = font(rng, files, int(rng.integers(30, 160)))
            letters = "".join(rng.choice(list(string.ascii_letters + string.digits), 5))
            draw.text(tuple(int(v) for v in rng.integers(-60, side, 2)), letters, fill=colour(rng), font=face)
    return image


def cartoon(rng, side):
    """Flat shapes with outlines."""
    image = Image.new("RGB", (side, side), colour(rng))
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(30, 120))):
        x, y = (int(v) for v in rng.integers(-40, side, 2))
        w, h = (int(v) for v in rng.integers(10, side // 3, 2))
        kind, outline, width = rng.integers(4), colour(rng, True), int(rng.integers(1, 7))
        if kind == 0:
            draw.ellipse([x, y, x + w, y + h], fill=colour(rng), outline=outline, width=width)
        elif kind == 1:
            points = [(x + int(rng.integers(0, w)), y + int(rng.integers(0, h))) for _ in range(int(rng.integers(3, 7)))]
            draw.polygon(points, fill=colour(rng), outline=outline, width=width)
        elif kind == 2:
            draw.rounded_rectangle([x, y, x + w, y + h], radius=min(w, h) // 4, fill=colour(rng), outline=outline, width=width)
        else:
            draw.arc([x, y, x + w, y + h], int(rng.integers(360)), int(rng.integers(360)), fill=outline, width=width)
    return image


def texture(rng, side):
    """Bricks, stripes, checks or noise of several sizes."""
    ys, xs = np.mgrid[0:side, 0:side].astype(np.float32)
    kind = rng.integers(4)
    if kind == 0:
        h = int(rng.integers(12, 50))
        w, gap = 2 * h, int(rng.integers(1, 5))
        row = (ys // h).astype(int)
        shifted = xs + (row % 2) * h
        mortar = ((ys % h) < gap) | ((shifted % w) < gap)
        tone = rng.random((side // h + 2, side // w + 3))[row, (shifted // w).astype(int)]
        grey = np.where(mortar, 0.85, 0.25 + 0.4 * tone)
    elif kind == 1:
        angle, period = rng.uniform(0, math.pi), rng.uniform(5, 24)
        phase = (xs * math.cos(angle) + ys * math.sin(angle)) / period
        grey = 0.5 + 0.5 * np.sign(np.sin(2 * math.pi * phase)) if rng.integers(2) else 0.5 + 0.5 * np.sin(2 * math.pi * phase)
    elif kind == 2:
        period = int(rng.integers(5, 30))
        grey = ((xs // period + ys // period) % 2).astype(np.float32)
    else:
        grey = np.zeros((side, side), np.float32)
        for octave in range(2, 9):
            n = max(2, side >> octave)
            noise = torch.from_numpy(rng.standard_normal((1, 1, n, n)).astype(np.float32))
            grey += F.interpolate(noise, size=(side, side), mode="bicubic")[0, 0].numpy() * 0.75 ** (8 - octave)
        grey = (grey - grey.min()) / (grey.max() - grey.min())
    a, b = np.array(colour(rng), np.float32), np.array(colour(rng), np.float32)
    return Image.fromarray((a + (b - a) * grey[..., None]).clip(0, 255).astype(np.uint8))


def camera(rng, count):
    """Positions, angles and zooms of a camera: `[count, 4]` of dx, dy in pixels, radians, log zoom."""
    t = np.arange(count)
    kind = rng.random()
    path = np.zeros((count, 4))
    if kind < 0.08:
        return path
    speed = rng.choice([0.6, 2.0, 6.0, 14.0], p=[0.25, 0.35, 0.28, 0.12])
    velocity = rng.uniform(-speed, speed, 2)
    path[:, :2] = velocity * t[:, None] + 0.5 * rng.uniform(-0.03, 0.03, 2) * speed * t[:, None] ** 2
    if rng.random() < 0.4:
        path[:, 2] = rng.uniform(-0.012, 0.012) * t
    if rng.random() < 0.4:
        path[:, 3] = rng.uniform(-0.012, 0.012) * t
    if rng.random() < 0.35:
        path[:, :2] += rng.normal(0, rng.uniform(0.2, 2.5), (count, 2))
    return path


def view(picture, path, centre, side, angle=0.0):
    """`picture` `[channels, h, w]` seen along `path`: `[count, channels, side, side]`, bicubic samples."""
    height, width = picture.shape[-2:]
    span = (torch.arange(side) - (side - 1) / 2).float()
    ys, xs = torch.meshgrid(span, span, indexing="ij")
    grids = []
    for dx, dy, turn, zoom in path:
        c, s, z = math.cos(turn + angle), math.sin(turn + angle), math.exp(zoom)
        x = centre[0] + dx + z * (c * xs - s * ys)
        y = centre[1] + dy + z * (s * xs + c * ys)
        grids.append(torch.stack((2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1), -1))
    grid = torch.stack(grids)
    views = picture.expand(len(grids), -1, -1, -1)
    return F.grid_sample(views, grid, mode="bicubic", padding_mode="reflection", align_corners=True)


def blob(rng, side):
    """A soft-edged random shape, `[1, side, side]`, 0 to 1."""
    noise = torch.from_numpy(rng.standard_normal((1, 1, int(rng.integers(3, 7)), int(rng.integers(3, 7)))).astype(np.float32))
    field = F.interpolate(noise, size=(side, side), mode="bicubic")[0]
    return ((field - rng.uniform(0.1, 0.6)) * side / 8 + 0.5).clamp(0, 1)


def as_tensor(image):
    return torch.from_numpy(np.asarray(image, np.uint8).copy()).permute(2, 0, 1).float() / 255


def surface(rng, photos, files, side):
    """A large picture to look at, `[3, h, w]`, already scaled down from what it was made at."""
    kind = rng.random()
    if kind < 0.6 and photos:
        image = photos[rng.integers(len(photos))]
        factor = rng.uniform(1.5, 2.6)
    else:
        big = 4 * side
        image = page(rng, files, big) if kind < 0.83 else cartoon(rng, big) if kind < 0.92 else texture(rng, big)
        factor = rng.uniform(1.5, 3.0)
    factor = min(factor, min(image.size) / (side + 8))
    return as_tensor(image.resize((int(image.width / factor), int(image.height / factor)), Image.LANCZOS))


def clip(rng, photos, files, count, side):
    """One clip, `[count, side, side, 3]`, 8 bits."""
    ground = surface(rng, photos, files, side)
    centre = [rng.uniform(side / 2, max(side / 2 + 1, s - side / 2)) for s in (ground.shape[2], ground.shape[1])]
    path = camera(rng, count)
    frames = view(ground, path, centre, side, rng.uniform(-0.3, 0.3) if rng.random() < 0.4 else 0.0)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.55, 0.35, 0.1]))):
        layer = surface(rng, photos, files, side)
        cover = torch.cat([layer, F.interpolate(blob(rng, 64)[None], size=layer.shape[-2:], mode="bilinear")[0]])
        own = path * rng.uniform(0.5, 1.8) + camera(rng, count) * 0.5
        seen = view(cover, own, [layer.shape[2] / 2, layer.shape[1] / 2], side)
        alpha = seen[:, 3:].clamp(0, 1)
        frames = frames * (1 - alpha) + seen[:, :3] * alpha
    if rng.random() < 0.12:
        frames = frames * torch.linspace(1, rng.uniform(0.5, 1.3), count)[:, None, None, None]
    return (frames.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
