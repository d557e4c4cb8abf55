#!/usr/bin/env python3
"""Includes go down or stay in the folder, never up (docs/architecture.md, "Folders"), and the headers of a
folder of src/ or stages/ are included by that folder alone.

Owns: the table of layers. Does not know: anything but #include lines.
"""
import os
import pathlib
import re
import subprocess
import sys

# folder -> the folders of include/recordkv it may include besides itself
MAY = {
    "core": set(),
    "pipe": {"core"},
    "atproto": {"core"},
    "nats": {"core", "pipe"},
    "http": {"core"},
    "identity": {"core", "atproto", "http"},
    "xrpc": {"core", "atproto", "http"},
    "firehose": {"core", "atproto", "http"},
    "config": {"core", "atproto", "firehose"},
    "kv": {"core", "pipe", "atproto", "nats"},
    "view": {"core", "atproto"},
    "stage": {"core", "pipe", "atproto", "nats", "kv", "config"},
    "projection": {"core", "pipe", "atproto", "nats", "kv", "view", "config"},
    "indexer": {"core", "pipe", "atproto", "nats", "kv", "config", "stage"},
    "stages": {"core", "pipe", "atproto", "http", "identity", "xrpc", "nats", "firehose", "kv", "view", "config",
               "stage", "projection"},
    "cli": {"core", "pipe", "atproto", "http", "identity", "nats", "firehose", "kv", "view", "config", "stage",
            "projection", "stages", "indexer"},
}
# inside stage kv: a part that is named here includes only these beside itself
PARTS = {"stages/kv/accounts": set(), "stages/kv/repair": {"stages/kv/accounts"}}
ROOT_HEADERS = {"config.hpp": "config", "stage.hpp": "stage", "indexer.hpp": "indexer", "run.hpp": "cli"}
# nats.c has four includers, libcbor and libsecp256k1 one: what a library costs is paid in one place
ONLY = {"nats/nats.h": {"src/nats/bridge.cpp", "src/nats/dial.cpp", "src/nats/library.cpp", "src/nats/message.cpp"},
        "cbor.h": {"src/atproto/cbor.cpp"},
        "secp256k1.h": {"src/atproto/k256.cpp"},
        "sqlite3.h": {"src/view/sqlite/database.cpp", "src/view/sqlite/database.hpp"},
        "libpq-fe.h": {"src/view/postgres/connection.cpp", "src/view/postgres/connection.hpp"}}


def layer(path):
    parts = path.parts
    if parts[0] == "stages":
        return "stages"
    inside = parts[2:] if parts[0] == "include" else parts[1:]
    return ROOT_HEADERS.get(inside[0], inside[0].removesuffix(".cpp"))


def room(path):
    """The folder that keeps its headers for itself: a layer, or one stage."""
    return "/".join(path.parts[:2]) if len(path.parts) > 2 else path.parts[0]


def is_private(path, target):
    """A header in another room, but stages/stages.hpp, which is what a stage shows of itself."""
    header = pathlib.Path(os.path.normpath(path.parent / target))
    return header.exists() and room(header) != room(path) and header.as_posix() != "stages/stages.hpp"


def goes_up(path, target):
    """A part of a stage includes what stands above it in PARTS."""
    header = pathlib.Path(os.path.normpath(path.parent / target))
    own, to = path.parent.as_posix(), header.parent.as_posix()
    return own in PARTS and header.exists() and to != own and to not in PARTS[own]


def main():
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "include", "src", "stages"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    wrong = []
    for name in listed:
        path = pathlib.Path(name)
        if path.suffix not in (".cpp", ".hpp") or not path.exists() or "compile" in path.parts or "pch" in path.parts:
            continue
        own = layer(path)
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.match(r'#include [<"]([^>"]+)[>"]', line)
            if not found:
                continue
            target = found[1]
            for library, allowed in ONLY.items():
                if target == library and name not in allowed:
                    wrong.append(f"{name}:{number}: only {', '.join(sorted(allowed))} may include {library}")
            if target.startswith("recordkv/"):
                to = layer(pathlib.Path("include") / target)
                if to != own and to not in MAY[own]:
                    wrong.append(f"{name}:{number}: {own} may not include {to} ({target})")
            elif goes_up(path, target):
                wrong.append(f"{name}:{number}: {target} stands above {path.parent}")
            elif is_private(path, target):
                wrong.append(f"{name}:{number}: {target} belongs to another folder")
    print("\n".join(wrong) or "layers: every include goes down, and no folder includes the headers of another")
    sys.exit(1 if wrong else 0)


main()
