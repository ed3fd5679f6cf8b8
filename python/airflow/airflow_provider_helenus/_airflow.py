"""The names of Airflow 3, and where Airflow 2 has them."""

from __future__ import annotations

try:
    from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator
    from airflow.sdk.exceptions import AirflowException, AirflowFailException
except ImportError:
    try:
        from airflow.sdk import BaseHook, BaseOperator, BaseSensorOperator
    except ImportError:
        from airflow.hooks.base import BaseHook  # type: ignore[no-redef]
        from airflow.models import BaseOperator  # type: ignore[no-redef]
        from airflow.sensors.base import BaseSensorOperator  # type: ignore[no-redef]
    from airflow.exceptions import AirflowException, AirflowFailException  # type: ignore[no-redef]

from airflow.triggers.base import BaseTrigger, TriggerEvent

__all__ = [
    "AirflowException", "AirflowFailException", "BaseHook", "BaseOperator", "BaseSensorOperator", "BaseTrigger", "TriggerEvent",
]
