import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mmsra_pipeline.backbone.embedded.drawing import ALL_LOOKS, COLOURS, HELD_OUT, PATTERNS, SHAPES, Look
from mmsra_pipeline.sample_store import behaviour, wording
from mmsra_pipeline.sample_store import shop as module
from mmsra_pipeline.sample_store.shop import DRAWING, GENERATOR_FILES, SCALES, Shop, make_shop, write_sample, write_shop
from mmsra_pipeline.storage.hashing import folder_hash


@pytest.fixture(scope="module")
def shop() -> Shop:
    return make_shop("small", 0)


@pytest.fixture(scope="module")
def large() -> Shop:
    return make_shop("large", 0)


@pytest.fixture(scope="module")
def folder(shop, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_shop(shop, folder)
    return folder


@pytest.mark.parametrize("size", ["tiny", "small", "large"])
def test_a_shop_has_the_size_it_was_asked_for(size, request):
    shop = request.getfixturevalue("large") if size == "large" else make_shop(size, 3)
    scale = SCALES[size]
    assert (len(shop.products), len(shop.users)) == (scale.products, scale.users)
    lengths = shop.events["user_id"].value_counts()
    assert len(lengths) == scale.users
    assert lengths.between(*scale.events).all()
    assert len(shop.companions) == 2 * scale.pairs
    assert (~shop.products["has_picture"]).sum() == scale.without_picture
    assert (~shop.products["has_text"]).sum() == scale.without_text


def test_nobody_buys_twice_and_new_products_are_bought_by_nobody(shop):
    assert not shop.events.duplicated(["user_id", "item_id"]).any()
    products = shop.products.set_index("item_id")
    assert not products.loc[shop.events["item_id"], "is_new"].any()
    assert products["is_new"].sum() == SCALES["small"].new


def test_enough_looks_are_held_out_and_none_of_those_is_tagged(shop):
    looks = [shop.look(item) for item in shop.products["item_id"]]
    assert len(set(looks)) == len(looks)
    assert shop.products["held_out"].tolist() == [look in HELD_OUT for look in looks]
    assert shop.products["held_out"].mean() >= 0.3
    tagged = shop.products[shop.products["tagged"]]
    assert not tagged["held_out"].any()
    assert tagged["has_picture"].all()
    assert 0.35 <= len(tagged) / (~shop.products["held_out"]).sum() <= 0.42


def test_text_tells_nothing_that_only_the_picture_shows(folder):
    items = pd.read_csv(folder / "items.csv", dtype="str").fillna("")
    words = set(re.findall(r"\w+", " ".join(items[["title", "description", "category"]].to_numpy().ravel()).lower()))
    visible = {*COLOURS, *PATTERNS, *SHAPES}
    assert not words & visible
    assert not {word for word in words if word.removesuffix("s") in visible}


def test_text_tells_material_use_and_brand(shop):
    for row in shop.products.itertuples():
        assert row.brand in row.title
        assert row.material in row.title
        assert row.use in row.title
        assert row.style in row.description


def test_tags_say_the_true_look(shop, folder):
    items = pd.read_csv(folder / "items.csv", dtype="str").set_index("item_id")
    assert set(items.index[items["tags"].notna()]) == set(shop.products["item_id"][shop.products["tagged"]])
    for item, tags in items["tags"].dropna().items():
        assert Look(*tags.split("|")) == shop.look(item)


def test_files_lack_what_the_shop_lacks(shop, folder):
    items = pd.read_csv(folder / "items.csv", dtype="str")
    assert items["title"].notna().tolist() == shop.products["has_text"].tolist()
    assert items["image"].notna().tolist() == shop.products["has_picture"].tolist()
    assert {path.name for path in (folder / "images").iterdir()} == set(items["image"].dropna())
    with Image.open(folder / "images" / items["image"].dropna().iloc[0]) as picture:
        assert (picture.mode, picture.size) == ("RGB", (128, 128))


def test_companions_share_no_attribute_and_follow_each_other(shop):
    products = shop.products.set_index("item_id")[[*behaviour.VISIBLE, *behaviour.TEXTUAL]]
    partner = dict(shop.companions.itertuples(index=False))
    assert len(partner) == len(shop.companions)
    for item, companion in partner.items():
        assert partner[companion] == item
        assert not (products.loc[item] == products.loc[companion]).any()
    events = shop.events.sort_values("user_id", kind="stable")
    following = events.groupby("user_id")["item_id"].shift(-1)
    followed = (events["item_id"].map(partner) == following)[events["item_id"].isin(partner) & following.notna()]
    assert followed.mean() > 0.3  # of 95 products, by chance about 0.02


def test_few_products_are_taken_by_many(shop):
    counts = shop.events["item_id"].value_counts()
    assert counts.head(10).sum() > 2 * 10 / 95 * counts.sum()  # twice their even share


def test_times_mostly_differ_and_sometimes_do_not(shop):
    repeated = shop.events.duplicated(["user_id", "timestamp"]).mean()
    assert 0.01 < repeated < 0.08


@pytest.mark.parametrize("size", ["small", "large"])
def test_some_users_care_for_pictures_alone_and_some_for_what_is_written(size, request):
    users = request.getfixturevalue("shop" if size == "small" else "large").users
    one_sided = SCALES[size].one_sided
    assert one_sided >= 0.25 * len(users)
    expected = {"picture": one_sided, "text": one_sided, "both": len(users) - 2 * one_sided}
    assert users["cares_for"].value_counts().to_dict() == expected
    assert users["cares_for"].iloc[:50].nunique() == 3  # spread over the ids: a cut of the users holds all kinds


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_user_has_one_favourite_of_a_main_and_a_minor_attribute_and_of_nothing_else(size, request):
    shop = request.getfixturevalue("shop" if size == "small" else "large")
    assert list(shop.users) == ["user_id", "cares_for", "main", "minor", *behaviour.VISIBLE, *behaviour.TEXTUAL]
    values = {attribute: set(shop.products[attribute]) for attribute in (*behaviour.VISIBLE, *behaviour.TEXTUAL)}
    for user in shop.users.to_dict("records"):
        chosen = {user["main"], user["minor"]}
        assert len(chosen) == 2
        for attribute, known in values.items():
            assert user[attribute] in (known if attribute in chosen else {""})


def test_main_and_minor_attribute_are_of_what_a_user_cares_for(shop):
    pairs = {side: set(zip(some["main"], some["minor"])) for side, some in shop.users.groupby("cares_for")}
    seen, textual = ("colour", "shape"), ("material", "use")
    assert pairs == {
        "picture": {(main, minor) for main in seen for minor in behaviour.VISIBLE if minor != main},
        "text": {(main, minor) for main in textual for minor in behaviour.TEXTUAL if minor != main},
        "both": {*product(seen, behaviour.TEXTUAL), *product(textual, behaviour.VISIBLE)},
    }


def test_a_taste_shows_in_few_purchases(shop):
    users = shop.users.set_index("user_id").loc[shop.events["user_id"]].reset_index(drop=True)
    products = shop.products.set_index("item_id").loc[shop.events["item_id"]].reset_index(drop=True)
    for kind, least in (("main", 0.6), ("minor", 0.35)):
        had = sum(
            (users[kind].eq(attribute) & users[attribute].eq(products[attribute])).mean()
            for attribute in (*behaviour.VISIBLE, *behaviour.TEXTUAL)
        )
        assert had >= least


@pytest.mark.parametrize("hidden", [behaviour.VISIBLE, behaviour.TEXTUAL])
def test_what_a_user_does_not_care_for_moves_no_utility(shop, hidden):
    whole = behaviour.utilities(shop.users, shop.products)
    bare = behaviour.utilities(shop.users, shop.products.assign(**dict.fromkeys(hidden, "unknown")))
    moved = pd.Series((whole != bare).any(axis=1), index=shop.users["cares_for"])
    assert moved.groupby(level=0).mean().to_dict() == {
        "both": 1.0, "picture": float(hidden == behaviour.VISIBLE), "text": float(hidden == behaviour.TEXTUAL)
    }  # fmt: skip


def test_ratings_use_the_scale_and_are_higher_for_what_is_liked_more(shop):
    shares = shop.events["rating"].value_counts(normalize=True)
    assert shares.reindex(range(1, 6), fill_value=0).min() > 0.04
    assert shares.max() < 0.45
    users = shop.users.set_index("user_id").loc[shop.events["user_id"]]
    products = shop.products.set_index("item_id").loc[shop.events["item_id"]]
    liked = sum(
        (users[attribute].to_numpy() == products[attribute].to_numpy()).astype(int)
        for attribute in (*behaviour.VISIBLE, *behaviour.TEXTUAL)
    )
    assert np.corrcoef(liked, shop.events["rating"])[0, 1] > 0.55


def test_every_user_keeps_a_training_a_validation_and_a_test_position(shop):
    """Under ``interactions: {user_core: 3, item_core: 2}`` and leave_last_out, which needs four interactions."""
    for events in (shop.events, make_shop("small", 1).events, make_shop("small", 2).events):
        sales = events["item_id"].value_counts()
        kept = events[events["item_id"].map(sales) >= 2]
        assert kept["user_id"].value_counts().reindex(events["user_id"].unique()).min() >= 4


def test_most_of_what_others_took_is_known_when_the_last_purchase_comes(shop):
    last = shop.events.groupby("user_id")["timestamp"].max().to_numpy()
    times = shop.events["timestamp"].to_numpy()
    assert np.mean([(times < moment).mean() for moment in last]) > 0.6


def test_a_shop_can_have_more_products_than_there_are_looks(large):
    looks = large.products[[*Look._fields]].apply(tuple, axis=1)
    assert len(looks) > 3 * len(ALL_LOOKS)
    assert set(looks) == set(ALL_LOOKS)
    times = looks.value_counts().groupby(lambda look: look in HELD_OUT)
    assert (times.max() - times.min() <= 1).all()  # none repeats before all of its kind were had
    assert large.products["held_out"].mean() == pytest.approx(0.4)


def test_names_do_not_repeat_in_a_large_shop(large):
    names = large.products["title"].str.extract(r" (\w+),")[0]
    assert large.products["brand"].str.cat(names, sep=" ").is_unique
    assert names.is_unique


def test_ids_are_as_wide_as_the_largest_needs_and_sort_by_number(shop, large):
    for found, letter in ((large.products["item_id"], "p"), (large.users["user_id"], "u")):
        assert found.tolist() == [f"{letter}{number:04d}" for number in range(1, len(found) + 1)]
    assert shop.products["item_id"].iloc[[0, -1]].tolist() == ["p001", "p100"]
    assert shop.users["user_id"].iloc[[0, -1]].tolist() == ["u001", "u400"]


def test_too_many_names_are_refused():
    with pytest.raises(ValueError, match="1201 names of products are asked for, but there are 1200"):
        wording.model_names(1201, np.random.default_rng(0))


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_seeds_differ_and_the_same_seed_does_not(size):
    first, again, other = make_shop(size, 0), make_shop(size, 0), make_shop(size, 1)
    for table in ("products", "users", "companions", "events"):
        pd.testing.assert_frame_equal(getattr(first, table), getattr(again, table))
        assert not getattr(first, table).equals(getattr(other, table))


def test_the_same_seed_gives_the_same_files_in_another_process(tmp_path):
    write_shop(make_shop("tiny", 5), tmp_path / "here")
    code = (
        "import sys; from pathlib import Path; from mmsra_pipeline.sample_store.shop import make_shop, write_shop; "
        "write_shop(make_shop('tiny', 5), Path(sys.argv[1]))"
    )
    environment = {"PYTHONHASHSEED": "77", "PATH": ""}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True, env=environment)
    assert folder_hash(tmp_path / "here") == folder_hash(tmp_path / "there")


def test_a_written_sample_is_not_made_again_unless_the_generator_changed(tmp_path):
    folder = write_sample("tiny", 0, tmp_path)
    (folder / "items.csv").write_text("marked")
    assert write_sample("tiny", 0, tmp_path) == folder
    assert (folder / "items.csv").read_text() == "marked"
    (folder / ".complete").write_text("an older generator")
    write_sample("tiny", 0, tmp_path)
    assert (folder / "items.csv").read_text().startswith("item_id,title")


def test_the_generators_version_reads_every_file_that_makes_the_shop():
    home = Path(module.__file__).parents[1]
    own = {f"sample_store/{path.name}" for path in (home / "sample_store").glob("*.py")}
    assert own - {"sample_store/__init__.py", "sample_store/ceiling.py"} == {*GENERATOR_FILES} - {DRAWING}
    text = "".join((home / name).read_text() for name in GENERATOR_FILES)
    assert "sample_store.ceiling" not in text  # it only measures
