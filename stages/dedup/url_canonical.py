r"""One spelling for all addresses of a page.

| rule | example |
|------|---------|
| white space at the ends, and line breaks and tabs anywhere, do not count | ` http://a.org/b\n` -> `http://a.org/b` |
| scheme and host in lower case; https is http, as is no scheme before `//` | `HTTPS://A.org/B` -> `http://a.org/B` |
| no user and password | `http://me:x@a.org` -> `http://a.org` |
| no `www.`, no dot at the end of the host | `http://www.a.org.` -> `http://a.org` |
| host decoded from percents, and in punycode (UTS 46) | `http://bücher.de` -> `http://xn--bcher-kva.de` |
| an IPv6 address in its short form | `http://[0:0::1]/` -> `http://[::1]` |
| no default port; others without leading zeros | `https://a.org:443`, `http://a.org:080` -> `http://a.org` |
| `\` is `/` | `http://a.org\b` -> `http://a.org/b` |
| escapes in capitals, none of letters, digits and `-._~`, one of what may not stand | `/%7e%c3/é` -> `/~%C3/%C3%A9` |
| no dot segments | `/a/./b/../c` -> `/a/c` |
| no slash at the end, none for the root | `http://a.org/b/` -> `http://a.org/b` |
| no session in the path | `/a;jsessionid=1F?b` -> `/a?b` |
| no parameters that only count visits or carry a session (`TRACKING`) | `?utm_source=x&id=1` -> `?id=1` |
| parameters in order of name, those of one name as they stand; none that is empty | `?b=1&&a=2` -> `?a=2&b=1` |
| `&amp;` is `&`; `+` is a space | `?a=1&amp;b=x+y` -> `?a=1&b=x%20y` |
| no fragment | `http://a.org/b#c` -> `http://a.org/b` |

Left alone since a server may tell them apart: case of the path, `index.html`, empty segments, `a=` and `a`. What has no
`//` (mailto:, urn:, plain words) is only stripped. The form of a form is itself.
"""

import ipaddress
import re
from contextlib import suppress
from functools import lru_cache
from operator import itemgetter
from urllib.parse import quote, unquote

import idna

# Parameters that do not choose a page; with * at the end: all that begin so. Lower case.
TRACKING = (
    "utm_*", "mtm_*", "matomo_*", "piwik_*", "pk_*", "itm_*", "hsa_*", "aspsessionid*",
    "gclid", "gclsrc", "dclid", "gbraid", "wbraid", "gad_source", "gad_campaignid", "srsltid", "_ga", "_gl", "_gac",
    "fbclid", "fb_action_ids", "fb_action_types", "fb_source", "fb_ref", "igshid", "igsh", "msclkid", "yclid", "ymclid",
    "ysclid", "_openstat", "twclid", "ttclid", "li_fat_id", "epik", "sc_cid", "s_cid", "s_kwcid", "ef_id", "irclickid",
    "zanpid", "wickedid", "rb_clickid", "cmpid", "mc_cid", "mc_eid", "mkt_tok", "oly_anon_id", "oly_enc_id", "vero_id",
    "vero_conv", "_hsenc", "_hsmi", "__hssc", "__hstc", "__hsfp", "hsctatracking", "ml_subscriber",
    "ml_subscriber_hash", "at_campaign", "at_medium", "jsessionid", "phpsessid", "sessionid", "session_id", "oscsid",
    "zenid", "cftoken",
)  # fmt: skip

MAX_HOST = 253  # characters that DNS takes; a longer one is no name
_DEFAULT_PORTS = {"http": ("80", "443"), "ftp": ("21",)}
_PLAIN = re.compile(  # the greater part of all addresses, canonical but for what is dropped and the order of parameters
    r"https?://(?:www\.)*+([a-z0-9-]+(?:\.[a-z0-9-]+)+)((?:/[\w~!$&'()*+,=:@-][\w.~!$&'()*+,=:@-]*)*)/?"
    r"(?:\?([\w.~!$&'()*,;=:@/?-]*))?(?:#.*)?\Z",
    re.ASCII,
)
_PARTS = re.compile(r"(?s)(?:([A-Za-z][A-Za-z0-9+.-]*):)?//([^/?#]*)([^?#]*)(?:\?([^#]*))?")
_ENDS = "".join(map(chr, range(33)))
_BREAKS = str.maketrans("", "", "\t\r\n")
_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_SAFE = "%!$&'()*+,;=:@/?"
_UNSAFE = re.compile(rf"[^A-Za-z0-9\-._~{_SAFE}]")
_ESCAPES = {
    f"%{a}{b}": chr(int(a + b, 16)) if chr(int(a + b, 16)) in _UNRESERVED else f"%{a}{b}".upper()
    for a in "0123456789abcdefABCDEF"
    for b in "0123456789abcdefABCDEF"
}
_WWW = re.compile(r"(?s)\A(?:www\.)+(?=.*\.)")
_AMP = re.compile("(?:amp;)+")
_PATH_SESSION = re.compile(r"(?i);(?:jsessionid|phpsessid|sessionid|sid)=[^/;]*")
_SESSION_VALUE = re.compile("(?i)(?:sid|s)=[0-9a-f]{32}")  # bulletin boards
_DOTS = ".\u3002\uff0e\uff61"  # UTS 46 takes all of these for a dot
_DELIMITERS = frozenset(" /?#@:[]%\\")
_NAME = itemgetter(0)
_EXACT = frozenset(name for name in TRACKING if not name.endswith("*"))
_PREFIXES = tuple(name[:-1] for name in TRACKING if name.endswith("*"))


