"""Training end to end on a handful of tiny images: it runs, learns, resumes, and its checkpoint exports."""

from __future__ import annotations

import shutil
from pathlib import Path

import lightning as L
import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fsmde_core.engines.model import read_model_info
from fsmde_core.errors import FsmdeError
from fsmde_training.export import Provenance, check_export, export
from fsmde_training.networks.checkpoint import load_student
from fsmde_training.networks.student import Student
from fsmde_training.sets import cache
from fsmde_training.supervised.fit import main
from fsmde_training.supervised.module import StudentModule
from support.repository import ROOT

CONFIGS = ROOT / "training" / "configs"


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six small images: near below, far above, sky on top; lidar-like and dense."""
    root = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(0)
    for name, keep in (("sparse", 0.1), ("dense", 1.0)):
        samples = []
        for _ in range(6):
            depth = np.repeat(np.linspace(60, 4, 96, dtype=np.float32)[:, None], 128, axis=1)
            rgb = np.repeat((255 * (1 - depth / 64)).astype(np.uint8)[..., None], 3, axis=2)
            depth[:12] = np.inf
            depth[rng.random(depth.shape) > keep] = np.nan
            samples.append((rgb, depth, 100.0))
        cache.save(root / name, samples, 6, 128, 96)
    return root


def arguments(sets: Path, run: Path) -> list[str]:
    """The shipped configuration, shrunk: what differs goes into a second file."""
    ema = {"class_path": "lightning.pytorch.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.5}}
    overrides = {
        "trainer": {
            "max_epochs": 4,
            "accelerator": "cpu",
            "precision": "32-true",
            "default_root_dir": str(run),
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "log_every_n_steps": 1,
            "callbacks": [ema],
        },
        "model": {"encoder_weights": None},
        "data": {
            "root": str(sets),
            "train": {"sparse": 1.0, "dense": 1.0},
            "validation": ["sparse", "dense"],
            "crop": [64, 64],
            "network_width": 128,
            "batch_size": 2,
            "samples": 4,
            "pixels": 64,
            "workers": 0,
        },
    }
    run.mkdir(parents=True, exist_ok=True)
    (run / "overrides.yaml").write_text(yaml.safe_dump(overrides))
    return ["fit", f"--config={CONFIGS / 'student.yaml'}", f"--config={run / 'overrides.yaml'}"]


@pytest.mark.parametrize("stage", sorted((CONFIGS / "stages").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_stage_is_a_valid_configuration(stage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as finished:
        main(["fit", f"--config={CONFIGS / 'student.yaml'}", f"--config={stage}", "--print_config"])
    assert finished.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["trainer"]["default_root_dir"] == f"runs/{stage.stem}"
    assert all(n % 32 == 0 for n in config["data"]["crop"])


class StopAfter(L.Callback):
    """Ends training after an epoch, as a closed terminal would, but tidily; remembers the weights it began with."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.first: dict[str, torch.Tensor] = {}
        self.first_step = -1

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.first = {name: value.clone() for name, value in pl_module.state_dict().items()}
        self.first_step = trainer.global_step

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch >= self.epoch


@pytest.fixture(scope="module")
def interrupted(sets: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StopAfter]:
    """A run of four epochs, two steps each, that was stopped after two, and resumed to its end."""
    run = tmp_path_factory.mktemp("run")
    stop, resumed = StopAfter(epoch=1), StopAfter(epoch=9)
    cli = main(arguments(sets, run), callbacks=[stop])
    assert cli.trainer.global_step == 4
    shutil.copy(run / "last.ckpt", run / "halfway.ckpt")
    cli = main([*arguments(sets, run), "--ckpt_path=last"], callbacks=[resumed])
    assert cli.trainer.global_step == 8
    assert (run / "best.ckpt").is_file()
    return run, resumed


def test_a_resumed_run_goes_on_where_it_stopped(interrupted: tuple[Path, StopAfter]) -> None:
    run, resumed = interrupted
    halfway = torch.load(run / "halfway.ckpt", weights_only=True)
    assert resumed.first_step == halfway["global_step"] == 4
    for name, value in halfway["current_model_state"].items():
        torch.testing.assert_close(resumed.first[name], value)
    assert torch.load(run / "last.ckpt", weights_only=True)["global_step"] == 8


