"""Relations between feature vectors, blind to their number of channels: cosines, relative distances, affinities."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fsmde_training.losses.divergence import softmax_divergence

SHORTEST = 1e-6  # shorter vectors have no direction, smaller mean distances no scale


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """(..., P, C) and (..., Q, C) -> (..., P, Q), float32. A zero vector has cosine 0 with all, and no gradient."""
    # Autocast would take the product in half precision.
    with torch.autocast(a.device.type, enabled=False):
        return _unit(a.float()) @ _unit(b.float()).transpose(-1, -2)


def _unit(vectors: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / length.masked_fill(length < SHORTEST, torch.inf)


def relative_distances(differences: Tensor) -> Tensor:
    """(..., P, C) differences of vectors -> (..., P), float32: their lengths over the mean length of the P."""
    distances = torch.linalg.vector_norm(differences.float(), dim=-1)
    return distances / distances.mean(-1, keepdim=True).clamp_min(SHORTEST)


def tokens(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """Maps of views, (B, V, C, h, w) -> (B, V, rows * columns, C), float32: averages over a grid of rows x columns."""
    pooled = F.adaptive_avg_pool2d(maps.flatten(0, 1).float(), grid)
    return pooled.flatten(2).transpose(1, 2).unflatten(0, maps.shape[:2])


def affinity_divergence(student: tuple[Tensor, Tensor], teacher: tuple[Tensor, Tensor], temperature: float) -> Tensor:
    """Pairs of token sets, (..., P, C) each; the teacher's may have other channels -> scalar.

    KL(teacher || student) of softmax(cosine / temperature) from every token of one set over the tokens of the other,
    averaged over tokens and over both directions. The teacher gets no gradient.
    """
    seen, known = cosines(*student), cosines(*teacher)
    onward = softmax_divergence(seen, known, temperature)
    back = softmax_divergence(seen.transpose(-1, -2), known.transpose(-1, -2), temperature)
    return (onward + back) / 2
