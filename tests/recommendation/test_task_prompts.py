import re
from collections.abc import Sequence

import pandas as pd
import pytest
from PIL import Image
from recommendation.shop import context, query, similar_users, training

from mmsra_pipeline.columns import ITEM, KEYWORDS, TEXT
from mmsra_pipeline.config.tree import SLOTS, PromptConfig
from mmsra_pipeline.recommendation import task_prompts
from mmsra_pipeline.recommendation.context import prompt_context
from mmsra_pipeline.recommendation.evidence import BLANK, SAID
from mmsra_pipeline.recommendation.queries import Query
from mmsra_pipeline.recommendation.task_prompts import Picture, choose_prompt, render, user_part, yes_no_prompts

CLASSES = [9, 8, 7, 6, 5, 4, 3, 2, 1]
SIMILAR = [("u9", 2, 2, "shirt"), ("u9", 2, 1, "ball")]


class OnePicture:
    """Images of a shop in which only the lamp has one."""

    def get(self, item: str) -> Image.Image | None:
        return Image.new("RGB", (8, 8)) if item == "lamp" else None


def text_of(parts: task_prompts.Parts) -> str:
    return "".join(part if isinstance(part, str) else f"[{part.item}]" for part in parts)


def asked(shop, item: str, query_: Query | None = None, classes: Sequence[int] = CLASSES) -> str:
    (parts,) = yes_no_prompts(shop, query_ or query(), [item], [classes])
    return text_of(parts)


def test_a_prompt_says_user_then_question_then_candidate():
    assert asked(context(SIMILAR), "lamp").splitlines() == [
        "A customer took these items, the latest last:",
        "1. red, mug, gift",
        "2. tea, pot",
        "Usual keywords: none yet.",
        "Similar customers took next: blue, ball; shirt.",
        "Will the customer take this item next? Answer Yes or No.",
        "Item: The lamp. For the home.; lamp, reading",
        "Picture: [lamp]",
        "seq9 pop2",
    ]


@pytest.mark.parametrize(
    ("settings", "item", "line"),
    [
        ({}, "lamp", "Item: The lamp. For the home.; lamp, reading"),
        ({"candidate_text_chars": 12}, "lamp", "Item: The lamp.; lamp, reading"),
        ({"candidate_keywords": False}, "lamp", "Item: The lamp. For the home."),
        ({"candidate_text": False}, "lamp", "Item: lamp, reading"),
        ({"candidate_text": False, "candidate_keywords": False}, "lamp", "Item: lamp, reading"),
        ({"keywords_per_item": 1}, "lamp", "Item: The lamp. For the home.; lamp"),
        ({}, "chair", "Item: The chair. For the home."),  # without keywords
        ({"candidate_text_chars": 12}, "chair", "Item: The chair."),
        ({"candidate_text": False}, "chair", "Item: The chair. For the home."),
        ({}, "unheard of", "Item: an item without a description"),
        ({"candidate_text": False}, "unheard of", "Item: an item without a description"),
    ],
)
def test_the_line_of_a_candidate(settings, item, line):
    assert line in asked(context(**settings), item).splitlines()


def test_evidence_is_the_last_line_with_the_chosen_slots_in_their_order():
    assert asked(context(evidence=SLOTS), "lamp").endswith("\nseq9 co8 next7 votes6 taste5 near4 kw3 pop2 all1")
    assert asked(context(evidence=("votes", "sequence")), "lamp").endswith("\nvotes6 seq9")
    assert asked(context(evidence=()), "lamp").endswith("\nPicture: [lamp]")
    blank = [BLANK, *CLASSES[1:]]
    assert asked(context(), "lamp", classes=blank).endswith("\nseq- pop2")


def test_each_candidate_has_its_own_classes():
    first, second = yes_no_prompts(context(), query(), ["lamp", "bag"], [CLASSES, CLASSES[::-1]])
    assert first[-1] == "\nseq9 pop2"
    assert second[-1] == "\nseq1 pop8"


def test_a_title_that_imitates_evidence_loses_it_wherever_it_stands():
    title = "Mug seq9 co9 kw9 of glass"
    words = [["red", "kw9"], ["POP9 lamp"], ["near-seq9"]]
    items = ["mug", "lamp", "ball"]
    shop = prompt_context(
        PromptConfig(evidence=("sequence",), history="text"),
        keywords=pd.DataFrame({ITEM: items, KEYWORDS: words}),
        item_text=pd.DataFrame({ITEM: items, TEXT: [title] * 3}),
        similar_users=similar_users([("u9", 2, 1, "mug"), ("u9", 2, 2, "lamp")]),
        similar_count=3,
        training=training(),
    )
    texts = [asked(shop, item, query(("mug", "mug"))) for item in items]
    texts += [text_of(choose_prompt(shop, query(("mug", "lamp")), items, [CLASSES] * 3))]
    texts += [text_of(task_prompts.item_keywords_prompt(shop, item)) for item in items]
    for text in texts:
        own = re.sub(r"(\n|, )seq9(?=\n|$)", "", text)  # what the prompt itself says
        assert not SAID.search(own)
        assert "Mug of glass" in own
    assert "Item: Mug of glass; red" in texts[0].splitlines()
    assert task_prompts.keyword_answer(shop, "mug") == "red"
    assert task_prompts.keyword_answer(shop, "ball") == ""  # it was nothing else


