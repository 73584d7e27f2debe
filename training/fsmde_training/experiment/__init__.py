"""Tests whether distillation makes a better student than its labels alone; docs/experiments.md holds the answer."""
