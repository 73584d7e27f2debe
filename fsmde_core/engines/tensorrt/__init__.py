"""Builds TensorRT engines from a model's graph, keeps them on disk, and runs them."""
