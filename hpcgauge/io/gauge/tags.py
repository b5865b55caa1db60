"""A strict reader of single tags in the XML records of gauge files: no entities, no nesting, no outside access."""

from __future__ import annotations

import re

from hpcgauge.errors import FileFormatError

FORBIDDEN = re.compile(r"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
NUMBER = re.compile(r"[0-9]{1,9}")
HEXADECIMAL = re.compile(r"[0-9a-fA-F]{1,8}")


def text_of(record: bytes, name: str) -> str:
    """The text of a record without its trailing NULs, refused if it declares a document type or an entity."""
    text = record.split(b"\0", 1)[0].decode("utf-8", errors="replace")
    if FORBIDDEN.search(text):
        raise FileFormatError(
            f"the record {name} declares a document type or an entity, which no gauge file needs; refused"
        )
    return text


def tag(text: str, name: str) -> str | None:
    """What stands between <name ...> and the next tag, stripped; None if there is no such tag.

    Attributes are skipped without being understood, because files with a missing quote are in use.
    """
    found = re.search(rf"<(?:\w+:)?{re.escape(name)}(?:\s[^<>]*)?>([^<]*)<", text)
    return None if found is None else found.group(1).strip()


def whole_number(text: str, name: str) -> int | None:
    """The number in a tag; None if there is no such tag."""
    value = tag(text, name)
    if value is not None and not NUMBER.fullmatch(value):
        raise FileFormatError(f"<{name}> holds {value[:40]!r}; expected a whole number")
    return None if value is None else int(value)


def hexadecimal(text: str, name: str) -> int | None:
    """The hexadecimal 32-bit number in a tag; None if there is no such tag."""
    value = tag(text, name)
    if value is not None and not HEXADECIMAL.fullmatch(value):
        raise FileFormatError(f"<{name}> holds {value[:40]!r}; expected at most 8 hexadecimal digits")
    return None if value is None else int(value, 16)
