"""States and parameters."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNodeMixin, TransitionCallbackReturn
from rclpy.parameter import Parameter

from fsmde_core.paths import find_shared
from fsmde_ros.node.node import SurroundDepthNode
from fsmde_ros.node.parameters import PARAMETERS
from support.ros_harness import NAMES, Stage, start_node, state_of
from support.tiny_model import METADATA, write_tiny_model

STAMP = 1_700_000_000_000_000_000
ALL = dict.fromkeys(NAMES, 9)


def refusal(node: SurroundDepthNode, name: str, value: object) -> str:
    """Why the node does not take the value."""
    result = node.set_parameters([Parameter(name, value=value)])[0]
    assert not result.successful
    return result.reason


def test_two_rounds_of_all_transitions(stage: Stage) -> None:
    node = stage.node(start=False, autostart=False)
    stage.client.listen_to_all()
    for turn in range(2):
        assert state_of(node) == "unconfigured"
        for _ in range(2):
            if state_of(node) == "unconfigured":
                assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
            before = len(stage.client.received["points"])
            stage.client.send_set(ALL, STAMP + before * 10**8)
            assert stage.spin_until(lambda n=before: len(stage.client.received["points"]) == n + 1)
            assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
            assert stage.spin_until(lambda: stage.client.node.count_subscribers("/front/image_raw") == 0)
        assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
        assert len(stage.client.received["points"]) == 2 * turn + 2
    assert node.trigger_shutdown() == TransitionCallbackReturn.SUCCESS
    assert state_of(node) == "finalized"


def test_a_transition_that_the_state_does_not_allow_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where rclpy raises what it logs from Kilted on."""
    trigger = LifecycleNodeMixin._LifecycleNodeMixin__change_state

    def raising(node: SurroundDepthNode, transition: int) -> TransitionCallbackReturn:
        if transition not in {found[0] for found in node._state_machine.available_transitions}:
            raise RuntimeError("Transition is not registered")
        return trigger(node, transition)

    monkeypatch.setattr(LifecycleNodeMixin, "_LifecycleNodeMixin__change_state", raising)
    node = stage.node()
    client = stage.client.node.create_client(ChangeState, "surround_depth/change_state")
    for name, expected in (("ACTIVATE", "active"), ("DEACTIVATE", "inactive")):
        transition = Transition(id=getattr(Transition, f"TRANSITION_{name}"))
        answer = client.call_async(ChangeState.Request(transition=transition))
        assert stage.spin_until(answer.done)
        assert answer.result().success == (name == "DEACTIVATE")
        assert state_of(node) == expected


def _broken_models(folder: Path) -> dict[str, tuple[Path, str]]:
    text = folder / "text.onnx"
    text.write_text("not a model")
    return {
        "missing": (folder / "nowhere.onnx", "does not exist"),
        "no ONNX": (text, "not an ONNX file"),
        "other outputs": (write_tiny_model(folder / "o.onnx", outputs=("inverse", "sigma")), "the contract wants"),
        "no metadata": (write_tiny_model(folder / "m.onnx", metadata={}), "metadata"),
        "size that does not fit": (write_tiny_model(folder / "s.onnx", metadata={**METADATA, "width": "64"}), "s.onnx"),
    }


@pytest.mark.parametrize("fault", ["missing", "no ONNX", "other outputs", "no metadata", "size that does not fit"])
def test_a_model_that_cannot_be_used(stage: Stage, tiny_model: Path, tmp_path: Path, fault: str) -> None:
    """The reason is on /diagnostics, the node lives, and works once the parameter is put right."""
    model, reason = _broken_models(tmp_path)[fault]
    node = stage.node(start=False, model=str(model))
    assert not start_node(node)
    assert state_of(node) == "unconfigured"
    assert stage.spin_until(lambda: stage.client.diagnosis("node"))
    status = stage.client.diagnosis("node")
    assert status is not None
    assert status.level == b"\x02"
    assert "cannot configure" in status.message
    assert reason in status.message
    assert node.set_parameters([Parameter("model", value=str(tiny_model))])[0].successful
    assert start_node(node)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"rig": ""}, "shipped one of ['ddad', 'nuscenes', 'pandaset']"),
        ({"rig": "/nowhere.yaml"}, "parameter 'rig' is '/nowhere.yaml'"),
        ({"rig": "waymo"}, "shipped one of ['ddad', 'nuscenes', 'pandaset']"),
        ({"cameras": ["front", "roof"]}, "no camera 'roof'"),
        ({"sync.deadline_ms": 50.0}, "deadline_ms is 50.0"),
        ({"sync.min_cameras": 7}, "cannot configure: parameter 'sync.min_cameras' is 7, but only 6 cameras"),
        ({"check.lidar_topic": "/a b"}, "parameter 'check.lidar_topic' is '/a b'"),
        ({"check.lidar_topic": "a//b"}, "parameter 'check.lidar_topic' is 'a//b'"),
        ({"qos_overrides./points.publisher.depth": "x"}, "qos_overrides./points.publisher"),
        ({"qos_overrides./front/image_raw.subscription.reliability": "y"}, "qos_overrides./front/image_raw.subscript"),
        ({"extrinsics_source": "tf"}, "tf2_ros"),
    ],
)
def test_a_setup_that_cannot_be_used(stage: Stage, parameters: dict[str, object], reason: str) -> None:
    if "extrinsics_source" in parameters and find_spec("tf2_ros"):
        pytest.skip("tf2_ros is here")
    node = stage.node(start=False, **parameters)
    assert not start_node(node)
    assert state_of(node) == "unconfigured"
    assert stage.spin_until(lambda: stage.client.diagnosis("node"))
    status = stage.client.diagnosis("node")
    assert status is not None
    assert reason in status.message
    assert "Error: " not in status.message, "the name of an exception"


