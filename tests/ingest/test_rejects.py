import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmsra_pipeline.ingest import rejects as rejects_module
from mmsra_pipeline.ingest.lines import LineBlock
from mmsra_pipeline.ingest.rejects import REJECTS, TEXT_CHARS, RejectSink, printable


def test_rejects_are_passed_on_in_batches_and_at_last_what_is_left(monkeypatch):
    monkeypatch.setattr(rejects_module, "HELD", 2)
    kept = []
    sink = RejectSink(kept.append)
    for line in range(1, 6):
        sink.see(1)
        sink.refuse("a.csv", line, "is empty", b"x")
    assert [table.num_rows for table in kept] == [2, 2]
    sink.flush()
    sink.flush()
    assert [table.num_rows for table in kept] == [2, 2, 1]
    assert (sink.rows, sink.refused) == (5, 5)
    assert kept[0].schema == REJECTS
    assert kept[2].to_pylist() == [{"file": "a.csv", "line": 5, "reason": "is empty", "text": "x"}]


@pytest.mark.parametrize("damaged", [True, False])
def test_a_block_that_is_no_lines_is_one_row_and_damage_is_remembered(damaged):
    kept = []
    sink = RejectSink(kept.append)
    sink.refuse_block("a.gz", LineBlock(b"begin", 7, 0, "is cut off", damaged=damaged))
    sink.flush()
    assert (sink.rows, sink.refused) == (1, 1)
    assert sink.damaged == (["a.gz, line 7: is cut off"] if damaged else [])
    assert kept[0].to_pylist() == [{"file": "a.gz", "line": 7, "reason": "is cut off", "text": "begin"}]


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("caf\xe9", "caf\xe9"),
        (b"caf\xc3\xa9", "caf\xe9"),
        (b"caf\xe9", "caf�"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), "caf�"),
        ("\ud800", "?"),
        ("x" * 1000, "x" * TEXT_CHARS),
        (b"x" * 1000, "x" * TEXT_CHARS),
        ("\U0001f600" * 1000, "\U0001f600" * TEXT_CHARS),
        (("\U0001f600" * 1000).encode(), "\U0001f600" * TEXT_CHARS),
        ("", ""),
    ],
)
def test_the_text_of_a_row_is_cut_and_can_be_printed(text, printed):
    assert printable(text) == printed


@given(st.one_of(st.binary(max_size=2000), st.text(st.characters(categories=None), max_size=500)))
def test_any_bytes_and_any_text_can_be_shown(text):
    printed = printable(text)
    assert len(printed) <= TEXT_CHARS
    printed.encode()
