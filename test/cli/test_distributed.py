"""Evaluation over Ray workers: the records of one process, whatever happens to the workers."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmde_core.engines import load_engine
from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.distributed import ray as distributed
from fsmde_core.evaluation.distributed.shard import EvaluationJob, check_same_numbers, evaluate_shard, load_predictors
from fsmde_core.evaluation.predictors.predictors import model_and_baselines
from fsmde_core.evaluation.protocols.registry import make_protocol
from fsmde_core.evaluation.records import frame_records
from fsmde_core.evaluation.results.document import EngineDescription, document_header
from fsmde_core.evaluation.results.record import FrameRecord
from fsmde_core.frames import Frame
from fsmde_core.pipeline.pipeline import CpuPipeline
from fsmde_core.sources import open_source
from fsmde_core.sources.registry import FrameRange
from fsmde_core.sources.rosbag import RosbagSource
from fsmde_core.sources.source import Source
from fsmde_ros.cli.app import main
from support.bags import write_bag
from support.repository import ROOT
from support.small_datasets import write_ddad
from support.small_rig import SmallRig

FRAMES = 23
RULES = make_protocol("surrounddepth", "small")


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lidar in every second frame."""
    return write_bag(tmp_path_factory.mktemp("fleet") / "bag", SmallRig(FRAMES))


