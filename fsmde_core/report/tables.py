"""Represents tables as data; the template gives them their shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fsmde_core.report.measures import SCORES, Measure, Verdict


@dataclass(frozen=True)
class Number:
    """Fills a cell with a number, shown as `text`, and the verdict on it where it is a difference.

    shade: from 0 to 1, how dark the background is; None for no background.
    """

    value: float | None
    text: str
    shade: float | None = None
    verdict: Verdict | None = None


Cell = Number | str | None


@dataclass(frozen=True)
class TableRow:
    name: str
    cells: Sequence[Cell]
    strong: bool = False


@dataclass(frozen=True)
class ReportTable:
    """Holds a table; `head` are the headings of the rows' names and of the cells."""

    title: str
    head: Sequence[str]
    rows: Sequence[TableRow]


def scores_table(title: str, what: str, rows: Mapping[str, Mapping[str, float]], strong: str = "mean") -> ReportTable:
    # All measures of each row; `what` is the heading of the rows' names, the row called `strong` stands out.
    head = (what, *(measure.heading for measure in SCORES.values()))
    cells = {
        name: [Number(scores[key], m.text(scores[key])) for key, m in SCORES.items()] for name, scores in rows.items()
    }
    return ReportTable(title, head, [TableRow(name, row, name == strong) for name, row in cells.items()])


def matrix_table(title: str, what: str, measure: Measure, columns: Mapping[str, Mapping[str, float]]) -> ReportTable:
    # One measure by row and column, {column: {row: value}}; shades go from 0 to the largest value.
    largest = max((value for column in columns.values() for value in column.values()), default=0.0) or 1.0
    names = list(dict.fromkeys(name for column in columns.values() for name in column))

    def number(value: float | None) -> Number:
        return Number(value, measure.text(value), value / largest if value is not None else None)

    rows = [TableRow(name, [number(column.get(name)) for column in columns.values()], name == "mean") for name in names]
    return ReportTable(title, (what, *columns), rows)


def comparison_table(
    title: str,
    what: str,
    names: Sequence[str],
    rows: Iterable[tuple[str, Measure, Sequence[float | None]]],
    beside: Mapping[str, Sequence[float | None]] | None = None,
) -> ReportTable:
    # A value of each result called `names`, and how each but the first differs from the first. Rows are (name, measure,
    # one value per result); `beside` are further columns that are only shown, one value per row.
    head = [what, names[0], *(text for name in names[1:] for text in (name, "difference")), *(beside or {})]
    table = []
    for index, (name, measure, values) in enumerate(rows):
        cells: list[Cell] = [Number(values[0], measure.text(values[0]))]
        for value in values[1:]:
            cells += [Number(value, measure.text(value)), _change(measure, values[0], value)]
        cells += [Number(column[index], measure.text(column[index])) for column in (beside or {}).values()]
        table.append(TableRow(name, cells, name == "mean"))
    return ReportTable(title, head, table)


def _change(measure: Measure, reference: float | None, value: float | None) -> Number | None:
    if reference is None or value is None or not measure.better:
        return None
    number, text = measure.difference(reference, value), measure.change(reference, value)
    return Number(number, text, verdict=measure.verdict(reference, value))


def facts_table(title: str, columns: Mapping[str, Mapping[str, Any]]) -> ReportTable:
    # One column per result: {column: {row: fact}}.
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    rows = [TableRow(name, [str(column.get(name, "")) for column in columns.values()]) for name in names]
    return ReportTable(title, ("", *columns), rows)
