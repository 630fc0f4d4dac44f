import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from cortex_pipelines_tests.integration.miniproject import BIN, MiniProject, run_in

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_SECONDS = 600

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; see README"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/server_info", timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


@pytest.fixture
def ui(begun: MiniProject) -> Iterator[str]:
    shutil.copy(Path(__file__).parents[2] / "workspace.yaml", begun.root / "workspace.yaml")
    begun.instance()
    address = f"http://127.0.0.1:{(port := free_port())}"
    variables = os.environ | {"DAGSTER_HOME": str(begun.root / ".dagster"), "PYTHONPATH": str(begun.root)}
    variables["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "dagster", "dev", "--port", str(port)]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    server = subprocess.Popen(command, cwd=begun.root, env=variables, **silent)
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not answers(address):
            assert server.poll() is None, "dagster dev ended"
            assert time.monotonic() < deadline, "dagster dev does not answer"
            time.sleep(0.5)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


@pytest.fixture
def page(ui: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE_SECONDS * 1000
        )
        page = browser.new_page(viewport={"width": 1600, "height": 1000}, base_url=ui)
        page.set_default_timeout(PATIENCE_SECONDS * 1000)
        # an invitation that may cover the page, whenever it comes
        invitation = page.get_by_role("button", name="Skip", exact=True)
        page.add_locator_handler(invitation, lambda skip: skip.click())
        yield page
        browser.close()


def press(page: Page, name: str) -> None:
    page.locator("button", has_text=name).first.click()


def test_an_asset_is_made_by_a_click(page: Page, begun: MiniProject) -> None:
    page.goto("/asset-groups/")
    for room in ("sources", "ingestion", "routing", "release"):
        page.get_by_text(room, exact=True).first.wait_for()
    page.goto("/assets/coordination_events")
    page.get_by_text("Never materialized").wait_for()
    press(page, "Materialize")
    page.get_by_text("Never materialized").wait_for(state="hidden")
    page.goto("/runs")
    page.get_by_text("Success", exact=True).first.wait_for()
    page.goto("/assets/coordination_events?view=events")
    page.get_by_text("dvc_md5").first.wait_for()
    # the sensor that follows dvc.lock may hold DVC's lock just now
    words = ("--wait-for-lock", "status", "--json", "coordination_events")
    assert run_in(begun.root, "dvc", *words) == "{}"
    (row,) = [row for row in begun.status() if row["asset"] == "coordination_events"]
    assert row["fresh"]
    assert row["data_version"] == row["dvc_md5"] == row["mlflow_digest"]
