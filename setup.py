"""ament_python and pip packaging; metadata lives here because ROS 2 Humble's setuptools reads it nowhere else."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "fsmde_ros"

RUNTIME = [
    "numpy>=1.22,<2.5",
    "numba>=0.60,<0.70",
    "opencv-python-headless>=4.5,<6",
    "onnx>=1.22,<1.24",
    "onnxruntime>=1.30,<1.33",
    "openvino>=2026.3,<2027",
    "pyyaml",
    "rosbags>=0.11",
    "mcap>=1.2,<2",
    "typer>=0.12",
    "rich>=13",
    "matplotlib>=3.7",
    "jinja2>=3",
]

FLEET = ["ray>=2.60,<3"]
# What `colcon test` needs: it runs test/core.
TEST = ["pytest>=7", "pytest-timeout>=2.1", "hypothesis>=6.100"]


def ros_wheels(distribution: str, rclpy: str, rmw: str, messages: str) -> list[str]:
    """List what the node and the commands need of a ROS 2 distribution, in the given versions."""
    packages = ("sensor-msgs", "diagnostic-msgs", "visualization-msgs", "std-srvs")
    versions = {"rclpy": rclpy, "rmw-fastrtps-cpp": rmw, **dict.fromkeys(packages, messages)}
    return [f"ros-{distribution}-{package}=={version}.*" for package, version in versions.items()]


EXTRAS = {
    # A ROS 2 distribution brings these itself; the wheels make `pip install` enough on any Linux. One of the two: their
    # parts have the same names.
    "ros": ros_wheels("kilted", rclpy="9.1", rmw="9.3", messages="5.5"),
    "jazzy": ros_wheels("jazzy", rclpy="7.1", rmw="8.4", messages="5.3"),
    "train": [
        "torch==2.13.0",
        "lightning>=2.6,<3",
        "torchmetrics>=1.9,<2",
        "transformers>=5.20,<6",
        "onnxscript>=0.7,<0.8",
        "jsonargparse[signatures]>=4.40",
        "tensorboard>=2.18",
    ],
    "view": ["rerun-sdk>=0.39,<0.42"],
    "fleet": FLEET,
    "gpu": ["pycuda", "tensorrt>=10.3,<12"],
    "test": TEST,
    "dev": [*TEST, *FLEET, "import-linter>=2.5,<3", "mypy>=1.13", "ruff>=0.8", "types-PyYAML"],
}


def files(folder: str, pattern: str) -> list[str]:
    return [str(path) for path in sorted(Path(folder).glob(pattern))]


setup(
    name=NAME,
    version="0.2.0",
    description="Real-time full-surround monocular metric depth for six synchronized cameras on ROS 2",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["fsmde_core*", "fsmde_ros*"]) + find_packages("training"),
    package_dir={"fsmde_training": "training/fsmde_training"},
    package_data={
        "fsmde_core.engines": ["street.jpg"],
        "fsmde_core.pipeline.gpu.cuda": ["kernels/*.cu"],
        "fsmde_core.report": ["templates/*"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", files("launch", "*.launch.py")),
        (f"share/{NAME}/config", files("config", "*.*")),
        (f"share/{NAME}/config/rigs", files("config/rigs", "*.yaml")),
        (f"share/{NAME}/models", files("models", "*")),
    ],
    install_requires=RUNTIME,
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": [
            "surround_depth = fsmde_ros.__main__:main",
            "fsmde = fsmde_ros.cli.app:main",
        ]
    },
)
