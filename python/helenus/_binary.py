"""Where the executable and ONNX Runtime's library are."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import Optional

from .errors import SystemFailure

NAME = "helenus"


def find_binary() -> str:
    """Returns the executable: `$HELENUS_BINARY`, the one that came with this package, or the one on the path."""
    named = os.environ.get("HELENUS_BINARY")
    if named:
        return named
    for path in (_installed(), Path(sysconfig.get_path("scripts")) / NAME):
        if path is not None and os.access(path, os.X_OK):
            return str(path)
    found = shutil.which(NAME)
    if found is None:
        raise SystemFailure("binary.missing", "the executable `helenus` was not found",
                            help="install the wheel (`pip install helenus`), or set HELENUS_BINARY to the executable")
    return found


def _installed() -> Optional[Path]:
    try:
        files = metadata.files("helenus") or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == NAME and file.parent.name == "bin":
            return Path(str(file.locate())).resolve()
    return None


def find_library() -> Optional[str]:
    """Returns ONNX Runtime's shared library out of the `onnxruntime` wheel, without importing it."""
    spec = importlib.util.find_spec("onnxruntime")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        found = [path for path in Path(folder, "capi").glob("libonnxruntime.so*") if "providers" not in path.name]
        if found:
            return str(max(found, key=lambda path: [int(part) for part in re.findall(r"\d+", path.name)]))
    return None


def environment() -> dict[str, str]:
    """Returns the environment for the executable: this process's, with the library named unless it is already."""
    variables = dict(os.environ)
    if not variables.get("HELENUS_ONNXRUNTIME"):
        library = find_library()
        if library:
            variables["HELENUS_ONNXRUNTIME"] = library
    return variables
