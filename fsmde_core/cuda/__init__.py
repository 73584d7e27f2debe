"""Drives a GPU through pycuda: context, memory, streams and kernels (`driver`), CUDA graphs, and the compiler."""
