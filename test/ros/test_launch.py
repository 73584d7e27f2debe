"""The launch file: its text everywhere, its actions where launch_ros is importable."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ElementTree
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
import yaml

from fsmde_ros.cli.commands.measure.replay import replay
from fsmde_ros.middleware.dds import FAST_DDS_2, FAST_DDS_3, profile_variable
from fsmde_ros.node.parameters import PARAMETERS
from support.repository import ROOT

LAUNCH_FILE = ROOT / "launch" / "surround_depth.launch.py"
REPLAY_FILE = ROOT / "launch" / "replay_eval.launch.py"
WANTED = {
    *("params_file", "model", "engine", "rig", "namespace", "transport", "rviz", "autostart", "use_sim_time", "bag"),
}
has_launch = pytest.mark.skipif(not find_spec("launch_ros"), reason="launch_ros comes with a ROS distribution only")


def literal(name: str, file: Path = LAUNCH_FILE) -> Any:
    """A dictionary of the launch file, names and calls in it replaced by None."""
    for statement in ast.parse(file.read_text()).body:
        if isinstance(statement, ast.Assign) and getattr(statement.targets[0], "id", "") == name:
            assert isinstance(statement.value, ast.Dict)
            return {key.value: value for key, value in zip(statement.value.keys, statement.value.values, strict=True)}  # type: ignore[union-attr]
    raise AssertionError(f"the launch file has no {name}")


def test_arguments_are_all_there() -> None:
    assert set(literal("ARGUMENTS")) == WANTED


def test_arguments_stand_for_parameters_that_exist() -> None:
    names = {spec.name for spec in PARAMETERS}
    assert {ast.literal_eval(value) for value in literal("PARAMETER_OF").values()} <= names


def test_switches_are_parameters_that_stay_to_the_params_file_unless_given() -> None:
    run = ast.parse(LAUNCH_FILE.read_text())
    switches = next(s for s in run.body if isinstance(s, ast.Assign) and getattr(s.targets[0], "id", "") == "SWITCHES")
    for name in ast.literal_eval(switches.value):
        assert ast.literal_eval(literal("ARGUMENTS")[name])[0] == ""
    assert "autostart" in {spec.name for spec in PARAMETERS}


@has_launch
@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        ({"rig": "pandaset", "transport": "compressed"}, {"rig": "pandaset", "image_transport": "compressed"}),
        ({"autostart": "false", "use_sim_time": "true"}, {"autostart": False, "use_sim_time": True}),
    ],
)
def test_the_description_and_the_nodes_it_starts(
    monkeypatch: pytest.MonkeyPatch, arguments: dict[str, str], parameters: dict[str, Any]
) -> None:
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable

    for variable in (FAST_DDS_2, FAST_DDS_3):
        monkeypatch.delenv(variable, raising=False)
    entities = run_path(str(LAUNCH_FILE))["generate_launch_description"]().entities
    context = LaunchContext()
    context.launch_configurations.update(arguments, bag="some_bag", namespace="car")
    actions: list[Any] = []
    for entity in entities:
        if isinstance(entity, DeclareLaunchArgument | SetEnvironmentVariable):
            entity.execute(context)
        elif isinstance(entity, OpaqueFunction):
            actions = entity.execute(context)
    assert context.environment[profile_variable()] == str(ROOT / "config" / "fastdds_shm.xml")
    assert [type(action).__name__ for action in actions] == ["Node", "LifecycleNode", "ExecuteProcess"]
    rviz, node, _ = actions
    assert _parameters(node, context) == parameters
    assert _parameters(rviz, context) == {key: value for key, value in parameters.items() if key == "use_sim_time"}
    assert not rviz.condition.evaluate(context)


@has_launch
def test_a_params_file_that_is_not_there_starts_nothing() -> None:
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument

    context = LaunchContext()
    for entity in (launch_file := run_path(str(LAUNCH_FILE)))["generate_launch_description"]().entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
    context.launch_configurations["params_file"] = "/nowhere.yaml"
    with pytest.raises(RuntimeError, match=r"params_file /nowhere\.yaml does not exist"):
        launch_file["nodes"](context)


def test_replay_arguments_are_options_of_the_command_and_of_no_node() -> None:
    parameters = signature(replay).parameters
    options = {name.removesuffix("_file") for name in parameters}
    given = set(literal("OPTIONS", REPLAY_FILE))
    assert given <= options and {"running", "namespace", "raw"} <= options
    assert not given & set(literal("ARGUMENTS"))


@has_launch
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"root": "drive", "json": "x.json"}, ["--root", "drive", "--json", "x.json", "--raw"]),
        (
            {"hz": "10", "transport": "compressed", "namespace": "car"},
            ["--hz", "10", "--namespace", "car", "--compressed"],
        ),
    ],
)
def test_replay_starts_the_node_and_the_command_beside_it(arguments: dict[str, str], words: list[str]) -> None:
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, RegisterEventHandler

    entities = run_path(str(REPLAY_FILE))["generate_launch_description"]().entities
    context = LaunchContext()
    context.launch_configurations.update({"transport": "", "namespace": "", **arguments})
    for entity in entities:
        if isinstance(entity, DeclareLaunchArgument):
            entity.execute(context)
    *_, node, evaluator = entities
    assert isinstance(node, IncludeLaunchDescription) and isinstance(evaluator, OpaqueFunction)
    node.launch_description_source.get_launch_description(context)
    assert Path(node.launch_description_source.location) == LAUNCH_FILE
    watch, process = evaluator.execute(context)
    assert isinstance(watch, RegisterEventHandler)
    command = [[part.perform(context) for part in word if hasattr(part, "text")] for word in process.cmd[1:]]
    assert ["".join(word) for word in command] == ["replay", "--running", *words]


def _parameters(node: Any, context: Any) -> dict[str, Any]:
    """What the launch file sets beside the params file: written to a file when the node starts."""
    node._perform_substitutions(context)
    files = [Path(path) for path, is_file in node._Node__expanded_parameter_arguments or [] if is_file]
    written = [yaml.safe_load(file.read_text()) for file in files if file.parent != ROOT / "config"]
    return {key: value for one in written for node in one.values() for key, value in node["ros__parameters"].items()}


def test_profile_has_a_segment_and_a_queue_for_a_set_of_images() -> None:
    tree = ElementTree.parse(ROOT / "config" / "fastdds_shm.xml")
    space = {"dds": "http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles"}
    segment = tree.findtext(".//dds:segment_size", namespaces=space)
    queue = tree.findtext(".//dds:port_queue_capacity", namespaces=space)
    image = 1920 * 1080 * 3
    assert segment is not None
    assert queue is not None
    assert 32 << 20 <= int(segment) <= 64 << 20
    assert int(segment) >= 6 * image
    assert int(queue) >= 6 * image / 64_000


def test_rviz_view_shows_what_the_node_publishes() -> None:
    document = yaml.safe_load((ROOT / "config" / "surround_depth.rviz").read_text())
    displays = document["Visualization Manager"]["Displays"]
    flat = [inner for display in displays for inner in display.get("Displays", [display])]
    topics = {display["Topic"]["Value"] for display in flat if "Topic" in display}
    assert "points" in topics
    assert not [topic for topic in topics if topic.startswith("/")], "an absolute topic is blind to the namespace"
    assert len({topic for topic in topics if topic.endswith("/image_raw")}) == 6
    assert len({topic for topic in topics if topic.endswith("/depth/image")}) == 6
    classes = {display["Class"].split("/")[1] for display in flat}
    assert classes == {"Grid", "TF", "PointCloud2", "Image"}


def test_package_xml_names_its_dependencies() -> None:
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    assert package.get("format") == "3"
    depends = {element.text for element in package if element.tag.endswith("depend")}
    assert depends >= {
        *("rclpy", "sensor_msgs", "sensor_msgs_py", "message_filters", "cv_bridge", "diagnostic_msgs", "tf2_ros"),
        *("launch", "launch_ros", "rviz2", "ros2bag", "rosbag2_storage_mcap", "python3-numpy", "python3-opencv"),
    }
    assert package.findtext("export/build_type") == "ament_python"
    assert package.findtext("license") == "Apache-2.0"
