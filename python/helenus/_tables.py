"""Tables as text and as HTML: what results print and what notebooks show."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass
from typing import Any, Optional, Sequence


@dataclass(frozen=True)
class Table:
    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""


class Shown:
    """A result that prints as tables and that notebooks render as HTML."""

    def _title(self) -> str:
        raise NotImplementedError

    def _tables(self) -> Sequence[Table]:
        return ()

    def _notes(self) -> Sequence[str]:
        return ()

    def __str__(self) -> str:
        parts = [self._title()]
        for table in self._tables():
            if table.rows:
                parts.append((f"{table.caption}\n" if table.caption else "") + as_text(table))
        parts += [f"warning: {note}" for note in self._notes()]
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        parts = [f"<p><b>{html.escape(self._title())}</b></p>"]
        parts += [as_html(table) for table in self._tables() if table.rows]
        parts += [f"<p>⚠ {html.escape(note)}</p>" for note in self._notes()]
        return "<div>" + "".join(parts) + "</div>"


def text(value: Any) -> str:
    """Returns a cell for people: numbers with six significant digits, nothing for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
            return str(int(value)) if abs(value) >= 1 or value == 0 else repr(value)
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(text(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} = {text(item)}" for key, item in value.items())
    return str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def as_text(table: Table) -> str:
    cells = [[_printable(text(cell)) for cell in row] for row in table.rows]
    widths = [max(len(name), *(len(row[at]) for row in cells)) for at, name in enumerate(table.header)]
    right = [all(_is_number(row[at]) or row[at] is None for row in table.rows) for at in range(len(widths))]

    def line(row: Sequence[str]) -> str:
        padded = (cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in zip(row, widths, right))
        return "  ".join(padded).rstrip()

    return "\n".join([line([name.upper() for name in table.header]), *map(line, cells)])


def as_html(table: Table) -> str:
    def cell(value: Any) -> str:
        style = ' style="text-align:right"' if _is_number(value) else ' style="text-align:left"'
        return f"<td{style}>{html.escape(text(value))}</td>"

    head = "".join(f"<th>{html.escape(name)}</th>" for name in table.header)
    body = "".join("<tr>" + "".join(map(cell, row)) + "</tr>" for row in table.rows)
    caption = f"<caption>{html.escape(table.caption)}</caption>" if table.caption else ""
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _printable(value: str) -> str:
    """Keys and labels are data: control characters must not reach a terminal."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in value)


def number(value: Any) -> Optional[float]:
    """Returns a JSON number; NaN and infinities are strings there."""
    if value is None:
        return None
    return float(value)
