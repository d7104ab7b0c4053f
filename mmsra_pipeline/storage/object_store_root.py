"""Opens a root on S3-compatible storage: its address, its endpoint, and the folder that mirrors it on this machine."""

import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from mmsra_pipeline.errors import ConfigError, StorageError
from mmsra_pipeline.storage.files import write_atomically
from mmsra_pipeline.storage.hashing import content_hash
from mmsra_pipeline.storage.locks import locked
from mmsra_pipeline.storage.mirror import Remote

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

SCRATCH_VARIABLE: Final = "MMSRA_SCRATCH"
ENDPOINT_VARIABLES: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGION_VARIABLES: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
MIRROR_OF: Final = ".mirror-of"  # in the folder: of which root it is the mirror
MACHINE: Final = ".machine"  # in the folder: a name of it
CONNECT_SECONDS, ANSWER_SECONDS = 3.0, 30.0
FIRST_ANSWER_SECONDS: Final = 5.0  # of the first question, so that a wrong address is reported in seconds
FIRST_TRIES, TRIES = 2, 5
WHOLE_OBJECT: Final = timedelta(days=1)  # to bring or put, however large it is
REFUSALS: Final = ("401 Unauthorized", "403 Forbidden")  # errors of a listing have no class of their own
KEYS_FIX: Final = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE) to keys that may list, read, write and delete "
    "there."
)


class Address(NamedTuple):
    """Where objects lie."""

    bucket: str
    prefix: str
    endpoint: str
    """URL of the server; empty for Amazon's."""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


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
    return folder, ObjectStore(_system(address, ANSWER_SECONDS, TRIES), folder, str(address), _machine(folder))


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


def _system(address: Address, answer_seconds: float, tries: int) -> "S3Store":
    from obstore.store import S3Store

    # With an endpoint of one's own the region is a name only.
    config: S3Config = {"region": "us-east-1", "endpoint": address.endpoint} if address.endpoint else {}
    if region := next((os.environ[name] for name in REGION_VARIABLES if os.environ.get(name)), None):
        config["region"] = region
    return S3Store(
        address.bucket,
        prefix=address.prefix or None,
        config=config,
        credential_provider=_credentials(),
        client_options={
            "allow_http": address.endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "read_timeout": timedelta(seconds=answer_seconds),
            "timeout": WHOLE_OBJECT,
        },
        retry_config={"max_retries": tries - 1},
    )


def _credentials() -> Any:
    """Return who gives the keys, if neither the environment nor the machine itself does: Amazon's own library.

    Raises:
        ConfigError: if only that library could, and it is not there, or finds none.
    """
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return None
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider

        return Boto3CredentialProvider()
    except ImportError:
        if os.environ.get("AWS_PROFILE"):
            raise ConfigError(
                "AWS_PROFILE is read by boto3, which is not installed. Run `pip install boto3`, or set "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            ) from None
        return None
    except Exception as error:  # noqa: BLE001  # of botocore, which is not there to be named
        raise ConfigError(f"boto3 finds no keys ({error}). {KEYS_FIX}") from None


def _ask(address: Address, variable: str) -> None:
    """See that the bucket is there and may be listed."""
    import obstore
    from obstore.exceptions import BaseError

    from mmsra_pipeline.storage.object_store import in_short

    where = address.endpoint or "Amazon S3"
    try:
        next(iter(obstore.list(_system(address, FIRST_ANSWER_SECONDS, FIRST_TRIES), "datasets")), None)
    except BaseError as error:
        said = in_short(error)
        if "NoSuchBucket" in said:
            raise ConfigError(
                f"{variable}={address}: there is no bucket {address.bucket!r} at {where}. Create it, or correct the "
                "name; a server of your own is named by AWS_ENDPOINT_URL."
            ) from None
        if any(sign in said for sign in REFUSALS):
            raise ConfigError(f"{variable}={address}: {where} refuses the keys ({said}). {KEYS_FIX}") from None
        raise StorageError(
            f"{variable}={address}: {where} cannot be asked ({said}). Check AWS_ENDPOINT_URL, AWS_REGION and the "
            "network."
        ) from None


def _machine(folder: Path) -> str:
    """Return a name that no other machine has: of this mirror, in which processes see each other's locks."""
    file = folder / MACHINE
    with locked(folder / f"{MACHINE}.lock", "the name of this machine"):
        if not file.is_file():
            write_atomically(file, secrets.token_hex(8).encode())
    return file.read_text()


def _mirror(address: Address) -> Path:
    """Return the folder. It is never one that holds something else: the mirror's files follow the store's."""
    identity = f"{address} at {address.endpoint or 'Amazon S3'}\n"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    named = os.environ.get(SCRATCH_VARIABLE)
    folder = Path(named).expanduser() if named else cache / "mmsra" / content_hash(identity.encode())[:16]
    folder = folder.resolve()
    mark = folder / MIRROR_OF
    if not mark.is_file():
        if folder.is_dir() and any(path.name[0] != "." for path in folder.iterdir()):
            raise ConfigError(f"{SCRATCH_VARIABLE}={folder} holds files of something else. Name an empty folder.")
        write_atomically(mark, identity.encode())
    elif (of := mark.read_text()) != identity:
        raise ConfigError(
            f"{SCRATCH_VARIABLE}={folder} mirrors {of.strip()}, and not {identity.strip()}. Name another folder."
        )
    return folder
