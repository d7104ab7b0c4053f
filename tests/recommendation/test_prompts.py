import pytest
from PIL import Image
from recommendation.shop import context, query

from mmsra_pipeline.recommendation import prompts
from mmsra_pipeline.recommendation.prompts import Picture, candidate_parts, render, user_part, yes_no_prompt

SIMILAR = [("u9", 2, 2, "shirt"), ("u9", 2, 1, "ball")]


class OnePicture:
    """Images of a shop in which only the lamp has one."""

    def get(self, item: str) -> Image.Image | None:
        return Image.new("RGB", (8, 8)) if item == "lamp" else None


def text_of(parts: prompts.Parts) -> str:
    return "".join(part if isinstance(part, str) else f"[{part.item}]" for part in parts)


def test_a_prompt_says_user_then_question_then_candidate():
    shown = text_of(yes_no_prompt(context(SIMILAR), query(), "lamp"))
    lines = shown.splitlines()
    assert lines[:9] == [
        "A customer took these items, the latest last:",
        "1. red, mug, gift",
        "2. tea, pot",
        "Usual keywords: none yet.",
        "Similar customers took next: blue, ball; shirt.",
        "Will the customer take this item next? Answer Yes or No.",
        "Item: The lamp. For the home.",
        "Picture: [lamp]",
        "Usual keywords it has: none.",
    ]
    soon = "Taken soon after 2 of these by one user, right after the latest by one user. Popularity: "
    assert lines[9].startswith(soon)
    assert lines[10:] == ["Yes or No?"]


def test_what_several_similar_users_took_is_said_once():
    rows = [("u9", 2, 1, "ball"), ("u9", 2, 2, "shirt"), ("u9", 2, 3, "ball")]
    assert "took next: blue, ball; shirt." in user_part(context(rows), query())


@pytest.mark.parametrize(("kind", "shown"), [("similar_users", (True, False)), ("cooccurrence", (False, True)),
                                             ("both", (True, True)), ("none", (False, False))])  # fmt: skip
def test_the_context_is_similar_users_or_cooccurrence_or_both_or_none(kind, shown):
    text = text_of(yes_no_prompt(context(SIMILAR, context=kind), query(), "lamp"))
    assert ("Similar customers took next: " in text, "Popularity: " in text) == shown


def test_keywords_of_similar_users_keep_to_their_budget_in_order_of_rank():
    # "gift", "red" and "mug" take 2 tokens each with what parts them, "bag" 2 and "leather" 3.
    rows = [("u9", 2, 1, "bag"), ("u9", 2, 2, "mug"), ("u9", 2, 3, "mug"), ("u9", 2, 4, "lamp"), ("u9", 2, 5, "pot")]
    without = user_part(context(rows), query())
    assert "took next: bag, leather, gift; red, mug, gift; lamp, reading; tea, pot." in without
    ample = user_part(context(rows, context_tokens=1000), query())
    assert "took next: bag, leather, gift; red, mug; lamp, reading; tea, pot." in ample  # each keyword once
    short = user_part(context(rows, context_tokens=16), query())
    assert "took next: bag, leather, gift; red, mug; lamp, reading." in short


def test_a_budget_leaves_the_rest_of_the_prompt_alone():
    asked = query(history=("mug", "bag"))
    whole = text_of(yes_no_prompt(context(SIMILAR), asked, "lamp"))
    assert text_of(yes_no_prompt(context(SIMILAR, context_tokens=16), asked, "lamp")) == whole


def test_prompts_of_two_candidates_share_all_that_is_said_of_the_user():
    shop = context(SIMILAR)
    for item in ("lamp", "chair", "new"):
        assert text_of(yes_no_prompt(shop, query(), item)).startswith(
            user_part(shop, query()) + "\nWill the customer take"
        )


@pytest.mark.parametrize(
    ("switch", "gone"),
    [
        ({"context": "cooccurrence"}, "Similar customers"),
        ({"context": "none"}, "Similar customers"),
        ({"context": "none"}, "Popularity"),
        ({"candidate_text": False}, "Item: "),
        ({"candidate_image": False}, "Picture"),
        ({"context": "similar_users"}, "Popularity"),
        ({"usual_keywords": 0}, "sual keywords"),
        ({"history": "text"}, "red, mug"),
        ({"history_length": 1}, "red, mug"),
        ({"keywords_per_item": 2}, "gift"),
    ],
)
def test_each_part_can_be_switched_off(switch, gone):
    shop, other = context(SIMILAR), context(SIMILAR, **switch)
    assert gone in text_of(yes_no_prompt(shop, query(), "lamp"))
    assert gone not in text_of(yes_no_prompt(other, query(), "lamp"))


