"""One object made of parts that several processes send: the multipart upload of S3.

With obstore one call makes a multipart upload from its first part to its last; only the provider's own client lets
another process add a part. This one is botocore: it finds credentials where AWS's own tools do, and knows when they
expire.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from fieldpack.errors import (
    BlobDamaged,
    BlobMissing,
    ConfigError,
    StorageError,
    StorageFull,
    StorageUnavailable,
    UploadGone,
)

__all__ = ["Multipart", "UnfinishedObject"]

LIST_PAGE = 1000
CONNECT_SECONDS = 5
READ_SECONDS = 120
TRIES = 6
_FULL_CODES = ("InsufficientStorage", "StorageFull", "QuotaExceeded", "507")
_GONE_CODES = ("NoSuchUpload",)
_REFUSED_STATUS = (400, 401, 403, 405)


@dataclass(frozen=True, slots=True)
class UnfinishedObject:
    """A multipart upload that was begun and neither completed nor aborted."""

    key: str
    upload_id: str
    begun_at: datetime


@contextmanager
def _translated(key: str) -> Iterator[None]:
    """Turn what botocore says into what `Storage` promises."""
    from botocore import exceptions

    try:
        yield
    except exceptions.ClientError as error:
        found = error.response.get("Error", {})
        code, status = found.get("Code", ""), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        said = f"{code}: {found.get('Message', '')}"[:300]
        if code in _GONE_CODES:
            raise UploadGone(f"The multipart upload of {key} is gone.") from None
        if code in ("NoSuchKey", "404"):
            raise BlobMissing(f"{key} is not in storage.") from None
        if code in ("InvalidPart", "InvalidPartOrder", "EntityTooSmall", "InvalidRange"):
            raise BlobDamaged(f"The bucket does not take the parts of {key}: {said}.") from error
        if code == "RequestTimeTooSkewed":
            raise StorageError(
                f"The bucket refused a request because this machine's clock is wrong: {said}. Set the clock."
            ) from error
        if code in _FULL_CODES:
            raise StorageFull(
                "The bucket that files are stored in is full: raise its quota and try again."
            ) from error
        if status in _REFUSED_STATUS:
            raise StorageError(f"The bucket refused access: {said}. Check its credentials.") from error
        raise StorageUnavailable(f"The bucket failed: {said}") from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise StorageError(f"The bucket can't be used: {error}") from error
    except exceptions.BotoCoreError as error:
        raise StorageUnavailable(f"The bucket failed: {str(error)[:300]}") from error


class Multipart:
    """Multipart uploads below the prefix of one S3 bucket, from any number of processes. Methods block.

    Args:
        url: `s3://bucket/prefix`.
        link_endpoint: where clients reach the bucket, if elsewhere than this process does; links are signed
            for it.

    Raises:
        ConfigError: botocore is not installed, or links could die with credentials of unknown expiry.
    """

    def __init__(self, url: str, link_endpoint: str | None = None) -> None:
        parts = urlsplit(url)
        self._bucket = parts.netloc
        self._prefix = parts.path.strip("/")
        try:
            import botocore.session
        except ModuleNotFoundError:
            raise ConfigError(
                "`store` delivery to S3 needs botocore: pip install 'fieldpack[store]'."
            ) from None
        if os.environ.get("AWS_SESSION_TOKEN") and not os.environ.get("AWS_CREDENTIAL_EXPIRATION"):
            raise ConfigError(
                "AWS_SESSION_TOKEN is set without AWS_CREDENTIAL_EXPIRATION: links would die with credentials"
                " whose end nobody knows. Set it, or use a role that the machine is given."
            )
        self._session = botocore.session.Session()
        endpoint = _endpoint()
        self._client = self._make_client(endpoint)
        self._signer = self._client if link_endpoint is None else self._make_client(link_endpoint)

    def _make_client(self, endpoint: str | None) -> Any:
        from botocore.config import Config

        virtual = os.environ.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "").lower() in ("1", "true")
        config = Config(
            signature_version="s3v4",
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": TRIES},
            max_pool_connections=32,
            s3={"addressing_style": "virtual" if virtual or endpoint is None else "path"},
        )
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        return self._session.create_client("s3", region_name=region, endpoint_url=endpoint, config=config)

    def _full(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    def begin(self, key: str, *, file_name: str, content_type: str) -> str:
        """Begin an object that appears once it is finished; the id that its parts go under."""
        with _translated(key):
            made = self._client.create_multipart_upload(
                Bucket=self._bucket,
                Key=self._full(key),
                ContentType=content_type,
                ContentDisposition=f"attachment; filename*=UTF-8''{quote(file_name)}",
            )
        upload_id: str = made["UploadId"]
        return upload_id

    def put_part(self, key: str, upload_id: str, number: int, path: Path) -> str:
        """Send a file as part `number` (from 1), replacing it if it was sent before; its tag.

        A CRC-32 goes with it, so that what arrives is what was sent.

        Raises:
            UploadGone: the upload was completed or aborted.
        """
        with _translated(key), path.open("rb") as body:
            made = self._client.upload_part(
                Bucket=self._bucket,
                Key=self._full(key),
                UploadId=upload_id,
                PartNumber=number,
                Body=body,
                ChecksumAlgorithm="CRC32",
            )
        etag: str = made["ETag"]
        return etag

    def copy_part(self, key: str, upload_id: str, number: int, source: str, offset: int, length: int) -> str:
        """Have the bucket take part `number` from another object of its own; its tag.

        Raises:
            BlobMissing: there is no such object (any more).
        """
        with _translated(key):
            made = self._client.upload_part_copy(
                Bucket=self._bucket,
                Key=self._full(key),
                UploadId=upload_id,
                PartNumber=number,
                CopySource={"Bucket": self._bucket, "Key": self._full(source)},
                CopySourceRange=f"bytes={offset}-{offset + length - 1}",
            )
        etag: str = made["CopyPartResult"]["ETag"]
        return etag

    def finish(self, key: str, upload_id: str, etags: Sequence[str]) -> None:
        """Join the parts: the complete object appears at once.

        Raises:
            UploadGone: it was completed or aborted before.
            BlobDamaged: a part is missing, or not the one that was sent.
        """
        listed = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        with _translated(key):
            self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=self._full(key),
                UploadId=upload_id,
                MultipartUpload={"Parts": listed},
            )

    def iter_unfinished(self, prefix: str) -> Iterator[UnfinishedObject]:
        """Every object below `prefix` (which ends in `/`) that was begun and is not finished."""
        marks: dict[str, str] = {}
        start = len(self._full("")) if self._prefix else 0
        while True:
            with _translated(prefix):
                page = self._client.list_multipart_uploads(
                    Bucket=self._bucket, Prefix=self._full(prefix), MaxUploads=LIST_PAGE, **marks
                )
            for entry in page.get("Uploads", ()):
                yield UnfinishedObject(entry["Key"][start:], entry["UploadId"], entry["Initiated"])
            if not page.get("IsTruncated"):
                return
            marks = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    def abort(self, key: str, upload_id: str) -> None:
        """Remove what was sent of an object; no error when there is none."""
        try:
            with _translated(key):
                self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=self._full(key), UploadId=upload_id
                )
        except (UploadGone, BlobMissing):
            return

    def abort_prefix(self, prefix: str) -> int:
        """Abort every unfinished object below `prefix`; how many there were."""
        found = list(self.iter_unfinished(prefix))
        for entry in found:
            self.abort(entry.key, entry.upload_id)
        return len(found)

    def sign(self, key: str, seconds: int) -> tuple[str, int]:
        """A URL that GETs this object for `seconds`, or as long as credentials last, and how long that is."""
        with _translated(key):
            credentials = self._session.get_credentials()
            seconds = _seconds_left(credentials, seconds)
            url: str = self._signer.generate_presigned_url(
                "get_object", Params={"Bucket": self._bucket, "Key": self._full(key)}, ExpiresIn=seconds
            )
        return url, seconds


def _endpoint() -> str | None:
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _seconds_left(credentials: Any, seconds: int) -> int:
    """`seconds`, or fewer if the credentials expire before, renewed when they are about to.

    botocore says when it is time to renew them, not when they expire; so the expiry is found by a search.
    """
    if not hasattr(credentials, "refresh_needed"):
        return seconds  # a key of a user's, which stays valid
    credentials.get_frozen_credentials()  # renews them if they are near their end
    if not credentials.refresh_needed(refresh_in=seconds):
        return seconds
    low, high = 0, seconds
    while high - low > 1:
        middle = (low + high) // 2
        if credentials.refresh_needed(refresh_in=middle):
            high = middle
        else:
            low = middle
    return max(low, 1)