@pytest.fixture(scope="module")
def ray_address() -> Iterator[str]:
    """A cluster of two workers on this machine; they find the modules of the tests."""
    ray = pytest.importorskip("ray", reason="Ray, the extra 'fleet', is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT / "test"))
        patch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
        cluster = distributed.ray_cluster("local")
        cluster.__enter__()
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers cannot import this file
    yield ray.get_runtime_context().gcs_address
    started = below(os.getpid())
    assert len(started) >= 4  # the two workers, and what serves them
    cluster.__exit__(None, None, None)
    assert not [process for process in started if Path(f"/proc/{process}").exists()]


def below(process: int) -> list[int]:
    """Ids of all processes that descend from one."""
    lists = [path.read_text().split() for path in Path(f"/proc/{process}/task").glob("*/children")]
    return [found for children in lists for child in map(int, children) for found in (child, *below(child))]


def header(source: Source, model: Path, **other: Any) -> dict[str, Any]:
    """The header of the result document."""
    engine = load_engine("onnxruntime", model, 1, len(source.rig.cameras))
    described = EngineDescription.of(engine)
    return {**document_header(source, "rosbag", None, (0, None), RULES, described, False), **other}


def job_of(opened: Callable[[], Source], model: Path, **other: Any) -> EvaluationJob:
    return EvaluationJob(opened, partial(load_predictors, model, header(SmallRig(), model, **other), True), RULES)


def lines(records: Iterator[FrameRecord]) -> list[str]:
    """All digits of records, but for the time that they took."""
    return [replace(record, latency_ms=None).to_json() for record in records]


def in_one_process(source: Source, model: Path, span: FrameRange = (0, None), after: int | None = None) -> list[str]:
    pipeline = CpuPipeline(load_engine("onnxruntime", model, 1, len(source.rig.cameras)))
    return lines(frame_records(source, model_and_baselines(pipeline), RULES, span, after))


@pytest.mark.parametrize(
    ("span", "after", "longest"),
    [((0, None), None, 16), ((2, 21), None, 3), ((3, FRAMES), None, 2), ((4, None), 7, 1), ((22, 23), None, 16)],
)
def test_records_are_those_of_one_process(
    span: FrameRange,
    after: int | None,
    longest: int,
    bag: Path,
    tiny_model: Path,
    ray_address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distributed, "LONGEST_SHARD", longest)
    expected = in_one_process(RosbagSource(bag), tiny_model, span, after)
    found = lines(distributed.distributed_records(job_of(partial(RosbagSource, bag), tiny_model), FRAMES, span, after))
    assert found == expected
    steady = [json.loads(line)["steadiness"] != {} for line in found]
    assert sum(steady) >= len(found) // 2 - 1  # each sample but the first is compared, over the shards' ends as well


def test_what_the_workers_read_and_note_comes_together(tmp_path: Path, tiny_model: Path, ray_address: str) -> None:
    root = write_ddad(tmp_path / "set", frames=9)
    min(root.rglob("LIDAR/*")).unlink()
    alone = open_source("ddad", root)
    in_one_process(alone, tiny_model)
    job, readings = job_of(partial(open_source, "ddad", root), tiny_model), distributed.WorkerReadings()
    records = list(distributed.distributed_records(job, len(alone), readings=readings))
    assert len(records) == 18
    assert readings.counts == alone.counts and alone.counts.sweeps.left_out == {"the file is absent": 1}
    assert readings.notes[0] == "counts are sums over 2 workers, which may read a part of a bag each"
    assert any("sweeps left out: the file is absent, such as" in note for note in readings.notes)


class Broken(RosbagSource):
    """Ends in an error at frame 13."""

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        for frame in super().frames(start, stop):
            if frame.index == 13:
                raise FsmdeError("the disk of frame 13 is gone")
            yield frame


class Deadly(RosbagSource):
    """Kills its process when it comes to frame `at`, as long as there is a file to take away from `lives`."""

    def __init__(self, path: Path, at: int, lives: Path) -> None:
        super().__init__(path)
        self.at, self.lives = at, lives

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        for frame in super().frames(start, stop):
            if frame.index == self.at and (life := next(self.lives.iterdir(), None)):
                life.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
            yield frame


def lives(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / str(number)).touch()
    return folder


def test_a_worker_that_dies_is_replaced(bag: Path, tiny_model: Path, tmp_path: Path, ray_address: str) -> None:
    left = lives(tmp_path / "lives", 2)
    job = job_of(partial(Deadly, bag, 9, left), tiny_model)
    assert lines(distributed.distributed_records(job, FRAMES)) == in_one_process(RosbagSource(bag), tiny_model)
    assert not list(left.iterdir())


@pytest.mark.slow
def test_workers_that_keep_dying_are_given_up(bag: Path, tiny_model: Path, tmp_path: Path, ray_address: str) -> None:
    job = job_of(partial(Deadly, bag, 9, lives(tmp_path / "lives", 20)), tiny_model)
    with pytest.raises(FsmdeError, match=r"frames \d+:\d+ were given up after their Ray worker died 4 times"):
        list(distributed.distributed_records(job, FRAMES))


def test_an_error_of_the_recording_comes_as_in_one_process(tmp_path: Path, tiny_model: Path, ray_address: str) -> None:
    """After the records of the frames before it."""
    path = write_bag(tmp_path / "bag", SmallRig(FRAMES))
    results = []
    pipeline = CpuPipeline(load_engine("onnxruntime", tiny_model, 1, 4))
    for records in (
        frame_records(Broken(path), model_and_baselines(pipeline), RULES),
        distributed.distributed_records(job_of(partial(Broken, path), tiny_model), FRAMES),
    ):
        before = []
        with pytest.raises(FsmdeError) as caught:
            for record in records:
                before.append(replace(record, latency_ms=None).to_json())
        results.append((before, str(caught.value)))
    assert results[0] == results[1]
    assert len(results[0][0]) == 13 and results[0][1] == "the disk of frame 13 is gone"


def test_a_recording_that_a_worker_does_not_see_is_named(tiny_model: Path, ray_address: str) -> None:
    job = job_of(partial(open_source, "rosbag", Path("/nonexistent/bag")), tiny_model)
    with pytest.raises(FsmdeError, match=r"worker .* cannot take part: the recording /nonexistent/bag does not exist"):
        list(distributed.distributed_records(job, FRAMES))


def test_a_worker_without_our_modules_is_told_apart_from_a_defect(
    tmp_path: Path, tiny_model: Path, ray_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text("def opened():\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    absent = job_of(importlib.import_module("only_here").opened, tiny_model)
    with pytest.raises(FsmdeError, match=r"a Ray worker cannot take part \(No module named 'only_here'\); install"):
        list(distributed.distributed_records(absent, FRAMES))
    with pytest.raises(ZeroDivisionError):
        list(distributed.distributed_records(job_of(partial(divmod, 1, 0), tiny_model), FRAMES))


@pytest.mark.slow
def test_command_line_joins_a_cluster(
    bag: Path, tiny_model: Path, tmp_path: Path, ray_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = []
    for name, options in (("alone", []), ("fleet", ["--ray", ray_address]), ("local", ["--ray", "local"])):
        out = tmp_path / f"{name}.json"
        command = [Path(sys.executable).with_name("fsmde"), "evaluate", "--root", bag.name, "--model", tiny_model]
        command += ["--frames", "1:20", "--json", out, *options]
        subprocess.run(command, check=True, timeout=120, cwd=bag.parent)
        documents.append(json.loads(out.read_text()))
        assert documents[-1].pop("latency_ms")["p50"] > 0
        del documents[-1]["notes"], documents[-1]["read"]  # of a bag each worker reads all that comes before its part
    assert documents[0] == documents[1] == documents[2]


def test_a_worker_that_would_compute_other_numbers_is_refused(bag: Path, tiny_model: Path) -> None:
    source = RosbagSource(bag)
    ours = header(source, tiny_model)
    check_same_numbers(load_engine("onnxruntime", tiny_model, 1), ours)
    job = job_of(partial(RosbagSource, bag), tiny_model, precision="bf16", model_sha256="0")
    refused = evaluate_shard(pickle.dumps(job), (0, None))
    assert not refused.records and refused.failure is not None
    sha256 = ours["model_sha256"]
    assert (
        "precision f32 instead of bf16" in refused.failure and f"model_sha256 {sha256} instead of 0" in refused.failure
    )
    other = {**ours, "environment": {**ours["environment"], "engine_version": "0.9", "cpu": "another"}}
    with pytest.raises(FsmdeError, match=r"compute with engine_version [\d.]+ instead of 0\.9, so"):
        check_same_numbers(load_engine("onnxruntime", tiny_model, 1), other)


@given(st.integers(0, 500), st.integers(0, 500), st.integers(1, 20))
def test_shards_are_the_span_in_pieces_for_every_worker(start: int, frames: int, workers: int) -> None:
    shards = list(distributed._shards(range(start, start + frames), workers))
    assert [index for shard in shards for index in range(*shard)] == list(range(start, start + frames))
    assert all(0 < stop - begin <= distributed.LONGEST_SHARD for begin, stop in shards)
    assert len(shards) >= min(workers, frames)


@pytest.fixture
def spared_ray(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ray that is not shut down: the cluster of the other tests lives on."""
    ray = pytest.importorskip("ray", reason="Ray, the extra 'fleet', is not installed")
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    return ray


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", "the Ray cluster '127.0.0.1:1' cannot be used: .*refused; give its HOST:PORT, or local"),
        ("nonsense", "the Ray cluster 'nonsense' cannot be used"),
    ],
)
def test_a_cluster_that_is_not_there(address: str, words: str, spared_ray: Any) -> None:
    with pytest.raises(FsmdeError, match=words), distributed.ray_cluster(address):
        pass


def test_a_start_that_fails_is_one_sentence(spared_ray: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def init(*_: Any, **__: Any) -> None:
        raise Exception("The current node timed out during startup.\nMore of it.")  # as Ray does, of no special kind

    monkeypatch.setattr(spared_ray, "init", init)
    with (
        pytest.raises(FsmdeError, match=r"'local' cannot be used: .* startup\.; give"),
        distributed.ray_cluster("local"),
    ):
        pass


def test_without_ray_the_command_says_how_to_get_it(
    bag: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    options = ["--root", str(bag), "--model", str(tiny_model), "--engine", "onnxruntime", "--ray", "local"]
    monkeypatch.setattr(sys, "argv", ["fsmde", "evaluate", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "pip install 'fsmde_ros[fleet]'" in error and "Traceback" not in error
