"""Distillation runs: resumed ones end bit for bit where straight ones do, and two processes make one model."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fsmde_training.distill import stage0
from fsmde_training.distill.fit import main
from fsmde_training.distill.module import COMMON
from fsmde_training.networks.checkpoint import load_student
from fsmde_training.teachers.binned import BinnedTeacher, save_binned_teacher
from support.distill_sets import CONFIG, configuration, save_rings, save_teacher

TERMS = ("silog", "relative", "likelihood", "edges", "ckd_probability", "ckd_centres", "vrkd_affinity")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scale")
    save_rings(folder / "sets" / "city", rings=4)
    save_rings(folder / "sets" / "city_val", rings=1, seed=1)
    save_binned_teacher(BinnedTeacher(save_teacher(folder / "teacher.ckpt").channels), folder / "binned.pt")
    return folder


class StopAfterFirstEpoch(L.Callback):
    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        trainer.should_stop = True


class Seen(L.Callback):
    """The images of every step."""

    def __init__(self) -> None:
        self.images: list[torch.Tensor] = []

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, _: int) -> None:
        self.images.append(batch["images"])


@pytest.fixture(scope="module")
def straight(folder: Path) -> tuple[Path, Seen]:
    """The folder of a run of two epochs of two steps, and what it saw."""
    run, seen = folder / "straight", Seen()
    main(configuration(folder, default_root_dir=str(run)), callbacks=[seen])
    return run, seen


def test_a_resumed_run_ends_bit_for_bit_where_a_straight_one_does(folder: Path, straight: tuple[Path, Seen]) -> None:
    run, seen = straight
    arguments = configuration(folder, default_root_dir=str(folder / "resumed"))
    assert main(arguments, callbacks=[StopAfterFirstEpoch()]).trainer.global_step == 2
    torch.rand(7)  # another process would be somewhere else in the global stream of random numbers
    again = Seen()
    assert main([*arguments, "--ckpt_path=last"], callbacks=[again]).trainer.global_step == 4
    assert torch.equal(torch.cat(again.images), torch.cat(seen.images[2:]))
    assert len(torch.unique(torch.cat(seen.images), dim=0)) == 4  # and every epoch sees something else
    ends = [torch.load(end / "last.ckpt", weights_only=True) for end in (run, folder / "resumed")]
    for state in ("state_dict", "current_model_state"):  # averaged weights and those in training
        for name, value in ends[0][state].items():
            assert torch.equal(value, ends[1][state][name]), f"{state} {name}"
    moments = [end["optimizer_states"][0]["state"] for end in ends]
    assert all(torch.equal(moments[0][k]["exp_avg_sq"], moments[1][k]["exp_avg_sq"]) for k in moments[0])


def test_curves_hold_terms_gradient_norms_and_validation(straight: tuple[Path, Seen]) -> None:
    events = EventAccumulator(str(straight[0] / "lightning_logs" / "version_0")).Reload()
    wanted = {f"{kind}/{name}" for kind in ("train", "gradient") for name in TERMS} | {"val/city_val", "val/abs_rel"}
    assert wanted <= set(events.Tags()["scalars"])
    assert all(np.isfinite(event.value) for tag in wanted for event in events.Scalars(tag))
    assert len(events.Scalars("gradient/silog")) == 2  # the first step of every epoch
    assert all(event.value > 0 for event in events.Scalars("gradient/ckd_probability"))


def test_the_student_alone_leaves_the_checkpoint(straight: tuple[Path, Seen]) -> None:
    checkpoint = straight[0] / "last.ckpt"
    content = torch.load(checkpoint, weights_only=True)
    assert any(name.startswith("teacher.") for name in content["state_dict"])
    student = load_student(checkpoint)
    assert student.architecture == content["hyper_parameters"]["architecture"]
    assert not any("teacher" in name or "adapter" in name for name in student.state_dict())


@pytest.mark.parametrize("name", ["nuscenes", "ddad"])
def test_the_configurations_of_the_large_sets_are_valid(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = []
    for command, base, own in (
        (stage0.main, "distill/stage0.yaml", f"distill/{name}_stage0.yaml"),
        (main, "distill.yaml", f"distill/{name}_trainval.yaml"),
    ):
        files = [f"--config={CONFIG.parent / file}" for file in (base, own)]
        with pytest.raises(SystemExit) as finished:
            command(["fit", *files, f"--data.teacher={folder / 'teacher.ckpt'}", "--print_config"])
        assert finished.value.code == 0
        shown.append(yaml.safe_load(capsys.readouterr().out))
    bins, student = shown
    given = Path(bins["trainer"]["default_root_dir"]) / stage0.FILE
    assert given == Path(student["model"]["binned_teacher"])
    architectures = (bins["model"]["binned"]["init_args"], student["model"]["student"]["init_args"])
    assert len({tuple(architecture[key] for key in COMMON) for architecture in architectures}) == 1
    assert list(bins["data"]["train"]) == list(student["data"]["train"]) == [f"{name}_train"]
    assert student["data"]["validation"] == [f"{name}_val"]


WORKER = """
import sys
from pathlib import Path

import lightning as L
import torch
from fsmde_training.distill.fit import main
from fsmde_training.distill.module import COMMON

torch.set_num_threads(1)


class Record(L.Callback):
    rings, losses = [], []

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        self.rings.append(batch["ring"].tolist())

    def on_fit_end(self, trainer, module):
        record = {"rings": self.rings, "weights": module.state_dict(), "steps": trainer.global_step}
        record["val"] = trainer.callback_metrics["val/abs_rel"]
        torch.save(record, Path(sys.argv[1]) / f"rank_{trainer.global_rank}.pt")


main(sys.argv[2:], callbacks=[Record()])
"""


def test_two_processes_share_the_rings_and_end_with_the_same_weights(folder: Path) -> None:
    """One epoch of four rings: two batches per process, accumulated to one step; bfloat16, teacher in the loop."""
    run = folder / "two"
    run.mkdir()
    (run / "worker.py").write_text(WORKER)
    trainer = {"max_epochs": 1, "devices": 2, "strategy": "ddp", "accumulate_grad_batches": 2}
    arguments = configuration(folder, default_root_dir=str(run), precision="bf16-mixed", **trainer)
    data = ["--data.samples=4", "--data.outputs=null"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", run / "worker.py"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([*launch, run, *arguments, *data], check=True, timeout=240, env=environment)
    ranks = [torch.load(run / f"rank_{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert sorted(ring for rank in ranks for batch in rank["rings"] for ring in batch) == [0, 1, 2, 3]
    for name, value in ranks[0]["weights"].items():
        if "running" not in name:  # statistics of batch norm are those of every process's own batches
            assert torch.equal(value, ranks[1]["weights"][name]), name
    assert ranks[0]["val"] == ranks[1]["val"]
    assert ranks[0]["steps"] == ranks[1]["steps"] == 1
