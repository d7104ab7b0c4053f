import json
import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ingest.taking import blocks

from mmsra_pipeline.ingest.json_lines import Flawed, read_json_lines
from mmsra_pipeline.ingest.lines import LineBlock

SCHEMA = pa.schema({"user": pa.string(), "stars": pa.float64()})
GOOD = b'{"user": "u", "stars": 4.0}'
KEPT = {"user": "u", "stars": 4.0}


def read(content: bytes, *cuts: int) -> tuple[dict[int, dict], dict[int, str]]:
    """Rows and reasons by the number of their line."""
    rows, reasons = {}, {}
    for block in blocks(content, *cuts):
        for found in read_json_lines(block, SCHEMA):
            if isinstance(found, Flawed):
                assert found.text == block.line(found.line)
                assert found.line not in reasons
                reasons[found.line] = found.reason
            else:
                assert found.column_names == ["user", "stars", "line"]
                rows |= {row.pop("line"): row for row in found.to_pylist()}
    return rows, reasons


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"user": "u", "stars": 4.0', "Missing a comma or '}'"),
        (b'{"user": "u",}', "Missing a name for object member"),
        (b"user,stars", "is no JSON object"),
        (b'[{"user": "u"}]', "is no JSON object"),
        (b'"user"', "is no JSON object"),
        (b"null", "is no JSON object"),
        (b'null {"user": "u"}', "is no JSON object"),
        (b'{"user": "u"} null {"user": "v"}', "has more than one JSON object"),
        (GOOD + b" " + GOOD, "has more than one JSON object"),
        (GOOD + GOOD, "has more than one JSON object"),
        (b'{"user": 5}', "Column(/user) changed from string to number"),
        (b'{"stars": "5"}', "Column(/stars) changed from number to string"),
        (b'{"stars": 1e400}', "Number too big"),
        (b'{"user": "u", "user": "v"}', "Column(/user) was specified twice"),
        (b'{"user": "caf\xe9"}', "is not valid UTF-8"),
        (b'{"user": "\\ud800"}', "The surrogate pair in string is invalid"),
        (b'{"user": "a\0b"}', "Missing a closing quotation mark"),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_bad_line_among_good_ones_is_reported_with_its_number(bad, reason, end):
    rows, reasons = read(end.join([*[GOOD] * 5, bad, *[GOOD] * 6]) + end)
    assert rows == {number: KEPT for number in range(1, 13) if number != 6}
    assert list(reasons) == [6]
    assert reason in reasons[6]


def test_an_object_over_two_lines_costs_both_and_no_other():
    rows, reasons = read(GOOD + b'\n{"user":\n"v"}\n' + GOOD + b'\n{"user": "v"\n}\n' + GOOD)
    assert list(rows) == [1, 4, 7]
    assert list(reasons) == [2, 3, 5, 6]


def test_an_open_quote_costs_one_line():
    rows, reasons = read(GOOD + b'\n{"user": "v}\n' + GOOD + b"\n")
    assert (list(rows), list(reasons)) == ([1, 3], [2])


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \n", b"\t\r\n"])
@pytest.mark.parametrize("last", [b"", b"\n", b"\r\n", b"\n\n"])
def test_ends_of_lines_are_no_part_of_a_row_and_empty_lines_no_rows(end, last):
    rows, reasons = read(end.join([b"", GOOD, b"", b"  ", GOOD]) + last)
    assert rows == {2: KEPT, 5: KEPT}
    assert reasons == {}


def test_keys_that_lack_are_null_and_other_keys_are_skipped():
    rows, _ = read(b'{}\n{"user": null, "more": {"user": [1, null, {"stars": "x"}]}}\n')
    assert rows == {number: {"user": None, "stars": None} for number in (1, 2)}


def test_a_mark_in_front_of_a_later_line_is_no_part_of_it():
    assert read(GOOD + b"\n\xef\xbb\xbf" + GOOD)[0] == {1: KEPT, 2: KEPT}


DEEP = """
import sys
from ingest.test_json_lines import SCHEMA
from mmsra_pipeline.ingest.json_lines import read_json_lines, Flawed
from mmsra_pipeline.ingest.lines import LineBlock
depth = int(sys.argv[1])
opened, closed = b"[" * depth, b"]" * depth
good = b'{"user": "u"}'
for bad in (opened, b'{"user":' + opened + closed + b"}", b'{"more":' + opened, b'{"more":' * depth, b"{" * depth):
    found = list(read_json_lines(LineBlock(good + b"\\n" + bad + b"\\n" + good, 1), SCHEMA))
    print([each.line if isinstance(each, Flawed) else each.num_rows for each in found])
found = list(read_json_lines(LineBlock(b'{"user": "u", "more":' + opened + closed + b"}", 1), SCHEMA))
print(found[0].num_rows)
"""


@pytest.mark.parametrize("depth", [100_000, 3_000_000])
def test_deep_nesting_is_refused_or_skipped_and_ends_no_process(depth, request):
    environment = {"PYTHONPATH": str(request.config.rootpath / "tests")}
    ran = subprocess.run(
        [sys.executable, "-c", DEEP, str(depth)], capture_output=True, text=True, env=environment, check=False
    )
    assert (ran.returncode, ran.stdout.splitlines()) == (0, ["[1, 2, 1]"] * 5 + ["1"]), ran.stderr


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60)
ANY = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.fixed_dictionaries(
    {},
    optional={"user": st.none() | TEXTS | NUMBERS, "stars": st.none() | NUMBERS | TEXTS, "more": ANY, "}null": ANY},
)
OTHERS = st.sampled_from(["", " ", "x", "[1]", "null", '{"user":', '{"a":1} {"b":2}', "}{", "{}x", "{}null{}", "1"])
LINES = st.lists(st.one_of(st.builds(json.dumps, OBJECTS, ensure_ascii=st.booleans()), OTHERS), max_size=12)


def oracle(lines: list[bytes]) -> tuple[dict[int, dict], set[int]]:
    """What reading each line by itself with another parser gives."""
    rows, flawed = {}, set()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except json.JSONDecodeError:
            flawed.add(number)
            continue
        kinds = {"user": str, "stars": int | float}
        fits = isinstance(found, dict) and all(
            found.get(name) is None or isinstance(found[name], kind) for name, kind in kinds.items()
        )
        if fits:
            stars = found.get("stars")  # float64 holds no whole number beyond 2^53 exactly
            rows[number] = {"user": found.get("user"), "stars": None if stars is None else float(stars)}
        else:
            flawed.add(number)
    return rows, flawed


@settings(deadline=None, max_examples=300)
@given(lines=LINES, cuts=st.lists(st.integers(1, 12), max_size=4), end=st.sampled_from([b"\n", b"\r\n"]))
def test_lines_read_as_another_parser_reads_each_by_itself_however_blocks_are_cut(lines, cuts, end):
    raw = [line.encode() for line in lines]
    rows, reasons = read(end.join(raw), *cuts)
    assert (rows, set(reasons)) == oracle(raw)


def test_many_bad_lines_are_reported_without_a_reading_of_arrow_for_each():
    found = list(read_json_lines(LineBlock(b"a,b\n" * 20_000, 1), SCHEMA))
    assert [each.line for each in found] == list(range(1, 20_001))
