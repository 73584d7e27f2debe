"""Runs a frame on a GPU: raw images go up, depth and the packed cloud come down, nothing else crosses the bus."""
