"""The DAGs that test_airflow.py runs with `airflow dags test`."""

from __future__ import annotations

from datetime import datetime, timedelta

try:
    from airflow.sdk import DAG
except ImportError:
    from airflow import DAG

from airflow_provider_helenus.operators import HelenusPromoteOperator, HelenusRunOperator
from airflow_provider_helenus.sensors import HelenusGateSensor, HelenusRunSensor

START = datetime(2026, 1, 1)


def dag(name: str, **defaults: object) -> DAG:
    return DAG(name, start_date=START, schedule=None, catchup=False, default_args=defaults)


with dag("score_and_promote"):
    score = HelenusRunOperator(task_id="score", job="tumour", scope="all", poll_seconds=0.5)
    deferred = HelenusRunOperator(task_id="deferred", job="tumour", deferrable=True, poll_seconds=0.5)
    asked = HelenusRunOperator(task_id="asked", job="tumour", wait_for_completion=False)
    sensed = HelenusRunSensor(task_id="sensed", job="tumour", run="{{ ti.xcom_pull('asked')['request_id'] }}", poke_interval=1, timeout=120)
    gate = HelenusGateSensor(task_id="gate", model="tumour", gate="better", poke_interval=1, timeout=120)
    promote = HelenusPromoteOperator(
        task_id="promote", model="tumour", version="{{ ti.xcom_pull('gate', key='version') }}", expected_version="1", why="the gate passes")
    score >> deferred >> asked >> sensed >> gate >> promote

with dag("refused_promotion"):
    HelenusPromoteOperator(task_id="promote", model="tumour", version=1, expected_version=7)

with dag("promoted_before"):
    # The answer to the first request was lost, and the alias points at version 2 already.
    HelenusPromoteOperator(task_id="promote", model="tumour", version=2, expected_version=1)

with dag("killed"):
    # on_kill is called when a task's time is over, too.
    HelenusRunOperator(task_id="slow", job="tumour", scope="all", max_rows_per_s=10, poll_seconds=0.5, execution_timeout=timedelta(seconds=6))


class DiesOnce(HelenusRunOperator):
    """The first try dies while the run is open."""

    def execute(self, context):  # type: ignore[no-untyped-def]
        self.number = context["ti"].try_number
        return super().execute(context)

    def _look(self):  # type: ignore[no-untyped-def]
        if self.number == 1:
            raise RuntimeError("the machine of the first try is gone")
        return super()._look()


with dag("retried", retries=1, retry_delay=timedelta(seconds=0)):
    # 60 rows a second: the run is open for about 20 seconds.
    DiesOnce(task_id="score", job="tumour", scope="all", max_rows_per_s=60, poll_seconds=0.5)
