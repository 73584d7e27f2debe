"""Plays a recording into the node of surround_depth.launch.py, scores what it publishes against lidar, and ends.

`ros2 launch fsmde_ros replay_eval.launch.py -s` lists the arguments of both.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.substitutions import ExecutableInPackage

NODE = Path(__file__).resolve().parent / "surround_depth.launch.py"

# Options of `fsmde replay`; one that is left empty is not given.
OPTIONS = {
    "source": "kind of recording: pandaset, nuscenes, ddad, rosbag or synthetic (empty: rosbag where a root is given)",
    "root": "where the recording is, for instance a rosbag2 with lidar",
    "frames": "A:B, a part of it (empty: all)",
    "hz": "sets per second in real time (empty: each set waits for the node's answer to the one before)",
    "protocol": "surrounddepth or vfdepth (empty: surrounddepth)",
    "cap": "largest true depth that is measured, metres (empty: the recording's usual one)",
    "json": "file for the numbers",
}


def end(reason):
    """End everything, unless that has begun: Ctrl-C ends all processes anyway."""
    return lambda event, context: None if context.is_shutdown else Shutdown(reason=reason)


def evaluator(context):
    """Start `fsmde replay` beside the node; when one of them ends, so does everything."""

    def value(name):
        return LaunchConfiguration(name).perform(context)

    options = [word for name in OPTIONS if value(name) for word in (f"--{name}", value(name))]
    options += ["--namespace", value("namespace")] if value("namespace") else []
    options += ["--compressed" if value("transport") == "compressed" else "--raw"]
    command = [ExecutableInPackage(executable="fsmde", package="fsmde_ros"), "replay", "--running", *options]
    # Without the node the replay would wait for it, or score another one of that name.
    node_ends = OnProcessExit(
        target_action=lambda action: isinstance(action, LifecycleNode), on_exit=end("the node has ended")
    )
    return [
        RegisterEventHandler(node_ends),
        ExecuteProcess(cmd=command, output="screen", on_exit=end("the replay has ended")),
    ]


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(name, default_value="", description=description) for name, description in OPTIONS.items()
    ]
    node = IncludeLaunchDescription(PythonLaunchDescriptionSource(str(NODE)))
    return LaunchDescription([*arguments, node, OpaqueFunction(function=evaluator)])
