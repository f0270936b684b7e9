"""What hypothesis sends: values, paths, queries, headers, tokens and bodies, most of them nearly right."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args, get_origin
from urllib.parse import quote_from_bytes

import msgspec
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from rangeland.api.authenticate import Access
from rangeland.api.routes import ENDPOINTS

BORDERS = [0, 1, 2, 3, 9, 127, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, 10**40]
PARAMETERS = (
    "limit",
    "offset",
    "start",
    "node_id",
    "ranges",
    "username",
    "exclude_closed_sessions",
    "ready",
    "system",
    "allow_minimum_quorum",
    "type",
    "format",
    "severity",
    "kind",
    "remote_node_id",
    "metrics",
    "since_s",
    "max_points",
    "range_id",
)
METHODS = [b"GET"] * 8 + [b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"get", b"X-ANY"]

# numbers and lists as text


def numbers() -> SearchStrategy[str]:
    """Decimal numbers around every border, and what only looks like one."""
    plain = st.one_of(st.sampled_from(BORDERS), st.integers(-5, 5), st.integers(-(2**70), 2**70)).map(str)
    prefix = st.sampled_from(["", "", "", "-", "+", " ", "0", "000", "0x", "0" * 5000, "--"])
    suffix = st.sampled_from(["", "", "", "", " ", ".0", "e3", "_0", "n", "\n", "\0", ",", "9" * 5000])
    odd = st.sampled_from(["", "١٢", "1", "²", "½", "nan", "inf", "-0", "1e400", "true", "None", "0b1", "1,2"])
    return st.one_of(plain, st.tuples(prefix, plain, suffix).map("".join), odd)


def id_lists() -> SearchStrategy[str]:
    return st.lists(numbers(), max_size=8).flatmap(
        lambda ids: st.sampled_from([",", ",,", ", "]).map(lambda c: c.join(ids))
    )


def start_tokens() -> SearchStrategy[str]:
    """`queried|in progress|index|to query` in base64, whole, or with something wrong."""
    ids = st.one_of(
        st.lists(st.integers(0, 5), max_size=5).map(lambda found: "".join(f"{n}," for n in found)), id_lists()
    )
    few = st.one_of(st.integers(0, 4).map(str), numbers())
    fields = st.tuples(ids, few, few, ids).map("|".join)
    more = st.one_of(fields, st.lists(few, max_size=7).map("|".join))
    encoded = more.map(lambda text: base64.urlsafe_b64encode(text.encode(errors="replace")).decode())
    long_ = st.integers(1, 3000).map(lambda n: base64.urlsafe_b64encode(f"|0|0|{'7,' * n}".encode()).decode())
    return st.one_of(
        encoded, encoded.map(lambda text: text.rstrip("=")), encoded.flatmap(mangled_text), long_, st.text()
    )


def mangled_text(text: str) -> SearchStrategy[str]:
    return mangled(text.encode()).map(lambda data: data.decode("latin-1"))


def mangled(data: bytes) -> SearchStrategy[bytes]:
    """The bytes with a few places changed, cut out or filled in."""

    def change(parts: list[tuple[int, int, bytes]]) -> bytes:
        changed = bytearray(data)
        for at, length, new in parts:
            begin = at % (len(changed) + 1)
            changed[begin : begin + length] = new
        return bytes(changed)

    part = st.tuples(st.integers(0, 10_000), st.integers(0, 3), st.binary(max_size=4))
    return st.lists(part, min_size=1, max_size=3).map(change)


# paths and queries


def words() -> SearchStrategy[bytes]:
    """Parts of a path and values: names that exist, unicode, controls, dots, and long ones."""
    known = [
        "local",
        "LOCAL",
        "localhost",
        "postgres",
        "pgbench",
        "public.pgbench_accounts",
        "demo",
        "template0",
        "true",
    ]
    odd = [
        ".",
        "..",
        "...",
        "%00",
        "%",
        "%2",
        "%zz",
        "%2e%2e",
        "%2f",
        "\0",
        "\r\n",
        "a" * 64,
        "é" * 40,
        "'",
        '"',
        ";--",
        "$1",
        "%s",
    ]
    return st.one_of(
        st.sampled_from([*known, *odd]).map(str.encode),
        numbers().map(str.encode),
        st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.binary(max_size=20),
        st.integers(1, 6000).map(lambda n: b"x" * n),
    )


def quoted(raw: SearchStrategy[bytes]) -> SearchStrategy[bytes]:
    """In a URL: percent signs for what is not plain, and now and then as it is where a request line can hold it."""

    def shown(pair: tuple[bytes, bool]) -> bytes:
        data, is_raw = pair
        return line(data) if is_raw else quote_from_bytes(data, safe="").encode()

    return st.tuples(raw, st.integers(0, 4).map(lambda n: n == 0)).map(shown)


def line(data: bytes) -> bytes:
    """Without what would end a header or a request line, or part it."""
    return data.translate(None, b"\r\n\0 \t#?")


def queries() -> SearchStrategy[bytes]:
    """Known parameters with fitting and other values, unknown and repeated ones, and no query at all."""
    fitting: dict[str, SearchStrategy[str]] = {
        "limit": numbers(),
        "offset": numbers(),
        "start": start_tokens(),
        "node_id": numbers(),
        "ranges": id_lists(),
        "remote_node_id": numbers(),
        "since_s": numbers(),
        "max_points": numbers(),
        "range_id": id_lists(),
    }
    pair = st.sampled_from(PARAMETERS).flatmap(
        lambda name: st.tuples(
            st.just(name.encode()), quoted(fitting[name].map(_encoded) if name in fitting else words())
        )
    )
    other = st.tuples(quoted(words()), quoted(words()))
    pairs = st.lists(st.one_of(pair, pair, pair, other), max_size=5)
    return st.one_of(
        pairs.map(lambda found: b"&".join(b"%b=%b" % each for each in found)),
        quoted(st.binary(max_size=40)),
    )


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def paths() -> SearchStrategy[bytes]:
    """Of every endpoint with fitting and other parts, and beside them."""

    def filled(path: str) -> SearchStrategy[bytes]:
        parts = [quoted(words()) if part.startswith("{") else st.just(part.encode()) for part in path.split("/")]
        return st.tuples(*parts).map(b"/".join)

    reads = [each.path for each in ENDPOINTS if each.access is not Access.PEER]
    whole = st.sampled_from(reads).flatmap(filled)
    slash = st.sampled_from([b"", b"/", b"/", b"//", b"/.", b"/..", b"%2f", b"?", b";a=b"])
    ended = st.tuples(whole, slash).map(b"".join)
    beside = whole.flatmap(mangled).map(lambda path: b"/" + line(path).lstrip(b"/"))
    free = st.lists(quoted(words()), max_size=6).map(lambda parts: b"/" + b"/".join(parts))
    return st.one_of(ended, ended, ended, ended, beside, free)


# headers


def session_headers(token: str) -> SearchStrategy[list[bytes]]:
    """The header of a live session, more and less wrong, or its cookie."""
    message = base64.b64decode(token)
    near = st.one_of(
        mangled(message).map(base64.b64encode),
        mangled(token.encode()),
        st.binary(max_size=60).map(base64.b64encode),
        st.binary(max_size=60),
        st.sampled_from(
            [b"", b"cookie", b"COOKIE", b"yes", b"=", b"====", token.encode() * 300, token[:-1].encode()]
        ),
    ).map(line)
    cookies = st.one_of(near, st.just(token.encode())).map(
        lambda value: [b"X-Cockroach-API-Session: cookie", b"Cookie: session=" + value + b"; a=b"]
    )
    return st.one_of(
        st.just([]),
        near.map(lambda value: [b"X-Cockroach-API-Session: " + value]),
        st.lists(near, min_size=2, max_size=3).map(
            lambda found: [b"X-Cockroach-API-Session: " + each for each in found]
        ),
        cookies,
    )


def other_headers() -> SearchStrategy[list[bytes]]:
    """Headers that a handler reads, in all shapes, repeated and large ones; none that frames a body."""
    weights = st.tuples(
        st.sampled_from(["gzip", "*", "br", "identity", "", "GZIP", "x" * 500]),
        st.sampled_from(["", ";q=0", ";q=1", ";q=nan", ";q=inf", ";q=-1", ";q=1e999", ";q=x", "; q = 0.5 ", ";;;q"]),
    ).map("".join)
    encodings = st.lists(weights, max_size=6).map(lambda found: b"Accept-Encoding: " + ",".join(found).encode())
    value = st.one_of(st.binary(max_size=40), st.integers(0, 8000).map(lambda n: b"y" * n)).map(
        lambda data: data.translate(None, b"\r\n\0")
    )
    name = st.sampled_from(
        [
            *(
                b"Accept",
                b"Content-Type",
                b"X-Forwarded-For",
                b"Cookie",
                b"Range",
                b"If-None-Match",
                b"Authorization",
            ),
            *(b"X-Rangeland-Timeout-Ms", b"Origin", b"Forwarded", b"Upgrade", b"Referer", b"X-HTTP-Method-Override"),
        ]
    )
    free = st.tuples(name, value).map(lambda pair: b"%b: %b" % pair)
    return st.lists(st.one_of(encodings, free), max_size=4)


def hosts() -> SearchStrategy[bytes]:
    odd = [
        b"",
        b"[",
        b"[::1",
        b"a b",
        b"\xff",
        b"[v1.x]:1",
        b"x:99999999",
        b"/",
        b"a/b?c#d",
        b"@",
        b"x" * 3000,
        b"[::1%25]",
    ]
    return st.one_of(st.just(b"localhost"), st.just(b"localhost"), st.sampled_from(odd))


def request_bytes(
    method: bytes, target: bytes, headers: list[bytes], *, host: bytes = b"localhost", body: bytes | None = None
) -> bytes:
    """An HTTP/1.1 request as it goes over the wire."""
    length = [] if body is None else [b"Content-Length: %d" % len(body)]
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, target), b"Host: " + host, *headers, *length, b"", body or b""])


# bodies


def forms() -> SearchStrategy[bytes]:
    """Login forms: in order, odd, broken."""
    name = st.one_of(st.sampled_from([b"username", b"password", b"Username", b"user%6eame", b"", b"other"]), words())
    value = st.one_of(
        quoted(words()), words(), st.sampled_from([b"%zz", b"%", b"%f", b"+", b"%00", b"%ff%fe", b"%ed%a0%80"])
    )
    pairs = st.lists(st.tuples(name, value), max_size=5).map(
        lambda found: b"&".join(b"%b=%b" % each for each in found)
    )
    # Numbered: who tries one name again and again has to wait longer and longer.
    named = st.tuples(value, st.integers(0, 1 << 40), value).map(lambda found: b"username=%b%d&password=%b" % found)
    huge = st.sampled_from([1000, 65_520, 65_535, 65_536, 65_537, 200_000]).map(lambda n: b"username=".ljust(n, b"u"))
    many = st.integers(1, 20_000).map(lambda n: b"&" * n)
    return st.one_of(named, named, pairs, huge, many, st.binary(max_size=200), json_bytes())


def json_values() -> SearchStrategy[Any]:
    """Any JSON, with numbers that no integer type holds."""
    number = st.one_of(st.sampled_from(BORDERS), st.sampled_from(BORDERS).map(lambda n: -n - 1), st.floats())
    leaf = st.one_of(
        st.none(), st.booleans(), number, st.text(max_size=20), st.sampled_from(["\0", "x" * 5000, "1", ""])
    )
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(st.one_of(st.text(max_size=8), numbers()), inner, max_size=4)
        ),
        max_leaves=8,
    )


def json_bytes() -> SearchStrategy[bytes]:
    return json_values().map(lambda value: json.dumps(value).encode())


def struct_bytes(type_: type[msgspec.Struct]) -> SearchStrategy[bytes]:
    """A struct's JSON with right, bordering, wrong, missing and unknown fields; now and then no longer JSON."""
    fields = msgspec.structs.fields(type_)
    fitting = st.fixed_dictionaries(
        {field.encode_name: _values(field.type) for field in fields if field.required},
        optional={field.encode_name: _values(field.type) for field in fields if not field.required},
    )
    wrong = st.fixed_dictionaries({}, optional={field.encode_name: json_values() for field in fields})
    document = st.one_of(fitting, fitting, fitting, wrong, json_values())
    encoded = document.map(lambda value: json.dumps(value).encode())
    deep = st.integers(1, 20_000).map(lambda n: b"[" * n)
    return st.one_of(encoded, encoded, encoded, encoded, encoded.flatmap(mangled), deep, st.binary(max_size=60))


