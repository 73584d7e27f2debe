"""The report's page: its numbers are the documents', differences have the right sign, nothing comes from outside."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmde_core.errors import FsmdeError
from fsmde_core.evaluation.measures.metrics import MEASURES
from fsmde_core.evaluation.results.drops import DropCounter
from fsmde_core.report.documents import load_results
from fsmde_core.report.measures import ABS_REL, COUNT, COVERAGE, DELTA, LATENCY, MINUS, NONE
from fsmde_core.report.page import render
from fsmde_core.report.plots import SERIES, VARIABLES, dot_plot
from support.page_reader import Page
from support.result_documents import CAMERAS, document, write

KEYS = (*MEASURES, "n")


def page(folder: Path, *documents: dict[str, Any]) -> str:
    """The page of these documents, called a, b, c, ..."""
    return render(load_results([write(folder / f"{'abc'[i]}.json", d) for i, d in enumerate(documents)]), None)


def test_numbers_of_one_result_are_the_documents(tmp_path: Path) -> None:
    given = document()
    tables = Page(page(tmp_path, given)).tables
    expected = {
        "All measures": {"model": given["mean"], "constant": given["baselines"]["constant"]["mean"]},
        "All measures per camera": {**given["cameras"], "mean": given["mean"]},
        "All measures by range, mean of the cameras": {name: band["mean"] for name, band in given["bands"].items()},
        "All measures by third, mean of the cameras": {name: third["mean"] for name, third in given["thirds"].items()},
    }
    for title, rows in expected.items():
        for name, scores in rows.items():
            assert tables[title].values[name.replace("_", " ")] == [scores[key] for key in KEYS], (title, name)
    assert tables["All measures"].rows["model"][0] == f"{given['mean']['abs_rel']:.3f}"
    by_camera = tables["AbsRel by range and camera ↓"]
    assert by_camera.head == ["camera", *given["bands"]]
    for name in CAMERAS:
        found = [band["cameras"][name]["abs_rel"] for band in given["bands"].values()]
        assert by_camera.values[name.replace("_", " ")] == found
    assert [*tables["All measures by third, mean of the cameras"].rows] == ["top", "middle", "bottom"]
    assert tables["Percentiles, ms ↓"].values == {"p50": [30.25], "p95": [35.5], "p99": [41.0]}
    assert tables["Coverage and ranking"].values["within 2 sigma"] == [0.874, 0.954]
    assert tables["Disagreement of neighbours, overlap ↓"].values["mean"] == [0.16]


def test_numbers_and_verdicts_of_three_results(tmp_path: Path) -> None:
    documents = document(0.2), document(0.1), document(0.20001)
    tables = Page(page(tmp_path, *documents)).tables
    summary = tables["All measures"]
    assert summary.head[:6] == ["measure", "a", "b", "difference", "c", "difference"]
    for row, key in (("AbsRel ↓", "abs_rel"), ("δ < 1.25 ↑", "a1")):
        a, b, c = (d["mean"][key] for d in documents)
        first, second, change, third = (summary.values[row][i] for i in range(4))
        assert (first, second, third) == (a, b, c)
        assert change == pytest.approx(round(b, 3) - round(a, 3))
        assert change < 0 if key == "abs_rel" else change > 0
        assert summary.rows[row][2].endswith(" better") and summary.rows[row][4] == "0.000 equal"
    turned = Page(page(tmp_path, documents[1], documents[0])).tables["All measures"].rows
    assert all(cells[2].endswith(" worse") for row, cells in turned.items() if row != "pixels")
    assert turned["pixels"][2] == ""
    assert tables["AbsRel ↓ per camera"].values["back"][:2] == [d["cameras"]["back"]["abs_rel"] for d in documents[:2]]


@pytest.mark.parametrize(
    ("measure", "reference", "value", "text", "verdict"),
    [
        (ABS_REL, 0.2, 0.1, f"{MINUS}0.100", "better"),
        (ABS_REL, 0.1, 0.2, "+0.100", "worse"),
        (DELTA, 0.8, 0.9, "+0.100", "better"),
        (DELTA, 0.9, 0.8, f"{MINUS}0.100", "worse"),
        (ABS_REL, 0.1001, 0.1004, "0.000", "equal"),
        (ABS_REL, 0.1004, 0.1006, "+0.001", "worse"),  # as the digits shown have it: 0.100 and 0.101
        (COVERAGE["1"], 0.9, 0.8, f"{MINUS}0.100", "better"),  # nearer to 0.683
        (COVERAGE["1"], 0.7, 0.6, f"{MINUS}0.100", "worse"),
        (COVERAGE["1"], 0.6, 0.7, "+0.100", "better"),
        (LATENCY["p99"], 30.0, 1234.5, "+1,204.5", "worse"),
    ],
)
def test_difference_marks(measure: Any, reference: float, value: float, text: str, verdict: str) -> None:
    assert (measure.change(reference, value), measure.verdict(reference, value)) == (text, verdict)


@given(st.floats(0, 5), st.floats(0, 5))
def test_lower_and_higher_is_better_are_opposites(a: float, b: float) -> None:
    opposite = {"better": "worse", "worse": "better", "equal": "equal"}
    assert DELTA.verdict(a, b) == opposite[ABS_REL.verdict(a, b)] == ABS_REL.verdict(b, a)
    assert (ABS_REL.verdict(a, b) == "equal") == (ABS_REL.text(a) == ABS_REL.text(b))
    assert COUNT.text(None) == COUNT.text(float("nan")) == NONE


def test_page_is_self_contained(tmp_path: Path) -> None:
    for documents in ([document()], [document(), document(0.3)]):
        text = page(tmp_path, *documents)
        found = Page(text)
        assert not re.search(r"https?:|file:|@import|url\((?!#)", text)
        assert str(tmp_path) not in text and ".json" not in text
        assert found.links and all(link.startswith(("#", "data:")) for link in found.links)
        assert not {"script", "iframe", "object", "embed"} & found.tags.keys()
        assert found.tags["link"] == 1  # the empty icon, which keeps browsers from asking for one
        ids = re.findall(r'\bid="([^"]+)"', text)
        targets = [link[1:] for link in found.links if link.startswith("#")] + re.findall(r"url\(#([^)]+)\)", text)
        assert set(targets) <= set(ids)
        assert found.alts and all("AbsRel" in alt or ": " in alt for alt in found.alts)


def test_every_table_and_plot_says_what_was_measured(tmp_path: Path) -> None:
    given = document(cap_m=200.0, samples=1, protocol="vfdepth", scaling="median", flip=True, masks=["front"])
    text = page(tmp_path, given)
    conditions = "protocol vfdepth, 1 sample, cap 200 m, scaling median, masks, flip averaging"
    assert text.count(f"<small>{conditions}</small>") == text.count("<table") + text.count("<svg") > 12
    assert conditions in text.partition("</header>")[0]


def test_names_are_escaped(tmp_path: Path) -> None:
    names = ("<b>", "a&b", "$x_1$", '"><script>alert(1)</script>')
    given = document(cameras=names, notes=["<i>cut off</i>"], model="<u>.onnx")
    found = Page(page(tmp_path, given))
    assert not {"b", "i", "u", "script"} & found.tags.keys()
    assert "<b>" in found.tables["All measures per camera"].rows
    assert sum("$x 1$" in words for words in found.words) >= 4  # tables and plots
    assert any("<i>cut off</i>" in words for words in found.words)


def test_sections_that_are_null_are_said_to_be_missing(tmp_path: Path) -> None:
    missing = dict.fromkeys(("bands", "thirds", "sigma", "consistency", "steadiness", "latency_ms", "environment"))
    bare = document(**missing, baselines={}, extremes=None, notes=None)
    text = page(tmp_path, bare)
    assert text.count("Not measured: the result has no such section.") == 6
    assert "AbsRel per camera" in text
    both = page(tmp_path, document(), bare)
    rows = Page(both).tables["Percentiles, ms ↓"].rows["p50"]
    assert rows == ["30.2", NONE, ""]
    one = document(consistency={"lidar": None, "overlap": document()["consistency"]["overlap"]})
    assert "Disagreement of neighbours, lidar" not in page(tmp_path, one)


def test_nan_is_no_number(tmp_path: Path) -> None:
    given = document(latency_ms={"p50": float("nan"), "p95": 35.5, "p99": 41.0})
    found = Page(page(tmp_path, given))
    assert found.tables["Percentiles, ms ↓"].rows["p50"] == [NONE]
    assert not any("nan" in words.lower() for words in found.words)


def test_notes_and_drops_stand_at_the_top(tmp_path: Path) -> None:
    counter = DropCounter(["front"])
    counter.add(sent=["front"], received=[], sampled=True)
    given = document(notes=["the bag ends in frame 7"], drops=counter.document(hz=10))
    top = page(tmp_path, given, document()).partition("</header>")[0]
    assert "a: the bag ends in frame 7" in top and "a: of 1 sets played (10 per second)" in top


def test_dots_lie_where_their_values_are() -> None:
    values = {"left": 0.1, "right": 0.3, "back": 0.2}
    svg = dot_plot("plot", ABS_REL, {"model": values}).svg
    color = VARIABLES[SERIES[0]]
    dots = re.findall(rf'<use xlink:href="#\w+" x="([\d.]+)" y="([\d.]+)" style="fill: var\(--{color}\)', svg)
    (x1, y1), (x3, y3), (x2, y2) = ((float(x), float(y)) for x, y in dots)
    assert x1 < x2 < x3 and x2 - x1 == pytest.approx(x3 - x2, abs=1e-3)
    assert y1 < y3 < y2  # rows in their order, from the top
    assert "left 0.100, right 0.300, back 0.200" in svg


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"protocol": "vfdepth"}, "protocol is surrounddepth in one and vfdepth in the other"),
        ({"cap_m": 200.0}, "cap_m is 80.0 in one and 200.0"),
        ({"scaling": "median"}, "scaling is none in one and median"),
        ({"source": "ddad"}, "source is pandaset in one and ddad"),
        ({"samples": 6}, "samples is 5 in one and 6"),
        ({"span": [30, 40]}, "first frame is 40 in one and 30"),
        ({"masks": ["front"]}, "masks is [] in one and ['front']"),
        ({"cameras": ("front", "back")}, "and ['back', 'front'] in the other"),
    ],
)
def test_what_must_not_be_compared_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    paths = [write(tmp_path / "a.json", document()), write(tmp_path / "b.json", document(**changes))]
    with pytest.raises(FsmdeError, match="'a' and 'b' cannot be compared") as refused:
        load_results(paths)
    assert words in str(refused.value)


def test_results_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    paths = [write(folder / "a.json", document()) for folder in (tmp_path, tmp_path / "other")]
    assert [result.name for result in load_results(paths)] == ["a", "a (2)"]
