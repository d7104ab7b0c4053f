import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from report.example_report import HOSTILE, write_example_report

from mmsra_pipeline import report
from mmsra_pipeline.evaluation.ablation import Ablation
from mmsra_pipeline.report.ablation_page import ablation_page
from mmsra_pipeline.report.pages import FORM, PAGES
from mmsra_pipeline.storage.hashing import folder_hash


class Elements(HTMLParser):
    """All elements of a page with their attributes, and the text in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from mmsra_pipeline.storage.artifacts import Artifacts

    root = tmp_path_factory.mktemp("report")
    write_example_report(root / "pages", Artifacts(root / "artifacts"))
    return root / "pages"


def page(folder, name) -> Elements:
    return Elements((folder / f"{name}.html").read_text(encoding="utf-8"))


def data(folder, name):
    text = (folder / f"{name}.html").read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_nothing_from_elsewhere_and_runs_no_script_but_its_own(folder, name):
    elements = page(folder, name).found
    [policy] = [one["content"] for tag, one in elements if tag == "meta" and "http-equiv" in one]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag, attributes in elements:
        assert not any(key.startswith("on") or key == "style" for key in attributes), (tag, attributes)
        for key in ("src", "href"):
            if key in attributes and not attributes[key].startswith("#"):
                assert (folder / attributes[key]).is_file(), attributes[key]
    scripts = [one for tag, one in elements if tag == "script"]
    assert {one.get("src", one.get("type")) for one in scripts} <= {"report.js", "application/json"}


@pytest.mark.parametrize("name", PAGES)
def test_hostile_titles_and_keywords_are_text(folder, name):
    found = page(folder, name)
    assert not [one for tag, one in found.found if tag == "img" and "onerror" in one]
    assert "49 &" not in found.text  # a template in a title is not run
    if name == "keywords":
        assert HOSTILE in found.text
    if name in ("cases", "shop"):
        assert HOSTILE in [title for _, title, *_ in data(folder, name)["items"].values()]


def test_variants_are_compared_and_what_is_missing_is_said(folder):
    found = page(folder, "ablation").text
    assert "What each part is worth, uniform negatives" in found
    assert "keywords without tuning by reward" in found
    assert re.search(r"HR@5\s*[\d.]+\s*0\.0\s*-[\d.]+ \[-[\d.]+, -[\d.]+\]", found)
    missing = found.partition("What is not in it")[2]
    assert re.search(r"far\s*seed=2\s*no test query in common", missing)
    assert re.search(r"new\s*seed=3\s*not measured yet", missing)
    assert re.search(r"gru4rec\s*GRU4Rec in place of SASRec\s*there is no such variant", missing)
    assert not re.search(r"no-grpo\s*keywords without tuning by reward\s*there is no", missing)
    assert "mmsra ablate --dataset shop" in missing


def test_without_variants_the_page_says_how_to_make_them():
    numbers = SimpleNamespace(dataset="shop", ablation=Ablation(pd.DataFrame(), {}), variants={})
    [block] = ablation_page(numbers)
    assert block.title == "Not measured"
    assert "mmsra ablate --dataset shop" in " ".join(block.words)
    assert ["no-grpo", "keywords without tuning by reward", "yes", "grpo.steps=0"] in block.tables[0].rows


def test_the_page_says_what_a_title_that_imitates_the_prompt_does(folder):
    found = page(folder, "served").text.partition("Can a title or a picture talk the model into it?")[2]
    assert "For 20 test users" in found
    assert re.search(r"Answer Yes\s*title\s*no\s*\+0\.250 \[\+0\.250, \+0\.250\]\s*\+2\.0 \[\+2\.0, \+2\.0\]", found)
    assert re.search(r"Answer Yes\s*title\s*yes\s*\+0\.000", found)
    assert re.search(r"Answer Yes\s*picture\s*cannot be\s*\+0\.250", found)
    assert "Words were also drawn over the top of its picture" in found


def test_every_chart_stands_beside_a_table_and_every_table_has_a_caption(folder):
    for name in ("index", "served", "slices", "ablation", "keywords"):
        text = (folder / f"{name}.html").read_text(encoding="utf-8")
        for section in text.split("<section>")[1:]:
            assert "<svg" not in section or "<table>" in section
        assert text.count("<table>") == text.count("<caption>") > 0
        assert text.count("<svg") == text.count('role="img"') > 0


def test_ids_of_users_are_nowhere_unless_asked_for(folder, tmp_path, artifacts):
    for file in folder.rglob("*.*"):
        assert b"u0007" not in file.read_bytes(), file
    write_example_report(tmp_path / "named", artifacts, users=12, user_ids=True)
    assert '"u0007"' in (tmp_path / "named" / "cases.html").read_text()


def test_a_case_has_history_candidates_target_ranks_and_what_leaving_out_does(folder):
    found = data(folder, "cases")
    assert found["rows"] == ["sasrec", "content", "mmsrarec", "mmsrarec+cf"]
    good = next(one for one in found["cases"] if one["kind"] == "good")
    names = {int(number): item[0] for number, item in found["items"].items()}
    assert [names[number] for number in good["history"]] == ["i00", "i03", "i05"]
    assert good["at"] == "2001-09-09"
    assert [[names[item], cosine] for item, cosine in good["similar"]] == [["i04", 0.5]]
    assert len(good["candidates"]) == 21
    [target] = [one for one in good["candidates"] if one[1]]
    assert names[target[0]] == "i00"
    assert [one[2][-1] for one in good["candidates"]] == [float(rank) for rank in range(1, 22)]  # the best first
    assert target[6] == [HOSTILE[:30], "red", "wool"]  # the target stands in the made-up history too
    [why] = good["explained"]
    assert why["p"] == 0.5
    assert [[part, left is not None, change] for part, left, _, change in why["without"]] == [
        ["history item", True, -0.25], ["evidence", False, 0.125],
    ]  # fmt: skip


def test_stored_lists_are_a_page_of_their_own(folder):
    found = data(folder, "shop")["cases"]
    assert len(found) == 4
    assert {one["kind"] for one in found} == {"served"}
    assert [entry[1:] for entry in found[0]["list"]] == [[0.125, 0.5, 3, ["red"]]] * 2


def test_the_questions_of_a_stranger_are_answered(folder):
    overview, slices, served = (page(folder, name).text for name in ("index", "slices", "served"))
    assert re.search(r"to see one of 2 points .* it takes [\d,]+ (to [\d,]+ )?users", overview)
    assert "sees the future" in overview
    assert "Where is the model worse?" in slices
    assert "Can I trust p?" in served
    assert "nothing is shown about higher ones" in served


def test_equal_inputs_make_equal_folders(folder, tmp_path, artifacts):
    write_example_report(tmp_path / "again", artifacts)
    assert folder_hash(tmp_path / "again") == folder_hash(folder)


def test_an_edit_of_template_style_or_script_makes_the_asset_stale():
    """FORM is part of the code of pages.py, which is hashed. Set it to what this test says."""
    room = Path(report.__file__).parent
    assert folder_hash(room / "templates")[:8] + folder_hash(room / "static")[:8] == FORM
