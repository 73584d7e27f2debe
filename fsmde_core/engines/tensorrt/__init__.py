"""TensorRT engines: the graph they are built from, the build, the cache on disk, and the engine that serves."""
