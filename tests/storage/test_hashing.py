"""Hashes name what is stored: each is pinned, as another value would make all of it look stale."""

import ast
from pathlib import Path

import pytest

from mmsra_pipeline.storage import hashing

PACKAGE = Path(__file__).parents[2] / "mmsra_pipeline"
# The shop's version is a hash of the bytes of this very module: any edit would make every sample store stale.
KEPT_AS_IT_IS = "sample_store/shop.py"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_bytes(b"one")
    (tmp_path / "sub" / "b.txt").write_bytes(b"two")
    return tmp_path


def test_values_are_what_they_always_were(folder):
    assert hashing.fingerprint("a", 1, 2.5, None, {"b": [1, "ö"], "a": True}, Path("x")) == "e6ce0d2a7886f9bc"
    assert hashing.fingerprint() == "4f53cda18c2baa0c"
    one = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    assert hashing.file_hash(folder / "a.txt") == hashing.content_hash(b"one") == one
    assert hashing.folder_hash(folder) == "64dac1ffb401b27ecb1a5473c805ee0efca475da1283b20d2de6e2570188b0bd"
    assert hashing.short_hash(b"0 ann", 8).hex() == "9666e2e14ba88612"
    assert hashing.drawn_number("user", "u1", 7) == 12949163660346437673


def test_pieces_hash_as_the_whole():
    running = hashing.running_hash(b"o")
    running.update(b"ne")
    assert running.hexdigest() == hashing.joined_hash([b"o", b"", b"ne"]) == hashing.content_hash(b"one")


def test_a_fingerprint_tells_values_apart_but_not_the_order_of_keys():
    assert hashing.fingerprint({"a": 1, "b": 2}) == hashing.fingerprint({"b": 2, "a": 1})
    assert hashing.fingerprint("ab", "c") != hashing.fingerprint("a", "bc")


def test_nothing_else_in_the_package_hashes():
    users = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import) and "hashlib" in [alias.name for alias in node.names]
    }
    assert users == {"storage/hashing.py", KEPT_AS_IT_IS}
