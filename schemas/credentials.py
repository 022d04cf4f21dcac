"""Keys and passwords in addresses and settings: refused where they are given, hidden in whatever is said of them.

What a run is given is kept: in step.json, manifests, the column `source`, the list of processes. So a key comes by the
environment, which none of these show.
"""

import re
from collections.abc import Iterator
from typing import Any

SCHEME = r"[A-Za-z][A-Za-z0-9+.-]{0,40}"
CHAINED = rf"::{SCHEME}://"  # fsspec's `zip://x::https://host/y`
ADDRESS = re.compile(
    rf"(?<![A-Za-z0-9+.-])({SCHEME})://([^/?#\s'\"]*?)(?=[/?#\s'\"]|{CHAINED}|$)([^\s'\"]*?)(?=[\s'\"]|{CHAINED}|$)"
)
BUCKETS = ("s3", "s3a", "gs", "gcs")  # whose addresses have no port, and keys of which may have a slash
WEB = ("http", "https")
# Parameters that are a key, or a signature which is one for as long as it lasts.
PARAMETERS = (
    r"x-amz-signature|x-amz-credential|x-amz-security-token|x-goog-signature|x-goog-credential|awsaccesskeyid|"
    r"signature|sig|api[_-]?key|secret|access[_-]?token|auth[_-]?token|token|password|passwd"
)
PARAMETER = re.compile(rf"([?&](?:{PARAMETERS})=)(?!\*\*\*)([^&#\s'\"]+)", re.IGNORECASE)
# By their own form: OpenAI's, Hugging Face's, GitHub's and Amazon's.
TOKEN = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{16,}|hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|A(?:KI|SI)A[A-Z0-9]{16})\b"
)
HINT = re.compile("sk-|hf_|gh[pousr]_|A[KS]IA")
NAMED = re.compile(r"(\b\w*(?:api_?key|secret|token|passw(?:or)?d)=)(?!\*\*\*)([^\s&,'\"]{6,})", re.IGNORECASE)
WAYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "s3a": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS",
    "http": """FSSPEC_HTTP='{"headers": {"Authorization": "..."}}'""",
    "https": """FSSPEC_HTTPS='{"headers": {"Authorization": "..."}}'""",
}
ENGINE = "OPENAI_API_KEY, or the variable that key_env= names"


def fault(text: str) -> str | None:
    """What is wrong with `text`, an address or a setting, if a key or a password is in it; it does not repeat it.

    A signed address is a key too, as long as it lasts: the store's own address and its credentials last longer.
    """
    rest = text.partition("://")[2]
    if not any(sign in rest for sign in "@?:") and not HINT.search(text):  # asked for every file of a run
        return None
    for found in ADDRESS.finditer(text):
        scheme, place = found[1].lower(), found[2]
        engine = text[: found.start()].endswith("openai:")
        if _userinfo(scheme, place) or PARAMETER.search(found[3]):
            return f"{redacted(text)}: a key does not belong in an address; {_way(scheme, engine)}"
    if TOKEN.search(text):
        return f"{redacted(text)}: a key does not belong in a setting; {_way('', text.startswith('openai:'))}"
    return None


def faults(value: Any) -> Iterator[str]:
    """The faults of every text in plain data."""
    if isinstance(value, str):
        if (found := fault(value)) is not None:
            yield found
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from faults(key)
            yield from faults(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from faults(inner)


def redacted(text: str) -> str:
    """`text` with every key and password in it as ***."""
    text = ADDRESS.sub(_without_userinfo, text)
    text = PARAMETER.sub(r"\1***", text)
    return NAMED.sub(r"\1***", TOKEN.sub("***", text))


def _userinfo(scheme: str, place: str) -> bool:
    """Whether the part before the first slash holds more than a host; `abfs://container@account` does not."""
    before, at, _ = place.rpartition("@")
    if at:
        return scheme in WEB or ":" in before
    if scheme in BUCKETS:
        return ":" in place.strip(":") and not place.startswith("arn:")
    host, colon, port = place.rpartition(":")
    return scheme in WEB and bool(colon) and bool(host) and not port.isdigit() and bool(port) and not port.endswith("]")


def _without_userinfo(found: re.Match[str]) -> str:
    scheme, place, rest = found[1], found[2], found[3]
    if not _userinfo(scheme.lower(), place):
        return found[0]
    if "@" in place:
        return f"{scheme}://***@{place.rpartition('@')[2]}{rest}"
    return f"{scheme}://***@{rest.partition('@')[2]}"  # a key with a slash in it


def _way(scheme: str, engine: bool) -> str:
    way = ENGINE if engine else WAYS.get(scheme)
    if way is None and scheme:
        name = scheme.upper().replace("+", "_").replace("-", "_").replace(".", "_")
        way = f"FSSPEC_{name}_USERNAME and FSSPEC_{name}_PASSWORD"
    return f"give it by the environment: {way or 'a variable'}"