def test_candidate_keywords_can_be_switched_on():
    assert "Keywords: lamp, reading" in text_of(candidate_parts(context(candidate_keywords=True), query(), "lamp"))


def test_empty_parts_have_words():
    assert user_part(context(), query(history=())).splitlines() == [
        "The customer has taken nothing so far.",
        "Usual keywords: none yet.",
        "Similar customers: none known.",
    ]
    assert "2. The chair. For the home." in user_part(context(), query(history=("mug", "chair")))
    assert "1. an item without a description" in user_part(context(), query(history=("unheard of",)))
    assert "Item: an item without a description" in text_of(candidate_parts(context(), query(), "unheard of"))


def test_a_training_positive_never_counts_itself():
    # Of all customers only u2 took the lamp after the mug and the pot, and the query is u2's own.
    shop = context()
    asked = query(history=("mug", "pot"), user="u2", day=None)
    assert "Taken soon after none" in text_of(yes_no_prompt(shop, asked, "lamp"))
    other = query(history=("mug", "pot"), user="u1", day=None)
    assert "Taken soon after 2 of these by one user" in text_of(yes_no_prompt(shop, other, "lamp"))


def test_keywords_that_are_usual_for_the_user_are_said_and_which_the_candidate_has():
    # "gift" is in 2 of 2 history items and 2 of 8 in the catalogue; "leather" only in one of the history.
    asked = query(history=("mug", "bag"))
    assert "\nUsual keywords: gift.\n" in user_part(context(), asked) + "\n"
    assert "\nUsual keywords it has: 1, gift.\n" in text_of(yes_no_prompt(context(), asked, "mug"))
    assert "\nUsual keywords it has: none.\n" in text_of(yes_no_prompt(context(), asked, "lamp"))


def test_usual_keywords_come_from_the_whole_history_and_not_only_what_is_shown():
    asked = query(history=("mug", "bag", "lamp"))
    assert "Usual keywords: gift." in user_part(context(history_length=1), asked)


def test_evidence_knows_only_what_was_before_the_query():
    shop = context()
    assert "Taken soon after none" in text_of(yes_no_prompt(shop, query(day=4), "lamp"))  # u2 took it on day 4
    assert "Taken soon after 2" in text_of(yes_no_prompt(shop, query(day=5), "lamp"))


def test_a_picture_stands_in_its_place_and_its_lack_is_said():
    shop = context()
    before, picture, after = render(yes_no_prompt(shop, query(), "lamp"), OnePicture()).parts
    assert before.endswith("\nItem: The lamp. For the home.\nPicture: ")
    assert isinstance(picture, Image.Image)
    assert after.startswith("\nUsual keywords it has: ")
    (without,) = render(yes_no_prompt(shop, query(), "bag"), OnePicture()).parts
    assert "\nItem: The bag. For the home.\nPicture: none\nUsual keywords it has: " in without


def test_options_of_a_choice_carry_letters():
    shown = text_of(prompts.choose_prompt(context(context="similar_users"), query(), ["lamp", "bag"]))
    assert shown.splitlines()[-3:] == [
        "Which of these items will the customer take next? Answer with its letter.",
        "A. The lamp. For the home.",
        "B. The bag. For the home.",
    ]


def test_keyword_tasks_ask_for_keywords():
    shop = context()
    assert text_of(prompts.next_keywords_prompt(shop, query())).endswith(
        "\nWhich keywords does the customer's next item have?"
    )
    assert text_of(prompts.item_keywords_prompt(shop, "lamp")).splitlines() == [
        "Which keywords does the item have?",
        "Item: The lamp. For the home.",
        "Picture: [lamp]",
    ]
    assert prompts.keyword_answer(shop, "lamp") == "lamp, reading"


def test_parts_survive_their_way_through_the_table():
    parts = ("a „line“\n", Picture("i1"), "\nend")
    assert prompts.from_json(prompts.to_json(parts)) == parts
