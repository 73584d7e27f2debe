"""ImageNet weights for the student's encoder: MobileNetV2's, cut to size, then taught to answer as MobileNetV2 does.

python -m fsmde_training.slim '{pandaset_train: 0.5, street_train: 0.5}'
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jsonargparse import auto_cli
from torch import Tensor
from torch.nn import functional as F

from fsmde_training.augment import Augmentation
from fsmde_training.checkpoint import find_weights
from fsmde_training.data import Views
from fsmde_training.encoder import SlimEncoder
from fsmde_training.mobilenet_v2 import TAPS, MobileNetV2, save_folded


def imitation_error(student: Sequence[Tensor], full: Sequence[Tensor]) -> Tensor:
    """Maps of both encoders -> mean squared difference over the full one's variance, averaged over the maps."""
    pairs = [(ours.float(), theirs.float()) for ours, theirs in zip(student, full, strict=True)]
    return torch.stack([F.mse_loss(ours, theirs) / theirs.var() for ours, theirs in pairs]).mean()


def piecewise(encoder: SlimEncoder, image: Tensor, full: Sequence[Tensor]) -> list[Tensor]:
    """The four maps, each made from the full encoder's map before it: no piece suffers from errors of the others."""
    maps, begin = [], 0
    for x, tap in zip([image, *full[:-1]], TAPS, strict=True):
        maps.append(encoder.features[begin : tap + 1](x))
        begin = tap + 1
    return maps


def imitate(encoder: SlimEncoder, full: MobileNetV2, batches: Views, learning_rate: float) -> float:
    """Train `encoder` on one epoch of `batches` to give the maps of `full`; the last batch's `imitation_error`.

    In the first half piece by piece, then as a whole.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    full.to(device, memory_format=torch.channels_last).requires_grad_(False)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(encoder.parameters(), learning_rate, weight_decay=0.0)
    steps = batches.samples // batches.batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.0999)
    error = torch.zeros(())
    for step, batch in enumerate(batches.train_dataloader()):
        x = batch["images"].to(device).permute(0, 3, 1, 2).float() * (2 / 255) - 1
        with torch.autocast(device, torch.bfloat16):
            with torch.no_grad():
                answers = full(x)
            ours = piecewise(encoder, x, answers) if 2 * step < steps else encoder(x)
            error = imitation_error(ours, answers)
        optimizer.zero_grad()
        error.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return float(error.detach())


def command(
    sets: dict[str, float],
    root: Path = Path("runs/cache"),
    weights: Path = Path("mobilenet_v2_imagenet.npz"),
    out: Path = Path("runs/encoder.npz"),
    samples: int = 24000,
    batch_size: int = 32,
    crop: tuple[int, int] = (192, 320),
    network_width: int = 448,
    learning_rate: float = 2e-3,
    workers: int = 2,
) -> None:
    """Write `out`, an .npz that `model.encoder_weights` of the student takes. Some minutes on a few CPU cores.

    sets: training sets whose images are looked at, with their shares; labels are not used. root: folder of the sets.
    weights: of MobileNetV2. samples: images in all. crop, network_width: as of `Views`.
    """
    torch.manual_seed(1)
    full, encoder = MobileNetV2(), SlimEncoder()
    full.load_imagenet(find_weights(weights))
    encoder.cut_from(full)
    views = Views(root, sets, [], Augmentation(), crop, network_width, batch_size, samples, pixels=1, workers=workers)
    error = imitate(encoder, full, views, learning_rate)
    save_folded(encoder, out)
    print(f"{out}: imitation error {error:.3f} of the variance")


def main(args: list[str] | None = None) -> None:
    """Run the command line."""
    auto_cli(command, args=args)


if __name__ == "__main__":
    main()
