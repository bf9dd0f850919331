"""TOML files of a user, read within bounds: an error names the file and the field."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from capc.errors import ConfigError
from capc.files import expanded, read_bounded

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MOST_BYTES = 4 << 20
_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}

Value = TypeVar("Value", str, int, float, bool)


class Table:
    """One table of a TOML file. ConfigError for what is missing, of another type, or unknown."""

    def __init__(self, origin: str, fields: Mapping[str, Any], name: str = "") -> None:
        self.origin = origin
        self._fields = fields
        self._name = name

    @classmethod
    def read(cls, path: Path) -> Table:
        """The whole file."""
        try:
            return cls(str(path), tomllib.loads(read_bounded(path, _MOST_BYTES).decode()))
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path} is not TOML: {error}") from None

    def require_known(self, known: Collection[str]) -> None:
        """Refuse a field that has no meaning: it may be a misspelt one."""
        if unknown := sorted(set(self._fields) - set(known)):
            raise self.error(unknown[0], f"is unknown; allowed are {', '.join(sorted(known))}")

    def get(self, field: str, kind: type[Value], default: Value | None = None) -> Value:
        """The field; `default` None: it has to be there."""
        value = self._fields.get(field, default)
        if value is None:
            raise self.error(field, "is missing")
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise self.error(field, f"is {value!r}; allowed is {_WORDS[kind]}")
        return value

    def path(self, field: str, default: str | None = None) -> Path:
        """A path, relative to the folder of the file."""
        named = self.get(field, str, default)
        return expanded(named if named.startswith("~") else Path(self.origin).parent / named)

    def raw(self) -> dict[str, Any]:
        """All fields, for a reader that checks them itself."""
        return dict(self._fields)

    def has(self, field: str) -> bool:
        """Whether the field is there."""
        return field in self._fields

    def names(self, field: str) -> list[str]:
        """A list of texts, which has to be there."""
        value = self._fields.get(field)
        if type(value) is not list or any(type(entry) is not str for entry in value):
            raise self.error(field, f"is {value!r}; allowed is a list of texts")
        return value

    def table(self, field: str) -> Table:
        """A table within this one, which has to be there."""
        value = self._fields.get(field)
        if type(value) is not dict:
            raise self.error(field, f"is no table [{field}]")
        return Table(self.origin, value, f"{self._name}{field}.")

    def tables(self, field: str) -> list[Table]:
        """A list of tables, [[field]], which has to be there."""
        value = self._fields.get(field)
        if type(value) is not list or any(type(entry) is not dict for entry in value):
            raise self.error(field, f"is no list of tables [[{field}]]")
        return [
            Table(self.origin, entry, f"{self._name}{field} {place}: ")
            for place, entry in enumerate(value, 1)
        ]

    def error(self, field: str, said: str) -> ConfigError:
        """What is wrong with a field, as an exception to raise."""
        return ConfigError(f"{self.origin}: {self._name}{field} {said}")
