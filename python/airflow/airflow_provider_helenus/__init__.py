"""Airflow operators and sensors for helenus."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def get_provider_info() -> dict[str, Any]:
    """Tells Airflow what this package brings."""
    return {
        "package-name": "airflow-provider-helenus",
        "name": "helenus",
        "description": "Trained models in Apache Cassandra tables score the rows that live there",
        "versions": [__version__],
        "connection-types": [
            {"connection-type": "helenus", "hook-class-name": "airflow_provider_helenus.hook.HelenusHook"}
        ],
    }
