"""Scores depth against lidar: protocols, predictors, and the evaluation that applies them to a recording."""
