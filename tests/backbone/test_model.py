import json
import shutil

import huggingface_hub.constants
import numpy as np
import pytest
import torch
from PIL import Image
from tiny import tiny_backbone, tiny_checkpoint, tiny_config, tiny_tokenizer
from transformers import AutoProcessor, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from mmsra_pipeline.backbone.completion import cut
from mmsra_pipeline.backbone.model import load_backbone, open_backbone
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.config.tree import BackboneConfig
from mmsra_pipeline.errors import ConfigError, MissingInputError


def test_a_picture_makes_a_difference(backbone, pictures):
    prompts = [Prompt((picture, "Answer Yes or No.")) for picture in pictures]
    assert np.ptp(backbone.score_group(prompts).margin) > 0.01
    # greedy answers of a random model loop; the likelihood of one and the same answer still tells pictures apart
    likelihoods = [values[0] for values in backbone.log_likelihood(prompts, ["red"] * 3)]
    assert np.ptp(likelihoods) > 0.01


def test_padding_changes_no_answer(backbone, pictures):
    prompts = [
        Prompt(("Keywords of this product: " + "wool, " * 9,)),
        Prompt((pictures[0], "Candidate.")),
        Prompt(("Yes",), prefill="Image: "),
        Prompt((pictures[1], "Will the user buy it?", pictures[2])),
    ]
    together = backbone.generate(prompts, max_new_tokens=6, stop=None)
    assert together == [backbone.generate([prompt], max_new_tokens=6, stop=None)[0] for prompt in prompts]
    assert len(set(together)) > 1


def test_answers_hold_neither_prompt_nor_prefill(backbone):
    with torch.no_grad():
        answer = backbone.generate([Prompt(("Candidate.",), prefill="Image: red")], max_new_tokens=4)[0]
    assert "Candidate" not in answer
    assert not answer.startswith("Image: red")


def test_sampling_repeats_under_its_seed_and_leaves_the_global_state_alone(backbone):
    prompts = [Prompt(("Candidate.",))] * 4
    state = torch.get_rng_state()
    first, again, other = (
        backbone.generate(prompts, max_new_tokens=8, temperature=2.0, seed=seed, stop=None) for seed in (1, 1, 2)
    )
    assert first == again != other
    assert len(set(first)) > 1
    assert torch.equal(torch.get_rng_state(), state)


def test_no_token_of_a_picture_is_ever_sampled(backbone):
    inputs = backbone.encode([Prompt(("Candidate.",))] * 32)
    torch.manual_seed(0)
    # as a trainer samples: with the model's own generation settings; so hot that every token has its turn
    tokens = backbone.model.generate(**inputs, max_new_tokens=64, do_sample=True, temperature=1e4, top_k=0)
    fresh = tokens[:, inputs["input_ids"].shape[1] :]
    assert len(fresh.unique()) > 300
    assert not set(fresh.unique().tolist()) & set(backbone.encoder.image_token_ids)


def test_an_answer_ends_before_its_stop_text(backbone):
    prompts = [Prompt(("Candidate.",)), Prompt(("Yes",))]
    free = backbone.generate(prompts, max_new_tokens=12, temperature=2.0, stop=None)
    stop = next(pair for pair in zip(free[0][2:], free[0][3:]) if "".join(pair).isascii())
    stop = "".join(stop)
    assert backbone.generate(prompts[:1], max_new_tokens=12, temperature=2.0, stop=None)[0].count(stop)
    assert backbone.generate(prompts, max_new_tokens=12, temperature=2.0, stop=stop)[0] == free[0].split(stop)[0]
    assert cut("Image: red\nText: wool\n\nand so on", "\n\n") == "Image: red\nText: wool"


def test_generation_stops_early_when_every_answer_has_its_stop_text(backbone):
    prompt = Prompt(("Candidate.",))
    free = backbone.generate([prompt], max_new_tokens=40, temperature=2.0, stop=None)[0]
    steps = []
    handle = backbone.model.get_input_embeddings().register_forward_hook(lambda *_: steps.append(1))
    backbone.generate([prompt], max_new_tokens=40, temperature=2.0, stop=free[0])
    handle.remove()
    assert len(steps) < 20


def test_nothing_is_generated_for_no_prompt(backbone):
    assert backbone.generate([], max_new_tokens=4) == []


def test_padding_is_on_the_left_also_where_a_checkpoint_does_not_say_so(tmp_path, artifacts):
    folder = tiny_checkpoint(tmp_path / "tiny")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("padding_side")  # then it is right
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    backbone = load_backbone(tiny_config(folder), artifacts)
    assert backbone.tokenizer.padding_side == "left"
    backbone.processor.save_pretrained(tmp_path / "saved")
    assert AutoTokenizer.from_pretrained(tmp_path / "saved").padding_side == "left"


