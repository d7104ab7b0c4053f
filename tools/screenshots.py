"""Takes the pictures of the README in the Dagster UI: the graph, an asset with its plot, and a finished run.

    pip install -e ".[docs]"
    python tools/screenshots.py [--root ROOT] [--dataset sample] [--variant NAME] [--browser /usr/bin/chromium]
                                [--out docs/images]

ROOT must hold a finished `make demo`. Of a variant there are two pictures more, a slice that it took over and a reason
by section; its settings of `retrieval.similar_users` must have changed since it was refreshed (`mmsra refresh
--dry-run` observes that). Without --browser (or $MMSRA_BROWSER) it is the one that
`playwright install chromium` has put in place. The server only reads, and is ended with the script.
"""

import argparse
import contextlib
import io
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from mmsra_pipeline.storage.artifacts import Artifacts

PROJECT = Path(__file__).resolve().parents[1]
SIZE = {"width": 1400, "height": 900}
MOST_BYTES = 200_000
COLOURS = 128
PATIENCE = 300_000  # milliseconds; a busy machine draws the graph slowly
# Where the root lies is nobody's business and breaks lines: paths are shown from the root on.
SHORT_PATHS = """(root) => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.nodeValue.includes(root)) node.nodeValue = node.nodeValue.replaceAll(root + '/', '');
  }
}"""


@contextlib.contextmanager
def served(root: Path) -> Iterator[str]:
    """Run the webserver on ``root`` and give its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "MMSRA_ROOT": str(root),
        "DAGSTER_HOME": str(root / "dagster_home"),
        "PYTHONPATH": str(PROJECT),
    }
    command = [sys.executable, "-m", "dagster_webserver", "-w", "workspace.yaml", "-p", str(port), "--read-only"]
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            until = time.monotonic() + PATIENCE / 1000
            while not answers(address):
                if server.poll() is not None or time.monotonic() > until:
                    raise SystemExit("the webserver did not start; `make ui` says why")
                time.sleep(1)
            yield address
        finally:
            server.terminate()


def answers(address: str) -> bool:
    """Whether the server is there."""
    try:
        with urllib.request.urlopen(f"{address}/server_info", timeout=10):
            return True
    except OSError:
        return False


def finished_run(root: Path, dataset: str) -> tuple[str, str]:
    """Return the id of the newest run that made the metrics of a data set, and the root as it was called then."""
    import dagster as dg

    with dg.DagsterInstance.from_config(str(root / "dagster_home")) as instance:
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey("metrics"), asset_partitions=[dataset])
        records = instance.fetch_materializations(wanted, limit=1).records
    if not records or records[0].asset_materialization is None:
        raise SystemExit(f"{root} has no metrics of data set {dataset!r}. Run `make demo` there first.")
    slice_path = Path(str(records[0].asset_materialization.metadata["slice"].value))
    return records[0].run_id, str(slice_path.parents[3])


def graph(page: Page, address: str) -> None:
    """The groups of the assets. With all of them opened nothing can be read at this size."""
    page.goto(f"{address}/asset-groups")
    expect(page.get_by_text("6_evaluation").first).to_be_visible(timeout=PATIENCE)


def asset(page: Page, address: str) -> None:
    """The user encoder, with the plot of its training opened."""
    page.goto(f"{address}/assets/user_encoder")
    page.get_by_text("[Show Markdown]").first.click(timeout=PATIENCE)
    expect(page.locator("img[alt=user_encoder]")).to_be_visible(timeout=PATIENCE)


def run(page: Page, address: str, run_id: str) -> None:
    """A finished run: how long each step took."""
    page.goto(f"{address}/runs/{run_id}")
    expect(page.get_by_text("RUN_SUCCESS").first).to_be_visible(timeout=PATIENCE)


def reused(page: Page, address: str, variant: str) -> None:
    """What a variant took over: the user encoder, with the data set that it is from."""
    page.goto(f"{address}/assets/user_encoder?view=partitions&partition={variant}")
    expect(page.get_by_text("reused_from").first).to_be_visible(timeout=PATIENCE)
    page.get_by_text("reused_from").first.scroll_into_view_if_needed()


def stale(page: Page, address: str, variant: str) -> None:
    """Why the similar users of a variant are stale: the section whose settings changed."""
    page.goto(f"{address}/assets/similar_users?view=partitions&partition={variant}")
    mark = page.get_by_text("Unsynced").first
    expect(mark).to_be_visible(timeout=PATIENCE)
    mark.hover()
    expect(page.get_by_text("similar_users").last).to_be_visible(timeout=PATIENCE)


def report(page: Page, folder: Path) -> None:
    """The first page of the report."""
    page.set_viewport_size({"width": 1280, "height": 960})
    page.goto((folder / "index.html").as_uri())


def shop(page: Page, folder: Path) -> None:
    """What a user is recommended, and what leaving out a part does to p."""
    page.set_viewport_size({"width": 1280, "height": 1500})
    page.emulate_media(color_scheme="dark")
    page.goto((folder / "shop.html").as_uri())
    expect(page.get_by_role("heading", name="recommended")).to_be_visible()


def save(page: Page, file: Path, root: str) -> None:
    """Write the picture, with fewer colours so that it is small."""
    page.wait_for_timeout(3000)  # until what moves has come to rest
    page.evaluate(SHORT_PATHS, root)
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    size = file.stat().st_size
    print(f"{file}: {size // 1000} kB")
    if size > MOST_BYTES:
        raise SystemExit(f"{file} has {size} bytes; at most {MOST_BYTES} are meant for a README. Lower COLOURS.")


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description="Takes the pictures of the README.")
    parser.add_argument("--root", type=Path, default=PROJECT, help="a root with a finished run")
    parser.add_argument("--dataset", default="sample")
    parser.add_argument("--variant", help="a data set made by `mmsra dataset vary`")
    parser.add_argument("--browser", default=os.environ.get("MMSRA_BROWSER"), help="path of a Chromium")
    parser.add_argument("--out", type=Path, default=PROJECT / "docs" / "images")
    options = parser.parse_args()
    root = options.root.resolve()
    run_id, called = finished_run(root, options.dataset)
    options.out.mkdir(parents=True, exist_ok=True)
    with served(root) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=options.browser, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=SIZE)  # type: ignore[arg-type]  # a mapping of the right keys
        graph(page, address)
        save(page, options.out / "graph.png", called)
        asset(page, address)
        save(page, options.out / "asset.png", called)
        run(page, address, run_id)
        save(page, options.out / "run.png", called)
        if options.variant:
            reused(page, address, options.variant)
            save(page, options.out / "reused.png", called)
            stale(page, address, options.variant)
            save(page, options.out / "stale.png", called)

        pages = Artifacts(root / "artifacts").current("report", options.dataset)
        report(page, pages)
        save(page, options.out / "report.png", called)
        shop(page, pages)
        save(page, options.out / "shop.png", called)
        browser.close()


if __name__ == "__main__":
    main()
