"""Distillation steps: every term trains the student and nothing else, at the weight, precision and time it should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import default_collate

from fsmde_core.errors import FsmdeError
from fsmde_training.distill.data import RingsDataModule, RingSet
from fsmde_training.distill.dataset import RingAugmentation, RingDraw, RingViews
from fsmde_training.distill.module import DistillationModule, gradient_norms
from fsmde_training.distill.terms import TERMS, RingComparison
from fsmde_training.losses import vrkd_affinity
from fsmde_training.networks.student import Student
from fsmde_training.sets import cache
from fsmde_training.supervised.module import StudentModule, supervised_terms
from fsmde_training.teachers import TeacherOutput
from fsmde_training.teachers.binned import BinnedTeacher, save_binned_teacher
from support.distill_sets import SIZE, VIEWS, initialise_convolutions, save_rings, save_teacher

STILL = RingAugmentation(flip=0.0, colour=0.0, damage=0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distillation")
    save_rings(folder / "sets" / "city", rings=4)
    teacher = save_teacher(folder / "teacher.ckpt")
    torch.manual_seed(6)
    binned = BinnedTeacher(teacher.channels)
    for parameter in binned.binning.parameters():  # untrained, it would know nothing
        torch.nn.init.normal_(parameter)
    save_binned_teacher(binned, folder / "binned.pt")
    return folder


@pytest.fixture(scope="module")
def batch(folder: Path) -> dict[str, Any]:
    """A labelled and an unlabelled ring, with the teacher's outputs."""
    train = {"city": RingSet(labelled=2)}
    data = RingsDataModule(
        folder / "sets", train, [], STILL, str(folder / "teacher.ckpt"), folder / "outputs", views=VIEWS, pixels=64
    )
    data.prepare_data()
    data.setup("fit")
    return next(iter(data.train_dataloader()))


def untrained_student() -> Student:
    """Its features and centres depend on the image, as they do once training has begun."""
    torch.manual_seed(0)
    student = Student()
    initialise_convolutions(student.encoder)
    torch.nn.init.normal_(student.bins.centres.seeds[-1].weight, std=0.5)
    return student


def module(folder: Path, **options: Any) -> DistillationModule:
    return DistillationModule(untrained_student(), binned_teacher=folder / "binned.pt", **options)


def test_supervised_terms_are_those_of_supervised_training(folder: Path, batch: dict[str, Any]) -> None:
    ours = module(folder)
    views = {name: batch[name].flatten(0, 1) for name in ("images", "depth", "focal", "pixels")}
    expected = StudentModule(untrained_student()).losses(views)
    torch.testing.assert_close(ours.losses(batch), expected)
    assert set(expected) == {"silog", "relative", "likelihood", "edges"}


@pytest.mark.parametrize("name", sorted(TERMS))
def test_every_term_teaches_the_student_only(name: str, folder: Path, batch: dict[str, Any]) -> None:
    ours = module(folder, weights={}, distillation={name: 1.0})
    assert ours.teacher is not None
    ours.teacher.requires_grad_(True)  # the terms themselves must keep it out
    terms = ours.losses(batch)
    assert set(terms) == {name}
    assert torch.isfinite(terms[name])
    assert terms[name] > 0
    terms[name].backward()
    gradients = {key: value.grad for key, value in ours.named_parameters() if value.grad is not None}
    assert any(key.startswith("student.encoder") and gradient.abs().sum() > 0 for key, gradient in gradients.items())
    assert not any(key.startswith("teacher") for key in gradients)
    assert (ours.adapter is not None) == (name == "fitnets")
    if name == "ckd_centres":
        assert not any(key.startswith("student.bins.probability_head") for key in gradients)


