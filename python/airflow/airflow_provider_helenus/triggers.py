"""Waits for the end of a run in the triggerer."""

from __future__ import annotations

import asyncio
from typing import Any, AsyncIterator

import httpx

from ._airflow import BaseTrigger, TriggerEvent
from .api import ENDED, TIMEOUT, HelenusApiError, path, read
from .hook import HelenusHook


class HelenusRunTrigger(BaseTrigger):
    """Fires when a run has ended. A server that is away is asked again for as long as the task may wait."""

    def __init__(self, helenus_conn_id: str, job: str, run: str, poll_seconds: float) -> None:
        super().__init__()
        self.helenus_conn_id, self.job, self.run_id, self.poll_seconds = helenus_conn_id, job, run, poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (f"{type(self).__module__}.{type(self).__name__}",
                {"helenus_conn_id": self.helenus_conn_id, "job": self.job, "run": self.run_id, "poll_seconds": self.poll_seconds})

    async def _client(self) -> httpx.AsyncClient:
        options = await asyncio.get_running_loop().run_in_executor(None, HelenusHook(self.helenus_conn_id).client_options)
        return httpx.AsyncClient(timeout=TIMEOUT, **options)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        try:
            async with await self._client() as client:
                while True:
                    view = await self._look(client)
                    if view is not None and view["state"] in ENDED:
                        yield TriggerEvent({"view": view})
                        return
                    await asyncio.sleep(self.poll_seconds)
        except HelenusApiError as error:
            yield TriggerEvent({"error": str(error)})

    async def _look(self, client: httpx.AsyncClient) -> "dict[str, Any] | None":
        try:
            view: dict[str, Any] = read(await client.get(path("jobs", self.job, "runs", self.run_id)))
            return view
        except httpx.TransportError as error:
            self.log.warning("helenus does not answer: %s", error)
        except HelenusApiError as error:
            if not error.is_temporary:
                raise
            self.log.warning("helenus answers later: %s", error)
        return None

    async def on_kill(self) -> None:
        """Cancels the run when a person kills the deferred task (Airflow 3.3 and newer call this)."""
        async with await self._client() as client:
            response = await client.delete(path("jobs", self.job, "runs", self.run_id))
            if response.status_code != 409:  # 409: it has ended
                read(response)
