"""Reads a report's page as a browser would see it: tables with their exact values, and what it refers to."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Table:
    """rows: name -> cells as text. values: name -> the exact values that are in the cells, in order."""

    title: str
    head: list[str] = field(default_factory=list)
    rows: dict[str, list[str]] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)


class Page(HTMLParser):
    """Parses `text`. links: what it refers to. alts: of images and plots."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, Table] = {}
        self.links: list[str] = []
        self.tags: dict[str, int] = {}
        self.alts: list[str] = []
        self.words: list[str] = []
        self._table = Table("")
        self._scope, self._row, self._cell = "", "", [""]
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.links += [given[name] for name in ("href", "src", "xlink:href", "srcset", "poster") if name in given]
        if tag in ("img", "svg"):
            self.alts.append(given.get("alt", given.get("aria-label", "")))
        if given.get("role") == "region":
            self._table = self.tables[given["aria-label"]] = Table(given["aria-label"])
        if tag in ("th", "td"):
            self._cell, self._scope = [], given.get("scope", "")
        if tag == "data":
            self._table.values.setdefault(self._row, []).append(float(given["value"]))

    def handle_data(self, data: str) -> None:
        self._cell.append(data)
        self.words.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("th", "td"):
            return
        text = " ".join("".join(self._cell).split())
        if self._scope == "col":
            self._table.head.append(text)
        elif self._scope == "row":
            self._row = text
        else:
            self._table.rows.setdefault(self._row, []).append(text)
