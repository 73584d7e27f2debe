"""The GPU through pycuda: context, memory, and our own kernels."""
