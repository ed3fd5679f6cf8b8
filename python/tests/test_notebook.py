"""The notebook runs from its first cell to its last, and draws its pictures."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import nbformat
from cassandra.cluster import Session
from nbclient import NotebookClient

from conftest import contact

ROOT = Path(__file__).parents[2]


def test_the_notebook_tells_its_story(session: Session, monkeypatch: Any, tmp_path: Path) -> None:
    keyspace = f"py{uuid.uuid4().hex[:12]}"
    monkeypatch.setenv("HELENUS_CONTACT_POINTS", contact())
    monkeypatch.setenv("HELENUS_KEYSPACE", keyspace)
    notebook = nbformat.read(ROOT / "examples/notebook/tumour.ipynb", as_version=4)
    try:
        NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    finally:
        for name in (keyspace, f"{keyspace}_clinic"):
            session.execute(f"DROP KEYSPACE IF EXISTS {name}", timeout=60)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    tables = [output for output in outputs if "<table" in "".join(output.get("data", {}).get("text/html", ""))]
    text = "".join(output.get("text", "") for output in outputs)
    assert len(pictures) == 3 and len(tables) >= 5
    assert "first of several targets only" in text
    assert "mean texture" not in text and not [output for output in outputs if output["output_type"] == "error"]
