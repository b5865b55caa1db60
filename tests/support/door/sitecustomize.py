"""What Python runs first where this folder is on its path: every device of the process will be a card.

See tests/support/everywhere.py. Nothing is imported and no path changed before the process asks for that module itself.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
MODULE = "hpcgauge.fields.device"


class Door(MetaPathFinder):
    """Finds one module, and changes it once it is there."""

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name == MODULE else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            sys.path.append(str(ROOT))
            from tests.support.everywhere import replace_devices

            replace_devices(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, Door())
