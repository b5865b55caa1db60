"""A configuration from YAML and back."""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from hpcgauge.config.defaults import complete
from hpcgauge.config.messages import explain, unknown_key
from hpcgauge.config.schema import Run
from hpcgauge.config.words import dotted, entry, section, walk
from hpcgauge.errors import ConfigError

# The scalars of YAML 1.2: 1e-12 is a number, and no, on, 1:30 and 2024-01-01 are texts.
SCALARS = (
    ("tag:yaml.org,2002:null", r"(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", r"(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?[0-9]+$", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+0123456789."),
    ),
)


MOST_NODES, MOST_DIGITS = 100_000, 100


class _Loader(yaml.SafeLoader):
    """YAML 1.2 scalars; a key given twice is an error."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise ConfigError(f"line {key.start_mark.line + 1}: {name} is given twice; keep one")
            seen.add(name)
        return super().construct_mapping(node, deep)

    def decimal(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node)
        if len(text) > MOST_DIGITS:
            raise ConfigError(f"line {node.start_mark.line + 1}: a number of {len(text)} digits")
        return int(text, 10)


for _tag, _pattern, _first in SCALARS:
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), _first)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.decimal)


class _Dumper(yaml.SafeDumper):
    """Lists without names in one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def load(path: str | Path, overrides: Sequence[str] = ()) -> Run:
    """The run described by the file, changed by `key=value` texts. Its start must be there too."""
    run = read(path, overrides)
    try:
        refuse_missing_start(run)
    except ConfigError as problem:
        raise ConfigError(f"{path}: {problem}") from None
    return run


def refuse_missing_start(run: Run) -> None:
    """Nothing, if the links that the run starts from can be had."""
    if run.start not in ("unit", "hot") and not Path(run.start).is_file():
        close = difflib.get_close_matches(run.start, ["unit", "hot"], n=1)
        nearest = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(f"start = {run.start} is no file; it must be unit, hot or a gauge file{nearest}")


def read(path: str | Path, overrides: Sequence[str] = ()) -> Run:
    """The run described by the file; the gauge file it started from may be gone."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as problem:
        raise ConfigError(f"{path}: cannot be read ({problem.strerror}); give the path of a configuration") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is no text; give the path of a YAML file") from None
    try:
        return parse(text, overrides)
    except ConfigError as problem:
        raise ConfigError(f"{path}: {problem}") from None


def parse(text: str, overrides: Sequence[str] = ()) -> Run:
    """The run described by YAML text, changed by `key=value` texts."""
    data = _document(text)
    if not isinstance(data, dict):
        raise ConfigError("found no keys; a configuration starts with lines such as `lattice:`")
    for override in overrides:
        _override(data, override)
    try:
        return Run.model_validate(data)
    except ValidationError as problem:
        raise ConfigError(explain(problem, Run, complete(data))) from None


def resolved_yaml(run: Run) -> str:
    """The complete configuration as YAML; reading it gives the same run."""
    return yaml.dump(run.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=120)


def _document(text: str) -> Any:
    try:
        return _yaml(text)
    except yaml.MarkedYAMLError as problem:
        line = f"line {problem.problem_mark.line + 1}: " if problem.problem_mark else ""
        raise ConfigError(f"{line}not YAML: {problem.problem}") from None
    except yaml.YAMLError as problem:
        raise ConfigError(f"not YAML: {str(problem).splitlines()[0]}") from None


def _yaml(text: str) -> Any:
    """The value of a YAML text, once it is known that its aliases do not make it endless."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _nodes(node, {}) > MOST_NODES:
            raise ConfigError(f"its aliases make more than {MOST_NODES} entries; write them out")
        return loader.construct_document(node)
    except RecursionError:
        raise ConfigError("is nested too deeply, or a list in it holds itself") from None
    finally:
        loader.dispose()


def _nodes(node: yaml.Node, known: dict[int, int]) -> int:
    """The number of entries of a document, those that are repeated by an alias counted each time."""
    if id(node) not in known:
        inside = node.value if isinstance(node, yaml.CollectionNode) else []
        pairs = [entry if isinstance(entry, tuple) else (entry,) for entry in inside]
        known[id(node)] = 1 + sum(_nodes(entry, known) for pair in pairs for entry in pair)
    return known[id(node)]


def _override(data: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    path: list[str | int] = [int(part) if part.isdecimal() else part for part in name.strip().split(".")]
    if not equals or "" in path:
        raise ConfigError(f"--set {override}: write key=value, as in chain.produce=400")
    place: Any = data
    for i, part in enumerate(path[:-1]):
        here = tuple(path[: i + 1])
        if isinstance(place, dict) and place.get(part) is None:
            place[part] = {}
        place = _step(place, part, here, override)
    try:
        _set(place, path, _yaml(text), override)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override}: {text} is not YAML; quote it") from None


def _step(place: Any, part: str | int, here: tuple[str | int, ...], override: str) -> Any:
    known, annotation, _ = walk(Run, here)
    if known != here:
        raise ConfigError(f"--set {override}: {unknown_key(Run, here)}")
    inside = place[_number(place, here, override)] if isinstance(place, list) else place[part]
    if isinstance(inside, list) and section(annotation) is not None:  # the short form of `control`
        inside = place[part] = {"which": inside}
    if not isinstance(inside, dict | list) or (section(annotation) is None and entry(annotation) is None):
        raise ConfigError(f"--set {override}: {dotted(here)} = {inside} has no keys below it")
    return inside


def _set(place: Any, path: list[str | int], value: Any, override: str) -> None:
    last = path[-1]
    if walk(Run, tuple(path))[0] != tuple(path):
        raise ConfigError(f"--set {override}: {unknown_key(Run, tuple(path))}")
    place[_number(place, tuple(path), override) if isinstance(place, list) else last] = value


def _number(place: list[Any], key: tuple[str | int, ...], override: str) -> int:
    """The last part of the key, if the list has such an entry."""
    if not isinstance(key[-1], int) or key[-1] >= len(place):
        entries = "1 entry" if len(place) == 1 else f"{len(place)} entries"
        raise ConfigError(f"--set {override}: {dotted(key[:-1])} has {entries}, counted from 0")
    return key[-1]
