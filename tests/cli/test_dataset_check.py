import pytest
from ingest.as_people_have_them import CASES, picture
from typer.testing import CliRunner

from mmsra_pipeline.cli.app import app
from mmsra_pipeline.errors import MmsraError
from mmsra_pipeline.ingest.folder_guess import guess


def write(folder, name: str):
    for file, content in CASES[name].files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def checked(folder, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["dataset", "check", str(folder), *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize(
    ("name", "form", "options"),
    [
        ("01_semicolon", "tables", {"interactions": "interactions.csv", "items": "items.csv"}),
        ("03_movielens_dat", "tables", {"interactions": "ratings.dat", "items": "items.csv"}),
        ("10_hm_like", "tables", {"interactions": "t.csv", "items": "a.csv", "images": "images"}),
        ("19_spark_folder", "tables", {"interactions": "i.parquet", "items": "items.csv"}),
        ("20j_mixed_files", "tables", {"interactions": ["part_0.parquet", "part_1.parquet"], "items": "items.csv"}),
        ("24b_hf_csv", "amazon-2023", {}),
        ("27b_json_pretty", "amazon-2023", {}),
        ("29_python_literal_2018", "amazon-2018", {}),
        ("30_microlens_covers", "microlens", {}),
    ],
)
def test_a_folder_is_known_by_what_lies_in_it(tmp_path, name, form, options):
    found = guess(write(tmp_path, name))
    assert (found.format, found.options) == (form, options)


def test_a_folder_without_interactions_says_what_lies_there(tmp_path):
    (tmp_path / "page.csv").write_text("<html><title>404</title></html>")
    (tmp_path / "notes.csv").write_text("when,what\nnow,this\n")
    with pytest.raises(
        MmsraError, match=r"no file there has a column of users .*notes\.csv: has no .*page\.csv: is an HTML"
    ):
        guess(tmp_path)


def test_what_would_be_read_is_shown_with_both_sides_of_ids_and_pictures(tmp_path):
    (write(tmp_path, "10_hm_like") / "images" / "010" / "0108775011.jpg").write_bytes(picture())
    output = checked(tmp_path)
    assert "detected     t.csv: column 'customer_id' is read as user_id" in output
    assert "2024-01-01 10:00:00 to 2024-01-12 10:00:00" in output
    assert "12 reviews, 1 items" in output
    assert "no metadata  4 ('108775011', '108775012'" in output
    assert "no review    1 ('0108775011')" in output
    assert (
        "pictures     1 item(s) have a file; the folder images holds 1 picture(s), 1 of them in folders below" in output
    )
    assert "format: tables\n" in output


def test_refused_rows_are_shown_with_file_line_reason_and_text(tmp_path):
    output = checked(write(tmp_path, "04d_mixed_one_in_12"))
    assert "refused      1 row(s)" in output
    assert "1 x interactions.csv, line 7: timestamp is neither ISO 8601" in output
    assert "'bo,p2,01:21.7'" in output


def test_what_was_found_is_written_as_a_data_set_that_reads_the_same(tmp_path, paths):
    from mmsra_pipeline.config.datasets import list_datasets, load_dataset
    from mmsra_pipeline.ingest.trial_reading import read_first_rows

    folder = write(tmp_path / "10 hm: ähnlich", "10_hm_like")
    output = checked(folder, "--write", "hm")
    file = paths.datasets / "hm.yaml"
    assert f"{file} written. Next: mmsra refresh --dataset hm" in output.replace("\n", " ").replace("  ", " ")
    found, spec = guess(folder), load_dataset(paths.datasets, "hm")
    assert (spec.format, spec.path, spec.options) == (found.format, folder.resolve(), found.options)
    read = read_first_rows(spec, tmp_path)
    assert [(one["user_id"], one["item_id"]) for one in read.reviews.slice(0, 2).to_pylist()] == [
        ("ana", "108775011"),
        ("ana", "108775012"),
    ]
    before = file.read_bytes()
    with pytest.raises(MmsraError, match=r"'hm' exists already: .*hm\.yaml\. Edit that file, choose another name"):
        checked(write(tmp_path / "other", "01_semicolon"), "--write", "hm")
    assert file.read_bytes() == before
    assert list_datasets(paths.datasets) == ["hm"]


def test_a_stated_option_is_written_too_and_a_name_that_is_none_is_refused(tmp_path, paths):
    from mmsra_pipeline.config.datasets import list_datasets, load_dataset

    folder = write(tmp_path / "shop", "01_semicolon")
    checked(folder, "--option", "encoding=utf-8", "--write", "shop")
    assert load_dataset(paths.datasets, "shop").options["encoding"] == "utf-8"
    with pytest.raises(MmsraError, match="cannot name a dataset"):
        checked(folder, "--write", "../up")
    assert list_datasets(paths.datasets) == ["shop"]
