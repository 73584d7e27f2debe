"""The experiment: does distillation make a better student than its labels alone? See docs/experiments.md."""
