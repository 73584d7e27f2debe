"""Measures the GPU pipeline: `make bench-gpu`. It needs torch with CUDA, and no ROS."""
