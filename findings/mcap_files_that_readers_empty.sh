#!/usr/bin/env bash
# Two valid kinds of mcap file that Python readers do not read: rosbags 0.11.9 finds no message in one, mcap 1.6.0's own reader raises on the other.
#
# The mcap specification makes both the message indexes behind a chunk and the channels repeated in the summary optional; recorders leave them
# out to write faster, and mcap's own Writer does so with `index_types` and `repeat_channels`.
#   without message indexes:   mcap 10 of 10 messages; rosbags 0 of 10, without error or warning, while its connections say msgcount 10
#   without repeated channels: mcap raises KeyError; rosbags 10 of 10
#
# Who guesses wrong: whoever takes an empty iteration for an empty bag, or one reader's success for the file being readable by the other. A tool for other
# people's recordings compares the number of messages read with the statistics record, and reads through the data section where the summary falls short.
#
# Output seen:
#   mcap 1.6.0 rosbags 0.11.9
#   everything written             mcap 10        rosbags 10  (msgcount 10)
#   without message indexes        mcap 10        rosbags 0   (msgcount 10)
#   without repeated channels      mcap KeyError  rosbags 10  (msgcount 10)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mcap==1.6.0 rosbags==0.11.9
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

from mcap.reader import make_reader
from mcap.writer import CompressionType, IndexType, Writer
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_HUMBLE)
TEXT = "std_msgs/msg/String"
# name: options of the writer, what mcap reads, what rosbags reads
CASES = {
    "everything written": ({}, "10", 10),
    "without message indexes": ({"index_types": IndexType.ALL & ~IndexType.MESSAGE}, "10", 0),
    "without repeated channels": ({"repeat_channels": False, "repeat_schemas": False}, "KeyError", 10),
}


def write(path, options):
    with path.open("wb") as file:
        writer = Writer(file, compression=CompressionType.NONE, **options)
        writer.start("ros2", "")
        channel = writer.register_channel("/chatter", "cdr", writer.register_schema(TEXT, "ros2msg", b"string data"))
        for index in range(10):
            data = bytes(STORE.serialize_cdr(STORE.types[TEXT](data=str(index)), TEXT))
            writer.add_message(channel, index * 10**9, data, index * 10**9)
        writer.finish()


def read_with_mcap(path):
    with path.open("rb") as file:
        try:
            return str(sum(1 for _ in make_reader(file).iter_messages()))
        except KeyError as error:
            return type(error).__name__


print("mcap", version("mcap"), "rosbags", version("rosbags"))
wrong = []
for name, (options, with_mcap, with_rosbags) in CASES.items():
    path = Path(sys.argv[1]) / "file.mcap"
    write(path, options)
    first = read_with_mcap(path)
    with AnyReader([path]) as reader:
        second, said = sum(1 for _ in reader.messages()), reader.connections[0].msgcount
    print(f"{name:30} mcap {first:9} rosbags {second:<3} (msgcount {said})")
    if (first, second, said) != (with_mcap, with_rosbags, 10):
        wrong.append(name)
sys.exit(f"no longer as described: {', '.join(wrong)}" if wrong else 0)
PYTHON
