"""The shipped RViz view and Foxglove layout: known classes and settings, and topics that exist, with a fitting QoS."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest
import rclpy
import yaml
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import ReliabilityPolicy

from fsmde_core.messages.encode import MessageEncoder
from fsmde_core.messages.point_cloud import COLOR_FIELDS
from fsmde_core.rig.rig import load_rig
from fsmde_ros.node.outputs import Outputs
from support.repository import ROOT
from support.ros_harness import DOMAIN

CONFIG = ROOT / "config"
RIG = load_rig(CONFIG / "rigs" / "pandaset.yaml")

# Read in rviz (branch rolling): plugins_description.xml of rviz_default_plugins and the factories of built-in classes
# for the names of classes, the constructors of Property objects for theirs.
DISPLAY = {"Class", "Name", "Enabled", "Value"}
VECTOR = {"X", "Y", "Z"}
TOPIC = {"Value", "Depth", "History Policy", "Reliability Policy", "Durability Policy", "Filter size"}
POINTS = {"Selectable", "Style", "Size (m)", "Size (Pixels)", "Alpha", "Decay Time", "Position Transformer"}
INTENSITY = {"Channel Name", "Use rainbow", "Invert Rainbow", "Min Color", "Max Color", "Min Intensity"}
INTENSITY |= {"Max Intensity", "Autocompute Intensity Bounds"}
COLOR_TRANSFORMERS = {"RGB8": set(), "RGBF32": set(), "FlatColor": {"Color"}, "Intensity": INTENSITY}
GRID = {"Reference Frame", "Plane Cell Count", "Normal Cell Count", "Cell Size", "Color", "Alpha", "Plane"}
FRAMES = {
    "Show Names",
    "Show Axes",
    "Show Arrows",
    "Marker Scale",
    "Update Interval",
    "Frame Timeout",
    "Frames",
    "Tree",
}
RVIZ: dict[str, set[str]] = {  # class -> properties
    "rviz_default_plugins/Grid": GRID | {"Line Style", "Offset"},
    "rviz_default_plugins/TF": FRAMES | {"Tree", "Filter (whitelist)", "Filter (blacklist)"},
    "rviz_default_plugins/Image": {"Topic", "Normalize Range", "Min Value", "Max Value", "Median window"},
    "rviz_default_plugins/PointCloud2": POINTS | {"Topic", "Color Transformer"},
    "rviz_common/Group": {"Displays"},
    "rviz_default_plugins/Orbit": {"Target Frame", "Distance", "Yaw", "Pitch", "Focal Point", "Near Clip Distance"},
    "rviz_default_plugins/Measure": {"Line color"},
    **{f"rviz_default_plugins/{tool}": set() for tool in ("MoveCamera", "Select", "FocusCamera")},
}
NESTED = {"Topic": TOPIC, "Offset": VECTOR, "Focal Point": VECTOR, "Line Style": {"Value", "Line Width"}}
NESTED["Frames"] = {"All Enabled"}
PANELS = {f"rviz_common/{panel}" for panel in ("Displays", "Help", "Selection", "Time", "Tool Properties", "Views")}
ENUMS = {
    "Style": {"Points", "Squares", "Flat Squares", "Spheres", "Boxes", "Tiles"},
    "Color Transformer": set(COLOR_TRANSFORMERS),
    "Position Transformer": {"XYZ"},
    "Plane": {"XY", "XZ", "YZ"},
    "History Policy": {"Keep Last", "Keep All", "System Default"},
    "Reliability Policy": {"Reliable", "Best Effort", "System Default"},
    "Durability Policy": {"Volatile", "Transient Local", "System Default"},
}


def rviz() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((CONFIG / "surround_depth.rviz").read_text())
    return document


def displays() -> list[dict[str, Any]]:
    top: list[dict[str, Any]] = rviz()["Visualization Manager"]["Displays"]
    return [inner for display in top for inner in display.get("Displays", [display])]


@pytest.fixture(scope="module")
def topics() -> dict[str, ReliabilityPolicy]:
    """Every topic of the interface with the rig -> how it is published: of the node itself, and of the inputs."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = LifecycleNode("surround_depth", context=context)
    outputs = Outputs(node, RIG)
    found = {publisher.topic_name: publisher.qos_profile.reliability for publisher in node.publishers}
    outputs.close()
    node.destroy_node()
    context.try_shutdown()
    del node, outputs  # the state machine of a lifecycle node keeps the DDS participant
    gc.collect()
    inputs = (topic for topic in MessageEncoder(RIG, compressed=False).topics if not topic.startswith("/"))
    return {**found, **{f"/{topic}": ReliabilityPolicy.BEST_EFFORT for topic in inputs}}


