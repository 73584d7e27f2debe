#!/usr/bin/env bash
# OpenCV 4.13.0 and 5.0.0: cv2.Rodrigues gives the rotation vector zero for every matrix that turns by less than 1e-5 rad; the way back, vector to matrix, is exact.
#
# Who guesses wrong: whoever interpolates poses of a vehicle that stands nearly still, accumulates small corrections of an extrinsic calibration, or compares
# two poses by the rotation vector between them: a turn of 9e-6 rad is said to be none, and a loop "until the step is below 1e-6 rad" ends too early. At 100 Hz a
# yaw rate of 0.05 degrees per second is such a turn. SciPy's Rotation.as_rotvec gives it to all digits.
#
# Output seen (x86-64), turns about z:
#   opencv 4.13.0 scipy 1.17.1
#   turn 9.0e-06  cv2.Rodrigues 0.0e+00  scipy 9.0e-06  matrix of the vector 9.0e-06
#   turn 1.1e-05  cv2.Rodrigues 1.1e-05  scipy 1.1e-05  matrix of the vector 1.1e-05
#   opencv 5.0.0: the same
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for version in 4.13.0.92 5.0.0.93; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 "opencv-python-headless==$version"
    "$folder/$version/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np
import scipy
from scipy.spatial.transform import Rotation

print("opencv", cv2.__version__, "scipy", scipy.__version__)
wrong = []
for turn, kept in ((1e-7, False), (9e-6, False), (1.1e-5, True), (1e-3, True)):
    matrix = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    vector = float(cv2.Rodrigues(matrix)[0][2, 0])
    exact = float(Rotation.from_matrix(matrix).as_rotvec()[2])
    back = float(cv2.Rodrigues(np.array([0, 0, turn]))[0][1, 0])
    print(f"turn {turn:.1e}  cv2.Rodrigues {vector:.1e}  scipy {exact:.1e}  matrix of the vector {back:.1e}")
    if not np.allclose([vector, exact, back], [turn if kept else 0, turn, np.sin(turn)], rtol=1e-3, atol=1e-15):
        wrong.append(turn)
sys.exit(f"no longer as described: {wrong}" if wrong else 0)
PYTHON
done
