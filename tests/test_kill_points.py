"""A job of two ranks, killed ten times at the worst moments, makes the undisturbed chain in the end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hpcgauge.comm.world import World
from hpcgauge.io.checkpoint import newest_valid
from tests.support.jobs import SMALL, described, lines_of, run_here, start_job
from tests.test_resume import is_same_state, state_of

pytestmark = pytest.mark.hdf5
# One trajectory, three updates, five of physics; a checkpoint after each.
CHANGES = (*SMALL, "chain.train=3", "chain.produce=5", "checkpoint.keep=1")
PREPARED = """
import os, signal
from hpcgauge.comm.world import World
from hpcgauge.io import container, durable, image, record
from hpcgauge.run import stored
from hpcgauge.training.train import Learner
def die():
    os.kill(os.getpid(), signal.SIGKILL)
replace, write_fully, write_blocks = os.replace, durable.write_fully, container.write_blocks
learn, keep_last = Learner.learn, stored.keep_last
def half_written(data):
    def write(descriptor, data_, offset):
        if data in bytes(data_):
            write_fully(descriptor, data_[: len(data_) // 2], offset)
            die()
        write_fully(descriptor, data_, offset)
    return write
def renamed(name, before):
    def rename(source, target):
        if before and str(target).endswith(name): die()
        replace(source, target)
        if str(target).endswith(name): die()
    return rename
"""
LEARN = """
def learned(self, known, proposal):
    if proposal.trajectory == 1 and proposal.U_0.lattice.world.rank == 1: die()
    return learn(self, known, proposal)
Learner.learn = learned
"""
BLOCKS = """
def written(path, world, named):
    write_blocks(path, world, named)
    if path.name.startswith("000004.h5.") and world.rank == 1: die()
container.write_blocks = written
"""
KEEP = """
def kept(folder, world, count, every, newest):
    if newest == 7 and world.rank == 1: die()
    keep_last(folder, world, count, every, newest)
stored.keep_last = kept
"""
# What dies, and the trajectory that the next start goes on after.
MOMENTS = {
    "in training, another rank than 0": (LEARN, 1),
    "before a checkpoint has its name": ("os.replace = renamed('000002.h5', True)", 1),
    "between its name and the pointer to it": ("os.replace = renamed('000003.h5', False)", 3),
    "in a checkpoint whose blocks are written": (BLOCKS, 3),
    "before the network has its name": ("os.replace = renamed('network.h5', True)", 3),
    "in a line of the history": ("record.write_fully = half_written(b'\"trajectory\": 6,')", 5),
    "before old checkpoints are removed": (KEEP, 7),
    "in the layout of a checkpoint": ("image.write_fully = half_written(b'\"trajectory\": 8,')", 7),
    "after the pointer has moved": ("os.replace = renamed('latest', False)", 8),
    "before the results have their name": ("os.replace = renamed('summary.json', True)", 9),
}


def test_ten_kills(tmp_path: Path) -> None:
    run_here(described(*CHANGES), tmp_path / "whole", World.alone())
    folder, after = tmp_path / "killed", None
    for moment, (code, then) in MOMENTS.items():
        job = start_job(2, folder, *CHANGES, before=PREPARED + code)
        assert job.returncode not in (0, 75), moment
        found = re.search(r"goes on after trajectory (\d+)", job.stderr)
        assert (int(found.group(1)) if found else None) == after, f"{moment}: {job.stderr}"
        newest = newest_valid(folder / "checkpoint", World.alone())
        assert newest.path is not None and int(newest.path.stem) == then and not newest.messages, moment
        assert lines_of(folder)[:then] == lines_of(tmp_path / "whole")[:then], moment
        after = then
    said = run_here(described(*CHANGES), folder, World.alone()).said
    assert f"goes on after trajectory {after}" in said
    assert lines_of(folder) == lines_of(tmp_path / "whole")
    assert is_same_state(state_of(folder, 9), state_of(tmp_path / "whole", 9))
    for name in ("thermalised.h5", "network.h5"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert sorted(path.name for path in (folder / "checkpoint").iterdir()) == ["000009.h5", "latest"]
