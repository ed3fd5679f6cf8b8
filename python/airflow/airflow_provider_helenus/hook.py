"""The connection: host, port, token, TLS."""

from __future__ import annotations

from typing import Any, Optional

import httpx

from ._airflow import BaseHook
from .api import ENDED, TIMEOUT, path, read


class HelenusHook(BaseHook):
    """Speaks to `helenus serve`.

    The connection has the server's host and port; `schema` is `http` (default) or `https`, `password` the token, and
    `extra` may have `verify`: a PEM file of authorities, or false.
    """

    conn_name_attr = "helenus_conn_id"
    default_conn_name = "helenus_default"
    conn_type = "helenus"
    hook_name = "helenus"

    def __init__(self, helenus_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.helenus_conn_id = helenus_conn_id

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        return {"hidden_fields": ["login"], "relabeling": {"password": "Token", "schema": "http or https"}}

    def client_options(self) -> dict[str, Any]:
        """Returns the arguments of an httpx client, for the trigger, too."""
        connection = self.get_connection(self.helenus_conn_id)
        host = connection.host or "127.0.0.1"
        if "://" not in host:
            host = f"{connection.schema or 'http'}://{host}"
        if connection.port:
            host = f"{host}:{connection.port}"
        headers = {"Authorization": f"Bearer {connection.password}"} if connection.password else {}
        return {"base_url": host, "headers": headers, "verify": connection.extra_dejson.get("verify", True)}

    def get_conn(self) -> httpx.Client:
        return httpx.Client(timeout=TIMEOUT, **self.client_options())

    def request(self, method: str, where: str, *, body: Any = None, headers: Optional[dict[str, str]] = None,
                params: Optional[dict[str, Any]] = None) -> Any:
        """Sends a request and returns the answer's body. Raises `HelenusApiError`, or httpx's errors of the network."""
        with self.get_conn() as client:
            return read(client.request(method, where, json=body, headers=headers, params=params))

    def test_connection(self) -> tuple[bool, str]:
        try:
            with self.get_conn() as client:
                ready = client.get("/ready")
        except httpx.HTTPError as error:
            return False, str(error)
        return ready.is_success, "ready" if ready.is_success else ready.text[:200]

    def start_run(self, job: str, body: dict[str, Any], dedupe_key: str) -> dict[str, Any]:
        """Asks for a run. The same key, within a day, finds the request that was made with it."""
        view: dict[str, Any] = self.request("POST", path("jobs", job, "runs"), body=body, headers={"Idempotency-Key": dedupe_key})
        return view

    def get_run(self, job: str, run: str) -> dict[str, Any]:
        """Returns a run by its id or its request's id."""
        view: dict[str, Any] = self.request("GET", path("jobs", job, "runs", run))
        return view

    def cancel_run(self, job: str, run: str) -> None:
        """Asks a run to stop. Does nothing if it has ended."""
        if self.get_run(job, run)["state"] not in ENDED:
            self.request("DELETE", path("jobs", job, "runs", run))

    def get_gate(self, model: str, gate: str) -> dict[str, Any]:
        """Returns a gate with its verdict: `says` is passes, fails, unevaluated or unchallenged."""
        found: dict[str, Any] = self.request("GET", path("models", model, "gates", gate))
        return found

    def promote(self, model: str, alias: str, body: dict[str, Any], wait: str) -> dict[str, Any]:
        """Points an alias at a version."""
        answer: dict[str, Any] = self.request("POST", path("models", model, "aliases", alias), body=body, params={"wait": wait})
        return answer

    def points_at(self, model: str, alias: str) -> Optional[int]:
        """Returns the version that an alias points to."""
        version: Optional[int] = self.request("GET", path("models", model))["aliases"].get(alias)
        return version

    def get_request(self, request: str) -> dict[str, Any]:
        """Returns a request and the worker's answer."""
        found: dict[str, Any] = self.request("GET", path("requests", request))
        return found
