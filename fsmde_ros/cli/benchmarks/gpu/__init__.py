"""The benchmark of the GPU path: `make bench-gpu`. It needs torch with CUDA, and no ROS."""