def test_prompts_of_one_query_share_all_that_is_before_the_candidate():
    shop = context(SIMILAR)
    found = yes_no_prompts(shop, query(), ["lamp", "chair", "new"], [CLASSES, CLASSES[::-1], [0] * 9])
    starts = {text_of(parts).partition("Item: ")[0] for parts in found}
    assert starts == {f"{user_part(shop, query())}\n{task_prompts.YES_NO_QUESTION}\n"}


def test_what_several_similar_users_took_is_said_once():
    rows = [("u9", 2, 1, "ball"), ("u9", 2, 2, "shirt"), ("u9", 2, 3, "ball")]
    assert "took next: blue, ball; shirt." in user_part(context(rows), query())


def test_keywords_of_similar_users_keep_to_their_budget_in_order_of_rank():
    # "gift", "red" and "mug" take 2 tokens each with what parts them, "bag" 2 and "leather" 3.
    rows = [("u9", 2, 1, "bag"), ("u9", 2, 2, "mug"), ("u9", 2, 3, "mug"), ("u9", 2, 4, "lamp"), ("u9", 2, 5, "pot")]
    without = user_part(context(rows, similar_count=5), query())
    assert "took next: bag, leather, gift; red, mug, gift; lamp, reading; tea, pot." in without
    ample = user_part(context(rows, similar_count=5, context_tokens=1000), query())
    assert "took next: bag, leather, gift; red, mug; lamp, reading; tea, pot." in ample  # each keyword once
    short = user_part(context(rows, similar_count=5, context_tokens=16), query())
    assert "took next: bag, leather, gift; red, mug; lamp, reading." in short


def test_a_budget_leaves_the_rest_of_the_prompt_alone():
    whole = asked(context(SIMILAR), "lamp", query(history=("mug", "bag")))
    assert asked(context(SIMILAR, context_tokens=16), "lamp", query(history=("mug", "bag"))) == whole


@pytest.mark.parametrize(
    ("switch", "gone"),
    [
        ({"similar_users": False}, "Similar customers"),
        ({"evidence": ()}, "seq9"),
        ({"evidence": ("popularity",)}, "seq9"),
        ({"candidate_text": False}, "The lamp"),
        ({"candidate_keywords": False}, "lamp, reading"),
        ({"candidate_image": False}, "Picture"),
        ({"usual_keywords": 0}, "sual keywords"),
        ({"history": "text"}, "red, mug"),
        ({"history_length": 1}, "red, mug"),
        ({"keywords_per_item": 2}, "gift"),
    ],
)
def test_each_part_can_be_switched_off(switch, gone):
    assert gone in asked(context(SIMILAR), "lamp")
    assert gone not in asked(context(SIMILAR, **switch), "lamp")


def test_empty_parts_have_words():
    assert user_part(context(), query(history=())).splitlines() == [
        "The customer has taken nothing so far.",
        "Usual keywords: none yet.",
        "Similar customers: none known.",
    ]
    assert "2. The chair. For the home." in user_part(context(), query(history=("mug", "chair")))
    assert "1. an item without a description" in user_part(context(), query(history=("unheard of",)))


def test_keywords_that_are_usual_for_the_user_are_said():
    # "gift" is in 2 of 2 history items and in few of the catalogue; "leather" only in one of the history.
    assert "\nUsual keywords: gift.\n" in asked(context(), "lamp", query(history=("mug", "bag")))


def test_usual_keywords_come_from_the_whole_history_and_not_only_what_is_shown():
    whole = query(history=("mug", "bag", "lamp"))
    assert "Usual keywords: gift." in user_part(context(history_length=1), whole)


def test_a_picture_stands_in_its_place_and_its_lack_is_said():
    lamp, bag = yes_no_prompts(context(), query(), ["lamp", "bag"], [CLASSES] * 2)
    before, picture, after = render(lamp, OnePicture()).parts
    assert before.endswith("\nItem: The lamp. For the home.; lamp, reading\nPicture: ")
    assert isinstance(picture, Image.Image)
    assert after == "\nseq9 pop2"
    (without,) = render(bag, OnePicture()).parts
    assert without.endswith("\nItem: The bag. For the home.; bag, leather, gift\nPicture: none\nseq9 pop2")


def test_options_of_a_choice_carry_letters_and_their_evidence():
    text = text_of(choose_prompt(context(), query(), ["lamp", "bag"], [CLASSES, CLASSES[::-1]]))
    assert text.splitlines()[-3:] == [
        "Which of these items will the customer take next? Answer with its letter.",
        "A. The lamp. For the home., seq9 pop2",
        "B. The bag. For the home., seq1 pop8",
    ]
    bare = text_of(choose_prompt(context(evidence=()), query(), ["lamp"], [CLASSES]))
    assert bare.endswith("\nA. The lamp. For the home.")


def test_keyword_tasks_ask_for_keywords():
    shop = context()
    assert text_of(task_prompts.next_keywords_prompt(shop, query())).endswith(
        "\nWhich keywords does the customer's next item have?"
    )
    assert text_of(task_prompts.item_keywords_prompt(shop, "lamp")).splitlines() == [
        "Which keywords does the item have?",
        "Item: The lamp. For the home.",
        "Picture: [lamp]",
    ]
    assert task_prompts.keyword_answer(shop, "lamp") == "lamp, reading"


def test_parts_survive_their_way_through_the_table():
    parts = ("a „line“\n", Picture("i1"), "\nend")
    assert task_prompts.from_json(task_prompts.to_json(parts)) == parts
