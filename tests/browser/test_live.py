"""The live view: what a browser shows while a VM boots, and who may ask for it."""

import json
import socket
import urllib.error
import urllib.request
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from azready.boot import live
from azready.boot.live import LiveView
from azready.boot.record import ConsoleLine
from azready.fabric.verdict import Verdict
from tests.boot.test_page import EVIL
from tests.browser.conftest import Opened, keep
from tests.browser.samples import GOOD
from tests.browser.test_pages import FAINT, LABELS, NARROW, SIDEWAYS, WIDE


@pytest.mark.long
def test_it_shows_the_boot_as_it_goes_and_stays_as_it_ended(opened: Opened) -> None:
    page = opened(WIDE)
    whole = replace(GOOD, console=(*GOOD.console[:3], ConsoleLine(0.25, EVIL), *GOOD.console[3:]))
    young = replace(whole, milestones=GOOD.milestones[:2], exchanges=(), reports=(), journal=(), checks=(), seconds=9.0)
    undecided = Verdict("OSProvisioningTimedOut", None, "nothing was heard")
    young = replace(young, verdict=undecided, console=whole.console[:4])
    now = [young]
    with LiveView("debian-12.qcow2") as view:
        page.goto(view.url)
        page.get_by_text("the next boot is made ready").wait_for()
        view.begun(lambda: now[0])
        page.get_by_role("heading", name="first boot, 9 s so far").wait_for()
        page.locator("#console", has_text="alert(1)").wait_for()
        assert page.locator("#console script").count() == 0
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for width in (NARROW, WIDE):
                page.set_viewport_size({"width": width, "height": 900})
                over, who = page.evaluate(SIDEWAYS)
                assert over <= 0, who
                assert page.evaluate(LABELS) == [] and page.evaluate(FAINT) == []
                keep(page, f"live-{scheme}-{width}")
        page.get_by_text("All events, by time").click()
        now[0] = whole
        page.get_by_text("health report Ready accepted").first.wait_for(state="attached")
        assert not page.evaluate("document.querySelector('details').open"), "what a reader has closed stays closed"
        view.over(whole)
    page.get_by_text("this page stays as it is").wait_for()
    assert page.get_by_role("heading", level=1).inner_text() == "✔ debian-12.qcow2 provisions"
    assert page.title() == "✔ debian-12.qcow2 provisions"
    assert page.locator("#console").inner_text().count("Started unit") == len(GOOD.console)
    keep(page, "live-over")


def test_a_boot_that_azready_does_not_survive_is_said(opened: Opened) -> None:
    page = opened(may="ERR_CONNECTION_REFUSED")
    with pytest.raises(KeyboardInterrupt), LiveView("x") as view:
        page.goto(view.url)
        page.get_by_text("the next boot is made ready").wait_for()
        raise KeyboardInterrupt
    page.get_by_text("azready has ended").wait_for()


def _ask(url: str, host: str = "") -> int:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_only_who_knows_the_token_and_asks_for_loopback_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_LAST_LOOK", 0.0)
    with LiveView("x") as view:
        parts = urlsplit(view.url)
        root = f"{parts.scheme}://{parts.netloc}"
        assert parts.hostname == "127.0.0.1" and len(parts.path) > 32
        assert _ask(view.url) == 200 and _ask(f"{view.url}state") == 200
        assert _ask(view.url, f"localhost:{parts.port}") == 200
        assert _ask(view.url, "evil.example") == _ask(view.url, "127.0.0.1") == 403
        wrong = ("/", "/state", f"{parts.path[:-2]}x/", f"{parts.path}../", f"{parts.path}state/", "/%00/", "//x/state")
        assert {_ask(f"{root}{path}") for path in wrong} == {404}
        with urllib.request.urlopen(f"{view.url}state?boot=9&lines=-1&lines=x") as answer:
            assert "'unsafe-inline'" not in answer.headers["Content-Security-Policy"].partition("script-src")[2]
            assert answer.headers["Cache-Control"] == "no-store"
            assert json.loads(answer.read())["over"] is False


def test_a_request_that_fails_is_no_news_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live, "_LAST_LOOK", 0.0)
    with LiveView("x") as view:
        where = urlsplit(view.url)
        with socket.create_connection(("127.0.0.1", where.port or 0), 10) as client:
            client.sendall(f"GET http://[/ HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
            assert client.recv(100) == b""
    assert capfd.readouterr() == ("", "")