def check_properties(entry: dict[str, Any]) -> None:
    colored = COLOR_TRANSFORMERS.get(entry.get("Color Transformer", ""), set())
    assert entry.keys() <= DISPLAY | RVIZ[entry["Class"]] | colored
    for name, value in entry.items():
        if isinstance(value, dict):
            assert value.keys() <= NESTED[name]
    for name, value in [*entry.items(), *entry.get("Topic", {}).items()]:
        assert name not in ENUMS or value in ENUMS[name]


@pytest.mark.parametrize("display", displays(), ids=lambda display: display["Name"])
def test_rviz_knows_every_display_and_property(display: dict[str, Any]) -> None:
    check_properties(display)


def test_rviz_knows_panels_groups_tools_and_view() -> None:
    document = rviz()
    manager = document["Visualization Manager"]
    assert {panel["Class"] for panel in document["Panels"]} <= PANELS
    for entry in (*manager["Displays"], *manager["Tools"], manager["Views"]["Current"]):
        check_properties(entry)
    assert manager["Global Options"].keys() == {"Fixed Frame", "Background Color", "Frame Rate"}
    assert manager["Global Options"]["Fixed Frame"] == RIG.base_frame


def test_rviz_shows_images_depth_two_clouds_and_lidar(topics: dict[str, ReliabilityPolicy]) -> None:
    shown = {display["Name"]: display for display in displays() if "Topic" in display}
    wanted = {f"{name} image": f"{name}/image_raw" for name in RIG.names}
    wanted |= {f"{name} depth": f"{name}/depth/image" for name in RIG.names}
    wanted |= {"Cloud by image": "points", "Cloud by sigma": "points", "Lidar": "lidar/points"}
    assert {name: display["Topic"]["Value"] for name, display in shown.items()} == wanted
    assert {name for name, display in shown.items() if not display["Enabled"]} == {"Cloud by sigma"}
    assert shown["Cloud by sigma"]["Channel Name"] in COLOR_FIELDS
    for display in shown.values():
        published = topics["/" + display["Topic"]["Value"]]
        reliable = display["Topic"]["Reliability Policy"] == "Reliable"
        assert reliable == (published is ReliabilityPolicy.RELIABLE)


def test_rviz_window_has_a_place_for_every_image() -> None:
    state = bytes.fromhex(rviz()["Window Geometry"]["QMainWindow State"])  # names in it are UTF-16
    for display in displays():
        if display["Class"].endswith("/Image"):
            assert display["Name"].encode("utf-16-be") in state


