#!/usr/bin/env bash
# OpenCV 4.13.0, 5.0.0 and Pillow 12.0.0: what lies behind a JPEG decides whether it decodes, not whether it is whole.
#
# Who guesses wrong: whoever takes "imdecode gave an image" for "the image arrived". V4L2 webcams hand on buffers of fixed size, the JPEG in front and zeros behind
# it; a transfer that broke off leaves half a JPEG in front of the same zeros. Half a JPEG alone is refused. With zeros behind it, or an end marker put behind it to
# mend it, the same half is an image without an exception: two thirds of the pixels are grey or smeared, and libjpeg says a line on standard error at most.
# The other way round a whole JPEG that lacks nothing but its last two bytes, the end marker, as some cameras send it, is refused.
# So look for the end marker in the data, and compare what follows the last restart or scan, before an image is believed.
#
# Output seen (x86-64), a 64x64 picture; `right` is the share of pixels equal to those of the whole JPEG:
#   opencv 4.13.0 pillow 12.0.0
#   whole                     cv2 right 1.00   pillow right 1.00
#   without its end marker    cv2 refused      pillow refused
#   the same, zeros behind    cv2 right 1.00   pillow right 1.00
#   half                      cv2 refused      pillow refused
#   half, end marker behind   cv2 right 0.29   pillow right 0.29
#   half, zeros behind        cv2 right 0.29   pillow right 0.29
#   opencv 5.0.0: the same
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 4.13.0.92 5.0.0.93; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 pillow==12.0.0 "opencv-python-headless==$version"
    "$folder/$version/bin/python" - <<'PYTHON'
import io
import sys

import cv2
import numpy as np
import PIL
from PIL import Image

print("opencv", cv2.__version__, "pillow", PIL.__version__)
coarse = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)
jpeg = cv2.imencode(".jpg", cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC))[1].tobytes()
whole = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
half, zeros, end = jpeg[: len(jpeg) // 2], bytes(4096), b"\xff\xd9"
# what -> its bytes, and whether it decodes
CASES = {
    "whole": (jpeg, True),
    "without its end marker": (jpeg[:-2], False),
    "the same, zeros behind": (jpeg[:-2] + zeros, True),
    "half": (half, False),
    "half, end marker behind": (half + end, True),
    "half, zeros behind": (half + zeros, True),
}


def by_cv2(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def by_pillow(data):
    try:
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[..., ::-1]
    except OSError:
        return None


def right(image):
    return None if image is None else float((image == whole).all(axis=-1).mean())


wrong = []
for what, (data, decodes) in CASES.items():
    found = [right(by_cv2(data)), right(by_pillow(data))]
    words = ["refused   " if share is None else f"right {share:.2f}" for share in found]
    print(f"{what:25} cv2 {words[0]}   pillow {words[1]}")
    is_half = what.startswith("half")
    if any((share is not None) != decodes or (share is not None and (share < 0.5) != is_half) for share in found):
        wrong.append(what)
sys.exit(f"no longer as described: {wrong}" if wrong else 0)
PYTHON
done
