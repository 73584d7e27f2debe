"""The frame on a GPU: raw images up, depth and packed cloud down, nothing else over the bus."""