@pytest.mark.parametrize("name", sorted(set(TERMS) - {"ckd_centres"}))  # which compares labelled pixels alone
def test_nothing_is_compared_on_the_own_vehicle(name: str, folder: Path, batch: dict[str, Any]) -> None:
    """Other features, bins and depths there leave every term as it is, and what is seen still counts."""
    ours = module(folder, weights={}, distillation={name: 1.0}).eval()
    views = {key: batch[key].flatten(0, 1) for key in ("images", "depth", "focal", "pixels")}
    with torch.no_grad():
        pyramid = ours.student.pyramid(views["images"])
        compared = ours._compare(batch, views, pyramid, ours.student.bins(pyramid))
        seen = torch.ones_like(compared.seen)
        seen[:, SIZE // 2 :, : SIZE // 2] = False
        masked = replace(compared, seen=seen)
        found = TERMS[name](masked)
        assert found > 0 and not torch.isclose(found, TERMS[name](compared), rtol=1e-4)
        torch.testing.assert_close(TERMS[name](_spoilt(masked, ~seen)), found)
        assert not torch.isclose(TERMS[name](_spoilt(masked, seen)), found, rtol=1e-4)
        assert TERMS[name](replace(compared, seen=torch.zeros_like(seen))) == 0


def _spoilt(compared: RingComparison, where: Tensor) -> RingComparison:
    """Another comparison, in which both networks say something else at some pixels."""
    noise = torch.Generator().manual_seed(3)

    def spoil(maps: Tensor, axis: int = 2) -> Tensor:
        height, width = maps.shape[axis : axis + 2]
        cells = torch.nn.functional.adaptive_max_pool2d(where.float(), (height, width)) > 0
        shape = [len(maps), *[1] * (axis - 1), height, width, *[1] * (maps.ndim - axis - 2)]
        return torch.where(cells.reshape(shape), torch.randn(maps.shape, generator=noise), maps)

    teacher = compared.teacher
    bins, distribution = (d and d._replace(logits=spoil(d.logits, 1)) for d in (compared.bins, compared.distribution))
    assert distribution is not None
    return replace(
        compared,
        pyramid=tuple(map(spoil, compared.pyramid)),
        distribution=distribution,
        bins=bins,
        hint=None if compared.hint is None else spoil(compared.hint),
        teacher=TeacherOutput(tuple(map(spoil, teacher.pyramid)), spoil(teacher.relative, 1)),
    )


def test_scaling_all_centres_leaves_ckd_a_unchanged(folder: Path, batch: dict[str, Any]) -> None:
    ours = module(folder, weights={"silog": 1.0}, distillation={"ckd_probability": 1.0, "ckd_centres": 1.0}).eval()
    before = ours.losses(batch)
    bins = ours.student.bins.centres
    bins.min_depth, bins.max_depth = 3 * bins.min_depth, 3 * bins.max_depth
    after = ours.losses(batch)
    assert after["ckd_probability"] == before["ckd_probability"]
    assert (after["silog"] - before["silog"]).abs() > 0.1
    assert (after["ckd_centres"] - before["ckd_centres"]).abs() > 0.1


def test_distillation_takes_in_unlabelled_rings_and_supervision_does_not(folder: Path, batch: dict[str, Any]) -> None:
    labelled = int((batch["pixels"][:, 0, 0] >= 0).nonzero()[0])
    assert (batch["pixels"][1 - labelled] == -1).all()
    ours = module(folder, distillation={"ckd_probability": 1.0, "ckd_centres": 1.0}).eval()
    both = ours.losses(batch)
    alone = ours.losses({name: _pick(value, labelled) for name, value in batch.items()})
    for name in ("silog", "likelihood", "edges", "ckd_centres"):
        torch.testing.assert_close(both[name], alone[name], rtol=1e-4, atol=1e-5)
    assert (both["ckd_probability"] - alone["ckd_probability"]).abs() > 1e-6


def _pick(value: Any, ring: int) -> Any:
    if isinstance(value, TeacherOutput):
        return TeacherOutput(tuple(level[ring][None] for level in value.pyramid), value.relative[ring][None])
    return value[ring][None]


def test_losses_are_exact_under_mixed_precision(folder: Path, batch: dict[str, Any]) -> None:
    ours = module(folder, distillation=dict.fromkeys(TERMS, 1.0)).eval()
    views = {name: batch[name].flatten(0, 1) for name in ("images", "depth", "focal", "pixels")}
    with torch.autocast("cpu", torch.bfloat16):
        mixed = ours.losses(batch)
        pyramid = ours.student.pyramid(views["images"])
        distribution = ours.student.bins(pyramid)
    assert pyramid[0].dtype == torch.bfloat16  # or there is nothing to see here
    expected = supervised_terms(ours.student, distribution, views, ours.weights)
    for name, value in mixed.items():
        assert value.dtype == torch.float32
        if name in expected:
            assert torch.equal(value, expected[name])
    student, teacher = (
        maps.unflatten(0, (-1, VIEWS)).float() for maps in (pyramid[3], batch["teacher"].pyramid[3].flatten(0, 1))
    )
    assert torch.equal(mixed["vrkd_affinity"], vrkd_affinity(student, teacher))


def test_distillation_warms_up_and_supervision_does_not(folder: Path) -> None:
    ours = module(folder, weights={"silog": 2.0}, distillation={"depth_kd": 3.0, "rkd": 0.0}, warmup=4)
    terms = {"silog": torch.tensor(1.0), "depth_kd": torch.tensor(1.0)}
    assert ours.weighted(terms) == {"silog": 2.0, "depth_kd": 0.75}  # the first of four steps
    ours.warmup = 0
    assert ours.weighted(terms) == {"silog": 2.0, "depth_kd": 3.0}
    assert "rkd" not in ours.distillation


def test_gradient_norms_by_hand() -> None:
    parameters = [torch.nn.Parameter(torch.tensor([1.0, 2.0])), torch.nn.Parameter(torch.tensor(5.0))]
    terms: dict[str, Tensor] = {
        "both": (torch.tensor([2.0, 0.0]) * parameters[0]).sum() + parameters[1].square() / 5 * 0.75,
        "one": 3 * parameters[1],
    }
    norms = gradient_norms(terms, parameters)
    assert norms["both"].item() == pytest.approx(2.5)  # of (2, 0) and 1.5
    assert norms["one"].item() == pytest.approx(3)
    assert all(parameter.grad is None for parameter in parameters)


def test_the_optimizer_has_the_student_and_the_adapter_and_not_the_teacher(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = module(folder, distillation={"fitnets": 1.0})
    monkeypatch.setattr(ours, "_trainer", SimpleNamespace(estimated_stepping_batches=10))
    groups = ours.configure_optimizers()["optimizer"].param_groups
    assert ours.adapter is not None
    learning = [*ours.student.parameters(), *ours.adapter.parameters()]
    assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in learning}
    assert groups[0]["max_lr"] == pytest.approx(0.2 * groups[1]["max_lr"])  # the encoder's


def test_sharing_starts_from_the_teachers_bins(folder: Path) -> None:
    ours = module(folder, sharing="all")
    assert ours.teacher is not None
    torch.testing.assert_close(ours.student.bins.state_dict(), ours.teacher.binning.state_dict())
    alone = module(folder, sharing="none").student.bins
    assert not torch.equal(alone.centres.seeds[0].weight, ours.teacher.binning.centres.seeds[0].weight)


@pytest.mark.parametrize("name", sorted(TERMS))
def test_every_term_falls_on_a_batch_seen_again_and_again(name: str, folder: Path, batch: dict[str, Any]) -> None:
    ours = module(folder, weights={}, distillation={name: 1.0})
    optimizer = torch.optim.AdamW([p for p in ours.parameters() if p.requires_grad], 3e-4)
    history = []
    for _ in range(10):
        loss = ours.losses(batch)[name]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())

    assert history[-1] < 0.9 * history[0]


