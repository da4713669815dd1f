"""Signatures: AWS's published examples, botocore's signer for everything else, and what an attacker would try."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from recognizance.core.errors import (
    IncompleteSignatureError,
    InvalidSignatureError,
    MissingAuthenticationTokenError,
    ServiceError,
    UnrecognizedClientError,
)
from recognizance.governance.keys import Credential
from recognizance.governance.principal import Principal
from recognizance.wire.http import Request, canonical_headers
from recognizance.wire.sigv4 import Authorization, Verifier, canonical_request, signature, signing_key

if TYPE_CHECKING:
    from collections.abc import Iterable

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "FwoGZXIvYXdzEXAMPLE//token=="
TARGET = "RekognitionService.ListCollections"
URL = "http://faces.example:8111/"
HOUR = timedelta(hours=1)


def credential(*, enabled: bool = True, token: str | None = None) -> Credential:
    digest = hashlib.sha256(token.encode()).digest() if token else None
    return Credential(Principal("AKIDEXAMPLE", "reader", "123456789012"), enabled, SECRET, digest)


def verifier(key: Credential | None, offset: timedelta = timedelta(0), region: str = "us-east-1") -> Verifier:
    """A server that knows one key, and whose clock is ahead of ours by an offset."""
    known = {key.principal.access_key_id: key} if key else {}
    return Verifier(known.get, region, now=lambda: datetime.now(UTC) + offset)


def signed(
    body: bytes = b"{}",
    *,
    url: str = URL,
    secret: str = SECRET,
    token: str | None = None,
    region: str = "us-east-1",
    service: str = "rekognition",
    headers: Iterable[tuple[str, str]] = (),
) -> Request:
    """Return a request as it arrives when botocore signs it."""
    request = AWSRequest("POST", url, data=body, headers={"X-Amz-Target": TARGET})
    for name, value in headers:
        request.headers[name] = value
    SigV4Auth(Credentials("AKIDEXAMPLE", secret, token), service, region).add_auth(request)
    raw = [(name.encode(), value.encode()) for name, value in request.headers.items()]
    parts = urlsplit(url)
    arrived = canonical_headers([(b"Host", parts.netloc.encode()), *raw])
    return Request("id", "POST", "/", parts.query, arrived, body)


def changed(request: Request, **headers: str | None) -> Request:
    """Return the request with headers replaced, or removed where the value is None."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    kept = {name: value for name, value in request.headers.items() if name not in named}
    new = kept | {name: value for name, value in named.items() if value is not None}
    return Request(request.id, request.method, request.path, request.query, new, request.body)


def accepts(by: Verifier, request: Request) -> bool:
    return by.verify(request).access_key_id == "AKIDEXAMPLE"


def refusal(request: Request, error: type[ServiceError], by: Verifier | None = None) -> str:
    """Return the message of the error that a verifier must answer."""
    with pytest.raises(error) as caught:
        (by or verifier(credential())).verify(request)
    message = caught.value.message
    assert SECRET not in message
    return message


VANILLA = [(b"Host", b"example.amazonaws.com"), (b"X-Amz-Date", b"20150830T123600Z")]


@pytest.mark.parametrize(
    ("method", "query", "headers", "body", "expected"),
    [
        pytest.param(
            "GET", "", [], b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31", id="get-vanilla"
        ),
        pytest.param(
            "POST", "", [], b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b", id="post-vanilla"
        ),
        pytest.param(
            "GET",
            "Param2=value2&Param1=value1",
            [],
            b"",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            id="get-vanilla-query-order-key-case",
        ),
        pytest.param(
            "GET",
            "",
            [(b"My-Header1", b" value1"), (b"My-Header2", b' "a   b   c" ')],
            b"",
            "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
            id="get-header-value-trim",
        ),
        pytest.param(
            "GET",
            "",
            [(b"My-Header1", value) for value in (b"value4", b"value1", b"value3", b"value2")],
            b"",
            "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
            id="get-header-value-order",
        ),
        pytest.param(
            "POST",
            "",
            [(b"Content-Type", b"application/x-www-form-urlencoded")],
            b"Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            id="post-x-www-form-urlencoded",
        ),
    ],
)
def test_awss_own_examples_give_awss_signatures(
    method: str, query: str, headers: list[tuple[bytes, bytes]], body: bytes, expected: str
) -> None:
    """From the aws-sig-v4-test-suite."""
    request = Request("id", method, "/", query, canonical_headers(VANILLA + headers), body)
    authorization = Authorization(
        "AKIDEXAMPLE", "20150830", "us-east-1", "service", tuple(sorted(request.headers)), expected
    )
    assert signature(SECRET, request, authorization) == expected


def test_the_canonical_request_of_awss_example() -> None:
    request = Request("id", "GET", "/", "", canonical_headers(VANILLA), b"")
    canonical = canonical_request(request, ("host", "x-amz-date"), hashlib.sha256(b"").hexdigest())
    assert hashlib.sha256(canonical.encode()).hexdigest() == (
        "bb579772317eb040ac9ed261061d46c1f17a8133879d6129b6e1c25292927e63"
    )


