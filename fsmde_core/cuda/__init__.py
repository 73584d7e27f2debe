"""The GPU through pycuda: context, memory and graphs (`driver`), our own kernels, and the backend made of them."""
