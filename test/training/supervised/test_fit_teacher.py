"""Training of the project's teacher: it learns, resumes, and its checkpoint loads."""

from __future__ import annotations

from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
import yaml

from fsmde_core.errors import FsmdeError
from fsmde_training.sets import cache
from fsmde_training.supervised.fit_teacher import TeacherModule, blurred, main
from fsmde_training.teachers import ProjectTeacher, load_teacher
from support.repository import ROOT

CONFIG = ROOT / "training" / "configs" / "teacher.yaml"
NARROW = (8, 8, 12, 16, 16)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sparse and dense views of ground that comes nearer downwards, sky on top."""
    root = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(0)
    for name, keep in (("sparse", 0.1), ("dense", 1.0)):
        depth = np.repeat(np.linspace(60, 4, 64, dtype=np.float32)[:, None], 64, axis=1)
        rgb = np.repeat((255 * (1 - depth / 64)).astype(np.uint8)[..., None], 3, axis=2)
        depth[:8] = np.inf
        depth[rng.random(depth.shape) > keep] = np.nan
        cache.save(root / name, [(rgb, depth, 60.0)] * 4, 4, 64, 64)
    return root


def arguments(sets: Path, run: Path) -> list[str]:
    """The shipped configuration, shrunk."""
    ema = {"class_path": "lightning.pytorch.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.5}}
    trainer = {
        "max_epochs": 2,
        "accelerator": "cpu",
        "precision": "32-true",
        "default_root_dir": str(run),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": 1,
        "callbacks": [ema],
    }
    teacher = {"class_path": "fsmde_training.teachers.ProjectTeacher", "init_args": {"widths": list(NARROW)}}
    data = {
        "root": str(sets),
        "train": {"sparse": 0.5, "dense": 0.5},
        "validation": ["dense"],
        "crop": [64, 64],
        "network_width": 64,
        "batch_size": 2,
        "samples": 4,
        "pixels": 64,
        "workers": 0,
    }
    run.mkdir(parents=True, exist_ok=True)
    overrides = {"trainer": trainer, "model": {"encoder_weights": None, "teacher": teacher}, "data": data}
    (run / "overrides.yaml").write_text(yaml.safe_dump(overrides))
    return ["fit", f"--config={CONFIG}", f"--config={run / 'overrides.yaml'}"]


def test_the_shipped_configuration_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as finished:
        main(["fit", f"--config={CONFIG}", "--print_config"])
    assert finished.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["data"]["network_width"] == config["data"]["crop"][1]
    assert all(n % 64 == 0 for n in config["data"]["crop"])


class StopAfterOneEpoch(L.Callback):
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.should_stop = True


def test_a_resumed_run_ends_as_one_that_was_not_stopped(sets: Path, tmp_path: Path) -> None:
    stopped = main(arguments(sets, tmp_path / "stopped"), callbacks=[StopAfterOneEpoch()])
    assert stopped.trainer.global_step == 2
    resumed = main([*arguments(sets, tmp_path / "stopped"), "--ckpt_path=last"])
    assert resumed.trainer.global_step == 4
    rates = [group["lr"] for group in resumed.trainer.optimizers[0].param_groups]
    whole = main(arguments(sets, tmp_path / "whole"))
    assert rates == [group["lr"] for group in whole.trainer.optimizers[0].param_groups]


def test_a_checkpoint_of_training_teaches(sets: Path, tmp_path: Path) -> None:
    module = main(arguments(sets, tmp_path)).model
    averaged = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    teacher = load_teacher(tmp_path / "last.ckpt")
    assert isinstance(teacher, ProjectTeacher)
    assert teacher.architecture == module.teacher.architecture
    torch.testing.assert_close(teacher.depth_head.weight, averaged["teacher.depth_head.weight"])
    assert teacher.channels == NARROW[1:]
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_the_losses_fall_on_a_batch_seen_again_and_again(sets: Path) -> None:
    torch.manual_seed(0)
    module = TeacherModule(ProjectTeacher(NARROW))
    views = cache.load(sets / "dense")
    batch = {
        "images": torch.from_numpy(np.array(views.images[:2])),
        "depth": torch.from_numpy(views.depth[:2].astype(np.float32)),
        "focal": torch.from_numpy(views.focal[:2]),
        "pixels": torch.randint(0, 64 * 64, (2, 256)),
    }
    optimizer = torch.optim.AdamW(module.parameters(), 2e-3)
    history = []
    for _ in range(20):
        terms = module.losses(batch)
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        history.append({name: value.item() for name, value in terms.items()})
    assert history[-1]["silog"] < 0.5 * history[0]["silog"]
    assert history[-1]["relative"] < 0.5 * history[0]["relative"]


def test_some_views_are_shown_as_a_students_image_enlarged() -> None:
    images = torch.zeros(3, 32, 64, 3, dtype=torch.uint8)
    images[:, :, ::2] = 200  # stripes that half the resolution cannot hold
    out = blurred(images, torch.tensor([True, False, True]))
    assert torch.equal(out[1], images[1])
    assert out.dtype == torch.uint8
    assert (out[[0, 2], :, 4:-4].float() - 100).abs().max() <= 1
    constant = torch.full((1, 32, 32, 3), 77, dtype=torch.uint8)
    assert torch.equal(blurred(constant, torch.tensor([True])), constant)
    assert torch.equal(blurred(images, torch.zeros(3, dtype=torch.bool)), images)


def test_sky_counts_as_far_and_views_without_labels_count_nothing(sets: Path) -> None:
    module = TeacherModule(ProjectTeacher(NARROW).eval())
    batch = {
        "images": torch.zeros(1, 64, 64, 3, dtype=torch.uint8),
        "depth": torch.full((1, 64, 64), torch.inf),
        "focal": torch.tensor([300.0]),
        "pixels": torch.arange(8)[None],
    }
    terms = module.losses(batch)
    depth = module.teacher.canonical_depth(batch["images"]).flatten()[:8]
    torch.testing.assert_close(terms["relative"], (1 - depth / 250).mean())
    assert terms["silog"] == terms["edges"] == 0
    batch["pixels"] = torch.full((1, 8), -1)
    assert all(value == 0 for value in module.losses({**batch, "depth": batch["depth"] * torch.nan}).values())


def test_a_term_that_is_not_known_is_named() -> None:
    with pytest.raises(FsmdeError, match=r"\['likelihood'\]"):
        TeacherModule(ProjectTeacher(NARROW), weights={"likelihood": 1.0})
