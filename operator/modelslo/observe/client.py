"""One Prometheus, spoken to with a deadline, no hidden retries, and warnings taken seriously."""

from __future__ import annotations

from typing import Final

import requests
from prometheus_api_client import PrometheusConnect
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError
from urllib3.util.retry import Retry

from modelslo.api.address import cause_of, hiding, shown
from modelslo.observe.answer import Answer, answer_of
from modelslo.observe.deadline import Deadline, DeadlineAdapter
from modelslo.observe.failure import QueryError, QueryTimeout

MOST_BYTES: Final = 64 * 2**20
_CHUNK: Final = 2**18
_LONGEST_CONNECT: Final = 5.0


class PrometheusClient(PrometheusConnect):  # type: ignore[misc]  # the library has no types
    """Queries that answer within `timeout` seconds or raise. One client serves `threads` threads at once.

    The library's own query methods put the query into the URL and drop warnings: use those of this class. Proxies and
    credentials of the environment are not used, redirects are not followed.
    """

    def __init__(self, url: str, *, timeout: float, threads: int = 1, most_bytes: int = MOST_BYTES) -> None:
        super().__init__(url.rstrip("/"), retry=Retry(0), timeout=timeout, method="POST")
        self._most_bytes = most_bytes
        self._session.trust_env = False
        # The constructor has mounted an adapter of its own with ten connections: ours takes its place.
        self._session.mount(self.url, DeadlineAdapter(threads))

    def samples(self, query: str, at: int) -> Answer:
        """Answer to a range selector at time `at` (Unix ms). Raises QueryFailure."""
        return self._ask("query", {"query": query, "time": _seconds(at)})

    def steps(self, query: str, start: int, end: int, step: int) -> Answer:
        """Answer to `query` at start, start + step ... end (Unix ms). Raises QueryFailure."""
        times = {"start": _seconds(start), "end": _seconds(end), "step": _seconds(step)}
        return self._ask("query_range", {"query": query, **times})

    def _ask(self, path: str, form: dict[str, str]) -> Answer:
        deadline = Deadline(self._timeout)
        try:
            with deadline.holds():
                status, body = self._exchange(f"{self.url}/api/v1/{path}", form, deadline)
        except (RequestException, HTTPError, OSError) as error:
            raise self._failure(error, deadline) from error
        return answer_of(status, body)

    def _exchange(self, url: str, form: dict[str, str], deadline: Deadline) -> tuple[int, bytes]:
        timeout = self._timeout
        response = self._session.post(
            url,
            # Prometheus itself gives up at the same time.
            data={**form, "timeout": f"{max(1, round(timeout * 1000))}ms"},
            headers={"Accept-Encoding": "identity", "Accept": "application/json"},
            timeout=(min(timeout, _LONGEST_CONNECT), timeout),
            allow_redirects=False,
            stream=True,
        )
        with response:
            if response.is_redirect:
                to = shown(response.headers.get("Location", ""))
                raise QueryError(f"{shown(self.url)} redirects to {to!r}: give the final URL of Prometheus")
            return response.status_code, self._body(response, deadline)

    def _body(self, response: requests.Response, deadline: Deadline) -> bytes:
        body = bytearray()
        for chunk in response.raw.stream(_CHUNK, decode_content=True):
            body += chunk
            if len(body) > self._most_bytes:
                raise QueryError(f"Prometheus' answer is larger than {self._most_bytes} bytes", culprit=True)
            if deadline.passed:
                break
        if deadline.passed:
            raise TimeoutError
        return bytes(body)

    def _failure(self, error: Exception, deadline: Deadline) -> QueryError | QueryTimeout:
        late = isinstance(error, TimeoutError | requests.Timeout) or "timed out" in str(error)
        if deadline.passed or late:
            return QueryTimeout(f"No whole answer from {shown(self.url)} within {self._timeout:g} s")
        unreachable = isinstance(error, RequestsConnectionError | OSError)
        return QueryError(
            f"Cannot talk to {shown(self.url)}: {hiding(cause_of(error), self.url)}", unreachable=unreachable
        )


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"
