"""MLflow's own pages on a real study, in a real browser."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from conftest import RealStudy
from places import ROOT
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from study.tracking.views import link

BROWSER, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not (BROWSER and DRIVER), reason="no chromium and chromedriver on this machine")]
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1500,1100",
)


@dataclass(frozen=True)
class Server:
    """A running UI: where it answers, and its processes."""

    url: str
    process: psutil.Process


@pytest.fixture(scope="module")
def server(real_study: RealStudy):
    """What `make ui` starts, on the study's store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_TRACKING_URI": real_study.store}
    environment["MLFLOW_BACKEND_STORE_URI"] = real_study.store
    words = ["make", "--dry-run", "--silent", "--old-file=.venv/.ready", "ui", f"PORT={port}", f"BIN={Path(sys.executable).parent}"]
    command = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    server = subprocess.Popen(
        command, shell=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{url}/health", timeout=2)
                break
            except OSError:
                time.sleep(0.5)
        yield Server(url, psutil.Process(server.pid))
    finally:
        os.killpg(server.pid, 15)
        server.wait()


@pytest.fixture(scope="module")
def address(server):
    return server.url


def test_the_ui_starts_no_workers_for_jobs(server):
    """They come up seconds after the first page: seven consumers of queues, a runner and a scheduler, of 1.1 GB."""
    time.sleep(10)
    commands = [" ".join(process.cmdline()) for process in server.process.children(recursive=True)]
    assert any("uvicorn" in command for command in commands)
    assert not [command for command in commands if "jobs" in command or "huey" in command]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(service=Service(DRIVER), options=options)
    yield driver
    driver.quit()


UNFOLD = ".ag-row button[data-component-id*=runnamecellrenderer]"


class Page:
    """A page of the UI, once it shows some words."""

    def __init__(self, browser, url: str, *words: str):
        self.browser = browser
        browser.get("about:blank")
        browser.get(url)
        WebDriverWait(browser, 60).until(lambda _: all(word in self.text for word in words), f"{words} in {url}")

    @property
    def text(self) -> str:
        return self.browser.find_element(By.TAG_NAME, "body").text

    def count(self, selector: str) -> int:
        return len(self.browser.find_elements(By.CSS_SELECTOR, selector))


@pytest.fixture(scope="module")
def experiment(real_study: RealStudy) -> str:
    return real_study.client.get_run(real_study.run_id).info.experiment_id


@pytest.fixture(scope="module")
def runs(address, experiment) -> str:
    """Where the pages of runs are."""
    return f"{address}/#/experiments/{experiment}/runs"


def test_the_table_shows_a_study_with_its_networks_and_the_columns_that_matter(real_study, address, browser, experiment):
    page = Page(browser, f"{address}/{link(experiment, 'networks')}", "hidden_size", "seed", "test_accuracy", "peak_dimension")
    assert "H=16 seed=3" not in page.text
    [unfold] = WebDriverWait(browser, 60).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, UNFOLD)[:1])
    browser.execute_script("arguments[0].click()", unfold)  # whatever the UI has put in front of it
    WebDriverWait(browser, 60).until(lambda _: "H=16 seed=3" in page.text and "H=8 all seeds" in page.text)


def test_bands_are_charts_of_mean_and_limits(real_study, address, browser, experiment):
    page = Page(browser, f"{address}/{link(experiment, 'bands')}", "mean and simultaneous band", "H=8 all seeds")
    WebDriverWait(browser, 60).until(lambda _: page.count(".js-plotly-plot .scatterlayer .trace") >= 2 * 3)


def test_the_study_s_page_shows_verdicts_and_a_picture(real_study, runs, browser):
    page = Page(browser, f"{runs}/{real_study.run_id}", "14 of 14 networks", "Over the hidden sizes at which each is judged: C1")
    shown = "return [...document.querySelectorAll('img')].some(i => i.src.includes('truncation') && i.naturalWidth > 600)"
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(shown))
    assert "Table of networks" in page.text
    assert "<!-- hidden-orbits " in real_study.client.get_run(real_study.run_id).data.tags["mlflow.note.content"]
    assert "<!--" not in page.text and "written anew" not in page.text  # the marks of our part are not shown


def test_a_network_s_page_shows_its_curves(real_study, runs, browser, experiment):
    condition = "params.hidden_size = '16' and params.seed = '2' and tags.kind = 'network'"
    [network] = real_study.client.search_runs([experiment], condition)
    page = Page(browser, f"{runs}/{network.info.run_id}/model-metrics", "appended", "pca90")
    WebDriverWait(browser, 60).until(lambda _: page.count(".js-plotly-plot .scatterlayer .trace") >= 1)


@pytest.mark.parametrize("artifact", ["report.pdf", "figures/truncation.png"])
def test_artifacts_are_previewed(real_study, runs, browser, artifact):
    page = Page(browser, f"{runs}/{real_study.run_id}/artifacts/{artifact}", artifact.split("/")[-1])
    kind = "canvas, .react-pdf__Page" if artifact.endswith("pdf") else "img, .image-outer-container, [data-testid*=image]"
    WebDriverWait(browser, 60).until(lambda _: page.count(kind) > 0)