# Read in foxglove-sdk (module foxglove.layouts) and in layouts that the application writes.
FOXGLOVE_CAMERA = {"distance", "perspective", "phi", "target", "targetOffset", "targetOrientation", "thetaOffset"}
FOXGLOVE_CAMERA |= {"fovy", "near", "far", "logDepth"}
FOXGLOVE_COLOR = {
    "colorMode",
    "flatColor",
    "colorField",
    "gradient",
    "colorMap",
    "explicitAlpha",
    "minValue",
    "maxValue",
}
FOXGLOVE_CLOUD = {"visible", "pointSize", "pointShape", "decayTime", *FOXGLOVE_COLOR}
FOXGLOVE_GRID = {"visible", "instanceId", "layerId", "label", "order", "drawBehind", "frameId", "size", "divisions"}
FOXGLOVE_GRID |= {"lineWidth", "color", "position", "rotation"}
FOXGLOVE_IMAGE = {"imageTopic", "calibrationTopic", "rotation", "flipHorizontal", "flipVertical", *FOXGLOVE_COLOR}
FOXGLOVE_3D = {"cameraState", "followMode", "followTf", "scene", "topics", "layers", "transforms", "publish"}
FOXGLOVE_MODES = {"flat", "gradient", "colormap", "rgb", "rgba", "rgba-fields"}


def foxglove() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((CONFIG / "foxglove_layout.json").read_text())
    return document


def panels(kind: str) -> dict[str, dict[str, Any]]:
    found = foxglove()["configById"].items()
    return {name.partition("!")[2]: config for name, config in found if name.startswith(f"{kind}!")}


def leaves(layout: Any) -> list[str]:
    """Panels of a mosaic: a panel's name, or two mosaics side by side or one above the other."""
    if isinstance(layout, str):
        return [layout]
    assert layout.keys() == {"direction", "first", "second", "splitPercentage"}
    assert layout["direction"] in ("row", "column")
    assert 0 < layout["splitPercentage"] < 100
    return leaves(layout["first"]) + leaves(layout["second"])


def test_foxglove_layout_places_every_panel_once() -> None:
    document = foxglove()
    assert document.keys() == {"configById", "globalVariables", "userNodes", "playbackConfig", "layout"}
    placed = leaves(document["layout"])
    tabs = [tab for config in panels("Tab").values() for tab in config["tabs"]]
    for tab in tabs:
        assert tab.keys() == {"title", "layout"}
        placed += leaves(tab["layout"])
    assert sorted(placed) == sorted(document["configById"])
    assert {name.partition("!")[0] for name in placed} == {"Image", "3D", "Tab"}


def test_foxglove_image_panels(topics: dict[str, ReliabilityPolicy]) -> None:
    shown = panels("Image")
    assert shown.keys() == {f"{name}_{what}" for name in RIG.names for what in ("image", "depth")}
    for name, config in shown.items():
        mode = config["imageMode"]
        assert mode.keys() <= FOXGLOVE_IMAGE
        assert mode.get("colorMode", "flat") in FOXGLOVE_MODES
        camera, _, what = name.rpartition("_")
        assert mode["imageTopic"] == f"/{camera}/{'image_raw' if what == 'image' else 'depth/image'}"
        assert {mode["imageTopic"], mode["calibrationTopic"]} <= topics.keys()


def test_foxglove_scenes(topics: dict[str, ReliabilityPolicy]) -> None:
    scenes = panels("3D")
    for config in scenes.values():
        assert config.keys() <= FOXGLOVE_3D
        assert config["followTf"] == RIG.base_frame
        assert config["cameraState"].keys() <= FOXGLOVE_CAMERA
        assert config["topics"].keys() == {"/points", "/lidar/points"}
        assert config["topics"].keys() <= topics.keys()
        for cloud in config["topics"].values():
            assert cloud.keys() <= FOXGLOVE_CLOUD
            assert cloud["colorMode"] in FOXGLOVE_MODES
            assert cloud["visible"]
        for layer in config["layers"].values():
            assert layer["layerId"] == "foxglove.Grid"
            assert layer.keys() <= FOXGLOVE_GRID
    by_image, by_sigma = (scenes[f"by_{what}"]["topics"]["/points"] for what in ("image", "sigma"))
    assert (by_image["colorMode"], by_image["colorField"]) == ("rgb", "rgb")
    assert (by_sigma["colorMode"], by_sigma["colorField"]) == ("colormap", "sigma")
