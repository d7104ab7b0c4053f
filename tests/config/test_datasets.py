from pathlib import Path

import pytest

from mmsra_pipeline.config.datasets import (
    DatasetSpec,
    list_datasets,
    load_dataset,
    remove_dataset,
    write_dataset,
)
from mmsra_pipeline.config.named_options import named_options
from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.ingest.readers.sample import sample_options
from mmsra_pipeline.ingest.readers.tables import TablesOptions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "datasets").mkdir()
    return tmp_path / "datasets"


def describe(folder: Path, text: str, name: str = "shop") -> None:
    (folder / f"{name}.yaml").write_text(text)


def test_the_sample_that_ships_is_described_as_small_and_without_a_path():
    spec = load_dataset(Path(__file__).parents[2] / "datasets", "sample")
    assert (spec.format, spec.path) == ("sample", None)
    assert sample_options(spec).size == "small"


def test_a_path_is_relative_to_the_folder_of_the_yaml(folder):
    describe(folder, "format: tables\npath: ../source\ncolumns: {user_id: uid}\n")
    spec = load_dataset(folder, "shop")
    assert spec.path == folder.parent / "source"
    assert TablesOptions.model_validate(spec.options).columns.user_id == "uid"
    assert TablesOptions.model_validate(spec.options).interactions == ("interactions.csv",)
    assert spec.file == folder / "shop.yaml"


def test_a_written_dataset_is_listed_and_loads_as_it_was(folder):
    source = folder.parent / "source"
    source.mkdir()
    file = write_dataset(folder, DatasetSpec("shop", "tables", source, {"images": "pictures"}))
    assert file.read_text() == "format: tables\npath: ../source\nimages: pictures\n"
    assert list_datasets(folder) == ["shop"]
    assert load_dataset(folder, "shop") == DatasetSpec("shop", "tables", source, {"images": "pictures"}, file)


def test_a_path_outside_the_project_is_written_absolute(tmp_path):
    source, folder = tmp_path / "elsewhere", tmp_path / "project" / "datasets"
    source.mkdir()
    file = write_dataset(folder, DatasetSpec("shop", "microlens", source))
    assert file.read_text() == f"format: microlens\npath: {source}\n"


def test_a_description_may_end_in_yml_but_not_be_there_twice(folder):
    (folder / "shop.yml").write_text("format: sample\n")
    assert list_datasets(folder) == ["shop"]
    assert load_dataset(folder, "shop").file == folder / "shop.yml"
    describe(folder, "format: sample\n")
    assert list_datasets(folder) == ["shop"]
    with pytest.raises(ConfigError, match=r"described twice: shop\.yaml and shop\.yml .* Remove one"):
        load_dataset(folder, "shop")


def test_a_mistyped_format_is_guessed(folder):
    describe(folder, "fromat: tables\npath: x\n")
    with pytest.raises(ConfigError, match=r"format: missing\. Did you mean it by 'fromat'"):
        load_dataset(folder, "shop")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("*.csv", "*.csv"), ("|", "|"), ("@text", "@text"), ("no", "no"), ("007", "007"), ("a: b", "a: b"), ("7", 7),
        ("true", True), ("[a, b]", ["a", "b"]), ("{user_id: 1}", {"user_id": 1}), ("1.5", 1.5),
    ],
)  # fmt: skip
def test_an_option_is_text_unless_it_is_a_list_a_mapping_a_number_or_a_truth_value(value, read):
    assert named_options([f"columns.x={value}"]) == {"columns": {"x": read}}
    with pytest.raises(ConfigError, match=r"neither a list nor a mapping of YAML"):
        named_options(["x=[a: b: c]"])


def test_a_removed_dataset_is_unknown_and_its_source_stays(folder):
    source = folder.parent / "source"
    source.mkdir()
    write_dataset(folder, DatasetSpec("shop", "tables", source))
    assert remove_dataset(folder, "shop") == folder / "shop.yaml"
    assert list_datasets(folder) == []
    assert source.is_dir()
    with pytest.raises(ConfigError, match="dataset 'shop' is not described"):
        remove_dataset(folder, "shop")


def test_a_name_that_is_taken_is_not_overwritten(folder):
    describe(folder, "format: sample\n")
    with pytest.raises(ConfigError, match=r"dataset 'shop' exists already: .*shop\.yaml.*mmsra dataset remove shop"):
        write_dataset(folder, DatasetSpec("shop", "sample"))
    assert (folder / "shop.yaml").read_text() == "format: sample\n"


def test_an_unknown_dataset_names_the_known_ones_and_how_to_add_it(folder):
    describe(folder, "format: sample\n", "movies")
    with pytest.raises(
        ConfigError, match=r"'movie' is not .*known: movies.*Did you mean 'movies'.*mmsra dataset add movie"
    ):
        load_dataset(folder, "movie")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("format: table\npath: x\n", r"shop\.yaml: format: 'table' is not known\. Did you mean 'tables'"),
        ("path: x\n", r"format: missing\. Write one of: amazon-2014, amazon-2018"),
        (
            "format: tables\npath: x\ninteraction: a.csv\n",
            r"interaction: no such setting\. Did you mean 'interactions'",
        ),
        ("format: tables\npath: x\ncolumns: {user: u}\n", r"columns\.user: no such setting\. Did you mean 'user_id'"),
        ("format: sample\nsize: huge\n", r"size: Input should be 'tiny', 'small' or 'large' \(found 'huge'\)"),
        ("format: sample\npath: x\n", "path: the sample store is made by code and has none"),
        ("format: microlens\n", "path: missing. Format 'microlens' needs the folder"),
        ("format: tables\npath: 3\n", "path: 3 is not a text"),
        ("format: tables\npath: [\n", r"shop\.yaml, line 3: not readable as YAML"),
    ],
)
def test_a_wrong_description_says_what_where_and_how_to_fix(folder, text, message):
    describe(folder, text)
    with pytest.raises(ConfigError, match=message):
        load_dataset(folder, "shop")


@pytest.mark.parametrize("name", ["../shop", "a/b", "", ".hidden"])
def test_no_name_leads_out_of_the_folder(folder, name):
    with pytest.raises(ConfigError, match="cannot name a dataset"):
        load_dataset(folder, name)


def test_a_source_folder_that_is_not_there_is_refused_when_added(folder):
    with pytest.raises(ConfigError, match=r"dataset 'shop': path: .*nowhere is not a folder"):
        write_dataset(folder, DatasetSpec("shop", "tables", folder / "nowhere"))
    assert list_datasets(folder) == []
