"""The recipe of the shipped student: its stages are valid configurations, and they share the time as they should."""

from __future__ import annotations

import time
from importlib import import_module

import pytest
import yaml

from fsmde_training.recipe import BASES, CONFIGS, ENDS, LEAST, MODULES, Clock


@pytest.mark.parametrize("stage", sorted(set(ENDS) - {"stage0"}))  # its default teacher must exist to be parsed
def test_every_stage_is_a_valid_configuration(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    main = import_module(f"fsmde_training.{MODULES.get(stage, 'fit')}").main
    configs = [CONFIGS / BASES.get(stage, "student.yaml"), CONFIGS / "recipe" / f"{stage}.yaml"]
    with pytest.raises(SystemExit) as finished:
        main(["fit", *(f"--config={path}" for path in configs), "--print_config"])
    assert finished.value.code == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["trainer"]["default_root_dir"] == f"runs/{stage}"


def test_a_stage_begins_from_what_is_finished_before() -> None:
    assert ENDS["real"] < ENDS["teacher"] < ENDS["stage0"] < ENDS["distilled"] <= 1
    assert ENDS["real"] < ENDS["mixed"] <= ENDS["stage0"]
    for stage in ENDS:
        text = (CONFIGS / "recipe" / f"{stage}.yaml").read_text()
        model = yaml.safe_load(text).get("model", {})
        if "start" in model:
            earlier = model["start"].split("/")[1]
            assert ENDS[earlier] <= ENDS["stage0"]


def test_time_of_a_stage_is_what_is_left_to_its_end() -> None:
    clock = Clock(time.monotonic() - 30, 1000, 12)
    assert clock.left_for("real") == pytest.approx(1000 * ENDS["real"] - 30 - 12, abs=1)
    late = Clock(time.monotonic() - 900, 1000, 12)
    assert late.left_for("mixed") == 1000 * LEAST
