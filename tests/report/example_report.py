"""A report of made-up numbers, users and items, for the tests of its pages."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from evaluation.synthetic_rankings import CONFIG, better, noise, rankings_of
from PIL import Image

from mmsra_pipeline.config.tree import SLOTS
from mmsra_pipeline.evaluation.ablation import ablation
from mmsra_pipeline.evaluation.differences import differences_table
from mmsra_pipeline.evaluation.measuring import measure, metrics_table
from mmsra_pipeline.evaluation.pairwise import pairwise_table
from mmsra_pipeline.evaluation.slices import query_parts, slices_table
from mmsra_pipeline.evaluation.user_metrics import curves, user_metrics_table
from mmsra_pipeline.items.images import ItemImages
from mmsra_pipeline.recommendation.injection import COLUMNS as PROBED
from mmsra_pipeline.report.case_data import CaseTables
from mmsra_pipeline.report.cases import choose_cases
from mmsra_pipeline.report.inputs import Catalogue, Measured
from mmsra_pipeline.report.pages import write_report
from mmsra_pipeline.storage.artifacts import Artifacts

HOSTILE = "</script><img src=x onerror=alert(1)>{{ 7 * 7 }} & \"quoted\" 'single'"
ITEMS = [f"i{place:02}" for place in range(21)]


def picture(artifacts: Artifacts, colour: int) -> str:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (colour * 10 % 255, 90, 160)).save(file, "JPEG")
    return artifacts.put_blob("images", file.getvalue(), ".jpg")


def catalogue(artifacts: Artifacts) -> Catalogue:
    titles = [HOSTILE, *(f"Thing {place}" for place in range(1, 21))]
    words = [[HOSTILE[:30], "red"], *([f"word {place % 5}", "striped"] for place in range(1, 21))]
    hashes = [picture(artifacts, place) if place % 5 else None for place in range(21)]
    return Catalogue(
        item_text=pd.DataFrame({"item_id": ITEMS, "title": titles, "text": titles}),
        keywords=pd.DataFrame({
            "item_id": ITEMS, "keywords": [[*own, "wool"] for own in words], "image_keywords": words,
            "text_keywords": [["wool"]] * 21,
        }),
        quality=pd.DataFrame({
            "item_id": ITEMS, "image_keywords": words, "text_keywords": [["wool"]] * 21,
            "confidence_image": np.linspace(0, 1, 21), "confidence_text": np.nan,
            "retrieval_rank": [21.0, *range(1, 21)], "suspicious": [HOSTILE, *[None] * 20],
        }),
        panel=pd.DataFrame({
            "measure": ["format_rate", "retrieval@1 - extractive", "words"], "value": [0.9, -0.1, 40.0],
            "low": [0.8, -0.2, np.nan], "high": [1.0, 0.1, np.nan], "n": [21, 21, 21],
        }),
        images=pd.DataFrame({"item_id": ITEMS, "image_sha256": hashes}),
    )  # fmt: skip


def measured(rankings: pd.DataFrame, sequences: pd.DataFrame, images: pd.DataFrame) -> Measured:
    found = measure(rankings, CONFIG, 0)
    training = pd.DataFrame({"item_id": ["i00"] * 4})
    parts = {one.protocol: query_parts(one.queries, sequences, training, images) for one in found}
    per_user = user_metrics_table(found)
    generator = np.random.default_rng(2)
    rows = [("first_stage", 0), ("mmsrarec", 20), ("mmsrarec+cf", 20)]
    served = pd.DataFrame([
        (row, depth, 30, f"{name}@{k}", 30.0, 20.0, 40.0, 1.0, -2.0, 4.0)
        for row, depth in rows for k in (1, 5, 20) for name in ("hr", "ndcg")
    ], columns=["row", "depth", "users", "metric", "value", "low", "high", "difference", "difference_low",
                "difference_high"])  # fmt: skip
    candidates = pd.DataFrame({
        "user_id": np.repeat([f"u{number:04}" for number in range(30)], 20), "position": 7,
        "is_target": np.tile(np.arange(20) == 3, 30), "p": generator.random(600), "p_served": generator.random(600) / 2,
    })  # fmt: skip
    traits = pd.DataFrame(
        [(row, depth, 30, 5, trait, 0.5) for row, depth in rows for trait in ("coverage", "gini")],
        columns=["row", "depth", "users", "k", "trait", "value"],
    )
    overlap = pd.DataFrame([("first_stage", "mmsrarec/20", 5, 0.4)], columns=["row", "against", "k", "value"])
    funnel = pd.DataFrame({"step": ["source"], "users": [10], "items": [21], "interactions": [100]})
    probed = pd.DataFrame([
        (f"u{number:04}", 7, "i04", kind, place, cleaned, 0.5, 0.0 if cleaned else 0.25, 3, 0 if cleaned else 2)
        for number in range(20) for kind in ("instruction", "praise")
        for place, cleaned in (("title", False), ("title", True), ("picture", False))
    ], columns=PROBED)  # fmt: skip
    variant = per_user.assign(**dict.fromkeys(("hr@5", "ndcg@5"), 0.0))
    other = per_user.assign(user_id="nobody")
    worth = ablation(per_user, {"shop-no-grpo": variant, "b": variant, "far": other}, 5, 50, 0)
    variants = {"shop-no-grpo": "keywords without tuning by reward", "b": HOSTILE, "far": "seed=2", "new": "seed=3"}
    return Measured(
        "shop", 5, metrics_table(found), differences_table(found), pairwise_table(found),
        slices_table(found, parts, 50, 0), per_user, curves(per_user, 20, 50, 0), served, traits, overlap, candidates,
        probed, funnel, 0.0, 0.3, worth, variants, 0.0,
    )  # fmt: skip


def write_example_report(
    folder: Path, artifacts: Artifacts, *, users: int = 30, user_ids: bool = False, explained: int = 3
) -> CaseTables:
    """Write a report and return what its cases were looked up in."""
    rows = {"random": noise, "sasrec": noise, "content": noise, "mmsrarec": better, "mmsrarec+cf": better}
    rankings = rankings_of(rows, users=users, protocols=("uniform",))
    rankings["p"] = np.where(rankings["row"].str.startswith("mmsrarec"), 0.25, np.nan)
    names = [f"u{number:04}" for number in range(users)]
    sequences = pd.DataFrame({
        "user_id": [*names, *names[:4]], "position": [7] * users + [8] * 4, "split": ["test"] * users + ["serve"] * 4,
        "history": [["i00", "i03", "i05"]] * (users + 4), "timestamp": pd.array([10**12] * (users + 4), dtype="Int64"),
    })  # fmt: skip
    candidates = rankings[rankings["row"] == "mmsrarec"].drop(columns=["row", "score", "p"])
    candidates = candidates.assign(**{f"class_{slot}": 4 for slot in SLOTS})
    known = catalogue(artifacts)
    lists = pd.DataFrame({
        "user_id": np.repeat(names[:4], 2), "rank": [1, 2] * 4, "item_id": ["i00", "i09"] * 4, "p": 0.125,
        "p_model": 0.5, "first_stage_rank": 3, "shared_keywords": [["red"]] * 8,
    })  # fmt: skip
    numbers = measured(rankings, sequences, known.images)
    cases = choose_cases(numbers.per_user, [(name, 8) for name in names[:4]], 500, explained, 0)
    explanations = pd.DataFrame([
        (user, at, "i00", part, "i03" if part == "history item" else "", 0.0, 0.5 - change, -change)
        for user, at in cases.loc[cases["explained"], ["user_id", "position"]].itertuples(index=False)
        for part, change in (("nothing", 0.0), ("history item", 0.25), ("evidence", -0.125))
    ], columns=["user_id", "position", "item_id", "part", "left_out", "logit", "p", "change"])  # fmt: skip
    similar = pd.DataFrame({"user_id": names, "position": 7, "item_id": "i04", "score": 0.5})
    tables = CaseTables(
        cases, sequences, rankings, candidates, similar, lists, explanations,
        dict(zip(known.keywords["item_id"], known.keywords["keywords"])),
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    images = ItemImages(artifacts, known.images)
    write_report(folder, numbers, known, tables, images, worst_count=20, user_ids=user_ids)
    return tables