def test_a_shipped_rig_goes_by_its_name(stage: Stage) -> None:
    node = stage.node(rig="nuscenes")
    assert state_of(node) == "active"
    assert stage.spin_until(lambda: stage.client.diagnosis("camera back_left"))


def test_a_rejected_change_says_why(stage: Stage) -> None:
    node = stage.node()
    assert "must be one of 32FC1, 16UC1" in refusal(node, "depth.encoding", "mono8")
    assert "min_range < max_range" in refusal(node, "cloud.min_range", 90.0)
    assert "deactivate and clean up" in refusal(node, "model", "other.onnx")
    assert "read-only" in refusal(node, "autostart", False)
    assert "range" in refusal(node, "stale_after_s", float("nan"))
    assert "range" in refusal(node, "cloud.stride", 0)
    assert "type" in refusal(node, "cloud.stride", 1.5).lower()
    assert node.get_parameter("cloud.min_range").value == 0.5


def test_several_changes_at_once_are_judged_together(stage: Stage) -> None:
    node = stage.node()
    changes = [Parameter("cloud.min_range", value=90.0), Parameter("cloud.max_range", value=100.0)]
    assert node.set_parameters_atomically(changes).successful
    assert node.get_parameter("cloud.min_range").value == 90.0


def test_a_live_change_counts_at_once(stage: Stage) -> None:
    node = stage.node()
    stage.client.listen_to_all()
    stage.client.send_set(ALL, STAMP)
    assert stage.spin_until(lambda: stage.client.received["points"])
    assert node.set_parameters([Parameter("cloud.stride", value=2)])[0].successful
    stage.client.send_set(ALL, STAMP + 10**8)
    assert stage.spin_until(lambda: len(stage.client.received["points"]) == 2)
    first, second = stage.client.received["points"]
    assert first.width == 4 * second.width


def test_the_commented_file_is_the_table() -> None:
    path = find_shared("config/surround_depth.yaml")
    assert path is not None
    nested = yaml.safe_load(path.read_text())["/**"]["ros__parameters"]
    flat: dict[str, object] = {}
    for name, value in nested.items():
        flat |= {f"{name}.{key}": leaf for key, leaf in value.items()} if isinstance(value, dict) else {name: value}
    assert flat == {spec.name: spec.default for spec in PARAMETERS}
    assert [type(flat[spec.name]) for spec in PARAMETERS] == [type(spec.default) for spec in PARAMETERS]
    lines = path.read_text().splitlines()
    for index, line in enumerate(lines):
        if line.strip().endswith(":") or line.lstrip().startswith("#") or not line.strip():
            continue
        above = lines[index - 1].lstrip()
        assert above.startswith("#") or "min_range" in above, f"no comment above: {line}"


def test_every_parameter_describes_itself(stage: Stage) -> None:
    node = stage.node(start=False)
    for spec in PARAMETERS:
        descriptor = node.describe_parameter(spec.name)
        assert descriptor.description
        assert descriptor.read_only == (spec.name == "autostart")
    assert node.describe_parameter("cloud.stride").integer_range[0].to_value == 64


def test_qos_can_be_overridden(stage: Stage) -> None:
    node = stage.node(**{"qos_overrides./front/image_raw.subscription.reliability": "reliable"})
    assert node.get_subscriptions_info_by_topic("/front/image_raw")[0].qos_profile.reliability.name == "RELIABLE"
    assert node.get_subscriptions_info_by_topic("/back/image_raw")[0].qos_profile.reliability.name == "BEST_EFFORT"


def test_namespaces_tell_nodes_apart_in_diagnostics(stage: Stage) -> None:
    stage.node(start=False)
    node = stage.node(start=False, namespace="car/rear")
    assert stage.spin_until(lambda: stage.client.diagnosis("car/rear/surround_depth: node"))
    assert start_node(node)
    assert stage.spin_until(lambda: stage.client.diagnosis("car/rear/surround_depth: camera front"))
    names = {status.name for array in stage.client.received["/diagnostics"] for status in array.status}
    assert "surround_depth: node" in names
    assert not [name for name in names if name.startswith("/")]
