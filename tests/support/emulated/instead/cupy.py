"""What `import cupy` finds where this folder stands on the path: the stand-in, see tests/support/emulated."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[4]))

from tests.support.emulated import install

del sys.modules["cupy"]
install()
