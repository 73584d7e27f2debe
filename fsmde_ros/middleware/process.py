"""The process set up for images of megabytes that come and go at camera rate."""

from __future__ import annotations

import ctypes

import cv2

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
_LARGEST_MMAP_THRESHOLD = 32 << 20  # of glibc on 64 bit
_KEPT_BYTES = 128 << 20


def keep_freed_memory() -> None:
    """Let the process keep up to 128 MB of freed memory per heap instead of giving it back with every message.

    Pages given back are cleared by the kernel when they are needed again, which costs three times what copying the
    message does. Without effect where the C library is not glibc on 64 bit.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # Without the first the second would make every image a mapping of its own, for good.
    if mallopt is not None and mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD):
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def keep_opencv_to_one_thread() -> None:
    """Keep OpenCV to the thread that calls it: images are worked on side by side, which costs a fifth less."""
    cv2.setNumThreads(1)
