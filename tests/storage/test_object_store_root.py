"""Which object stores can be a root, and what is said of those that cannot."""

import socket
import sys
import time

import pytest
from s3_server import ask

from mmsra_pipeline.cli.doctor import examine
from mmsra_pipeline.errors import ConfigError, StorageError
from mmsra_pipeline.storage.paths import find_paths

SECONDS = 30


@pytest.fixture
def root(monkeypatch, tmp_path, bucket):
    """Sets the root."""

    def setting(uri):
        monkeypatch.setenv("MMSRA_ROOT", uri)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.delenv("MMSRA_SCRATCH", raising=False)

    setting(f"s3://{bucket}/a/b")
    return setting


def refusal(kind=ConfigError):
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        find_paths()
    assert time.monotonic() - began < SECONDS
    return str(caught.value)


def test_each_root_has_a_mirror_of_its_own_in_the_cache_of_the_user(root, bucket, tmp_path):
    first = find_paths().root
    assert first.parent == tmp_path / "cache" / "mmsra"
    assert find_paths().root == first
    root(f"s3://{bucket}/a/c")
    assert find_paths().root != first


def test_a_slash_more_or_less_names_the_same_root(root, bucket):
    first = find_paths()
    root(f"s3://{bucket}//a/b/")
    assert find_paths().root == first.root
    assert find_paths().remote.address(first.datasets) == f"s3://{bucket}/a/b/datasets"


def test_a_bucket_alone_can_be_a_root(root, bucket):
    root(f"s3://{bucket}")
    paths = find_paths()
    paths.remote.write(paths.data / "current", b"x")
    assert [entry.path for entry in paths.remote.listing(paths.data)] == [paths.data / "current"]


def test_descriptions_of_data_sets_come_and_go_with_the_store(machine):
    one, two = machine("one"), machine("two")
    one.remote.write(one.datasets / "shop.yaml", b"format: sample\n")
    assert [path.name for path in machine("two").datasets.iterdir()] == ["shop.yaml"]
    one.remote.write(one.datasets / "shop.yaml", b"format: tables\n")
    assert (machine("two").datasets / "shop.yaml").read_bytes() == b"format: tables\n"
    one.remote.delete(one.datasets / "shop.yaml")
    machine("two")
    assert list(two.datasets.iterdir()) == []


def test_a_bucket_that_is_not_there_is_named(root):
    root("s3://no-such-bucket/a")
    said = refusal()
    assert "MMSRA_ROOT=s3://no-such-bucket/a: there is no bucket 'no-such-bucket' at http://127.0.0.1:" in said
    assert "Create it" in said


def test_keys_that_the_server_does_not_know_are_refused_and_not_shown(root, s3_url, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    ask(f"{s3_url}/moto-api/reset-auth", "POST", b"0")  # from now on keys are checked
    try:
        said = refusal()
    finally:
        ask(f"{s3_url}/moto-api/reset-auth", "POST", b"inf")
    assert "refuses the keys" in said
    assert "Set AWS_ACCESS_KEY_ID" in said
    assert "very-secret" not in said


def test_keys_of_a_profile_are_read_by_amazons_own_library(root, monkeypatch, tmp_path):
    (tmp_path / "credentials").write_text("[mine]\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    paths = find_paths()
    paths.remote.write(paths.data / "current", b"x")
    assert paths.remote.read(paths.data / "current") == b"x"
    monkeypatch.setenv("AWS_PROFILE", "none")
    assert "boto3 finds no keys (The config profile (none) could not be found)" in refusal()
    monkeypatch.setitem(sys.modules, "obstore.auth.boto3", None)
    assert "Run `pip install boto3`" in refusal()


def test_a_server_that_is_not_there_is_reported_in_seconds(root, monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # and does not listen
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
        said = refusal(StorageError)
    assert "cannot be asked" in said
    assert "Check AWS_ENDPOINT_URL" in said


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_reported_in_seconds(root, monkeypatch):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert "cannot be asked" in refusal(StorageError)


@pytest.mark.parametrize("uri", ["gs://bucket/a", "s3:///a", "hdfs://x"])
def test_other_stores_are_refused(root, uri):
    root(uri)
    assert f"MMSRA_ROOT={uri}: only s3://BUCKET/PREFIX is known" in refusal()


@pytest.mark.parametrize("uri", ["s3://key:very-secret@bucket/a", "s3://bucket/a?secret_key=very-secret"])
def test_keys_in_the_root_are_refused_and_not_shown(root, uri):
    root(uri)
    said = refusal()
    assert "AWS_SECRET_ACCESS_KEY" in said
    assert "very-secret" not in said


def test_an_endpoint_that_is_no_address_is_refused_and_not_shown(root, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://me:very-secret@host:9000")
    said = refusal()
    assert "AWS_ENDPOINT_URL is not of the form http://HOST:PORT" in said
    assert "very-secret" not in said


def test_a_mirror_is_never_a_folder_that_holds_something_else(root, monkeypatch, tmp_path):
    (tmp_path / "mine" / "datasets").mkdir(parents=True)
    (tmp_path / "mine" / "datasets" / "shop.yaml").write_text("format: sample\n")
    monkeypatch.setenv("MMSRA_SCRATCH", str(tmp_path / "mine"))
    assert "holds files of something else" in refusal()
    assert (tmp_path / "mine" / "datasets" / "shop.yaml").is_file()


def test_a_mirror_is_never_that_of_another_root(root, monkeypatch, tmp_path, bucket):
    monkeypatch.setenv("MMSRA_SCRATCH", str(tmp_path / "mirror"))
    find_paths()
    monkeypatch.setenv("MMSRA_ROOT", f"s3://{bucket}/other")
    assert f"mirrors s3://{bucket}/a/b at http" in refusal()


def test_the_doctor_says_where_the_root_is_and_what_the_mirror_alone_knows(root, bucket, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    found = {(finding.state, finding.subject): finding.found for finding in examine()}
    assert found["ok", "root"] == f"s3://{bucket}/a/b, mirrored in {find_paths().root}"
    assert "known in" in found["note", "dagster"]
    monkeypatch.setenv("DAGSTER_HOME", "/kept")
    assert ("note", "dagster") not in {(finding.state, finding.subject) for finding in examine()}
