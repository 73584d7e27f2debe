"""Reads recordings of every kind as one iterator of frames, by `open_source(kind, root)`."""

from fsmde_core.sources.registry import KINDS, open_source

__all__ = ["KINDS", "open_source"]
