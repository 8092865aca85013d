"""Messages near the edge of the schema, for property tests: good ones, and ones spoilt in every way JSON allows."""

from __future__ import annotations

from hypothesis import strategies as st

NUMBERS = st.one_of(
    st.sampled_from(
        [
            "0",
            "-0",
            "-0.0",
            "1.0",
            "1e3",
            "1E+2",
            "-1",
            "1e15",
            "1e16",
            "1e308",
            "1e309",
            "1e400",
            "-1e400",
            "5e-324",
            "1e-400",
        ]
    ),
    st.sampled_from(["9007199254740991", "9007199254740992", "9007199254740993", "253402300799999", "253402300800000"]),
    st.sampled_from(["18446744073709551616", "1" + "0" * 25, "1" + "0" * 400, "1" + "0" * 5000]),
    st.sampled_from(["NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "0x1", "1_0", "--1", "1e"]),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)
ESCAPES = st.sampled_from(
    ["\\u0000", "\\n", "\\ud800", "\\udc00", "\\ud83d\\ude00", "\\u00e9", "\\x", "\\", "\n", "\x01", "\x7f", "é", "😀"]
)
STRINGS = st.one_of(
    st.sampled_from(["press-07", "temperature", "degC", "", "a\\u0062", "A", "1", "true", "x" * 64, "x" * 65, "a}]{["]),
    st.text("abz09._:-_ ABé\u0661", max_size=8),
    st.lists(st.one_of(ESCAPES, st.sampled_from("ab")), max_size=3).map("".join),
).map(lambda text: f'"{text}"')
TIMES = st.sampled_from(
    [
        "2024-02-29T12:00:00Z",
        "2024-02-30T12:00:00Z",
        "2024-01-01t00:00:00.5z",
        "2024-01-01 00:00:00+01:00",
        "2024-01-01T00:00:00.123456789Z",
        "2024-01-01T00:00:00",
        "2024-01-01T24:00:00Z",
        "2024-01-01",
        "20240101T000000Z",
        "2016-12-31T23:59:60Z",
        "1969-12-31T23:59:59.999Z",
        "0001-01-01T00:00:00+10:00",
        "9999-12-31T23:59:59.999Z",
        "9999-12-31T23:59:59-23:00",
        "1386018900000",
        "yesterday",
        "\\ud800",
    ]
).map(lambda text: f'"{text}"')
ANYTHING = st.recursive(
    st.one_of(NUMBERS, STRINGS, TIMES, st.sampled_from(["true", "false", "null", "{}", "[]"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]"),
        st.lists(st.tuples(STRINGS, inner), max_size=4).map(
            lambda rows: f"{{{','.join(f'{a}:{b}' for a, b in rows)}}}"
        ),
    ),
    max_leaves=12,
)
TAGS = st.lists(st.tuples(STRINGS, STRINGS), max_size=18).map(
    lambda rows: f"{{{','.join(f'{a}:{b}' for a, b in rows)}}}"
)

GOOD = {
    "device_id": st.sampled_from(['"press-07"', '"a"', f'"{"x" * 64}"', '"\\u0061"']),
    "metric": st.sampled_from(['"temperature"', '"m_1"']),
    "value": st.one_of(st.sampled_from(["0", "-0", "-0.0", "1e15", "73.9"]), st.floats(-1e15, 1e15).map(repr)),
    "unit": st.sampled_from(['"degF"', '"°C"', '"flurb"']),
    "event_time": st.integers(0, 2**41).map(str),
    "seq": st.one_of(st.integers(0, 2**53 - 1).map(str), st.just("null")),
    "tags": st.sampled_from(["null", "{}", '{"site":"lyon"}', '{"a":"1","a":"2"}']),
    "origin": st.just('["abc",0,1]'),
}
NEARLY = {
    "value": NUMBERS,
    "event_time": st.one_of(NUMBERS, TIMES),
    "seq": NUMBERS,
    "tags": st.one_of(TAGS, st.sampled_from(['{"":"x"}', '{"a":1,"a":"x"}'])),
    "origin": st.sampled_from(['["a",0]', '["a",0,1,2]', '{"topic_id":"a"}', '["",0,1]', '["a",true,1]', '["a",-1,1]']),
}
SPACE = st.sampled_from(["", " ", "\n\t\r"])


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """An object of the known fields, a few of them spoilt, absent, repeated or unknown, in any order."""
    fields = [(f'"{name}"', draw(value)) for name, value in GOOD.items()]
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from([*GOOD, "extra", "seq2"]))
        value = draw(st.one_of(NEARLY.get(name, STRINGS), ANYTHING, st.none()))
        match draw(st.sampled_from(["replace", "append"])):
            case "replace":
                fields = [field for field in fields if field[0] != f'"{name}"']
                fields += [(f'"{name}"', value)] if value is not None else []
            case "append" if value is not None:
                fields.append((f'"{name}"', value))
    if draw(st.booleans()):
        fields = draw(st.permutations(fields))
    space = draw(SPACE)
    body = f",{space}".join(f"{name}:{space}{value}" for name, value in fields)
    return f"{space}{{{body}}}{space}".encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A message with bytes cut out, put in or changed."""
    data = bytearray(draw(messages()))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        stop = draw(st.integers(start, min(start + 3, len(data))))
        data[start:stop] = draw(
            st.one_of(st.binary(max_size=3), st.sampled_from([b'"', b"\\", b"{", b"]", b"\xff", b"\x00"]))
        )
    return bytes(data)


DATA = st.one_of(messages(), messages(), messages(), damaged(), st.binary(max_size=40), ANYTHING.map(str.encode))
