"""The report page in a real browser: it fits a telephone and a wide screen, and asks the network for nothing."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fedgap.report import page
from tests.report.sample import HOSTILE_NAMES, sample

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
START_LIMIT_S = 120

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no browser: install chromium to run these tests")

POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
MEASURE = """<script>
addEventListener('load', () => {
  const seen = [...document.querySelectorAll('main *')];
  const out = document.createElement('output');
  const inBox = (e) => e.closest('.box') || e.closest('details:not([open])');
  const right = Math.max(...seen.filter((e) => !inBox(e)).map((e) => e.getBoundingClientRect().right));
  out.id = 'measured';
  out.textContent = [innerWidth, document.documentElement.scrollWidth, Math.ceil(right),
    getComputedStyle(document.body).backgroundColor].join(' | ');
  parent.document.body.append(out);
});
</script>"""
REPORTS: dict[str, dict[str, Any]] = {
    "plain": sample(),
    "hostile": sample(len(HOSTILE_NAMES), hostile=True),
    "regression in one round": sample(2, 1, "regression"),
}


def browse(folder: Path, html: str, *options: str) -> str:
    """Open a page in a new, empty browser profile; give back the document as the browser then has it."""
    file = folder / "opened.html"
    file.write_text(html, encoding="utf-8")
    profile = folder / "profile"
    ended = subprocess.run(
        [str(BROWSER), *OPTIONS, f"--user-data-dir={profile}", *options, "--dump-dom", file.as_uri()],
        check=True,
        capture_output=True,
        timeout=START_LIMIT_S,
        encoding="utf-8",
    )
    return ended.stdout


def measured(folder: Path, html: str, width: int, *options: str) -> list[str]:
    """Lay the page out `width` pixels wide: its window, its scroll width, its rightmost edge, its background.

    A browser window cannot be as narrow as a telephone, so the page stands in a frame of that width. The copy that is
    measured has a script and so not the policy that forbids it.
    """
    (folder / "copy.html").write_text(POLICY.sub("", html).replace("</main>", f"</main>{MEASURE}"), encoding="utf-8")
    frame = f'<!DOCTYPE html><body><iframe src="copy.html" style="width:{width}px;height:900px;border:0"></iframe>'
    seen = browse(folder, frame, "--allow-file-access-from-files", f"--window-size={width + 100},1000", *options)
    found = re.search(r'<output id="measured">(.*?)</output>', seen)
    assert found, "the measuring script did not run"
    return found[1].split(" | ")


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_nothing_is_wider_than_the_screen(report: dict[str, Any], width: int, tmp_path: Path) -> None:
    """There is no horizontal scrolling; only tables of numbers scroll, inside their own box."""
    window, scroll, right, _ = measured(tmp_path, page(report), width)

    assert int(window) == width
    assert int(scroll) <= width
    assert int(right) <= width


def test_a_page_that_is_too_wide_would_be_noticed(tmp_path: Path) -> None:
    """The measurement itself can fail."""
    wide = page(sample(2)).replace("</main>", '<p style="width: 500px">wide</p></main>')

    assert int(measured(tmp_path, wide, 360)[1]) >= 500


def test_the_page_is_dark_where_the_reader_prefers_dark(tmp_path: Path) -> None:
    light = measured(tmp_path, page(sample(2)), 1200, "--blink-settings=preferredColorScheme=1")[3]
    dark = measured(tmp_path, page(sample(2)), 1200, "--blink-settings=preferredColorScheme=0")[3]

    assert light == "rgb(246, 247, 249)"
    assert dark == "rgb(18, 21, 26)"


def test_no_script_runs_even_if_one_came_in(tmp_path: Path) -> None:
    """The policy in the page is a second wall behind the escaping."""
    intruder = "<script>document.title = 'taken over'</script>"

    walled = browse(tmp_path, page(sample(2)).replace("</main>", f"</main>{intruder}"))
    bare = browse(tmp_path, POLICY.sub("", page(sample(2))).replace("</main>", f"</main>{intruder}"))

    assert "<title>Eight clinics - fedgap report</title>" in walled
    assert "<title>taken over</title>" in bare


def test_a_browser_reads_hostile_names_as_text(tmp_path: Path) -> None:
    """What the browser built holds no element that a name asked for."""
    seen = browse(tmp_path, page(REPORTS["hostile"]))

    assert not re.search(r"<(script|img|iframe)\b", seen)
    assert "&lt;script&gt;alert('a')&lt;/script&gt;" in seen


@pytest.mark.parametrize(("width", "height"), [(500, 2000), (1200, 2000)])
def test_a_picture_of_the_page_is_not_blank(width: int, height: int, tmp_path: Path) -> None:
    """Text and charts are painted: a blank page of this size compresses to a few kilobytes."""
    shot = tmp_path / "page.png"
    browse(tmp_path, page(sample()), f"--window-size={width},{height}", f"--screenshot={shot}")

    assert shot.stat().st_size > 50_000
