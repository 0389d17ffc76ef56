"""The pages over a history: what they show, to whom, and what a browser may do with them."""

from __future__ import annotations

import base64
import dataclasses
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from export_case import CLEAN, INCONCLUSIVE, SAMPLE
from hessay import cli
from hessay.monitor import DriftDetector, Rates
from hessay.report import Report
from hessay.serve import build_app
from hessay.store import Store
from serve_case import HOSTILE, fill
from store_case import SETTINGS

TOKEN = "correct horse battery staple"


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("serve") / "history.db"
    reports = [
        dataclasses.replace(CLEAN, statistic=0.1 + 0.01 * (i % 5), p_value=0.2 + 0.1 * (i % 3))
        for i in range(60)
    ]
    with Store.open(file) as store:
        fill(store, "run", [*reports, INCONCLUSIVE, SAMPLE], failures=1)
        fill(store, HOSTILE, [SAMPLE])
        store.series("empty", SETTINGS)
    return file


@pytest.fixture
def client(history: Path) -> Iterator[TestClient]:
    with Store.open(history, read_only=True) as store:
        yield TestClient(build_app(store), base_url="http://localhost")


class Reader(HTMLParser):
    """Collects tags, their attributes and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self) -> list[str]:
        return [str(a["href"]) for tag, a in self.tags if tag == "a"]


def page(client: TestClient, path: str) -> Reader:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return Reader(answer.text)


def test_the_first_page_leads_to_every_report(client: TestClient, history: Path) -> None:
    seen = set()
    for path in [p for p in page(client, "/").links() if p.startswith("/series/")]:
        while path:
            links = page(client, path).links()
            seen |= {p for p in links if p.startswith("/scan/")}
            path = next((p for p in links if "before=" in p), "")
    with Store.open(history, read_only=True) as store:
        done = {f"/scan/{row.id}" for row in store.history(state="done", limit=1000)}
    assert seen == done


def test_a_report_is_shown_and_given_whole(client: TestClient) -> None:
    answer = client.get("/scan/62")
    assert "FLAGGED" in Reader(answer.text).text
    assert Report.from_json(client.get("/scan/62/report.json").text) == SAMPLE


def test_each_statistic_is_drawn_with_its_limit(client: TestClient) -> None:
    reader = page(client, "/series/1")
    drawings = [a for tag, a in reader.tags if tag == "svg"]
    assert [d["aria-label"] for d in drawings] == [
        "verdict of each scan",
        "statistic S of each scan",
        "p-value of each scan",
        "evidence of drift of each scan",
    ]
    assert sum(a.get("class") == "limit" for tag, a in reader.tags if tag == "path") == 3
    verdicts = [a["class"] for tag, a in reader.tags if tag == "rect"]
    assert verdicts == ["clean"] * 60 + ["inconclusive", "flagged"]
    heights = [float(str(a["cy"])) for tag, a in reader.tags if tag == "circle"]
    statistic = heights[
        :61
    ]  # 60 clean ones and the flagged one; nothing to draw where none was measured
    values = [0.1 + 0.01 * (i % 5) for i in range(60)] + [SAMPLE.statistic]
    slopes = {
        round((statistic[i] - statistic[0]) / (values[i] - values[0]), 0)  # type: ignore[operator]
        for i in (1, 2, 3, 4, 60)
    }
    assert max(slopes) < 0
    assert max(slopes) - min(slopes) <= 12  # coordinates are rounded to 0.1 over steps of 0.01


def test_the_first_flagged_scan_is_named_and_only_where_there_is_one(client: TestClient) -> None:
    said = " ".join(page(client, "/series/1").text.split())
    assert f"First of them that is flagged: epoch-61.pt, class {SAMPLE.flagged_class}." in said
    assert "First of them" not in page(client, "/series/3").text


def test_the_filters_show_what_they_say(client: TestClient) -> None:
    def table(query: str) -> Reader:
        answer = client.get(f"/series/1?{query}")
        return Reader(answer.text.partition("<tbody>")[2].partition("</tbody>")[0])

    assert table("verdict=FLAGGED").links() == ["/scan/62"]
    assert table("state=failed").links() == []
    assert "hacked" in table("state=failed").text


def test_names_from_files_are_text(client: TestClient) -> None:
    for path in ("/", "/series/1?state=failed", "/series/2", "/scan/64", "/metrics"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "\x1b" not in answer.text
        if path != "/metrics":
            assert "<script" not in answer.text


def test_no_page_lets_a_browser_load_or_run_anything(client: TestClient) -> None:
    for path in ("/", "/series/1", "/scan/1", "/metrics", "/healthz", "/absent", "/style.css"):
        answer = client.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "http" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        if "html" not in answer.headers["content-type"]:
            continue
        for tag, attributes in Reader(answer.text).tags:
            assert tag not in ("script", "iframe", "object", "embed")
            for name in ("src", "href", "action"):
                assert not str(attributes.get(name) or "").startswith(("http", "//", "javascript"))
            assert not any(name.startswith("on") for name in attributes)


def test_metrics_are_those_of_the_store(client: TestClient, history: Path) -> None:
    text = client.get("/metrics").text
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["hessay_scans_total", "run", "done"] == 62
    assert found["hessay_scans_total", "run", "failed"] == 1
    assert found["hessay_flagged_total", "run"] == 1
    assert found["hessay_last_verdict", "run", "FLAGGED"] == 1
    assert found["hessay_last_statistic", "run"] == SAMPLE.statistic
    detector = DriftDetector(average_run_length=Rates().average_run_length)
    with Store.open(history, read_only=True) as store:
        for scan, statistic in store.statistics("run"):
            if statistic is not None:
                last = detector.update(statistic, key=scan).evidence
    assert found["hessay_drift_evidence", "run"] == pytest.approx(last)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/series/99", 404),
        ("/scan/99999", 404),
        ("/scan/63", 404),
        ("/series/1?verdict=poison", 400),
        ("/series/1?state=open", 400),
        ("/series/1?before=-1", 400),
        ("/series/1?before=" + "9" * 40, 400),
        ("/series/x", 404),
        ("/../../etc/passwd", 404),
    ],
)
def test_wrong_addresses_are_answered(client: TestClient, path: str, status: int) -> None:
    assert client.get(path).status_code == status


def test_nothing_can_be_written(client: TestClient) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, "/series/1").status_code == 405


def test_a_token_is_asked_for_in_headers_only(history: Path) -> None:
    with Store.open(history, read_only=True) as store:
        client = TestClient(build_app(store, token=TOKEN), base_url="http://localhost")
        basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
        wrong = base64.b64encode(b"anybody:wrong").decode()
        for value in (f"Bearer {TOKEN}", f"Basic {basic}"):
            assert client.get("/", headers={"Authorization": value}).status_code == 200
        for value in (
            "",
            "Bearer",
            "Bearer wrong",
            f"Basic {wrong}",
            "Basic ???",
            f"Digest {TOKEN}",
        ):
            refused = client.get("/", headers={"Authorization": value})
            assert refused.status_code == 401
            assert "run" not in refused.text
        assert client.get(f"/?token={TOKEN}").status_code == 401
        assert client.get("/metrics").status_code == 401
        assert client.get("/healthz").status_code == 200


def test_another_host_name_gets_nothing(history: Path) -> None:
    with Store.open(history, read_only=True) as store:
        client = TestClient(build_app(store), base_url="http://evil.example")
        assert client.get("/").status_code == 400


def test_a_store_that_is_gone_is_unavailable(history: Path, tmp_path: Path) -> None:
    copy = tmp_path / "history.db"
    shutil.copy(history, copy)
    with Store.open(copy, read_only=True) as store:
        client = TestClient(build_app(store), base_url="http://localhost")
        copy.write_bytes(b"x" * 5000)
        store.close()
        assert client.get("/healthz").status_code == 503
        assert client.get("/").status_code == 503


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "0"], "got 0"),
        (["--host", "0.0.0.0"], "--token-file"),
        (["--token-file", "absent"], "cannot be read"),
        (["--token-file", "short"], "at least 16 characters, got 5"),
        ([], "there is no history"),
    ],
)
def test_options_are_checked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    options: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short").write_text("12345\n")
    assert cli.main(["serve", "absent.db", *options]) == 2
    assert words in capfd.readouterr().err
