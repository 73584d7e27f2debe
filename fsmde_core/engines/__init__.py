"""Holds the inference engines behind one protocol; their libraries are imported when an engine is loaded."""

from fsmde_core.engines.base import DepthBatch, Engine, EngineReport
from fsmde_core.engines.registry import ENGINES, describe_engines, load_engine

__all__ = ["ENGINES", "DepthBatch", "Engine", "EngineReport", "describe_engines", "load_engine"]
