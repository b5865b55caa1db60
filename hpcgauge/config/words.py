"""What a key may hold, in words, read off its type; and a key's place in the schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

Key = tuple[str | int, ...]
BOUNDS = (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))


def dotted(key: Sequence[str | int]) -> str:
    """The key as it is written in --set."""
    return ".".join(str(part) for part in key)


def options(annotation: Any) -> list[Any]:
    """The members of a union without None; the annotation itself if it is none."""
    if get_origin(annotation) is Annotated:
        return options(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [member for member in get_args(annotation) if member is not NoneType]
    return [annotation]


def section(annotation: Any) -> type[BaseModel] | None:
    """The section a value of this type is, or None."""
    for member in options(annotation):
        if isinstance(member, type) and issubclass(member, BaseModel):
            return member
    return None


def entry(annotation: Any) -> Any:
    """The type of a list's entries, or None."""
    for member in options(annotation):
        if get_origin(member) is Annotated:
            member = get_args(member)[0]
        if get_origin(member) is tuple:
            return get_args(member)[0]
    return None


def walk(model: type[BaseModel], location: Key) -> tuple[Key, Any, tuple[Any, ...]]:
    """The part of `location` that is really in the schema, with the type and the limits there."""
    key: Key = ()
    annotation: Any = model
    limits: tuple[Any, ...] = ()
    for part in location:
        inside = section(annotation)
        if inside is not None and isinstance(part, str) and part in inside.model_fields:
            field = inside.model_fields[part]
            annotation, limits = field.annotation, tuple(field.metadata)
        elif isinstance(part, int) and entry(annotation) is not None:
            annotation, limits = entry(annotation), ()
        elif get_origin(annotation) is dict:
            annotation, limits = get_args(annotation)[1], ()
        else:
            continue
        key += (part,)
    return key, annotation, limits


def in_words(annotation: Any, limits: tuple[Any, ...] = ()) -> str:
    """What a value of this type may be, as in "an integer, at least 1"."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return in_words(arguments[0], tuple(_flat(arguments[1:])) + limits)
    if origin is Literal:
        return _either([str(value) for value in arguments])
    if origin in (Union, UnionType):
        return _either(["null" if member is NoneType else in_words(member, limits) for member in arguments])
    if origin is dict:
        return "sections by name"
    if origin is tuple:
        return f"a list{_length(limits)} ({in_words(arguments[0])} each)"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"a section ({', '.join(annotation.model_fields)})"
    names = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}
    return ", ".join([names[annotation], *_bounds(limits)])


def leaves(model: type[BaseModel], before: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key below a section with its field; the entries of a list carry the number 0."""
    for name, field in model.model_fields.items():
        key = f"{before}{name}"
        yield key, field
        inside, item = section(field.annotation), entry(field.annotation)
        if inside is not None:
            yield from leaves(inside, key + ".")
        elif item is not None and section(item) is not None:
            yield from leaves(section(item), key + ".0.")  # type: ignore[arg-type]


def _flat(limits: Sequence[Any]) -> Iterator[Any]:
    for limit in limits:
        yield from limit.metadata if isinstance(limit, FieldInfo) else (limit,)


def _bounds(limits: tuple[Any, ...]) -> Iterator[str]:
    for limit in limits:
        for name, words in BOUNDS:
            bound = getattr(limit, name, None)
            if bound is not None:
                yield f"{words} {'2^63' if bound == 2**63 else bound}"


def _length(limits: tuple[Any, ...]) -> str:
    shortest = next((limit.min_length for limit in limits if getattr(limit, "min_length", None)), None)
    longest = next((limit.max_length for limit in limits if getattr(limit, "max_length", None)), None)
    if longest is not None:
        return f" of {shortest} to {longest} entries"
    return "" if shortest is None else f" of at least {shortest} " + ("entry" if shortest == 1 else "entries")


def _either(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]