def _values(type_: Any) -> SearchStrategy[Any]:
    """Values that fit a type as far as JSON goes, borders among them."""
    origin, args = get_origin(type_), get_args(type_)
    if hasattr(type_, "__metadata__"):
        return _values(args[0])
    if type_ is bool:
        return st.booleans()
    if type_ is int:
        return st.one_of(st.sampled_from(BORDERS), st.integers(-3, 3), st.sampled_from(BORDERS).map(lambda n: -n))
    if type_ is float:
        return st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([0.0, -1.0, 1e300, 4e9]))
    if type_ is str:
        names = ["demo", "postgres", "public.pgbench_accounts", "", "\0", "a\0b", "x" * 300, "x" * 60_000, "'", "%s"]
        return st.one_of(st.sampled_from(names), st.text(max_size=20))
    if type_ is bytes:
        return st.binary(max_size=40).map(lambda data: binascii.b2a_base64(data, newline=False).decode())
    if origin is list:
        return st.lists(_values(args[0]), max_size=5)
    if origin is dict:
        return st.dictionaries(_values(args[0]).map(str), _values(args[1]), max_size=5)
    if args:  # a union
        return st.one_of(*(_values(each) for each in args))
    return st.none() if type_ is type(None) else json_values()


@dataclass(frozen=True)
class Asked:
    """A request as drawn; its repr is what a failure shows."""

    method: bytes
    path: bytes
    query: bytes
    headers: list[bytes]
    host: bytes = b"localhost"
    body: bytes | None = None

    @property
    def target(self) -> bytes:
        return self.path + (b"?" + self.query if self.query else b"")

    def encoded(self, *more: bytes) -> bytes:
        return request_bytes(self.method, self.target, [*more, *self.headers], host=self.host, body=self.body)


def requests_of(
    path: SearchStrategy[bytes],
    headers: SearchStrategy[list[bytes]],
    *,
    methods: list[bytes] = METHODS,
    bodies: SearchStrategy[bytes | None] | None = None,
    query: Callable[[], SearchStrategy[bytes]] = queries,
) -> SearchStrategy[Asked]:
    """Whole requests."""
    return st.builds(
        Asked,
        method=st.sampled_from(methods),
        path=path,
        query=query(),
        headers=st.tuples(headers, other_headers()).map(lambda pair: [*pair[0], *pair[1]]),
        host=hosts(),
        body=st.none() if bodies is None else bodies,
    )