def test_the_signing_key_of_awss_example() -> None:
    """From "Deriving the signing key" in the AWS General Reference."""
    assert signing_key(SECRET, "20120215", "us-east-1", "iam").hex() == (
        "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"
    )


@given(
    body=st.binary(max_size=200),
    query=st.lists(st.tuples(st.from_regex(r"[A-Za-z0-9_.~%-]{1,6}", fullmatch=True), st.text("ab/ +é=", max_size=6))),
    headers=st.lists(
        st.tuples(
            st.from_regex(r"x-[a-z]{1,6}(-[a-z0-9]{1,4})?", fullmatch=True), st.text("aB \t,;:='\"~/", max_size=20)
        )
    ),
)
def test_whatever_botocore_signs_is_verified(
    body: bytes, query: list[tuple[str, str]], headers: list[tuple[str, str]]
) -> None:
    # A client escapes its parameters before it signs.
    sent = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
    request = signed(body, url=f"{URL}?{sent}", headers=headers)
    assert accepts(verifier(credential()), request)


@given(body=st.binary(max_size=64), other=st.binary(max_size=64))
def test_another_body_than_the_signed_one_is_refused(body: bytes, other: bytes) -> None:
    request = signed(body)
    request = Request("id", "POST", "/", "", request.headers, other)
    if body == other:
        assert accepts(verifier(credential()), request)
    else:
        refusal(request, InvalidSignatureError)


def test_a_signature_by_another_secret_is_refused() -> None:
    message = refusal(signed(secret="another secret"), InvalidSignatureError)
    assert message.startswith("The request signature we calculated does not match the signature you provided.")


def test_a_signature_is_good_for_its_target_only() -> None:
    refusal(changed(signed(), x_amz_target="RekognitionService.DeleteCollection"), InvalidSignatureError)


def test_a_signature_is_good_for_its_host_only() -> None:
    refusal(changed(signed(), host="other.example:8111"), InvalidSignatureError)


def test_a_signature_is_good_for_its_time_only() -> None:
    later = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y%m%dT%H%M%SZ")
    request = signed()
    if later[:8] == request.headers["x-amz-date"][:8]:
        refusal(changed(request, x_amz_date=later), InvalidSignatureError)


def test_a_second_target_beside_the_signed_one_is_refused() -> None:
    """What is read is what is signed, so an appended header changes the signature rather than the request."""
    request = signed()
    raw = [(name.encode(), value.encode()) for name, value in request.headers.items()]
    headers = canonical_headers([*raw, (b"X-Amz-Target", b"RekognitionService.DeleteCollection")])
    refusal(Request("id", "POST", "/", "", headers, request.body), InvalidSignatureError)


@pytest.mark.parametrize("name", ["host", "x-amz-date", "x-amz-target"])
def test_what_decides_the_request_must_be_signed(name: str) -> None:
    request = signed()
    names = ";".join(sorted({"host", "x-amz-date", "x-amz-target"} - {name}))
    header = request.headers["authorization"].replace("host;x-amz-date;x-amz-target", names)
    assert names in header
    assert f"'{name}'" in refusal(changed(request, authorization=header), IncompleteSignatureError)


def test_a_signed_header_that_did_not_arrive_is_named_missing() -> None:
    request = signed(headers=[("X-Extra", "1")])
    assert "missing" in refusal(changed(request, x_extra=None), IncompleteSignatureError)


def test_no_signature_at_all_is_a_missing_token() -> None:
    assert refusal(changed(signed(), authorization=None), MissingAuthenticationTokenError)


def test_a_presigned_request_is_told_what_to_do() -> None:
    request = changed(signed(url=f"{URL}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00"), authorization=None)
    assert "Presigned" in refusal(request, IncompleteSignatureError)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic dXNlcjpwYXNz",
        "Bearer token",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 nonsense",
        "AWS4-ECDSA-P256-SHA256 Credential=a/20261122/rekognition/aws4_request, SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 Credential=a/20261122/us-east-1/rekognition/aws4_request, Signature=00",
        "AWS4-HMAC-SHA256 Credential=a/20261122/us-east-1/rekognition/aws4_request, SignedHeaders=host",
        "AWS4-HMAC-SHA256 Credential=a/20261122/us-east-1/rekognition, SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 Credential=a/x/us-east-1/rekognition/aws4_request, SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 Credential=\x00/20261122/us-east-1/rekognition/aws4_request, SignedHeaders=host, Signature=0",
        "AWS4-HMAC-SHA256 Credential=/20261122/us-east-1/rekognition/aws4_request, SignedHeaders=host, Signature=00",
    ],
)
def test_an_authorization_that_lacks_a_part_is_incomplete(header: str) -> None:
    assert refusal(changed(signed(), authorization=header), IncompleteSignatureError)


@given(header=st.text(st.characters(max_codepoint=255)))
def test_no_authorization_header_makes_the_verifier_stumble(header: str) -> None:
    refusal(changed(signed(), authorization=header), ServiceError)


