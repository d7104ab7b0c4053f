"""Code versions: what an edit marks, and what it does not."""

import ast
import re
import shutil
from pathlib import Path

import pytest

from mmsra_pipeline.orchestration import code_hashes
from mmsra_pipeline.orchestration.code_hashes import code_hash
from mmsra_pipeline.orchestration.settings_read import READS

PACKAGE = Path(code_hashes.__file__).parents[1]
ASKING = {"sft_dataset", "fusion", "rankings", "recommendations", "served_quality", "report"}
ASSETS = {
    node.name: f"mmsra_pipeline.defs.{file.stem}"
    for file in sorted((PACKAGE / "defs").glob("*.py"))
    for node in ast.parse(file.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name in READS
}


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """A copy of the package; tells which assets an edit of a file in it marks."""
    copy = tmp_path / "mmsra_pipeline"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))

    def hashes():
        code_hashes._read.cache_clear()
        code_hashes._source.cache_clear()
        return {asset: code_hash(module, asset) for asset, module in ASSETS.items()}

    def marked(file, old, new):
        before, place = hashes(), copy / file
        text = place.read_text()
        assert old in text
        place.write_text(text.replace(old, new))
        after = hashes()
        place.write_text(text)
        return {asset for asset in ASSETS if before[asset] != after[asset]}

    monkeypatch.setattr(code_hashes, "_root", lambda: str(copy))
    yield marked
    code_hashes._read.cache_clear()
    code_hashes._source.cache_clear()


def test_every_asset_has_a_hash_of_its_own():
    assert set(ASSETS) == set(READS)
    assert len({code_hash(module, asset) for asset, module in ASSETS.items()}) == len(ASSETS)


def test_an_edited_prompt_marks_the_assets_that_show_it(edited):
    question = "Will the customer take this item next?"
    marked = edited("recommendation/task_prompts.py", question, "Does the customer take this item next?")
    assert marked >= ASKING
    assert not marked & {"sequences", "similar_users", "item_keywords", "summarizer", "user_encoder", "metrics"}


def test_an_edited_reader_or_what_it_reads_by_marks_the_reviews_and_no_training(edited):
    for file, old, new in (
        ("ingest/readers/microlens.py", "\n\n\ndef ", "\n\n\nLATER = 1\n\n\ndef "),
        ("ingest/ids.py", "\n\n\nclass IdColumn", "\n\n\nLATER = 1\n\n\nclass IdColumn"),
    ):
        marked = edited(file, old, new)
        assert "raw_reviews" in marked, file
        assert not marked & {"recommender", "summarizer", "user_encoder", "item_keywords", "metrics"}, file


def test_a_comment_a_docstring_the_layout_and_the_name_of_a_local_mark_nothing(edited):
    prompts = "recommendation/task_prompts.py"
    assert edited(prompts, "    config = context.config\n", "    # a comment\n\n    config = context.config\n") == set()
    assert edited(prompts, '"""Ask for the keywords of what comes next."""', '"""Ask."""') == set()
    assert edited(prompts, "lines = [NO_HISTORY]", "lines = [\n            NO_HISTORY,\n        ]") == set()
    text = (PACKAGE / prompts).read_text()
    body = text[text.index("def user_part(") : text.index("def candidate_parts(")]
    assert body.count("recent") > 3
    assert edited(prompts, body, re.sub(r"\brecent\b", "seen", body)) == set()


def test_what_an_asset_does_marks_it_and_what_is_said_of_it_does_not(edited):
    assert edited("defs/retrieval.py", 'kinds={"parquet"}', 'kinds={"parquet", "duckdb"}') == set()
    drawn = "draw_queries(queries(stage, TRAIN, VALIDATION)"
    assert edited("defs/interactions.py", drawn, f"{drawn}.copy()") == {"training_queries"}


def test_a_shared_function_of_many_assets_marks_those_that_use_it(edited):
    marked = edited("orchestration/recommender_inputs.py", "summed = fitted and", "summed = bool(fitted) and")
    assert marked == ASKING


def test_a_constant_that_a_stage_uses_marks_it_and_rooms_that_all_share_do_not(edited):
    marked = edited("retrieval/cooccurrence/index.py", "WINDOW: Final = 20", "WINDOW: Final = 21")
    assert marked >= {"cooccurrence_neighbors"} | ASKING
    assert "user_encoder" not in marked
    assert edited("storage/files.py", "import os", "import os\n\nUNUSED = 1") == set()


def test_a_name_that_is_not_there_is_an_error():
    with pytest.raises(LookupError, match="binds no 'nothing'"):
        code_hash("mmsra_pipeline.defs.retrieval", "nothing")
    with pytest.raises(LookupError, match="no module"):
        code_hash("mmsra_pipeline.defs.nowhere", "nothing")
