"""Opens a root on S3-compatible storage: its address, its endpoint, and the folder that mirrors it on this machine."""

import os
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from mmsra_pipeline.errors import ConfigError, StorageError
from mmsra_pipeline.storage.files import write_atomically
from mmsra_pipeline.storage.hashing import content_hash
from mmsra_pipeline.storage.mirror import Remote

SCRATCH_VARIABLE: Final = "MMSRA_SCRATCH"
ENDPOINT_VARIABLES: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGION_VARIABLES: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
MIRROR_OF: Final = ".mirror-of"  # in the folder: of which root it is the mirror
CONNECT_SECONDS, ANSWER_SECONDS = 3.0, 30.0
FIRST_ANSWER_SECONDS: Final = 5.0  # of the first question, so that a wrong address is told in seconds
FIRST_TRIES, TRIES = 2, 5
REFUSALS: Final = ("ACCESS_DENIED", "INVALID_ACCESS_KEY", "SIGNATURE", "CREDENTIALS", "TOKEN")


class Address(NamedTuple):
    """Where objects lie."""

    bucket: str
    prefix: str
    endpoint: str
    """URL of the server; empty for Amazon's."""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def base(self) -> str:
        """The bucket and prefix as pyarrow wants them."""
        return f"{self.bucket}/{self.prefix}".rstrip("/")


def open_root(named: str, variable: str) -> tuple[Path, Remote]:
    """Return the mirror's folder and the store of the root that ``variable`` names as a URI.

    Raises:
        ConfigError: if the URI is none of S3, the bucket is not there or refuses the keys, or the folder mirrors
            another root.
        StorageError: if the server does not answer.
    """
    from mmsra_pipeline.storage.object_store import ObjectStore

    address = _address(named, variable)
    _ask(address, variable)
    folder = _mirror(address)
    store = ObjectStore(_system(address, ANSWER_SECONDS, TRIES), address.base, folder, str(address))
    return folder, store


def _address(named: str, variable: str) -> Address:
    parts = urlsplit(named)
    if "@" in parts.netloc or parts.query or parts.fragment:  # the value is not shown: it may hold a secret
        raise ConfigError(
            f"{variable} holds more than s3://BUCKET/PREFIX. Give keys, region and endpoint by AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL."
        )
    if parts.scheme != "s3" or not parts.netloc:
        raise ConfigError(f"{variable}={named}: only s3://BUCKET/PREFIX is known. Name that, or a local folder.")
    path = [part for part in parts.path.split("/") if part]
    if ".." in path or "." in path:
        raise ConfigError(f"{variable}={named}: '.' and '..' lead nowhere in an object store. Write the whole prefix.")
    return Address(parts.netloc, "/".join(path), _endpoint())


def _endpoint() -> str:
    name = next((name for name in ENDPOINT_VARIABLES if os.environ.get(name)), None)
    if name is None:
        return ""
    parts = urlsplit(os.environ[name])
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.path.strip("/"):
        raise ConfigError(f"{name} is not of the form http://HOST:PORT or https://HOST:PORT. Correct it.")
    return f"{parts.scheme}://{parts.netloc}"


def _system(address: Address, answer_seconds: float, tries: int) -> Any:
    from pyarrow import fs

    region = next((os.environ[name] for name in REGION_VARIABLES if os.environ.get(name)), None)
    scheme, _, host = address.endpoint.partition("://")
    return fs.S3FileSystem(
        # With an endpoint of one's own the region is a name only; unset, the cloud's metadata service is waited for.
        region=region or ("us-east-1" if host else None),
        scheme=scheme or "https",
        endpoint_override=host or None,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=answer_seconds,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=tries),
        allow_delayed_open=True,  # a small object is then put by one request, not by three
        background_writes=False,  # else the parts of a large file wait in memory for their turn
    )


def _ask(address: Address, variable: str) -> None:
    """See that the bucket is there and may be listed."""
    from pyarrow import fs

    where = address.endpoint or "Amazon S3"
    try:
        system = _system(address, FIRST_ANSWER_SECONDS, FIRST_TRIES)
        if system.get_file_info(address.bucket).type == fs.FileType.NotFound:
            raise ConfigError(
                f"{variable}={address}: there is no bucket {address.bucket!r} at {where}. Create it, or correct the "
                "name; a server of your own is named by AWS_ENDPOINT_URL."
            )
        system.get_file_info(fs.FileSelector(f"{address.base}/datasets", allow_not_found=True))
    except OSError as error:
        if any(sign in str(error) for sign in REFUSALS):
            raise ConfigError(
                f"{variable}={address}: {where} refuses the keys ({error}). Set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY (or AWS_PROFILE) to keys that may list, read, write and delete there."
            ) from None
        raise StorageError(
            f"{variable}={address}: {where} cannot be asked ({error}). Check AWS_ENDPOINT_URL, AWS_REGION and the "
            "network."
        ) from None


def _mirror(address: Address) -> Path:
    """Return the folder. It is never one that holds something else: the mirror's files follow the store's."""
    told = f"{address} at {address.endpoint or 'Amazon S3'}\n"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    named = os.environ.get(SCRATCH_VARIABLE)
    folder = Path(named).expanduser() if named else cache / "mmsra" / content_hash(told.encode())[:16]
    folder = folder.resolve()
    mark = folder / MIRROR_OF
    if not mark.is_file():
        if folder.is_dir() and any(path.name[0] != "." for path in folder.iterdir()):
            raise ConfigError(f"{SCRATCH_VARIABLE}={folder} holds files of something else. Name an empty folder.")
        write_atomically(mark, told.encode())
    elif (of := mark.read_text()) != told:
        raise ConfigError(
            f"{SCRATCH_VARIABLE}={folder} mirrors {of.strip()}, and not {told.strip()}. Name another folder."
        )
    return folder
