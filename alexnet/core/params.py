"""Parameters: YAML files, and what is laid over them, read into typed and validated sections."""

import contextlib
import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from alexnet.core.errors import UserError

# A list of the 21,841 classes of ImageNet has about 400,000 characters.
MAX_YAML_SIZE, MAX_YAML_DEPTH = 1_000_000, 40
# What the reader of YAML raises; for a date that does not exist, or an odd tag, nearly anything.
NO_YAML = (YAMLError, ValueError, LookupError)
# pydantic's types of error for a key that is none of a section, a text or not.
UNKNOWN = ("extra_forbidden", "invalid_key")


class Strict(BaseModel):
    """A group of keys: unknown keys and silent conversions are refused; values cannot change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Section(Strict):
    """A top-level group of keys of a YAML file, `key` being its name there."""

    key: ClassVar[str]


K = TypeVar("K", bound=Strict)
S = TypeVar("S", bound=Section)
# A parameter file, or several sources, each of which overrides those before it: see `load_parameters`.
Sources = str | Path | Sequence[str]


def read(sources: Sources, section: type[S]) -> S:
    """Read and validate the one `section` of the parameters in `sources`.

    Raises:
        UserError: a file is missing or no YAML, or a key is missing, unknown, mistyped or out of
            range; the message names key, found and allowed.
    """
    path = str(sources) if isinstance(sources, str | Path) else " + ".join(sources)
    content, key = load_parameters(sources), section.key
    # tests/pipeline/test_graph.py hears this, and compares what stages read with what dvc.yaml declares.
    sys.audit("alexnet.read", key)
    if key not in content:
        raise UserError(f"{path}: {key}: missing; this section is required. Add it as in profiles/.")
    return validate(content[key], section, path, key)


def load_parameters(sources: Sources) -> dict[str, Any]:
    """Return all parameters in `sources`, sections by name, not validated.

    The first source is a YAML file. Each further one replaces some values, named by dotted keys such as
    ``model.width``: ``FILE:KEY`` is the mapping of dotted keys to values that stands at KEY (dotted too) in
    a YAML file; ``KEY=VALUE`` is a single value, written as in YAML.

    Raises:
        UserError: a file is missing or no YAML, there is no such mapping, or a key is unknown.
    """
    first, *overlays = [str(sources)] if isinstance(sources, str | Path) else sources
    content = load_yaml(Path(first))
    for overlay in overlays:
        for key, value in _overlay(overlay).items():
            inner: Any = {"": content}
            last = ""
            for part in str(key).split("."):
                inner, last = inner[last], part
                if not isinstance(inner, dict) or part not in inner:
                    known = [str(each) for each in inner] if isinstance(inner, dict) else []
                    raise UserError(f"{overlay}: {_unknown(str(key), part, known)}")
            inner[last] = value
    return content


def flattened(parameters: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested `parameters` under dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in parameters.items():
        if isinstance(value, Mapping) and value:
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _overlay(source: str) -> dict[str, Any]:
    key, equals, value = source.partition("=")
    if equals:
        try:
            return {key: YAML(typ="safe", pure=True).load(value)}
        except NO_YAML:
            raise UserError(f"--params {source}: what follows = is not valid YAML") from None
    name, colon, place = source.rpartition(":")
    if not colon:
        raise UserError(
            f"--params: found {source} after the first file; allowed: FILE:KEY, a mapping of dotted keys in a"
            " YAML file, or KEY=VALUE"
        )
    found: Any = load_yaml(Path(name))
    for part in place.split("."):
        if not isinstance(found, dict) or part not in found:
            raise UserError(f"{name}: {place}: missing; needed is a mapping of dotted keys to values")
        found = found[part]
    if found is not None and not isinstance(found, dict):
        raise UserError(f"{name}: {place}: found {_shown(found)}; allowed: dotted keys with values")
    return dict(found or {})


def load_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in the YAML file at `path` (YAML 1.2, so that 1e-4 is a number)."""
    try:
        text = path.read_text(encoding="utf-8")
        _refuse_bomb(text, path)
        content = YAML(typ="safe", pure=True).load(text)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file. Copy one from profiles/, or name another.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    except NO_YAML as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}:" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UserError(f"{path}:{line} is not valid YAML: {problem}. Correct the file.") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: found {_shown(content)}; allowed: keys with values.")
    return content


