#!/usr/bin/env python3
"""Reads a checkpoint with the standard library alone, by what the safetensors format and docs/design.md say of it.

usage: check_checkpoint.py FILE

The file is a length of 8 bytes, a JSON header, and the tensors one behind the other without holes up to its end; sizes follow from
types and shapes; the metadata holds the resolved settings and the classes; weights, optimizer state and statistics are there, and
every fp32 number is finite.
"""
import array
import json
import math
import struct
import sys

BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "F16": 2, "BF16": 2, "I32": 4, "F32": 4, "I64": 8, "F64": 8}


def read(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        assert length % 8 == 0, f"expected a header of whole 8 bytes, got {length}"
        header = json.loads(file.read(length))
        return header.pop("__metadata__"), header, file.read()


def check_tensors(tensors, data):
    end = 0
    for name, entry in sorted(tensors.items(), key=lambda item: item[1]["data_offsets"]):
        first, last = entry["data_offsets"]
        size = math.prod(entry["shape"]) * BYTES[entry["dtype"]]
        assert first == end, f"{name}: expected to begin at {end}, got {first}"
        assert last - first == size, f"{name}: expected {size} bytes, got {last - first}"
        if entry["dtype"] == "F32":
            assert all(map(math.isfinite, array.array("f", data[first:last]))), f"{name}: expected finite numbers"
        end = last
    assert end == len(data), f"expected {end} bytes of tensors, got {len(data)}"


def check_metadata(metadata):
    assert metadata["format"] == "moe-checkpoint" and metadata["version"] == "1", metadata
    assert "\ntask: rtdetr\n" in "\n" + metadata["config"], metadata["config"]
    assert "  epochs: 2\n" in metadata["config"], metadata["config"]
    assert metadata["classes"].split("\n") == ["car", "truck", "bus", "person", "bicycle", "motorcycle"], metadata["classes"]
    assert int(metadata["step"]) > 0 and int(metadata["run.epoch"]) >= 0


def main(path):
    metadata, tensors, data = read(path)
    check_metadata(metadata)
    check_tensors(tensors, data)
    for prefix in ("model.", "optimizer.exp_avg.", "stats."):
        assert any(name.startswith(prefix) for name in tensors), f"expected tensors {prefix}*, got none"
    weights = {name.removeprefix("model."): entry["shape"] for name, entry in tensors.items() if name.startswith("model.")}
    for name, entry in tensors.items():
        owner = name.removeprefix("optimizer.exp_avg.")
        assert owner == name or entry["shape"] == weights[owner], f"{name}: expected the shape of its weight"
    print(f"{path}: {len(tensors)} tensors, {len(data)} bytes, step {metadata['step']}")


if __name__ == "__main__":
    main(*sys.argv[1:])
