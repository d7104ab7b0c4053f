from PIL import Image

from mmsra_pipeline.backbone.prompt import Prompt


def test_a_picture_stands_where_it_was_put():
    picture = Image.new("RGB", (2, 2))
    prompt = Prompt(("before", picture, "after"), prefill="Image:")
    assert prompt.messages() == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "before"},
                {"type": "image", "image": picture},
                {"type": "text", "text": "after"},
            ],
        }
    ]
    assert prompt.images == [picture]
