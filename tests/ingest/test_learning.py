"""What readers learn goes on behind marks: all their attributes, of every kind of file that people were met with."""

import ast
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from ingest.as_people_have_them import CASES
from ingest.more_as_people_have_them import MORE
from ingest.nights import small
from ingest.test_as_people_have_them import write

import mmsra_pipeline.ingest
from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.ingest import delimited
from mmsra_pipeline.ingest.ids import IdColumn
from mmsra_pipeline.ingest.learning import Learner, NotCarriedError
from mmsra_pipeline.ingest.marks import Mark, Marks
from mmsra_pipeline.ingest.readers import tables
from mmsra_pipeline.ingest.reading import files_reader
from mmsra_pipeline.ingest.records import Records
from mmsra_pipeline.ingest.rejects import RejectSink

KINDS = {name: case for name, case in (CASES | MORE).items() if not case.error and case.format != "microlens"}
OUTER_OF_RECORDS = Records.OUTER - {"_delimiter", "_quote", "_next_line"}
"""What depends on where reading began, and not on what was read."""
CHANGE_THEMSELVES = {
    "RejectSink": "rows, refused and notes stand in each mark; there is none where a file is damaged",
    "Marks": "counts reviews; each mark has them",
    "ItemPictures": "resuming.Resumption.restore shows it the items of the reviews before",
    "ReadingMemory": "remembers readings, and reads no rows",
}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    small(monkeypatch)


