"""helenus's HTTP API (docs/http-api.md): what the hook and the trigger both speak."""

from __future__ import annotations

from typing import Any, Optional
from urllib.parse import quote

import httpx

#: States in which a run, or a request for one, has ended.
ENDED = ("succeeded", "failed", "cancelled", "refused", "expired")
TIMEOUT = httpx.Timeout(40.0, connect=10.0)


class HelenusApiError(Exception):
    """The server answered with an error; `code` is stable."""

    def __init__(self, status: int, code: str, message: str, help: Optional[str]) -> None:
        self.status, self.code, self.message, self.help = status, code, message, help
        super().__init__(f"{message} [{code}, HTTP {status}]" + (f"; {help}" if help else ""))

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may succeed later: too many wait, or Cassandra is away."""
        return self.status in (408, 429, 502, 503, 504)


def path(*parts: Any) -> str:
    """Returns a path of parts, each percent-encoded."""
    return "/v1/" + "/".join(quote(str(part), safe="") for part in parts)


def read(response: httpx.Response) -> Any:
    """Returns the body of an answer, or raises its error."""
    if response.is_success:
        return response.json() if response.content else None
    try:
        error = response.json()["error"]
        code, message, help = error["code"], error["message"], error.get("help")
    except (ValueError, KeyError, TypeError):
        code, message, help = "http", response.text[:200] or response.reason_phrase, None
    raise HelenusApiError(response.status_code, code, message, help)


def summary(view: dict[str, Any]) -> dict[str, Any]:
    """Returns what goes into XCom: ids, state and the counts over all versions, and by version."""
    run = view.get("run") or {}
    counts = {name: run.get(name) or {} for name in ("scored", "unchanged", "rejected")}
    return {
        "job": view["job"], "run_id": view.get("run_id"), "request_id": view.get("request_id"), "state": view["state"],
        "reason": view.get("reason"), "source_rows": run.get("source_rows"),
        **{name: sum(by_version.values()) for name, by_version in counts.items()},
        "by_version": counts, "warnings": run.get("warnings") or [],
    }
