import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from mmsra_pipeline.summarization import keyword_cache as module
from mmsra_pipeline.summarization.keyword_cache import KeywordCache, cache_key

KEY = {"image_sha256": "a", "text": "mug", "prompt_version": 1, "settings": 48, "summarizer": "s"}


def test_every_part_of_the_key_counts():
    keys = [cache_key(**KEY)]
    for name, other in [
        ("image_sha256", None),
        ("text", "mugs"),
        ("prompt_version", 2),
        ("settings", 9),
        ("summarizer", "t"),
    ]:
        keys.append(cache_key(**(KEY | {name: other})))
    assert len(set(keys)) == len(keys)


def test_what_was_put_is_found_again_by_another_process(tmp_path):
    KeywordCache(tmp_path).put({"k": "Image: röd"})
    assert KeywordCache(tmp_path).get("k") == "Image: röd"
    assert KeywordCache(tmp_path).get("other") is None


def test_many_files_are_folded_and_nothing_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FOLD_ABOVE", 3)
    cache = KeywordCache(tmp_path)
    for number in range(5):
        cache.put({str(number): "x"})
    assert len(list(tmp_path.glob("*.json"))) == 5
    assert len(KeywordCache(tmp_path)) == 5
    assert len(list(tmp_path.glob("*.json"))) == 1
    assert len(KeywordCache(tmp_path)) == 5


def test_files_that_another_process_folds_meanwhile_are_found_where_they_went(tmp_path, monkeypatch):
    for number in range(3):
        KeywordCache(tmp_path).put({str(number): "x"})
    first, *_ = sorted(tmp_path.glob("*.json"))
    read, folded = Path.read_text, []

    def read_while_folding(path, **how):
        text = read(path, **how)
        if path == first and not folded:
            folded.append(path)
            monkeypatch.setattr(module, "FOLD_ABOVE", 1)
            assert len(KeywordCache(tmp_path)) == 3
            assert len(list(tmp_path.glob("*.json"))) == 1
        return text

    monkeypatch.setattr(Path, "read_text", read_while_folding)
    cache = KeywordCache(tmp_path)
    assert folded
    assert [cache.get(str(number)) for number in range(3)] == ["x"] * 3


WRITER = """
import itertools, pathlib, sys
from mmsra_pipeline.summarization.keyword_cache import KeywordCache
cache = KeywordCache(pathlib.Path(sys.argv[1]))
for number in itertools.count():
    cache.put({f"{number}-{place}": "x" * 1000 for place in range(50)})
    print(number, flush=True)
"""


def test_a_killed_writer_leaves_whole_batches(tmp_path):
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        for _ in range(20):
            said = int(writer.stdout.readline())
        os.kill(writer.pid, signal.SIGKILL)
    for file in tmp_path.glob("*.json"):
        assert len(json.loads(file.read_text())) == 50
    found = KeywordCache(tmp_path)
    assert all(found.get(f"{number}-49") for number in range(said + 1))