def canonical(url: str) -> str:
    """The one spelling of `url`, by the rules above. Takes any text, in time linear in its length."""
    plain = _PLAIN.match(url)
    if plain is not None:
        host, path, query = plain.groups("")
        query = query and _query(query)
        return f"http://{host}{path}?{query}" if query else f"http://{host}{path}"
    url = url.strip(_ENDS).translate(_BREAKS)
    scheme = url[:5].lower()
    if scheme.startswith(("http:", "https", "//", "\\")):
        url = url.replace("\\", "/")
    parts = _PARTS.match(url)
    if parts is None:
        return url
    scheme, authority, path, query = (parts[1] or "http").lower(), parts[2], parts[3], parts[4]
    if scheme == "https":
        scheme = "http"
    query = _query(_escaped(query).replace("+", "%20")) if query else ""
    return f"{scheme}://{_authority(authority, scheme)}{_path(path)}{query and '?' + query}"


def host_of(host: str) -> str:
    """The one spelling of a host, without port."""
    return _known_host(host) if len(host) <= MAX_HOST else _host(host)


def _host(host: str) -> str:
    host = host.lower()
    if host.startswith("["):
        with suppress(ValueError):
            return f"[{ipaddress.ip_address(host[1:-1]).compressed}]" if host.endswith("]") else _quoted(host)
        return _quoted(host)
    if "%" in host:
        decoded = unquote(host)
        host = host if _DELIMITERS.intersection(decoded) else decoded.lower()
    host = host.rstrip(_DOTS)
    if not host.isascii() and len(host) <= MAX_HOST:
        with suppress(UnicodeError):  # idna's own errors are of this kind
            host = idna.encode(host, uts46=True).decode()
    host = _quoted(host)
    return _WWW.sub("", host, count=1) if host.startswith("www.") else host


_known_host = lru_cache(maxsize=1 << 16)(_host)


def _authority(authority: str, scheme: str) -> str:
    host = authority.rpartition("@")[2]
    name, colon, port = host.rpartition(":")
    if not colon or "]" in port:
        return host_of(host)
    if ":" in name and not (name.startswith("[") and name.endswith("]")):
        return _quoted(host.lower())
    if port.isascii() and port.isdigit():
        port = port.lstrip("0") or "0"
    if not port or port in _DEFAULT_PORTS.get(scheme, ()):
        return host_of(name)
    return f"{host_of(name)}:{_quoted(port.lower())}"


def _path(path: str) -> str:
    path = _escaped(path)
    if ";" in path:
        path = _PATH_SESSION.sub("", path)
    if "/." in path:
        kept: list[str] = []
        for segment in path.split("/")[1:]:
            if segment == "..":
                del kept[-1:]
            elif segment != ".":
                kept.append(segment)
        path = "".join(f"/{segment}" for segment in kept)
    return path.rstrip("/")


def _query(query: str) -> str:
    found = []
    for part in query.split("&"):
        if part.startswith("amp;"):
            part = _AMP.sub("", part, count=1)  # noqa: PLW2901
        name = part.partition("=")[0]
        lower = name.lower()
        if part and lower not in _EXACT and not lower.startswith(_PREFIXES) and not _SESSION_VALUE.fullmatch(part):
            found.append((name, part))
    if len(found) > 1:
        found.sort(key=_NAME)
    return "&".join([part for _, part in found])


def _escaped(text: str) -> str:
    if "%" in text:
        text = _ESCAPE.sub(lambda found: _ESCAPES[found[0]], text)
    return quote(text, safe=_SAFE) if _UNSAFE.search(text) else text


def _quoted(host: str) -> str:
    """A host or port in lower case with escapes for what may not stand in an address."""
    return quote(host, safe=_SAFE + "[]").lower() if _UNSAFE.search(host) else host
