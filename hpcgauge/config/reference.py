"""The reference page of the configuration, written from the types."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hpcgauge.config.schema import Run
from hpcgauge.config.words import entry, in_words, section

HEAD = """# Configuration

A run is described by one YAML file: `hpcgauge run FILE`. Every key is listed here with what it may hold. An unknown
key, a wrong type or an impossible value ends the command with exit code 2 and one sentence.

`--set key=value` changes a key for one run, the value written as YAML: `--set chain.produce=800`,
`--set control=none`, `--set 'lattice.extent=[8, 8, 8, 8]'`. Entries of a list are counted from 0:
`--set guide.fermion.0.mass=0.5`. The run folder keeps the complete configuration as `config.yaml`.

A run is resumed with the configuration it began with. Only `lattice.device`, `lattice.process_grid`, `lattice.threads`,
`solver.max_steps` and `checkpoint` may differ, and `chain.produce`, `control.produce` and `control.reference.produce`
may grow.

This page is made from the types in `hpcgauge/config/schema.py`:
`python -m hpcgauge.config.reference > docs/configuration.md`.
"""


def reference_page() -> str:
    """docs/configuration.md."""
    parts = [HEAD, _table("Run", Run, "")]
    parts += _sections(Run, "")
    return "\n".join(parts)


def _sections(model: type[BaseModel], before: str) -> list[str]:
    parts: list[str] = []
    for name, field in model.model_fields.items():
        key, inside = before + name, section(field.annotation)
        if inside is None and section(entry(field.annotation)) is not None:
            key, inside = key + ".0", section(entry(field.annotation))
        if inside is not None:
            parts += [_table(f"`{key}`", inside, key + "."), *_sections(inside, key + ".")]
    return parts


def _table(title: str, model: type[BaseModel], before: str) -> str:
    lines = [f"## {title}", "", (model.__doc__ or "").strip(), "", "| key | value | default | |", "|---|---|---|---|"]
    lines += [_row(before + name, field) for name, field in model.model_fields.items()]
    return "\n".join(lines) + "\n"


def _row(key: str, field: FieldInfo) -> str:
    cells = (f"`{key}`", _value(field), _default(field), field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _value(field: FieldInfo) -> str:
    if section(field.annotation) is not None:
        return "a section or null" if "null" in in_words(field.annotation) else "a section"
    if section(entry(field.annotation)) is not None:
        return "a list of sections"
    return in_words(field.annotation, tuple(field.metadata))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "see right" if "left out" in (field.description or "") else "needed"
    value: Any = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its defaults"
    return "null" if value is None else str(value).lower()


if __name__ == "__main__":
    print(reference_page(), end="")
