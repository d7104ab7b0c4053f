import pytest

from mmsra_pipeline.interactions.pictures import locate


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


def test_a_link_out_of_the_folder_is_not_followed(root):
    (root / "link.jpg").symlink_to(root.parent / "secret.jpg")
    assert locate(root, "link.jpg") is None
