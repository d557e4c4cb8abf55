"""Recordings of the simulator's signed network for the benchmarks, made once and kept.

Owns: which network is recorded, how many messages and accounts a recording has, its truth.
Does not know: what is measured with it.
"""
import pathlib
import subprocess
from typing import NamedTuple

SHARED_SETS = 16  # of early records


class Network(NamedTuple):
    accounts: int
    messages: int
    records: int  # of each account before the recording: they decide how large a commit's proof is
    seed: int = 7


class Recording(NamedTuple):
    path: pathlib.Path
    truth: pathlib.Path
    messages: int
    mean_bytes: float
    senders: int  # accounts that send something


def record(build, directory, network):
    """The recording of this network; made unless the directory has it."""
    name = "-".join(str(n) for n in network)
    path, truth = pathlib.Path(directory) / f"{name}.frames", pathlib.Path(directory) / f"{name}.tsv"
    if not truth.exists():
        making = truth.with_suffix(".part")
        subprocess.run([pathlib.Path(build) / "test" / "recordkv-sim", "--network", "signed", "--seed",
                        str(network.seed), "--accounts", str(network.accounts), "--settled", "100", "--records",
                        str(network.records), "--alike", str(SHARED_SETS), "--events", str(network.messages),
                        "--record", path, "--truth", making], check=True, stdout=subprocess.DEVNULL)
        making.rename(truth)
    messages, size = count(path)
    with open(f"{path}.accounts", encoding="utf-8") as accounts:
        senders = sum(1 for _ in accounts)
    return Recording(path, truth, messages, size / messages, senders)


def count(path):
    """Messages and their bytes: each stands behind its length in four bytes."""
    messages = size = 0
    with open(path, "rb") as file:
        while head := file.read(4):
            length = int.from_bytes(head, "little")
            file.seek(length, 1)
            messages, size = messages + 1, size + length
    return messages, size
