"""Pictures as the project's numbers define them: antialiased bicubic shrinking (BI), luma of BT.601 and PSNR on it.

Tensors are RGB in [0, 1], `[..., 3, height, width]`.
"""

import torch
import torch.nn.functional as F


def shrink(rgb: torch.Tensor, scale: int) -> torch.Tensor:
    """MATLAB's `imresize(1/scale)`: bicubic, a = -0.5, widened; sides are multiples of `scale`. Not clamped."""
    lead, (height, width) = rgb.shape[:-2], rgb.shape[-2:]
    flat = rgb.reshape(-1, 1, height, width).float()
    small = F.interpolate(flat, size=(height // scale, width // scale), mode="bicubic", antialias=True)
    return small.reshape(*lead, height // scale, width // scale)


def enlarge(rgb: torch.Tensor, scale: int) -> torch.Tensor:
    """MATLAB's `imresize(scale)`, the yardstick. Not clamped."""
    lead, (height, width) = rgb.shape[:-2], rgb.shape[-2:]
    flat = rgb.reshape(-1, 1, height, width).float()
    big = F.interpolate(flat, size=(height * scale, width * scale), mode="bicubic", antialias=True)
    return big.reshape(*lead, height * scale, width * scale)


def to_8_bit(rgb: torch.Tensor) -> torch.Tensor:
    """Clamped and rounded to 256 levels."""
    return (rgb.clamp(0, 1) * 255).round().to(torch.uint8)


def luma(rgb: torch.Tensor) -> torch.Tensor:
    """Y of BT.601 in studio range, in units of 8 bits: 16 to 235."""
    red, green, blue = rgb.float().unbind(-3)
    return 16 + 65.481 * red + 128.553 * green + 24.966 * blue


def psnr_y(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """PSNR of luma in dB, one value a frame, peak 255. Both are clamped and rounded to 8 bits first."""
    a, b = (luma(to_8_bit(x).float() / 255) for x in (a, b))
    return 10 * torch.log10(255.0**2 / (a - b).square().mean(dim=(-2, -1)).clamp_min(1e-10))
