"""Pixels on the device to what a vision tower takes: the only preprocessing on the hot path.

Resizing comes before (`robo_reward.images.resize`). A processor of transformers takes
milliseconds an image on a CPU; this is two elementwise operations and a permutation.

Letters: N images, S side in pixels, P side of a patch, M patches merged along a side, T frames.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """How a model wants its pixels scaled: (value / 255 − mean) / std, each channel alone."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def normalise(self, images: Tensor) -> Tensor:
        """Return float32 (N, 3, S, S) of uint8 images (N, S, S, 3)."""
        mean, std = (
            torch.tensor(values, dtype=torch.float32, device=images.device) * 255.0
            for values in (self.mean, self.std)
        )
        return ((images.to(torch.float32) - mean) / std).permute(0, 3, 1, 2)


def patchify(pixels: Tensor, patch: int, merge: int, frames: int) -> Tensor:
    """Return the patches of square images, those that merge into one token side by side.

    Args:
        pixels: (N, 3, S, S), S a multiple of P · M.
        patch: P.
        merge: M.
        frames: T, how often each image is repeated as a film.

    Returns:
        (N · (S / P)², 3 · T · P · P), the order of Qwen's processors.
    """
    count, channels, size, _ = pixels.shape
    blocks = size // (patch * merge)
    grid = pixels.view(count, channels, blocks, merge, patch, blocks, merge, patch)
    ordered = grid.permute(0, 2, 5, 3, 6, 1, 4, 7)  # (N, block, block, M, M, 3, P, P)
    film = ordered.unsqueeze(6).expand(*ordered.shape[:6], frames, patch, patch)
    return film.reshape(count * (size // patch) ** 2, channels * frames * patch * patch)