def deep(value):
    """All attributes, and theirs, but for functions and what depends on where reading began."""
    if isinstance(value, dict):
        return {str(key): deep(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [type(value).__name__, *map(deep, value)]
    if type(value).__module__.startswith("mmsra_pipeline") and hasattr(value, "__dict__"):
        left = OUTER_OF_RECORDS if isinstance(value, Records) else {"_held"} if isinstance(value, RejectSink) else ()
        return {type(value).__name__: {name: deep(one) for name, one in vars(value).items() if name not in left}}
    return "function" if callable(value) else value


class Watched(Marks):
    """Looks at all that a reading knows wherever it could go on."""

    def __init__(self, reader, sink, by_name, begin=None):
        super().__init__(sink, begin)
        self.all: list[Mark] = []
        self.known = {}
        self._watched, self._by_name = (reader, sink), by_name

    def _keep(self, marks, label, place, state):
        super()._keep(marks, label, place, state)
        if label in marks and marks[label].place == place:
            self.all.append(marks[label])
            self.known[label, place] = [deep(one) for one in (*self._watched, *self._by_name.values())]


def read(spec, monkeypatch, begin=None):
    """Read with a reader of its own. Return the marks and the reviews, or the error."""
    by_name = {}

    def watched(module, name):
        inner = getattr(module, name)

        def make(*args, **options):
            by_name[name] = inner(*args, **options)
            return by_name[name]

        patch.setattr(module, name, make)

    with monkeypatch.context() as patch:
        for module, name in ((tables, "TimeReader"), (tables, "ReviewCells"), (delimited, "Records")):
            watched(module, name)
        reader, sink = files_reader(spec), RejectSink(lambda _: None)
        marks = Watched(reader, sink, by_name, begin)
        try:
            found = marks.counted(reader.reviews_from(begin, marks, sink))
            return marks, [row for table in found for row in table.to_pylist()]
        except MmsraError as error:
            return marks, str(error)


@pytest.mark.parametrize("name", KINDS)
def test_a_reader_that_went_on_knows_what_one_from_the_beginning_knows(tmp_path, monkeypatch, name):
    spec = write(tmp_path, KINDS[name])
    whole, rows = read(spec, monkeypatch)
    within = [mark for mark in whole.all if mark.place]
    if isinstance(rows, str) or not whole.all:
        pytest.skip("with chunks of five rows it is an error, or damaged")
    for mark in [*within, *whole.ends.values()]:
        again = Mark.of_json(json.loads(json.dumps(asdict(mark))))
        assert again == mark
        on, rest = read(spec, monkeypatch, again)
        assert rest == rows[mark.reviews :]
        assert on.known == {place: whole.known[place] for place in on.known}
        assert on.ends.items() <= whole.ends.items()
    plain = [file for file in KINDS[name].files if file.endswith(("interactions.csv", ".jsonl", "log.csv"))]
    WITHIN[name] = bool(within), bool(plain)


WITHIN: dict[str, tuple[bool, bool]] = {}


def test_most_plain_files_had_marks_within():
    if len(WITHIN) < 50:
        pytest.skip("looks at what the tests above left")
    plain = [within for within, plain in WITHIN.values() if plain]
    assert sum(plain) > 0.5 * len(plain)


@dataclass(frozen=True)
class Way:
    """How something is written."""

    name: str
    share: float


class Inner(Learner):
    OUTER = frozenset({"given"})

    def __init__(self, given):
        self.given, self.order = given, None


class Outer(Learner):
    OUTER = frozenset({"given"})
    KINDS = (Way,)

    def __init__(self, given):
        self.given, self.inner, self.by_name, self.way, self.seen = given, Inner(given), {"a": Inner(1)}, None, ()


def test_every_attribute_is_carried_also_one_that_came_later():
    one, other = Outer(print), Outer(repr)
    one.inner.order, one.by_name["a"].order, one.way, one.seen = "day", 2.5, Way("x", 0.5), ("a", None, (True,))
    one.later = {"b": [1, ("c",)]}
    other.go_on(json.loads(json.dumps(one.state())))
    assert other.given is repr
    assert other.inner.given is repr
    assert (other.inner.order, other.by_name["a"].order, other.way, other.seen) == (
        "day", 2.5, Way("x", 0.5), ("a", None, (True,)),
    )  # fmt: skip
    assert other.later == {"b": [1, ("c",)]}
    assert other.state() == one.state()


@pytest.mark.parametrize("value", [{1}, b"x", float("nan"), re.compile("x"), object(), [{1}], {"a": {1}}])
def test_what_json_cannot_hold_is_said_and_never_left_out(value):
    one = Outer(1)
    one.learnt = value
    with pytest.raises(NotCarriedError, match=r"Outer\.learnt is "):
        one.state()


def test_a_reader_that_learns_what_cannot_be_carried_has_no_marks(tmp_path, monkeypatch, caplog):
    spec = write(tmp_path, MORE["5 ticks"])
    assert read(spec, monkeypatch)[0].all
    inner = IdColumn.read

    def learns(self, cells, lines):
        self.met = {*getattr(self, "met", ()), *cells.to_pylist()}
        return inner(self, cells, lines)

    monkeypatch.setattr(IdColumn, "read", learns)
    marks, rows = read(spec, monkeypatch)
    assert len(rows) == 12
    assert not marks.within
    assert "reading cannot go on here later: IdColumn.met is set, which a mark cannot hold" in caplog.text


def changes_itself(node: ast.ClassDef) -> bool:
    """Whether a method that does not build the object assigns to its attributes, or calls what changes them."""
    methods = (one for one in node.body if isinstance(one, ast.FunctionDef) and one.name not in BUILD)
    for method in methods:
        for one in ast.walk(method):
            targets = one.targets if isinstance(one, ast.Assign) else [getattr(one, "target", None)]
            if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute) and one.func.attr in CHANGE:
                targets = [one.func.value]
            if any(_of_self(target) for target in targets if target is not None):
                return True
    return False


BUILD = {"__init__", "__post_init__"}
CHANGE = {"add", "append", "update", "extend", "insert", "setdefault", "pop", "discard", "remove", "clear", "feed"} | {
    "difference_update", "subtract", "appendleft",
}  # fmt: skip


def _of_self(target: ast.AST) -> bool:
    while isinstance(target, ast.Attribute | ast.Subscript | ast.Starred):
        target = target.value
        if isinstance(target, ast.Name) and target.id == "self":
            return True
    return isinstance(target, ast.Tuple) and any(map(_of_self, target.elts))


def test_all_that_learn_while_rows_are_read_are_learners():
    folder = Path(mmsra_pipeline.ingest.__file__).parent
    trees = [ast.parse(path.read_text()) for path in sorted(folder.rglob("*.py"))]
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    learners = {node.name for node in classes if "Learner" in [getattr(base, "id", "") for base in node.bases]}
    changing = {node.name for node in classes if changes_itself(node)} - {"Learner"}
    assert {"TimeReader", "DateForms", "IdColumn", "ReviewCells", "Records"} == learners
    assert changing - learners == CHANGE_THEMSELVES.keys()
    assert not [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Global | ast.Nonlocal)]
