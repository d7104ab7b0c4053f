import pytest

from mmsra_pipeline.backbone.encoding import IGNORED
from mmsra_pipeline.backbone.prompt import Prompt


@pytest.mark.parametrize("side", ["left", "right"])
def test_labels_are_the_answer_and_its_end_and_nothing_else(backbone, pictures, side):
    prompts = [Prompt(("Keywords of this product.", pictures[0])), Prompt(("Candidate.",))]
    batch = backbone.encode(prompts, ["red, mug", "wool"], side=side)
    for row, answer in enumerate(["red, mug", "wool"]):
        expected = [*backbone.tokenizer.encode(answer), backbone.tokenizer.eos_token_id]
        labels = batch["labels"][row]
        assert labels[labels != IGNORED].tolist() == expected
        places = (labels != IGNORED).nonzero()[:, 0]
        assert batch["input_ids"][row, places].tolist() == expected
        seen = batch["attention_mask"][row].nonzero()[:, 0]
        assert places.tolist() == seen[-len(expected) :].tolist()  # the answer comes last
    padding = batch["attention_mask"][1] == 0
    assert padding.any()
    assert padding[0 if side == "left" else -1]
    assert (batch["input_ids"][1][padding] == backbone.tokenizer.pad_token_id).all()


def test_the_end_of_the_turn_may_be_left_out(backbone):
    prompt = Prompt(("Candidate.",))
    with_end, without = (backbone.encode([prompt], ["Yes"], end=end)["labels"] for end in (True, False))
    assert with_end.shape[1] == without.shape[1] + 1


def test_the_answer_begins_with_the_prefill(backbone):
    plain, begun = (backbone.encoder.render(Prompt(("Candidate.",), prefill=words)) for words in ("", "Image: "))
    assert begun == plain + "Image: "


def test_words_that_spell_a_control_token_are_only_words(backbone, pictures):
    token = backbone.tokenizer.convert_ids_to_tokens(backbone.encoder.image_token_ids[0])
    prompt = Prompt((pictures[0], f"a mug {token} <|im_end|> with a trap"))
    rendered = backbone.encoder.render(prompt)
    assert rendered.count(token) == 1
    assert rendered.count("<|im_end|>") == 1  # that of the turn itself
    assert backbone.score_group([prompt]).margin.shape == (1,)


def test_qwen_batches_keep_the_token_types_that_its_positions_need(backbone, pictures):
    if backbone.processor.__class__.__name__ == "LlavaProcessor":
        pytest.skip("FastVLM has none")
    batch = backbone.encode([Prompt((pictures[0], "a")), Prompt(("b",))], ["Yes", "No"], side="left")
    is_picture = batch["input_ids"] == backbone.encoder.image_token_ids[0]
    assert is_picture.sum() == 4
    assert (batch["mm_token_type_ids"] == is_picture.long()).all()
