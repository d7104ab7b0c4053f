import pytest
import torch

from mmsra_pipeline.backbone.devices import device_name, find_device
from mmsra_pipeline.errors import ConfigError


@pytest.fixture(params=[False, True], ids=["no gpu", "gpu"])
def there(request, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param)
    return request.param


def test_auto_takes_cuda_where_there_is_one(there):
    assert find_device("auto") == ("cuda" if there else "cpu")
    assert find_device("cpu") == device_name("cpu") == "cpu"


def test_cuda_that_is_not_there_is_an_error(there):
    if there:
        assert find_device("cuda") == "cuda"
    else:
        with pytest.raises(ConfigError, match="finds no CUDA device"):
            device_name("cuda")


@pytest.mark.parametrize(
    ("visible", "name"),
    [(None, "cuda-0"), ("", "cuda-0"), ("1", "cuda-1"), ("3,1", "cuda-3"), ("GPU-ab1", "cuda-GPU-ab1")],
)
def test_processes_that_see_different_devices_first_do_not_share_one(monkeypatch, visible, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device_name("auto") == name
