import pyarrow as pa
import pytest

from mmsra_pipeline.ingest.picture_paths import ENDINGS, FolderIndex, ItemPictures, hash_image, is_url, locate


@pytest.fixture
def root(tmp_path):
    (tmp_path / "images" / "sub").mkdir(parents=True)
    (tmp_path / "images" / "a.jpg").write_bytes(b"x")
    (tmp_path / "images" / "sub" / "b.jpg").write_bytes(b"x")
    (tmp_path / "secret.jpg").write_bytes(b"x")
    return tmp_path / "images"


@pytest.mark.parametrize("image", ["a.jpg", "images/a.jpg", "./a.jpg", "sub/../a.jpg"])
def test_a_picture_is_found_with_or_without_the_name_of_its_folder(root, image):
    assert locate(root, image) == root / "a.jpg"


def test_a_picture_in_a_folder_below_is_found(root):
    assert locate(root, "sub\\b.jpg") == root / "sub" / "b.jpg"


def test_a_picture_that_is_not_there_gives_the_place_where_it_should_be(root):
    found = locate(root, "none.jpg")
    assert found == root / "none.jpg"


@pytest.mark.parametrize(
    "image",
    ["../secret.jpg", "/etc/passwd", "images/../../secret.jpg", "..\\secret.jpg", "a\0.jpg", "sub/../../secret.jpg"],
)
def test_nothing_outside_the_folder_is_found(root, image):
    assert locate(root, image) is None


@pytest.mark.parametrize("image", ["x" * 300, "x/" * 5000])
def test_a_name_that_no_file_can_have_is_no_picture(root, image):
    assert locate(root, image) is None
    assert hash_image(image, root) is None


def test_a_link_out_of_the_folder_is_not_followed(root):
    (root / "link.jpg").symlink_to(root.parent / "secret.jpg")
    assert locate(root, "link.jpg") is None


@pytest.mark.parametrize(
    ("image", "found"),
    [("http://a.test/1.jpg", True), ("HTTPS://a.test", True), ("http.jpg", False), ("ftp://a.test", False)],
)
def test_a_url_is_told_from_a_name(image, found):
    assert is_url(image) is found


def test_a_url_and_a_folder_have_no_hash(root):
    assert [hash_image(image, root) for image in ("http://a.test/a.jpg", "sub", "", None)] == [None] * 4
    assert hash_image("a.jpg", None) is None


def test_pictures_are_found_by_their_name_without_ending_and_the_first_ending_wins(root):
    for name in ("b.webp", "b.PNG", "c.txt", "d.e.jpg", ".jpg"):
        (root / name).write_bytes(b"x")
    (root / "folder.jpg").mkdir()
    found = FolderIndex(root).by_stem
    assert found == {"a": "a.jpg", "b": "b.PNG", "d.e": "d.e.jpg", "sub/b": "sub/b.jpg"}
    assert ENDINGS.index(".png") < ENDINGS.index(".webp")
    assert FolderIndex(None).by_stem == FolderIndex(root / "nowhere").by_stem == {}


def test_items_of_reviews_that_only_a_picture_shows_are_known(root):
    for name in ("b", "c"):
        (root / f"{name}.jpg").write_bytes(b"x")
    pictures = ItemPictures(root)
    pictures.note_reviewed(pa.chunked_array([["c", "b", "z", "b"], ["a"]]))
    pictures.note_found(["b", "x"])
    assert pictures.alone() == ["a", "c"]
    assert pictures.of("a", None) == pictures.of("a", "http://a.test/1.jpg") == "a.jpg"
    assert pictures.of("a", "z.jpg") == "a.jpg"  # a file that is not there says nothing of the one called as the item
    assert pictures.of("q", "z.jpg") == "z.jpg"
    assert pictures.of("q", "http://a.test/1.jpg") == "http://a.test/1.jpg"
