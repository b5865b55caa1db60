"""A process that is killed while it writes a checkpoint loses nothing that was written before."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from hpcgauge.comm.world import World
from hpcgauge.io.checkpoint import newest_valid, read_checkpoint
from tests.support.ranks import clean_environment

pytestmark = pytest.mark.hdf5
WRITER = """
import sys
from pathlib import Path
import numpy
from hpcgauge.comm.world import World
from hpcgauge.io.checkpoint import keep_last, write_checkpoint
from hpcgauge.io.container import Contents
from hpcgauge.io.distributed import Distributed
folder, alone, links = Path(sys.argv[1]), World.alone(), numpy.ones((4, 8, 16, 16, 16, 2, 2), complex)
for trajectory in range(int(sys.argv[2]), 10**6):
    arrays = {"links": Distributed(links.shape, (0,) * 7, trajectory * links)}
    print(write_checkpoint(folder, trajectory, alone, Contents(arrays, {}, {"trajectory": trajectory})), flush=True)
    keep_last(folder, alone, 2)
"""
SECONDS_INTO_THE_WRITE = (0.0, 0.01, 0.03)


def test_a_killed_writer_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    first, inside = 1, 0
    for seconds in SECONDS_INTO_THE_WRITE:
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(first)]
        with subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline()]
            while not list(tmp_path.glob("*.part")):
                time.sleep(0.001)
            time.sleep(seconds)
            writer.kill()
            lines += writer.stdout.readlines()
        inside += bool(list(tmp_path.glob("*.part")))
        path, messages = newest_valid(tmp_path, World.alone())
        assert path is not None and path >= Path(lines[-1].strip()) and not messages
        found = read_checkpoint(path, World.alone(), lambda _, shape: tuple(slice(0, n) for n in shape))
        first = found.attributes["trajectory"] + 1
        assert (found.arrays["links"].local == found.attributes["trajectory"]).all()
    assert inside > 0
