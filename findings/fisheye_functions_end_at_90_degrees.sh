#!/usr/bin/env bash
# OpenCV 4.13.0 and 5.0.0: cv2.fisheye shows what lies 91 degrees off the axis on the opposite side of the image, and gives every pixel beyond 90 degrees one direction.
#
# Who guesses wrong: whoever projects lidar into a surround-view camera of 190 degrees, or makes rays for its pixels. The equidistant model itself
# (Kannala and Brandt 2006; `equidistant` of CameraInfo) has no limit at 90 degrees: u = cx + fx * theta. cv2.fisheye.projectPoints divides by z first,
# so a point with z < 0 is mirrored through the centre, with no error and well inside the image; cv2.fisheye.undistortPoints clamps theta at 90 degrees,
# and its result is a point at infinity (x around 1.7e16) whatever the pixel. Keep points with z > 0 only, or compute theta as atan2(hypot(x, y), z).
#
# Output seen (x86-64), fx = 300, cx = 640, no distortion, points in the plane y = 0 to the right of the axis:
#   opencv 4.13.0
#    89 degrees  model  1106.0  projectPoints  1106.0  undistortPoints of the model's pixel  89.0 degrees
#    91 degrees  model  1116.5  projectPoints   174.0  undistortPoints of the model's pixel  90.0 degrees
#   100 degrees  model  1163.6  projectPoints   221.1  undistortPoints of the model's pixel  90.0 degrees
#   opencv 5.0.0
#    the same
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 4.13.0.92 5.0.0.93; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 "opencv-python-headless==$version"
    "$folder/$version/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np

FX, CX = 300.0, 640.0
K, D, ZERO = np.array([[FX, 0, CX], [0, FX, 480], [0, 0, 1]]), np.zeros(4), np.zeros(3)
# degrees off the axis: column by projectPoints, degrees by undistortPoints of the model's pixel
EXPECTED = {60: (954.2, 60.0), 89: (1106.0, 89.0), 91: (174.0, 90.0), 100: (221.1, 90.0), 120: (325.8, 90.0)}
print("opencv", cv2.__version__)
found = {}
for degrees in EXPECTED:
    theta = np.radians(degrees)
    model = CX + FX * theta
    pixel, _ = cv2.fisheye.projectPoints(np.array([[[np.sin(theta), 0, np.cos(theta)]]]), ZERO, ZERO, K, D)
    ray = cv2.fisheye.undistortPoints(np.array([[[model, 480.0]]]), K, D)
    column, angle = float(pixel[0, 0, 0]), float(np.degrees(np.arctan(ray[0, 0, 0])))
    print(f"{degrees:4} degrees  model {model:7.1f}  projectPoints {column:7.1f}  undistortPoints of the model's pixel {angle:5.1f} degrees")
    found[degrees] = (round(column, 1), round(angle, 1))
sys.exit(0 if found == EXPECTED else "no longer as described")
PYTHON
done
