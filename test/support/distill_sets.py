"""Tiny rings, teachers and configurations for the tests of distillation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from fsmde_training.sets import cache
from fsmde_training.teachers import ProjectTeacher
from support.repository import ROOT

SIZE, VIEWS = 64, 3
CONFIG = ROOT / "training" / "configs" / "distill.yaml"


def save_rings(folder: Path, rings: int, seed: int = 0) -> None:
    """Rings of three square images: near below, far above, sky on top, each in its own colour, partly labelled."""
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(rings * VIEWS):
        far = rng.uniform(30, 60)
        depth = np.repeat(np.linspace(far, 3, SIZE, dtype=np.float32)[:, None], SIZE, axis=1)
        shade = (1 - depth[..., None] / 64) * rng.uniform(0.2, 1, 3) + rng.uniform(-0.2, 0.2, (SIZE, SIZE, 1))
        rgb = (255 * shade.clip(0, 1)).astype(np.uint8)
        depth[:8] = np.inf
        depth[rng.random(depth.shape) > 0.3] = np.nan
        samples.append((rgb, depth, 100.0))
    cache.save(folder, samples, len(samples), SIZE, SIZE)


def initialise_convolutions(network: torch.nn.Module) -> None:
    """Weights that keep the size of the signal: features of an untrained network then differ between images."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)


def save_teacher(path: Path) -> ProjectTeacher:
    """An untrained teacher of few channels, as its training would save it."""
    torch.manual_seed(5)
    teacher = ProjectTeacher(widths=(4, 8, 8, 12, 16))
    initialise_convolutions(teacher)
    weights = {f"teacher.{name}": value for name, value in teacher.state_dict().items()}
    torch.save({"state_dict": weights, "hyper_parameters": {"architecture": teacher.architecture}}, path)
    return teacher


def configuration(folder: Path, **overrides: Any) -> list[str]:
    """Arguments that run the shipped configuration on sets below `folder`, shrunk; overrides: of `trainer`."""
    ema = {"class_path": "lightning.pytorch.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.5}}
    trainer = {
        "max_epochs": 2,
        "accelerator": "cpu",
        "precision": "32-true",
        "default_root_dir": str(folder / "run"),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
        "callbacks": [ema],
    }
    settings = {
        "trainer": trainer | overrides,
        "model": {"encoder_weights": None, "binned_teacher": str(folder / "binned.pt"), "warmup": 3},
        "data": {
            "root": str(folder / "sets"),
            "train": {"city": {"labelled": 2}},
            "validation": ["city_val"],
            "teacher": str(folder / "teacher.ckpt"),
            "outputs": str(folder / "outputs"),
            "batch_size": 1,
            "samples": 2,
            "pixels": 64,
            "views": VIEWS,
            "workers": 0,
        },
    }
    (folder / "overrides.yaml").write_text(yaml.safe_dump(settings))
    return ["fit", f"--config={CONFIG}", f"--config={folder / 'overrides.yaml'}"]
