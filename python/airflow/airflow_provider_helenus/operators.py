"""Operators: run a job, promote a version."""

from __future__ import annotations

import hashlib
import time
from datetime import timedelta
from typing import Any, Optional, Sequence, Union

import httpx

from ._airflow import AirflowException, AirflowFailException, BaseOperator
from .api import ENDED, HelenusApiError, summary
from .hook import HelenusHook
from .triggers import HelenusRunTrigger


def dedupe_key(context: Any, number: int) -> str:
    """Returns the key of a task's try: the same for the same try, whoever asks how often."""
    ti = context["ti"]
    task = f"{ti.dag_id}/{ti.run_id}/{ti.task_id}/{getattr(ti, 'map_index', -1)}"
    return f"airflow-{hashlib.sha256(task.encode()).hexdigest()[:40]}-{number}"


class HelenusRunOperator(BaseOperator):
    """Asks for a run of a job and waits until it has ended.

    A retry joins the run of an earlier try if that is still open; otherwise it asks for a new one, which scores what is
    still pending. Killing the task cancels the run. The result (XCom) has `run_id`, `state`, and the counts `source_rows`,
    `scored`, `unchanged`, `rejected`, and `by_version`.

    :param job: the job
    :param scope: `pending` (default), `all` or `current`
    :param versions: only these versions of those that the job names
    :param keys: only these rows: all primary key columns by name
    :param max_rows_per_s: maximum number of predictions per second
    :param priority: runs of higher priority come first
    :param note: reason, stored with the run
    :param wait_for_completion: False: succeed as soon as the request is written
    :param deferrable: wait in the triggerer, without a worker slot
    :param poll_seconds: how often the run is looked at
    """

    template_fields: Sequence[str] = ("job", "scope", "versions", "keys", "note", "helenus_conn_id")
    ui_color = "#dceaf5"

    def __init__(
        self,
        *,
        job: str,
        scope: Optional[str] = None,
        versions: Optional[Sequence[int]] = None,
        keys: Optional[Sequence[dict[str, Any]]] = None,
        max_rows_per_s: Optional[int] = None,
        priority: Optional[int] = None,
        note: Optional[str] = None,
        wait_for_completion: bool = True,
        deferrable: bool = False,
        poll_seconds: float = 5.0,
        helenus_conn_id: str = HelenusHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job, self.scope, self.versions, self.keys = job, scope, versions, keys
        self.max_rows_per_s, self.priority, self.note = max_rows_per_s, priority, note
        self.wait_for_completion, self.deferrable, self.poll_seconds = wait_for_completion, deferrable, poll_seconds
        self.helenus_conn_id = helenus_conn_id
        self._run: Optional[str] = None

    @property
    def hook(self) -> HelenusHook:
        return HelenusHook(self.helenus_conn_id)

    def body(self, context: Any) -> dict[str, Any]:
        ti = context["ti"]
        fields = {
            "scope": self.scope, "versions": self.versions and [int(v) for v in self.versions], "keys": self.keys,
            "max_rows_per_s": self.max_rows_per_s, "priority": self.priority,
            "note": self.note or f"Airflow: {ti.dag_id}.{ti.task_id}, {ti.run_id}",
        }
        return {name: value for name, value in fields.items() if value is not None}

    def execute(self, context: Any) -> Any:
        view = self._joined(context) or self.hook.start_run(self.job, self.body(context), dedupe_key(context, context["ti"].try_number))
        self._run = view["request_id"] or view["run_id"]
        self.log.info("request %s of job %s: %s", self._run, self.job, view["state"])
        if not self.wait_for_completion:
            return summary(view)
        if self.deferrable and view["state"] not in ENDED:
            self.defer(
                trigger=HelenusRunTrigger(self.helenus_conn_id, self.job, str(self._run), self.poll_seconds),
                method_name="resume",
                timeout=self.execution_timeout,
            )
        while view["state"] not in ENDED:
            time.sleep(self.poll_seconds)
            view = self._look() or view
        return self._ended(view)

    def _joined(self, context: Any) -> Optional[dict[str, Any]]:
        """Returns the run of an earlier try if it is still open.

        An earlier try's key finds its request; if that try died before it asked, the key makes the request now.
        """
        number = context["ti"].try_number
        if number <= 1:
            return None
        try:
            view = self.hook.start_run(self.job, self.body(context), dedupe_key(context, number - 1))
        except HelenusApiError as error:
            if error.status == 422:  # the earlier try asked for something else
                return None
            raise
        if view["state"] in ENDED:
            return None
        self.log.info("joins the run of try %s, which is still open", number - 1)
        return view

    def _look(self) -> Optional[dict[str, Any]]:
        try:
            return self.hook.get_run(self.job, str(self._run))
        except httpx.TransportError as error:
            self.log.warning("helenus does not answer: %s", error)
        except HelenusApiError as error:
            if not error.is_temporary:
                raise
            self.log.warning("helenus answers later: %s", error)
        return None

    def resume(self, context: Any, event: dict[str, Any]) -> Any:
        """Continues after the trigger."""
        if "error" in event:
            raise AirflowException(event["error"])
        return self._ended(event["view"])

    def _ended(self, view: dict[str, Any]) -> dict[str, Any]:
        result = summary(view)
        if view["state"] == "succeeded":
            self.log.info("run %s: %s source rows, %s scored, %s unchanged, %s rejected", result["run_id"],
                          result["source_rows"], result["scored"], result["unchanged"], result["rejected"])
            return result
        message = f"run {result['run_id'] or self._run} of job {self.job} {view['state']}: {result['reason']}"
        # What was refused will be refused again.
        raise (AirflowFailException if view["state"] == "refused" else AirflowException)(message)

    def on_kill(self) -> None:
        """Cancels the run; the predictions that it has written stay."""
        if self._run is not None:
            self.hook.cancel_run(self.job, self._run)
            self.log.info("asked run %s of job %s to stop", self._run, self.job)


class HelenusPromoteOperator(BaseOperator):
    """Points an alias at a version, and returns the worker's answer.

    :param model: the model
    :param version: a version, by number or alias
    :param alias: the alias to move; by default `champion`
    :param expected_version: refuse unless the alias points at this version
    :param coverage: `full` (default): refuse unless the version has scored every row; `when_covered`: score the missing
        rows first; `now`: do not ask
    :param why: reason, stored in the history
    """

    template_fields: Sequence[str] = ("model", "version", "alias", "expected_version", "why", "helenus_conn_id")
    ui_color = "#dceaf5"

    def __init__(
        self,
        *,
        model: str,
        version: Union[int, str],
        alias: str = "champion",
        expected_version: Optional[int] = None,
        coverage: Optional[str] = None,
        why: Optional[str] = None,
        wait: timedelta = timedelta(minutes=10),
        poll_seconds: float = 5.0,
        helenus_conn_id: str = HelenusHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model, self.version, self.alias, self.expected_version = model, version, alias, expected_version
        self.coverage, self.why, self.wait, self.poll_seconds = coverage, why, wait, poll_seconds
        self.helenus_conn_id = helenus_conn_id

    def execute(self, context: Any) -> Any:
        version = int(self.version) if str(self.version).isdigit() else self.version
        expected = None if self.expected_version in (None, "") else int(self.expected_version)
        ti = context["ti"]
        fields = {"version": version, "expected_version": expected, "coverage": self.coverage,
                  "why": self.why or f"Airflow: {ti.dag_id}.{ti.task_id}, {ti.run_id}"}
        hook = HelenusHook(self.helenus_conn_id)
        try:
            answer = hook.promote(self.model, self.alias, {k: v for k, v in fields.items() if v is not None}, wait="30s")
        except HelenusApiError as error:
            if error.status == 409:
                # The answer to an earlier try was lost: it has moved the alias already.
                if isinstance(version, int) and hook.points_at(self.model, self.alias) == version:
                    return {"model": self.model, "alias": self.alias, "version": version}
                raise AirflowFailException(str(error)) from error
            raise
        until = time.monotonic() + self.wait.total_seconds()
        while answer.get("alias") is None:  # 202: no worker has answered yet
            if time.monotonic() > until:
                raise AirflowException(f"no worker has answered request {answer['id']} after {self.wait}; it remains")
            time.sleep(self.poll_seconds)
            view = hook.get_request(answer["id"])
            said = view.get("answer") or {}
            if said.get("answer") in ("refused", "expired"):
                raise AirflowFailException(f"{self.model} {self.alias} {said['answer']}: {said.get('reason')}")
            if said.get("answer") == "done":
                return {"model": self.model, "alias": self.alias, "version": version, "reason": said.get("reason")}
        return answer
