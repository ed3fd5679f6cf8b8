"""Sensors: wait for a run, wait for a gate."""

from __future__ import annotations

from typing import Any, Optional, Sequence

from ._airflow import AirflowException, BaseSensorOperator
from .api import ENDED, HelenusApiError, summary
from .hook import HelenusHook


class HelenusRunSensor(BaseSensorOperator):
    """Waits until a run has ended; fails if it did not succeed.

    :param job: the job
    :param run: the run's id, or its request's; by default the newest run of the job
    """

    template_fields: Sequence[str] = ("job", "run", "helenus_conn_id")

    def __init__(self, *, job: str, run: Optional[str] = None, helenus_conn_id: str = HelenusHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job, self.run, self.helenus_conn_id = job, run, helenus_conn_id

    def poke(self, context: Any) -> bool:
        hook = HelenusHook(self.helenus_conn_id)
        run = self.run
        try:
            if not run:
                newest = hook.request("GET", f"/v1/jobs/{self.job}/runs", params={"limit": 1})["runs"]
                if not newest:
                    return False
                run = newest[0]["run_id"]
            view = hook.get_run(self.job, run)
        except HelenusApiError as error:
            if error.is_temporary:
                return False
            raise
        if view["state"] not in ENDED:
            return False
        if view["state"] != "succeeded":
            raise AirflowException(f"run {run} of job {self.job} {view['state']}: {view.get('reason')}")
        context["ti"].xcom_push(key="run", value=summary(view))
        return True


class HelenusGateSensor(BaseSensorOperator):
    """Waits until a gate's challenger passes: an evaluation shows what the gate asks for.

    :param model: the model
    :param gate: the gate
    """

    template_fields: Sequence[str] = ("model", "gate", "helenus_conn_id")

    def __init__(self, *, model: str, gate: str, helenus_conn_id: str = HelenusHook.default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model, self.gate, self.helenus_conn_id = model, gate, helenus_conn_id

    def poke(self, context: Any) -> bool:
        try:
            found = HelenusHook(self.helenus_conn_id).get_gate(self.model, self.gate)
        except HelenusApiError as error:
            if error.is_temporary:
                return False
            raise
        reasons = (found.get("evidence") or {}).get("reasons") or []
        self.log.info("gate %s of model %s: %s%s", self.gate, self.model, found["says"], f" ({'; '.join(reasons)})" if reasons else "")
        if found["says"] != "passes":
            return False
        context["ti"].xcom_push(key="version", value=found["challenger_version"])
        return True