def test_a_picture_fills_the_side_that_is_asked_for(tmp_path, artifacts):
    folder = tiny_checkpoint(tmp_path / "tiny")
    backbone = load_backbone(tiny_config(folder, image_side=64), artifacts)
    pixels = backbone.encode([Prompt((Image.new("RGB", (90, 90), "red"),))])["pixel_values"]
    assert pixels.shape == (1, 3, 64, 64)
    assert pixels[0, 0].min() == pixels[0, 0].max() == 1.0
    assert pixels[0, 1:].max() == -1.0


def test_a_saved_fastvlm_loads_with_the_auto_classes(tmp_path):
    processor = AutoProcessor.from_pretrained(tiny_checkpoint(tmp_path / "tiny"))
    assert processor.image_token_id == 3


def test_operations_leave_the_mode_as_they_found_it(tmp_path):
    backbone = tiny_backbone(tmp_path)
    backbone.model.train()
    backbone.generate([Prompt(("Candidate.",))], max_new_tokens=2)
    assert backbone.model.training
    assert not backbone.model.model.vision_tower.training


def test_the_fingerprint_names_content_and_not_place(tmp_path, artifacts):
    folder = tiny_checkpoint(tmp_path / "tiny")
    shutil.copytree(folder, tmp_path / "copy")
    other = tiny_checkpoint(tmp_path / "other", seed=1)

    def named(folder, **settings):
        return load_backbone(tiny_config(folder, **settings), artifacts).fingerprint

    assert named(folder) == named(tmp_path / "copy")
    assert len({named(folder), named(other), named(folder, image_side=64), named(folder, dtype="bfloat16")}) == 4


def test_an_opened_backbone_reads_its_weights_at_the_first_use(tmp_path, artifacts):
    folder = tiny_checkpoint(tmp_path / "tiny")
    opened, loaded = (make(tiny_config(folder), artifacts) for make in (open_backbone, load_backbone))
    assert opened.fingerprint == loaded.fingerprint
    assert ["model" in vars(backbone) for backbone in (opened, loaded)] == [False, True]
    prompts = [Prompt(("one",)), Prompt(("two",))]
    assert opened.score_group(prompts).margin.tolist() == loaded.score_group(prompts).margin.tolist()


def test_a_missing_adapter_is_reported_before_the_weights_are_read(tmp_path, artifacts):
    with pytest.raises(MissingInputError, match=r"none holds no adapter .*Materialize the asset that writes it"):
        open_backbone(tiny_config(tiny_checkpoint(tmp_path / "tiny")), artifacts, [tmp_path / "none"])


def test_more_pixels_give_more_picture_tokens(tmp_path, artifacts, pictures):
    for kind, small, large, expected in (("fastvlm", 32, 64, (16, 64)), ("qwen2_5_vl", 56, 112, (4, 9))):
        folder = tiny_checkpoint(tmp_path / kind, kind)
        counts = []
        for side in (small, large):
            backbone = load_backbone(tiny_config(folder, kind, image_side=side), artifacts)
            ids = backbone.encode([Prompt((pictures[0].resize((90, 90)),))])["input_ids"]
            counts.append(int((ids == backbone.encoder.image_token_ids[0]).sum()))
        assert tuple(counts) == expected


def test_a_folder_without_a_checkpoint_is_a_config_error(tmp_path, artifacts):
    with pytest.raises(ConfigError, match=r"the folder has no config.json.*Name the folder that `save_pretrained`"):
        load_backbone(BackboneConfig(model=str(tmp_path)), artifacts)


def test_a_path_that_leads_nowhere_is_a_config_error(tmp_path, artifacts):
    with pytest.raises(ConfigError, match=r"missing: no such folder. Correct the path"):
        load_backbone(BackboneConfig(model=str(tmp_path / "missing")), artifacts)


def test_a_hub_name_without_hub_and_cache_says_how_to_fix_it(artifacts, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingInputError, match=r"nobody/no-such-model could not be read.*set backbone.model to"):
        load_backbone(BackboneConfig(model="nobody/no-such-model"), artifacts)


def test_a_language_model_without_pictures_is_refused(tmp_path, artifacts):
    config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="is a 'llama' model, which does not take pictures and text"):
        load_backbone(BackboneConfig(model=str(tmp_path)), artifacts)


def test_a_picture_side_that_does_not_fit_is_refused(tmp_path, artifacts):
    folder = tiny_checkpoint(tmp_path / "tiny")
    with pytest.raises(ConfigError, match=r"image_side=30 is no multiple of 8.*Use 24 or 32"):
        load_backbone(tiny_config(folder, image_side=30), artifacts)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_cuda_device_is_a_config_error(tmp_path, artifacts):
    folder = tiny_checkpoint(tmp_path / "tiny")
    with pytest.raises(ConfigError, match=r"torch finds no CUDA device. Set it to 'auto' or 'cpu'"):
        load_backbone(tiny_config(folder, device="cuda"), artifacts)
