"""A progress bar in a terminal and in a notebook, fed by the lines that `--progress` writes."""

from __future__ import annotations

import json
import sys
import warnings
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Optional


@contextmanager
def bar(title: str, wanted: Optional[bool]) -> Iterator[Callable[[str], None]]:
    """Yields a listener for stderr. `wanted` None: a bar in terminals and notebooks, and nothing elsewhere."""
    if not (_is_interactive() if wanted is None else wanted):
        yield lambda line: None
        return
    with warnings.catch_warnings():
        # Without ipywidgets a notebook gets the bar as text.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm

        shown: Any = tqdm(desc=title, unit=" rows", unit_scale=True)

    def listen(line: str) -> None:
        if not line.startswith('{"progress"'):
            if line:
                shown.write(line, file=sys.stderr)
            return
        try:
            progress = json.loads(line)["progress"]
        except (ValueError, KeyError):
            return
        if progress.get("of"):
            shown.total = max(progress["of"], progress["rows"])
        if progress.get("rejected"):
            shown.set_postfix(rejected=progress["rejected"], refresh=False)
        shown.n = progress["rows"]
        shown.refresh()

    try:
        yield listen
    finally:
        shown.close()


def _is_interactive() -> bool:
    if sys.stderr is not None and sys.stderr.isatty():
        return True
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"