def test_a_teacher_run_in_every_step_gives_what_is_cached(folder: Path, batch: dict[str, Any]) -> None:
    data = RingsDataModule(
        folder / "sets", {"city": RingSet(labelled=2)}, [], STILL, str(folder / "teacher.ckpt"), views=VIEWS
    )
    data.setup("fit")
    images = RingViews(cache.load(folder / "sets" / "city"), STILL, 4, views=VIEWS)
    plain = default_collate([images[RingDraw(0, int(ring), (0, 0, 0))] for ring in batch["ring"]])

    class Training:
        training = True

    data.trainer = Training()  # type: ignore[assignment]
    teacher = data.on_after_batch_transfer(plain, 0)["teacher"]
    for live, cached in zip(
        (*teacher.pyramid, teacher.relative), (*batch["teacher"].pyramid, batch["teacher"].relative), strict=True
    ):
        torch.testing.assert_close(live, cached, rtol=2e-3, atol=2e-3)  # float16 on disk


def test_what_does_not_go_together_is_named(folder: Path, batch: dict[str, Any]) -> None:
    with pytest.raises(FsmdeError, match=r"terms \['ckd'\].*ckd_probability"):
        DistillationModule(Student(), distillation={"ckd": 1.0})
    with pytest.raises(FsmdeError, match=r"binned_teacher is not given.*'ckd_centres'"):
        DistillationModule(Student(), distillation={"ckd_centres": 1.0})
    with pytest.raises(FsmdeError, match="sharing=all"):
        DistillationModule(Student(), sharing="all")
    without = {name: value for name, value in batch.items() if name != "teacher"}
    with pytest.raises(FsmdeError, match=r"no teacher for the terms \['depth_kd'\]"):
        DistillationModule(Student(), distillation={"depth_kd": 1.0}).losses(without)
    with pytest.raises(FsmdeError, match=r"student has bins=32, the binned teacher 64"):
        DistillationModule(Student(bins=32), distillation={"ckd_centres": 1.0}, binned_teacher=folder / "binned.pt")
