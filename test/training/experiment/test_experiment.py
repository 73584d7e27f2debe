"""The experiment: figures against hand-made results, the report, held-out sets, and steps that are not done twice."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.consistency import Consistency
from fsmde_core.evaluation.measures.metrics import MEASURES, Metrics
from fsmde_core.evaluation.predictors.predictors import ConstantDepth
from fsmde_core.evaluation.results.summary import Scores
from fsmde_training.experiment.__main__ import main
from fsmde_training.experiment.arms import ARMS
from fsmde_training.experiment.evaluate import measure
from fsmde_training.experiment.report.report import END, START, between_markers, write_report
from fsmde_training.experiment.report.ring_picture import plot_ring, spread_points
from fsmde_training.experiment.report.table import to_markdown, verdict
from fsmde_training.experiment.results import Latency, Results, RunResult, SeedSpread, gains
from fsmde_training.experiment.sets import open_set
from fsmde_training.experiment.settings import Settings, claim_folder
from fsmde_training.experiment.training import CONFIGS, run_once

FILES = sorted((CONFIGS / "experiment").glob("*.yaml"))


def scores(abs_rel: float) -> Scores:
    metrics = Metrics(**{**dict.fromkeys(MEASURES, 0.5), "abs_rel": abs_rel}, n=10)
    return Scores({"front": metrics, "back": metrics}, metrics)


def result(arm: str, seed: int, *abs_rel: float) -> RunResult:
    sets = dict(zip(("pandaset", "nuscenes"), map(scores, abs_rel), strict=True))
    return RunResult(arm, seed, 60.0, sets, Consistency({"front/back": 0.1}, 0.1, 5))


RUNS = (
    result("supervised", 1, 0.2, 0.4),
    result("supervised", 2, 0.1, 0.5),
    result("rkd", 1, 0.2, 0.4),
    result("rkd", 2, 0.1, 0.5),
    result("ckd_vrkd", 1, 0.18, 0.32),
    result("ckd_vrkd", 2, 0.09, 0.45),
    result("teacher", 0, 0.1, 0.2),
)
LATENCY = Latency(5.0, 40.0, 2.5, 7.0, "onnxruntime f32", (224, 128))


def test_the_gain_is_relative_to_the_same_seed_and_counts_every_set_alike() -> None:
    assert gains(RUNS, "ckd_vrkd") == pytest.approx({1: (10 + 20) / 2, 2: (10 + 10) / 2})
    assert gains(RUNS, "supervised") == pytest.approx({1: 0, 2: 0})
    assert gains(RUNS, "teacher") == pytest.approx({1: 50, 2: (0 + 60) / 2})
    assert SeedSpread.of([15, 10]) == SeedSpread(12.5, pytest.approx(5 / math.sqrt(2)))
    assert math.isnan(SeedSpread.of([1.0]).std)


def test_the_table_holds_mean_and_spread() -> None:
    lines = to_markdown(Results({}, RUNS, LATENCY)).splitlines()
    row = next(line for line in lines if line.startswith("| + CKD + VRKD"))
    assert row == "| + CKD + VRKD | +12.5 ± 3.5 | +12.5 ± 3.5 | 0.135 ± 0.064 | 0.385 ± 0.092 | 0.100 ± 0.000 |"
    assert any("8.0 times as long" in line for line in lines)
    columns = {line.count("|") for line in lines if line.startswith("| + RKD |")}
    assert columns == {7, 6, 4}  # the main table has six columns here, RMSE five, the cameras' tables three


@pytest.mark.parametrize(("ours", "reaches"), [((0.1, 0.2), True), ((0.199, 0.399), False), ((0.3, 0.5), False)])
def test_a_negative_result_is_called_one(ours: tuple[float, float], reaches: bool) -> None:
    runs = [*RUNS[:4], result("ckd_vrkd", 1, *ours), result("ckd_vrkd", 2, *ours)]
    runs[1], runs[3] = result("supervised", 2, 0.2, 0.4), result("rkd", 2, 0.2, 0.4)
    text = verdict(runs)
    assert ("does not reach" not in text) == reaches
    ahead = 100 * (1 - (ours[0] / 0.2 + ours[1] / 0.4) / 2)
    assert f"Beyond `+ RKD`, seed by seed: {ahead:+.1f} ± 0.0 %" in text
    assert "spread" not in verdict([runs[0], runs[4]])  # one seed has none


def test_another_arm_that_is_better_is_named() -> None:
    text = verdict([*RUNS, result("ckd_a", 1, 0.1, 0.2), result("ckd_a", 2, 0.05, 0.25)])
    assert "The largest gain is that of `+ CKD (a)`." in text


def test_streets_alone_have_no_column_of_recordings() -> None:
    assert gains(RUNS, "ckd_vrkd", without=["nuscenes"]) == pytest.approx({1: 10, 2: 10})
    only = [replace(run, sets={"streets": run.sets["nuscenes"]}) for run in RUNS]
    text = to_markdown(Results({}, tuple(only), LATENCY))
    assert "recordings" not in text and "nan" not in text


def test_the_report_holds_tables_pictures_and_all_numbers(tmp_path: Path) -> None:
    results = Results({"size": [224, 128]}, RUNS, LATENCY)
    (tmp_path / "experiments.md").write_text(f"above\n{START}\nold\n{END}\nbelow\n")
    text = write_report(results, tmp_path).read_text()
    assert text.startswith(f"above\n{START}\n")
    assert text.endswith(f"{END}\nbelow\n")
    assert "old" not in text
    for name in ("gains", "errors"):
        assert f"images/experiment_{name}.png" in text
        assert (tmp_path / "images" / f"experiment_{name}.png").stat().st_size > 10_000
    assert "experiment_ring" not in text
    numbers = json.loads((tmp_path / "experiments" / "results.json").read_text())
    assert numbers == json.loads(json.dumps(asdict(results)))
    assert write_report(results, tmp_path).read_text() == text


def test_a_document_without_a_place_for_results_is_left_alone() -> None:
    with pytest.raises(FsmdeError, match="no place for the results"):
        between_markers("text", "content")


def test_lidar_dots_are_nearest_points() -> None:
    depth = np.full((8, 8), np.nan, np.float32)
    depth[4:6, 4:6] = [[9, 3], [7, 8]]
    nan = np.nan
    expected = [[nan] * 4, [nan] * 4, [nan, nan, 3, 3], [nan, nan, 3, 3]]
    np.testing.assert_array_equal(spread_points(depth, (4, 4)), expected)


def test_the_ring_picture_has_a_row_per_camera(tmp_path: Path) -> None:
    images = {name: np.zeros((32, 64, 3), np.uint8) for name in ("front", "back")}
    depth = {name: np.full((32, 64), 10, np.float32) for name in images}
    plot_ring(images, {"lidar": depth, "supervised": depth}, "frame 40", tmp_path / "ring.png")
    assert (tmp_path / "ring.png").stat().st_size > 5_000


def test_held_out_streets_are_measured_against_exact_depth() -> None:
    held_out = open_set("streets", 1, (64, 32))
    found = measure("constant", 0, 0.0, ConstantDepth(10.0), {"streets": held_out})
    truth = held_out.source.frame(0).depth  # type: ignore[attr-defined]
    errors = []
    for depth in truth.values():
        valid = depth[(depth > 0.1) & (depth < 80)]
        errors.append(np.mean(np.abs(valid - 10) / valid))
    assert found.sets["streets"].mean.abs_rel == pytest.approx(np.mean(errors), rel=1e-5)
    assert found.sets["streets"].mean.n > 1000
    assert found.consistency.n > 0


@pytest.mark.data
def test_the_held_out_part_of_the_recording_begins_where_training_ends(pandaset_root: Path) -> None:
    held_out = open_set("pandaset", 0, (64, 32))
    assert held_out.source.numbers[held_out.span[0]] == 40  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_settings_are_complete(path: Path, tmp_path: Path) -> None:
    settings = Settings(**yaml.safe_load(path.read_text()))
    assert set(settings.weights) <= {term for arm in ARMS.values() for term in arm.terms}
    labelled = settings.bins["data"]["train"]
    for name, chosen in settings.student["data"]["train"].items():
        if chosen["labelled"]:  # stage 0 has the students' labels and no others
            assert labelled[name]["labelled"] == chosen["labelled"]
    json.dumps(asdict(settings), default=str)


def settings(folder: Path, **changes: Any) -> Settings:
    document = yaml.safe_load((CONFIGS / "experiment" / "smoke.yaml").read_text())
    return replace(Settings(**document), folder=folder, report=folder / "report", **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": ["vrkd"]}, "'supervised' among them"),
        ({"arms": ["supervised", "magic"]}, "magic"),
        ({"evaluation": ["kitti"]}, r"evaluation is \['kitti'\]"),
        ({"seeds": [1, 1]}, "all different"),
        ({"weights": {}}, "weights lack"),
    ],
)
def test_senseless_settings_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(FsmdeError, match=message):
        settings(tmp_path, **changes)


def test_a_folder_belongs_to_its_settings_but_may_get_more_seeds(tmp_path: Path) -> None:
    claim_folder(settings(tmp_path))
    claim_folder(settings(tmp_path, seeds=[1, 2, 3, 4]))
    with pytest.raises(FsmdeError, match="other settings of streets"):
        claim_folder(settings(tmp_path, streets=99))


def test_a_training_is_done_once_and_goes_on_at_its_checkpoint(tmp_path: Path) -> None:
    calls: list[list[str]] = []

    def train(arguments: list[str]) -> None:
        calls.append(arguments)
        (tmp_path / "last.ckpt").touch()
        if len(calls) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_once(train, "teacher.yaml", tmp_path, [{"data": {"samples": 3}}])
    seconds = run_once(train, "teacher.yaml", tmp_path, [{"data": {"samples": 3}}])
    assert run_once(train, "teacher.yaml", tmp_path, []) == seconds
    assert len(calls) == 2
    assert not any("ckpt" in argument for argument in calls[0])
    assert calls[1] == [*calls[0], "--ckpt_path=last"]
    written = [yaml.safe_load(Path(argument.split("=")[1]).read_text()) for argument in calls[0][2:]]
    assert written == [{"data": {"samples": 3}}, {"trainer": {"default_root_dir": str(tmp_path)}}]


def test_wrong_settings_end_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(settings(tmp_path).as_json() | {"arms": ["vrkd"]}))
    with pytest.raises(SystemExit) as finished:
        main([f"--config={path}"])
    assert finished.value.code == 2
    assert "'supervised' among them" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_experiment_in_miniature(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs, reports, and does nothing twice."""
    arguments = [f"--config={CONFIGS / 'experiment' / 'smoke.yaml'}", f"--folder={tmp_path}", f"--report={tmp_path}"]
    main(arguments)
    results = json.loads((tmp_path / "experiments" / "results.json").read_text())
    assert {run["arm"] for run in results["runs"]} == {"supervised", "ckd_vrkd", "teacher", "constant"}
    assert all(np.isfinite(run["sets"]["streets"]["mean"]["abs_rel"]) for run in results["runs"])
    assert results["latency"]["teacher_ms"] > results["latency"]["student_ms"]
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.ckpt")}
    capsys.readouterr()
    main(arguments)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.ckpt")} == stamps
    assert "student 1 of" not in capsys.readouterr().out