@given(tail=st.text(st.characters(max_codepoint=255)))
def test_no_signature_that_is_not_the_signature_passes(tail: str) -> None:
    request = signed()
    header = request.headers["authorization"]
    forged = header[: header.index("Signature=") + 10] + tail
    if forged != header:
        refusal(changed(request, authorization=forged), ServiceError)


@pytest.mark.parametrize(
    "date", ["", "20261122", "20261322T000000Z", "2026112T2000000Z", "Sun, 22 Nov 2026 07:00:00 GMT"]
)
def test_a_date_of_another_form_is_incomplete(date: str) -> None:
    assert "X-Amz-Date" in refusal(changed(signed(), x_amz_date=date), IncompleteSignatureError)


def test_the_scope_must_be_of_the_requests_day() -> None:
    request = signed()
    header = request.headers["authorization"]
    moved = header.replace(f"/{request.headers['x-amz-date'][:8]}/", "/20200101/")
    assert "Date in Credential scope" in refusal(changed(request, authorization=moved), InvalidSignatureError)


def test_a_clock_that_is_four_minutes_off_is_good_enough() -> None:
    for minutes in (-4, 4):
        assert accepts(verifier(credential(), timedelta(minutes=minutes)), signed())


def test_a_request_that_is_late_has_expired() -> None:
    message = refusal(signed(), InvalidSignatureError, verifier(credential(), timedelta(minutes=6)))
    assert message.startswith("Signature expired: ")


def test_a_request_from_the_future_is_not_yet_current() -> None:
    message = refusal(signed(), InvalidSignatureError, verifier(credential(), timedelta(minutes=-6)))
    assert message.startswith("Signature not yet current: ")


def test_another_region_is_told_which_one_to_set() -> None:
    message = refusal(signed(region="eu-west-1"), InvalidSignatureError)
    assert "Credential should be scoped to a valid region" in message
    assert "'us-east-1'" in message


def test_a_signature_for_another_service_is_refused() -> None:
    assert "'rekognition'" in refusal(signed(service="s3"), InvalidSignatureError)


def test_an_unknown_key_and_a_disabled_key_get_the_same_answer() -> None:
    unknown = refusal(signed(), UnrecognizedClientError, verifier(None))
    disabled = refusal(signed(), UnrecognizedClientError, verifier(credential(enabled=False)))
    assert unknown == disabled == "The security token included in the request is invalid."


def test_a_payload_hash_that_is_the_bodys_is_accepted() -> None:
    digest = hashlib.sha256(b"{}").hexdigest()
    assert accepts(verifier(credential()), signed(headers=[("X-Amz-Content-SHA256", digest)]))


@pytest.mark.parametrize("value", ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "0" * 64])
def test_a_payload_hash_that_is_not_the_bodys_is_refused(value: str) -> None:
    """Even when the signature itself is right for it."""
    assert "X-Amz-Content-Sha256" in refusal(signed(headers=[("X-Amz-Content-SHA256", value)]), InvalidSignatureError)


def test_a_temporary_key_signs_with_its_token() -> None:
    assert accepts(verifier(credential(token=TOKEN)), signed(token=TOKEN))


@pytest.mark.parametrize(("has", "sends"), [(TOKEN, None), (TOKEN, "another"), (None, TOKEN), (TOKEN, "")])
def test_a_token_that_is_not_the_keys_is_refused(has: str | None, sends: str | None) -> None:
    assert refusal(signed(token=sends), UnrecognizedClientError, verifier(credential(token=has)))


def test_a_token_must_be_signed() -> None:
    request = changed(signed(), x_amz_security_token=TOKEN)
    message = refusal(request, IncompleteSignatureError, verifier(credential(token=TOKEN)))
    assert "x-amz-security-token" in message


@pytest.mark.parametrize(
    ("signing", "code"),
    [
        ({"secret": "wrong"}, "InvalidSignatureException"),
        ({"key_id": "AKIDNOBODY"}, "UnrecognizedClientException"),
        ({"key_id": "AKIDDISABLED"}, "UnrecognizedClientException"),
        ({"region": "eu-west-1"}, "InvalidSignatureException"),
        ({"key_id": "ASIDEXAMPLE", "token": "another"}, "UnrecognizedClientException"),
        ({"headers": {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}}, "InvalidSignatureException"),
    ],
)
def test_a_bad_signature_is_refused_on_the_wire_before_the_body_is_read(
    server: Any, signing: dict[str, Any], code: str
) -> None:
    calls = server.backend.calls["ListCollections"]
    reply = server.call("ListCollections", b"this is no JSON", **signing)
    assert (reply.status, reply.json["__type"]) == (400, code)
    assert server.backend.calls["ListCollections"] == calls


def test_an_unsigned_request_is_refused_on_the_wire(server: Any) -> None:
    headers = {"X-Amz-Target": TARGET, "Content-Type": "application/x-amz-json-1.1"}
    reply = server.request("POST", "/", b"{}", headers)
    assert (reply.status, reply.json["__type"]) == (400, "MissingAuthenticationTokenException")


def test_a_temporary_key_works_on_the_wire(server: Any) -> None:
    assert server.call("ListCollections", key_id="ASIDEXAMPLE", token=TOKEN).status == 200
