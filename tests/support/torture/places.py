"""Where a job was when it ended, as the logs of its ranks tell."""

from __future__ import annotations

from tests.support.faults.library import Event
from tests.support.torture.job import THERMALISE, TRAIN, TRAJECTORIES

WRITE, RENAMES, TRAINING = "inside a write", "between renames", "inside training"
NAMES = {"write": "a write", "sync": "a flush", "rename": "a rename"}
POINTER = "latest"


def place_of(logs: list[list[Event]], n_lines: int, has_pointer: bool) -> str:
    """The place, in words; `n_lines` of history were there, `has_pointer` says if checkpoints have a pointer."""
    for log in logs:
        if log and log[-1].word == "fault" and log[-1].call.endswith("before"):
            return f"before {NAMES.get(log[-2].call, 'another call')}"
        if log and log[-1].word != "end":
            return f"inside {NAMES.get(log[-1 if log[-1].word == 'begin' else -2].call, 'another call')}"
    done = [event for event in (logs[0] if logs else []) if "locktest" not in event.path]
    if not any(event.call == "write" and event.path.startswith("history") for event in done):
        return "at the start"
    last = done[-1]
    renamed = next((event.path for event in reversed(done) if event.call == "rename"), "")
    if _is_checkpoint(renamed) and (last.call == "rename" or (has_pointer and not last.path.startswith("history"))):
        if not last.path.endswith(".part"):
            return RENAMES
    if last.path.endswith(".part") or last.path.startswith("history"):
        return "between calls of a checkpoint"
    if n_lines >= TRAJECTORIES:
        return "at the end"
    if n_lines >= THERMALISE + TRAIN:
        return "inside production"
    return TRAINING if n_lines >= THERMALISE else "inside thermalisation"


def _is_checkpoint(path: str) -> bool:
    return path.startswith("checkpoint/") and path.endswith(".h5")


def has_pointer(log: list[Event]) -> bool:
    """True if a job that wrote this log moves a pointer to its newest checkpoint."""
    return any(event.call == "rename" and event.path.rsplit("/")[-1].startswith(POINTER) for event in log)
