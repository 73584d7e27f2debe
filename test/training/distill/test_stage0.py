"""Stage 0: bins on a frozen teacher's features learn from lidar, are saved, and go on after an interruption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml

from fsmde_core.errors import FsmdeError
from fsmde_training.distill import stage0
from fsmde_training.distill.data import RingsDataModule, RingSet
from fsmde_training.distill.dataset import RingAugmentation
from fsmde_training.distill.stage0 import FILE, WEIGHTS, Stage0Module
from fsmde_training.networks.decoder import WIDTHS
from fsmde_training.teachers import load_teacher
from fsmde_training.teachers.binned import BinnedTeacher, load_binned_teacher, save_binned_teacher
from support.distill_sets import VIEWS, save_rings, save_teacher
from support.repository import ROOT

CONFIG = ROOT / "training" / "configs" / "distill" / "stage0.yaml"
CHANNELS = (8, 8, 12, 16)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stage0")
    save_rings(folder / "sets" / "city", rings=4)
    save_teacher(folder / "teacher.ckpt")
    return folder


class StopAfterFirstEpoch(L.Callback):
    """An interruption."""

    def on_train_epoch_end(self, trainer: L.Trainer, _: L.LightningModule) -> None:
        trainer.should_stop = True


def arguments(sets: Path, run: Path, callbacks: list[str]) -> list[str]:
    trainer = {
        "max_epochs": 2,
        "accelerator": "cpu",
        "default_root_dir": str(run),
        "callbacks": [{"class_path": f"{__name__}.{name}"} for name in callbacks],
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    data = {
        "root": str(sets / "sets"),
        "train": {"city": {"labelled": 2, "labelled_share": 1.0}},
        "teacher": str(sets / "teacher.ckpt"),
        "outputs": str(sets / "outputs"),
        "batch_size": 1,
        "samples": 2,
        "pixels": 64,
        "views": VIEWS,
        "workers": 0,
    }
    run.mkdir(exist_ok=True)
    (run / "overrides.yaml").write_text(yaml.safe_dump({"trainer": trainer, "data": data}))
    return ["fit", f"--config={CONFIG}", f"--config={run / 'overrides.yaml'}"]


@pytest.fixture(scope="module")
def batch(sets: Path) -> dict[str, Any]:
    """A labelled and an unlabelled ring as `RingsDataModule` gives them, with the teacher's outputs."""
    train = {"city": RingSet(labelled=2)}
    still = RingAugmentation(flip=0.0, colour=0.0, damage=0.0)
    teacher, outputs = str(sets / "teacher.ckpt"), sets / "outputs"
    data = RingsDataModule(sets / "sets", train, [], still, teacher, outputs, views=VIEWS, pixels=256, workers=0)
    data.prepare_data()
    data.setup("fit")
    return next(iter(data.train_dataloader()))


def test_bins_learn_one_batch(batch: dict[str, Any]) -> None:
    torch.manual_seed(0)
    module = Stage0Module(BinnedTeacher(CHANNELS, 100.0))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    start = {name: value.item() for name, value in module.losses(batch).items()}
    assert start.keys() == WEIGHTS.keys()
    for _ in range(40):
        optimizer.zero_grad()
        terms = module.losses(batch)
        torch.stack([weight * terms[name] for name, weight in WEIGHTS.items()]).sum().backward()
        optimizer.step()
    for name, value in module.losses(batch).items():
        assert value < start[name] - 0.3, name
    learnt = [level for level, adapter in enumerate(module.binned.adapters) if adapter[0].weight.grad is not None]
    assert learnt == [0, 3]


def test_a_batch_without_labels_costs_nothing(batch: dict[str, Any]) -> None:
    blind = batch | {"depth": torch.full_like(batch["depth"], torch.nan), "pixels": -torch.ones_like(batch["pixels"])}
    assert all(value == 0 for value in Stage0Module(BinnedTeacher(CHANNELS)).losses(blind).values())


def test_a_saved_binned_teacher_comes_back_frozen(tmp_path: Path) -> None:
    ours = BinnedTeacher(CHANNELS, focal_canonical=150.0, bins=16)
    save_binned_teacher(ours, tmp_path / "bins.pt")
    again = load_binned_teacher(tmp_path / "bins.pt")
    assert again.architecture == ours.architecture
    assert not any(parameter.requires_grad for parameter in again.parameters())
    maps = [torch.rand(2, c, 32 // s, 32 // s) for c, s in zip(CHANNELS, (4, 8, 16, 32), strict=True)]
    assert [m.shape[1] for m in again.adapted(maps)] == list(WIDTHS)
    expected = ours.distribution(maps).log_mean()
    assert torch.equal(again.train().distribution(maps).log_mean(), expected)  # as inside a module in training
    assert ours.canonical_depth(ours.distribution(maps)).shape == (2, 32, 32)


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        FsmdeError, match=r"none.pt does not exist; make it with 'python -m fsmde_training.distill.stage0'"
    ):
        load_binned_teacher(tmp_path / "none.pt")
    with pytest.raises(
        FsmdeError, match=r"maps have \(8, 8, 8, 8\) channels, the binned teacher expects \(8, 8, 12, 16\)"
    ):
        BinnedTeacher(CHANNELS).distribution([torch.zeros(1, 8, 4, 4)] * 4)


def test_a_run_that_was_stopped_ends_where_the_other_does(sets: Path, tmp_path: Path) -> None:
    before = load_teacher(sets / "teacher.ckpt").state_dict()
    stage0.main(arguments(sets, tmp_path / "through", []))
    stage0.main(arguments(sets, tmp_path / "stopped", ["StopAfterFirstEpoch"]))
    half = load_binned_teacher(tmp_path / "stopped" / FILE).state_dict()
    stage0.main([*arguments(sets, tmp_path / "stopped", []), f"--ckpt_path={tmp_path / 'stopped' / 'last.ckpt'}"])
    through, stopped = (load_binned_teacher(tmp_path / run / FILE) for run in ("through", "stopped"))
    assert through.architecture["channels"] == CHANNELS  # the teacher's, not named in the configuration
    for name, value in through.state_dict().items():
        assert torch.equal(value, stopped.state_dict()[name]), name
    assert not all(torch.equal(value, half[name]) for name, value in through.state_dict().items())
    after = load_teacher(sets / "teacher.ckpt").state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
