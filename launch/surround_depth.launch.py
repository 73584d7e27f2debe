"""Starts the node surround_depth, and on request RViz and a bag.

`ros2 launch fsmde_ros surround_depth.launch.py -s` lists the arguments.
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, SetEnvironmentVariable
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue

from fsmde_ros.middleware.dds import unset_profile_variable

CONFIG = Path(__file__).resolve().parent.parent / "config"

# An argument that is left empty leaves its parameter to the params file.
ARGUMENTS = {
    "params_file": (str(CONFIG / "surround_depth.yaml"), "YAML file of the node's parameters"),
    "rig": ("", "rig file, or a shipped rig: ddad, nuscenes, pandaset (empty: the params file's)"),
    "model": ("", "ONNX model (empty: the params file's)"),
    "engine": ("", "auto, tensorrt, openvino, onnxruntime or torch (empty: the params file's)"),
    "transport": ("", "raw or compressed (empty: the params file's)"),
    "autostart": ("", "configure and activate without being asked: true or false (empty: the params file's)"),
    "namespace": ("", "namespace of the node and of all camera topics"),
    "use_sim_time": ("", "take the time from /clock: true or false (empty: the params file's); true suits a bag"),
    "rviz": ("false", "start RViz with the shipped view"),
    "bag": ("", "rosbag2 to play, with /clock, in a loop"),
}
PARAMETER_OF = {"rig": "rig", "model": "model", "engine": "engine", "transport": "image_transport"}
SWITCHES = ("autostart", "use_sim_time")


def nodes(context):
    """Start the node with the given parameters, RViz on request, and the bag player where a bag is given."""

    def value(name):
        return LaunchConfiguration(name).perform(context)

    overrides = {PARAMETER_OF[name]: value(name) for name in PARAMETER_OF if value(name)}
    if not Path(value("params_file")).is_file():  # launch_ros would only warn, and the node start on its defaults
        raise RuntimeError(f"params_file {value('params_file')} does not exist; give a YAML file of parameters")
    switches = {name: ParameterValue(LaunchConfiguration(name), value_type=bool) for name in SWITCHES if value(name)}
    actions = [
        Node(  # first: where it is not installed nothing else has been started yet
            package="rviz2",
            executable="rviz2",
            namespace=value("namespace"),
            arguments=["-d", str(CONFIG / "surround_depth.rviz")],
            parameters=[{name: switches[name] for name in switches if name == "use_sim_time"}],
            condition=IfCondition(LaunchConfiguration("rviz")),
        ),
        LifecycleNode(
            package="fsmde_ros",
            executable="surround_depth",
            name="surround_depth",
            namespace=value("namespace"),
            parameters=[value("params_file"), {**overrides, **switches}],
            output="screen",
            emulate_tty=True,
        ),
    ]
    if value("bag"):
        actions.append(ExecuteProcess(cmd=["ros2", "bag", "play", value("bag"), "--clock", "--loop"], output="screen"))
    return actions


def generate_launch_description():
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    variable = unset_profile_variable()
    if variable is not None:
        arguments.append(SetEnvironmentVariable(variable, str(CONFIG / "fastdds_shm.xml")))
    return LaunchDescription([*arguments, OpaqueFunction(function=nodes)])
