"""The shape of the package: arrows between layers, doors to libraries, sizes, and a catalogue that misses no kernel."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from hpcgauge.catalogue import all_kernels
from hpcgauge.kernels.kernel import Kernel
from tests.support.ranks import ROOT, clean_environment

PACKAGE = ROOT / "hpcgauge"
# Each may import what stands below it; the layers of one line do not know each other.
LAYERS = (
    ("__main__",),
    ("run",),
    ("bench",),
    ("catalogue",),
    ("report",),
    ("io",),
    ("observables",),
    ("sampler",),
    ("training",),
    ("network",),
    ("symmetry",),
    ("gauge", "fermion"),
    ("action",),
    ("kernels",),
    ("fields",),
    ("comm",),
    ("lattice",),
    ("errors",),
)
LEVEL = {name: len(LAYERS) - level for level, names in enumerate(LAYERS) for name in names}
# What anybody may import, and the configuration, which stands apart.
FREE = ("_version",)
CONFIGURATION, ITS_READERS = "config", ("__main__", "run", "config")
DOORS = {
    "mpi4py": ("comm/",),
    "cupy": ("fields/card.py", "kernels/nvrtc.py"),
    "h5py": ("io/",),
    "matplotlib": ("report/",),
}
MAX_LINES, MAX_FUNCTION_LINES, MAX_ARGUMENTS = 300, 40, 7
FORBIDDEN_NAMES = ("utils", "common", "base", "misc")


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    """a.b.c of a file of the package, without the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module that a file imports, anywhere in it, with its line; names of the package in full."""
    package = ["hpcgauge", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base, node.lineno
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def layer(module: str) -> str | None:
    """The layer of a module of the package, named in full."""
    parts = module.split(".")
    return parts[1] if parts[0] == "hpcgauge" and len(parts) > 1 else None


def is_allowed(importer: str, imported: str) -> bool:
    if imported in FREE or imported == importer:
        return True
    if CONFIGURATION in (importer, imported):
        return importer in ITS_READERS if imported == CONFIGURATION else imported == "errors"
    return LEVEL[importer] > LEVEL[imported]


def test_the_arrows_can_tell_right_from_wrong() -> None:
    assert is_allowed("gauge", "action") and is_allowed("run", "config") and is_allowed("config", "errors")
    wrong = [("action", "gauge"), ("gauge", "fermion"), ("lattice", "comm"), ("io", "config"), ("config", "lattice")]
    assert not any(is_allowed(*pair) for pair in wrong)


def test_every_module_has_a_layer() -> None:
    known = {*LEVEL, *FREE, CONFIGURATION, ""}
    assert {module_name(path).split(".")[0] for path in sources()} <= known


def test_imports_go_to_the_right_only() -> None:
    wrong = []
    for path in sources():
        importer = module_name(path).split(".")[0]
        for module, line in imports(path):
            imported = layer(module)
            # `from hpcgauge import name` is no layer: then name is an attribute.
            if importer and imported in {*LEVEL, *FREE, CONFIGURATION} and not is_allowed(importer, imported):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("library", DOORS)
def test_one_door_for_each_library(library: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources()
        for module, line in imports(path)
        if module.split(".")[0] == library and not str(path.relative_to(PACKAGE)).startswith(DOORS[library])
    ]
    assert not wrong, f"{library} is imported in {wrong}"


def test_files_are_short_and_well_named() -> None:
    folders = (PACKAGE, ROOT / "tests", ROOT / "tools")
    files = [path for folder in folders for end in ("*.py", "*.h") for path in folder.rglob(end)]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    long = {name: n for name, n in lengths.items() if n > MAX_LINES}
    assert not long, long
    assert not [path for path in files if path.stem in FORBIDDEN_NAMES]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_functions_are_short() -> None:
    wrong = []
    for path in sources():
        for function in functions(path):
            lines = (function.end_lineno or 0) - function.lineno + 1
            named = f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"
            arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            count = len([argument for argument in arguments if argument.arg not in ("self", "cls")])
            if lines > MAX_FUNCTION_LINES:
                wrong.append(f"{named}: {lines} lines")
            if count > MAX_ARGUMENTS:
                wrong.append(f"{named}: {count} arguments")
    assert not wrong, "\n".join(wrong)


def test_public_functions_say_what_comes_back() -> None:
    wrong = []
    for path in sources():
        for node in tree(path).body:
            is_public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if is_public and not ast.get_docstring(node):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("modules", "absent"),
    [(["hpcgauge"], ["numpy", "mpi4py", "h5py", "matplotlib"]), (None, ["mpi4py", "cupy", "matplotlib"])],
    ids=["package", "all modules"],
)
def test_importing_does_nothing(modules: list[str] | None, absent: list[str]) -> None:
    """`import hpcgauge` brings no library, and no module of the package starts MPI or draws."""
    wanted = modules or [f"hpcgauge.{name}" for name in map(module_name, sources()) if name not in ("", "__main__")]
    program = f"import sys, {', '.join(wanted)}; print(*[name for name in {absent} if name in sys.modules])"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def modules_with_kernels() -> list[str]:
    """Modules that name Kernel, apart from those that define it."""
    named = [module_name(path) for path in sources() if "Kernel(" in path.read_text()]
    return [name for name in named if name not in ("kernels.kernel", "catalogue")]


def test_catalogue_holds_every_kernel_of_a_module() -> None:
    listed = all_kernels(dimensions=4, reach=3, n_rhs=1).values()
    for module in modules_with_kernels():
        for name, value in vars(import_module(f"hpcgauge.{module}")).items():
            assert not isinstance(value, Kernel) or value in listed, f"{module}.{name} is missing in the catalogue"


def test_catalogue_calls_every_function_that_makes_kernels() -> None:
    """A call of Kernel(...) stands at the top of a module or in a function that the catalogue names."""
    names = {node.id for node in ast.walk(tree(PACKAGE / "catalogue.py")) if isinstance(node, ast.Name)}
    missing = []
    for module in modules_with_kernels():
        path = PACKAGE / (module.replace(".", "/") + ".py")
        for function in functions(path):
            calls = [n for n in ast.walk(function) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
            if any(call.func.id == "Kernel" for call in calls) and function.name not in names:
                missing.append(f"{module}.{function.name}")
    assert not missing, f"{missing} make kernels; the catalogue must call them"
