"""The pages, and what each is asked with."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from hessay import render
from hessay.errors import ArgumentError, StoreError
from hessay.monitor import Rates, detector_for
from hessay.report import Report
from hessay.serve.chart import Point, draw, timeline
from hessay.serve.guard import REPORT_POLICY, Guard
from hessay.serve.metrics import metrics
from hessay.store import ScanRecord, SeriesRecord, Store

SHOWN = 400  # scans in a drawing
PAGE = 50  # scans in a list


def build_app(
    store: Store,
    *,
    rates: Rates | None = None,
    token: str | None = None,
    hosts: Sequence[str] = ("localhost", "127.0.0.1", "[::1]"),
) -> Starlette:
    """Make the ASGI application over a store; it never writes.

    Parameters
    ----------
    store : Store
        Best opened with ``read_only=True``.
    rates : Rates or None
        For the limit of the test for drift.
    token : str or None
        Asked for on every page but ``/healthz``.
    hosts : sequence of str
        Names it answers to: a page on another name that points here (DNS rebinding) gets nothing.
    """
    pages = _Pages(store, rates or Rates())
    routes = [
        Route("/", pages.index),
        Route("/series/{number:int}", pages.series),
        Route("/scan/{number:int}", pages.scan),
        Route("/scan/{number:int}/report.json", pages.report),
        Route("/style.css", pages.style),
        Route("/metrics", pages.metrics),
        Route("/healthz", pages.health),
    ]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(Guard, token=token),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
        ],
        exception_handlers={StoreError: _unavailable, ArgumentError: _wrong, HTTPException: _http},
    )


class _Pages:
    """Answers; each is a function of the request and of the store at this moment."""

    def __init__(self, store: Store, rates: Rates) -> None:
        self._store = store
        self._rates = rates
        self._drift: dict[int, tuple[int, dict[int, float]]] = {}
        self._templates = Environment(
            loader=PackageLoader("hessay.serve"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(time=_time, number=_number, printable=render.printable)

    def index(self, _request: Request) -> Response:
        lines = []
        for record in self._store.all_series():
            last = self._store.history(record.series.name, state="done", limit=1)
            lines.append((record, last[0] if last else None))
        return self._page("index.html.j2", lines=lines)

    def series(self, request: Request) -> Response:
        record = self._series(request.path_params["number"])
        asked = request.query_params
        verdict, state = asked.get("verdict") or None, asked.get("state") or None
        before = _whole(asked.get("before"))
        name = record.series.name
        rows = self._store.history(
            name, verdict=verdict, state=state, before=before, limit=PAGE + 1
        )
        drawn = self._store.history(name, state="done", limit=SHOWN)[::-1]
        return self._page(
            "series.html.j2",
            record=record,
            data=record.series.kind == "data batch",
            rows=rows[:PAGE],
            older=rows[PAGE - 1].id if len(rows) > PAGE else None,
            chosen={"verdict": verdict or "", "state": state or ""},
            is_first=before is None,
            n_drawn=len(drawn),
            first_flagged=next((row for row in drawn if row.verdict == "FLAGGED"), None),
            drawings=self._drawings(record, drawn),
        )

    def scan(self, request: Request) -> Response:
        document = self._document(request.path_params["number"])
        try:
            report = Report.from_json(document)
        except ArgumentError:
            if '"schema": "hessay.batch/' not in document:
                raise
            return self.report(request)  # a ranking is for programs
        return HTMLResponse(render.html(report), headers={"Content-Security-Policy": REPORT_POLICY})

    def report(self, request: Request) -> Response:
        document = self._document(request.path_params["number"])
        return Response(document, media_type="application/json")

    def style(self, _request: Request) -> Response:
        text = files("hessay.serve").joinpath("templates/style.css").read_text("utf-8")
        return Response(text, media_type="text/css")

    def metrics(self, _request: Request) -> Response:
        evidence = {}
        for record in self._store.all_series():
            if steps := self._evidence(record):
                evidence[record.series.name] = steps[max(steps)]
        return Response(
            metrics(self._store, evidence), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    def health(self, _request: Request) -> Response:
        self._store.history(limit=1)
        return PlainTextResponse("ok\n")

    def _drawings(self, record: SeriesRecord, rows: Sequence[ScanRecord]) -> dict[str, Markup]:
        if not rows:
            return {}
        evidence, limit = self._evidence(record), self._rates.average_run_length
        data = record.series.kind == "data batch"
        alpha = record.series.settings.get("alpha")
        alpha = float(alpha) if isinstance(alpha, int | float) else None
        labels = {row.id: f"{row.verdict}: {render.printable(row.name)}" for row in rows}

        def points(pairs: list[tuple[ScanRecord, float | None, float | None]]) -> list[Point]:
            return [
                Point(value, bound, str(row.verdict), f"{labels[row.id]}, {value:.4g}")
                for row, value, bound in pairs
                if value is not None and math.isfinite(value)
            ]

        drawn = {
            "statistic": draw(
                found,
                name="log e-value" if data else "statistic S",
                unit="nats" if data else "dimensionless",
            )
            if (found := points([(r, r.statistic, r.threshold) for r in rows]))
            else "",
            # The smallest p-value of many samples is no p-value.
            "p_value": draw(found, name="p-value", unit="log scale", logarithmic=True)
            if not data and (found := points([(r, r.p_value, alpha) for r in rows]))
            else "",
            "drift": draw(found, name="evidence of drift", unit="log scale", logarithmic=True)
            if (found := points([(r, evidence.get(r.id), limit) for r in rows]))
            else "",
            "timeline": timeline([(str(r.verdict), labels[r.id]) for r in rows]),
        }
        return {name: Markup(svg) for name, svg in drawn.items() if svg}

    def _evidence(self, record: SeriesRecord) -> dict[int, float]:
        """Evidence of drift after each scan; computed again when there are more scans."""
        number = record.series.id
        kept = self._drift.get(number)
        if kept is None or kept[0] != record.n_done:
            detector = detector_for(
                record.series.kind, average_run_length=self._rates.average_run_length
            )
            steps = {
                scan: detector.update(statistic, key=scan).evidence
                for scan, statistic in self._store.statistics(record.series.name)
                if statistic is not None
            }
            self._drift[number] = kept = (record.n_done, steps)
        return kept[1]

    def _series(self, number: int) -> SeriesRecord:
        for record in self._store.all_series():
            if record.series.id == number:
                return record
        raise HTTPException(404, f"there is no series {number}")

    def _document(self, number: int) -> str:
        try:
            return self._store.document(number)
        except StoreError as error:
            if "has no report" in str(error):
                raise HTTPException(404, f"scan {number} has no report") from None
            raise

    def _page(self, template: str, **values: Any) -> Response:
        return HTMLResponse(self._templates.get_template(template).render(**values))


def _whole(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise HTTPException(400, "before must be the number of a scan")
    return int(text)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.timezone.utc)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _unavailable(_request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{render.printable(str(error))}\n", status_code=503)


def _wrong(_request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{render.printable(str(error))}\n", status_code=400)


def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(f"{error.detail}\n", status_code=error.status_code)
