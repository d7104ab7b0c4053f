import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mmsra_pipeline.files import folder_hash
from mmsra_pipeline.sample_store import behaviour
from mmsra_pipeline.sample_store.drawing import COLOURS, HELD_OUT, PATTERNS, SHAPES, Look
from mmsra_pipeline.sample_store.shop import SCALES, Shop, make_shop, write_sample, write_shop


@pytest.fixture(scope="module")
def shop() -> Shop:
    return make_shop("small", 0)


@pytest.fixture(scope="module")
def folder(shop, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_shop(shop, folder)
    return folder


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_a_shop_has_the_size_it_was_asked_for(size):
    shop, scale = make_shop(size, 3), SCALES[size]
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
    products = shop.products.set_index("item_id")[[*behaviour.VISIBLE, *behaviour.TOLD]]
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


def hits_at_5(scores: np.ndarray) -> float:
    """Share of rows whose first entry is among the five largest."""
    return float(((scores[:, 1:] > scores[:, :1]).sum(axis=1) < 5).mean())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_popularity_beats_chance_taste_beats_popularity_and_companions_add_to_it(seed):
    """The last purchase against 20 uniform negatives; chance is 5/21 = 0.24."""
    shop = make_shop("small", seed)
    ids = shop.products["item_id"].tolist()
    utility = dict(zip(shop.users["user_id"], behaviour.utilities(shop.users, shop.products)))
    partner = dict(shop.companions.itertuples(index=False))
    popularity = shop.events["item_id"].value_counts().reindex(ids).fillna(0).to_numpy()
    rng = np.random.default_rng(0)
    rows: dict[str, list[np.ndarray]] = {"popularity": [], "taste": [], "all": []}
    for user, events in shop.events.groupby("user_id"):
        *history, target = events["item_id"]
        others = [place for place, item in enumerate(ids) if item not in set(events["item_id"])]
        for _ in range(4):
            places = np.array([ids.index(target), *rng.choice(others, 20, replace=False)])
            rows["popularity"].append(popularity[places])
            rows["taste"].append(utility[user][places])
            bonus = np.array([20.0 * (partner.get(history[-1]) == ids[place]) for place in places])
            rows["all"].append(utility[user][places] + bonus)
    hits = {name: hits_at_5(np.array(scores)) for name, scores in rows.items()}
    assert hits["popularity"] > 0.24 + 0.10
    assert hits["taste"] > hits["popularity"] + 0.05
    assert hits["all"] > hits["taste"] + 0.08


def test_seeds_differ():
    first, other = make_shop("tiny", 0), make_shop("tiny", 1)
    assert not first.events["item_id"].equals(other.events["item_id"])


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
