"""What `import cupy` finds where this folder stands on the path: the stand-in, see tests/support/emulated."""

import sys

from tests.support.emulated import install

del sys.modules["cupy"]
install()