def test_training_writes_curves_for_tensorboard(interrupted: tuple[Path, StopAfter]) -> None:
    events = EventAccumulator(str(interrupted[0] / "lightning_logs" / "version_0")).Reload()
    assert {
        "train/silog",
        "train/relative",
        "train/likelihood",
        "train/edges",
        "val/sparse",
        "val/dense",
        "val/abs_rel",
    } <= set(events.Tags()["scalars"])
    assert all(np.isfinite(event.value) for event in events.Scalars("train/likelihood"))
    sparse, dense, both = (
        [event.value for event in events.Scalars(f"val/{name}")] for name in ("sparse", "dense", "abs_rel")
    )
    np.testing.assert_allclose(both, np.mean([sparse, dense], axis=0), rtol=1e-5)  # six images each


def test_checkpoints_hold_averaged_weights_and_export(interrupted: tuple[Path, StopAfter], tmp_path: Path) -> None:
    checkpoint = interrupted[0] / "last.ckpt"
    student = load_student(checkpoint)
    content = torch.load(checkpoint, weights_only=True)
    again = StudentModule(Student(), start=checkpoint)
    torch.testing.assert_close(again.student.state_dict(), student.state_dict())
    name = "encoder.features.0.0.weight"
    torch.testing.assert_close(student.state_dict()[name], content["state_dict"][f"student.{name}"])
    assert not torch.equal(student.state_dict()[name], content["current_model_state"][f"student.{name}"])

    origin = Provenance("PandaSet", "Apache-2.0")
    path = export(checkpoint, tmp_path / "model.onnx", (64, 96), origin=origin).path
    info = read_model_info(path)
    assert (info.height, info.width) == (64, 96)
    assert info.focal_canonical == student.focal_canonical
    assert info.licence == "Apache-2.0"
    assert "PandaSet" in info.training_data
    assert check_export(student, path) < 1e-3
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    images = np.random.default_rng(0).integers(0, 256, (5, 64, 96, 3), dtype=np.uint8)
    depth, sigma = session.run(["depth", "sigma"], {"images": images, "focal": np.full(5, 123, np.float32)})
    assert depth.shape == sigma.shape == (5, 64, 96)


def test_export_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    with pytest.raises(FsmdeError, match=r"100x64 must be multiples of 32"):
        export(Student(), tmp_path / "model.onnx", (64, 100))
    with pytest.raises(FsmdeError, match=r"none\.ckpt does not exist"):
        export(tmp_path / "none.ckpt", tmp_path / "model.onnx")


def test_a_file_that_disagrees_with_pytorch_is_not_accepted(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = export(Student(), tmp_path / "model.onnx", (32, 32)).path
    torch.manual_seed(1)
    with pytest.raises(FsmdeError, match="differs from PyTorch"):
        check_export(Student().eval(), path)


def test_the_losses_fall_on_a_batch_seen_again_and_again(sets: Path) -> None:
    torch.manual_seed(0)
    module = StudentModule(Student())
    views = cache.load(sets / "dense")
    depth = torch.from_numpy(views.depth[:2].astype(np.float32))
    batch = {
        "images": torch.from_numpy(np.array(views.images[:2])),
        "depth": depth,
        "focal": torch.from_numpy(views.focal[:2]),
        "pixels": torch.randint(0, depth[0].numel(), (2, 256)),
    }
    optimizer = torch.optim.AdamW(module.parameters(), 1e-3)

    def step() -> dict[str, float]:
        terms = module.losses(batch)
        optimizer.zero_grad()
        (terms["silog"] + terms["likelihood"] + terms["edges"]).backward()
        optimizer.step()
        return {name: value.item() for name, value in terms.items()}

    first = step()
    for _ in range(24):  # the likelihood rises while SILog falls, from about the tenth step to the twentieth
        last = step()
    assert last["silog"] < 0.5 * first["silog"]
    assert last["likelihood"] < first["likelihood"]
