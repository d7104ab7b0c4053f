"""The command `mmsra keywords`: what the keywords of a data set are worth, on the whole and item by item."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmsra_pipeline.columns import IMAGE_HASH, ITEM, TEXT, TITLE, Tables
from mmsra_pipeline.errors import ConfigError, DataError
from mmsra_pipeline.storage.paths import Paths, find_paths
from mmsra_pipeline.telemetry.terminal import print_json, print_rows

if TYPE_CHECKING:
    import pandas as pd

TEXT_CHARS = 300
LINES = {"picture": "image_keywords", "text": "text_keywords"}


def keywords(
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Name of the data set.")],
    item: Annotated[str | None, typer.Option("--item", "-i", help="Id of an item: all that is known of it.")] = None,
    worst: Annotated[int | None, typer.Option(min=1, help="So many items, the worst by rank and confidence.")] = None,
    random: Annotated[int | None, typer.Option(min=1, help="So many items at random.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")] = False,
) -> None:  # fmt: skip
    """Print what keywords are worth: the panel, or an item's keywords beside what they were made of, or a list."""
    from mmsra_pipeline.cli.reading import stored
    from mmsra_pipeline.evaluation.keyword_report import format_panel, panel_json, worst_items

    if sum(choice is not None for choice in (item, worst, random)) > 1:
        raise ConfigError("--item, --worst and --random each ask for something else. Give one of them.")
    paths = find_paths()
    if item is not None:
        description = described(paths, dataset, item)
        print_json(description) if as_json else _print_item(description)
    elif worst is not None or random is not None:
        quality = stored(paths, Tables.KEYWORD_QUALITY, dataset)
        rows = worst_items(quality, worst) if worst is not None else quality.sample(min(random or 0, len(quality)))
        entries = listed(rows, stored(paths, Tables.ITEM_TEXT, dataset))
        chosen = "worst by retrieval rank and confidence" if worst is not None else "at random"
        title = f"Keywords of {dataset}: {len(entries)} of {len(quality)} items, {chosen}"
        print_json({"dataset": dataset, "items": entries}) if as_json else _print_list(title, entries)
    else:
        panel = stored(paths, Tables.KEYWORD_PANEL, dataset)
        printed = {"dataset": dataset, "panel": panel_json(panel)}
        print_json(printed) if as_json else typer.echo(f"keywords of {dataset}: {format_panel(panel)}")


def described(paths: Paths, dataset: str, item: str) -> dict[str, Any]:
    """Return all that is known of an item's keywords.

    Raises:
        DataError: if the item has none in the table ``keyword_quality``.
        MissingInputError: if that table was not made yet.
    """
    from mmsra_pipeline.cli.reading import stored, stored_or_none

    quality = stored(paths, Tables.KEYWORD_QUALITY, dataset)
    own = quality[quality[ITEM] == item]
    if own.empty:
        example = f", for example {quality[ITEM].iloc[0]!r}" if len(quality) else ""
        raise DataError(
            f"item {item!r} of dataset {dataset!r} is not in keyword_quality, which has {len(quality)} items{example}. "
            f"Check the id; if the item is new, run `mmsra refresh --dataset {dataset}`."
        )
    [entry] = listed(own, stored(paths, Tables.ITEM_TEXT, dataset))
    drafts = stored_or_none(paths, Tables.DRAFT_KEYWORDS, dataset)
    drafted = None if drafts is None else drafts[drafts[ITEM] == item]
    draft = None if drafted is None or drafted.empty else _lines(drafted.iloc[0])
    return {**entry, "draft": draft, "image": _picture(paths, stored(paths, Tables.ITEM_IMAGES, dataset), item)}


def listed(quality: "pd.DataFrame", item_text: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return rows of ``keyword_quality`` as JSON content, each with what the item's text says."""
    from mmsra_pipeline.evaluation.keyword_report import CONFIDENCES, rounded

    known = item_text[item_text[ITEM].isin(quality[ITEM])].set_index(ITEM)
    entries = []
    for row in quality.to_dict("records"):
        said = known.loc[row[ITEM]] if row[ITEM] in known.index else {TITLE: "", TEXT: ""}
        entries.append(
            {
                "item": str(row[ITEM]),
                "title": said[TITLE] or "",
                "text": _short(said[TEXT] or ""),
                "source": row["source"],
                "well_formed": bool(row["well_formed"]),
                "keywords": _lines(row),
                "confidence": {name: rounded(row[column]) for name, column in CONFIDENCES.items()},
                "retrieval_rank": rounded(row["retrieval_rank"]),
                "copied": rounded(row["copied"]),
                "suspicious": row["suspicious"],
            }
        )
    return entries


def _lines(row: Any) -> dict[str, list[str]]:
    return {name: [str(word) for word in row[column]] for name, column in LINES.items()}


def _picture(paths: Paths, item_images: "pd.DataFrame", item: str) -> dict[str, Any]:
    from mmsra_pipeline.items.picture_store import KIND, OK, SUFFIX
    from mmsra_pipeline.storage.artifacts import Artifacts

    own = item_images[item_images[ITEM] == item]
    if own.empty or own["status"].iloc[0] != OK:
        return {"sha256": None, "path": None, "reason": "unknown item" if own.empty else own["reason"].iloc[0]}
    image = own[IMAGE_HASH].iloc[0]
    place = Artifacts.of(paths).blob_path(KIND, image, SUFFIX)
    return {"sha256": image, "path": paths.remote.address(place), "reason": None}


def _print_item(description: dict[str, Any]) -> None:
    image = description["image"]
    for name, said in {
        "item": description["item"],
        "text": description["text"] or "none",
        "picture": image["path"] or f"none: {image['reason']}",
        "written by": description["source"],
        "has the form": "yes" if description["well_formed"] else "no",
        "rank of its text": _number(description["retrieval_rank"]),
        "copied": _number(description["copied"]),
        "suspicious": description["suspicious"] or "no",
    }.items():
        typer.echo(f"{name:<17} {said}")
    drafted = {name: _words(words) for name, words in (description["draft"] or {}).items()}
    rows = [
        [name, drafted.get(name, "not drafted"), _words(description["keywords"][name]),
         _number(description["confidence"][name])]
        for name in LINES
    ]  # fmt: skip
    print_rows("", ["keywords of", "draft", "now", "p(yes)"], rows)


def _print_list(title: str, entries: Sequence[dict[str, Any]]) -> None:
    names = ["item", "text", "of its picture", "of its text", "p(yes)", "rank", "suspicious"]
    rows = [
        [entry["item"], entry["text"], *(_words(entry["keywords"][name]) for name in LINES),
         "/".join(_number(entry["confidence"][name]) for name in LINES), _number(entry["retrieval_rank"]),
         entry["suspicious"]]
        for entry in entries
    ]  # fmt: skip
    print_rows(title, names, rows)


def _words(words: Sequence[str]) -> str:
    return ", ".join(words) or "none"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _short(text: str) -> str:
    return text if len(text) <= TEXT_CHARS else f"{text[: TEXT_CHARS - 3]}..."