def _refuse_bomb(text: str, path: Path) -> None:
    """Refuse what could not be read or shown: content without end, by anchors or depth, and NUL."""
    sizes: dict[str, int] = {}
    open_groups: list[tuple[str | None, int]] = []
    size = len(text)
    events = YAML(typ="safe", pure=True).parse(text) if size <= MAX_YAML_SIZE else iter(())
    for event in events:
        size += 1
        if isinstance(event, AliasEvent):
            inside_itself = event.anchor in [anchor for anchor, _ in open_groups]
            size += MAX_YAML_SIZE if inside_itself else sizes.get(event.anchor, 0)
        elif isinstance(event, MappingStartEvent | SequenceStartEvent):
            open_groups.append((event.anchor, size))
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            anchor, before = open_groups.pop()
            if anchor is not None:
                sizes[anchor] = size - before
        elif isinstance(event, ScalarEvent):
            if event.anchor is not None:
                sizes[event.anchor] = 1
            if "\0" in event.value:
                line = event.start_mark.line + 1
                raise UserError(f"{path}: line {line}: found a NUL character. Remove it.")
        if size > MAX_YAML_SIZE or len(open_groups) > MAX_YAML_DEPTH:
            break
    if size > MAX_YAML_SIZE or len(open_groups) > MAX_YAML_DEPTH:
        raise UserError(
            f"{path}: larger than any file of parameters; allowed: {MAX_YAML_SIZE:,} characters and values,"
            f" where an alias counts as all that it stands for, and {MAX_YAML_DEPTH} levels"
        )


def validate(content: Any, section: type[K], path: Path | str, prefix: str) -> K:
    """Validate `content` as a `section`, naming keys with `prefix` in errors."""
    try:
        return section.model_validate(content)
    except ValidationError as error:
        # A misspelt key is unknown, and missing under its true name: unknown ones first, with the hint.
        problems = sorted(error.errors(), key=lambda problem: problem["type"] not in UNKNOWN)
        messages = [_explain(section, problem, prefix) for problem in problems]
        # A union reports every branch that failed; the user made one mistake.
        first, *rest = dict.fromkeys(messages)
        more = f" (and {len(rest)} more)" if rest else ""
        raise UserError(f"{path}: {first}{more}") from None


def check_keys(found: Any, known: list[str], path: Path | str) -> None:
    """Refuse the first key of `found` that is not `known`."""
    for key in found:
        if key not in known:
            raise UserError(f"{path}: {_unknown(str(key), str(key), known)}")


def _explain(section: type[BaseModel], problem: Any, prefix: str) -> str:
    location = list(problem["loc"])
    schema = section.model_json_schema()
    definitions = schema.get("$defs", {})
    names: list[str] = [prefix] if prefix else []
    for position, part in enumerate(location):
        schema = _resolve(schema, definitions)
        known = schema.get("properties", {})
        if part in known:
            names.append(part)
            schema = known[part]
        elif problem["type"] in UNKNOWN and position == len(location) - 1:
            return _unknown(".".join([*names, str(part)]), str(part), list(known))
        elif isinstance(part, int):
            names.append(str(part))
            schema = schema.get("items", {})
    key = ".".join(names) or "the file"
    if problem["type"] == "value_error":
        return f"{key}: {problem['ctx']['error']}"
    allowed = _allowed(schema, definitions)
    if problem["type"] == "missing":
        return f"{key}: missing; allowed: {allowed}. Add it."
    return f"{key}: found {_shown(problem['input'])}; allowed: {allowed}"


def _unknown(name: str, part: str, known: list[str]) -> str:
    near = difflib.get_close_matches(part, known, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"{name}: unknown key; allowed: {', '.join(known) or 'no keys here'}.{hint}"


def _resolve(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema or "allOf" in schema:
        reference = schema["$ref"] if "$ref" in schema else schema["allOf"][0]["$ref"]
        schema = definitions[reference.rsplit("/", 1)[1]]
    return schema


def _allowed(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    schema = _resolve(schema, definitions)
    if "anyOf" in schema:
        return " or ".join(_allowed(choice, definitions) for choice in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(_shown(value) for value in schema["enum"])
    if "const" in schema:
        return _shown(schema["const"])
    if schema.get("type") == "array":
        return f"a list of: {_allowed(schema.get('items', {}), definitions)}"
    words = {
        "integer": "a whole number",
        "number": "a number",
        "string": "a text",
        "boolean": "true or false",
        "null": "null",
        "object": "keys with values: " + ", ".join(schema.get("properties", {})),
    }
    text = words.get(str(schema.get("type")), "another value")
    bounds = [
        f"{word} {schema[name]:g}"
        for name, word in (
            ("minimum", "of at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "of at most"),
            ("exclusiveMaximum", "below"),
            ("multipleOf", "a multiple of"),
            ("minLength", "of a length of at least"),
        )
        if name in schema
    ]
    if "pattern" in schema:
        bounds.append(f"that matches {schema['pattern']}")
    return " ".join([text, " and ".join(bounds)]).strip()


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {True: "true", False: "false", None: "null"}[value]
    text = value if isinstance(value, str) and not _reads_otherwise(value) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _reads_otherwise(text: str) -> bool:
    """Whether `text` without quotes would be a number or the like."""
    with contextlib.suppress(*NO_YAML):
        return not isinstance(YAML(typ="safe", pure=True).load(text), str)
    return False
