"""The file of tokens: what a line says, what is refused, and how a change of it is noticed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.errors import Misconfigured
from pipeline.query.bearer_tokens import holder_of, line_of, new_token, read_holders, read_token
from pipeline.query.credentials import Credentials
from pipeline.query.rights import Reading, Right
from pipeline.secret_files import LOOK_EVERY_S, Followed
from pipeline.settings import Settings
from tests.support.identities import Tokens

HASH = "sha256:" + "ab" * 32


def test_a_token_is_known_by_its_line_and_cannot_be_read_from_it(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    dashboard, other = tokens.give("dashboard", "status", "read:device-state:press-"), tokens.give("other", "metrics")
    holders = read_holders(tokens.path)
    found = holder_of(dashboard, holders)
    assert found is not None
    assert (found.name, found.rights.named) == ("dashboard", frozenset({Right.STATUS}))
    assert found.rights.readings == {Reading("device-state", b"press-")}
    assert holder_of(other, holders) == holders[1]
    assert holder_of(new_token(), holders) is None
    for token in (dashboard, other):
        assert token not in tokens.path.read_text()
        assert token.removeprefix("statelog_") not in tokens.path.read_text()
    assert len({new_token() for _ in range(100)}) == 100


def test_a_token_whose_hash_begins_like_a_known_one_is_none(tmp_path: Path) -> None:
    """Some tens of thousands of tries find one that shares four digits: a comparison of a part would let it in."""
    tokens = Tokens(tmp_path)
    tokens.give("dashboard", "status")
    (holder,) = holders = read_holders(tokens.path)
    tries = (f"statelog_{number}" for number in range(10_000_000))
    alike = next(each for each in tries if hashlib.sha256(each.encode()).hexdigest()[:4] == holder.sha256[:4])
    assert holder_of(alike, holders) is None


@pytest.mark.parametrize(
    "line",
    [
        "dashboard",
        "dashboard status",
        f"dashboard {HASH}",
        f"dashboard {HASH} nonsense",
        f"dashboard {HASH} read:words:",
        f"dashboard {HASH} status nonsense",
        f"dashboard {HASH.upper()} status",
        f"dashboard {HASH[:-1]} status",
        f"dashboard md5:{'ab' * 16} status",
        f"../dashboard {HASH} status",
        f"{HASH} dashboard status",
        f"one {HASH} status\ntwo {HASH} metrics",
    ],
)
def test_a_line_that_cannot_be_meant_is_named_by_its_number_and_not_quoted(tmp_path: Path, line: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"# a comment\n\n{line}\n")
    with pytest.raises(Misconfigured) as refused:
        read_holders(path)
    number = 4 if "\n" in line else 3
    assert refused.value.data["line"] == number
    assert "ab" * 16 not in f"{refused.value} {refused.value.hint}".lower()


def test_a_token_put_into_the_file_by_mistake_is_not_told_on(tmp_path: Path) -> None:
    token = new_token()
    path = tmp_path / "tokens"
    path.write_text(f"dashboard {token} status\n")
    with pytest.raises(Misconfigured) as refused:
        Credentials.of(Settings(http_tokens_file=path))
    assert token not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize("text", ["", "\n", "two words", "a\nb", "é", "x" * 9_000])
def test_a_file_that_holds_no_token_is_refused_and_not_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    with pytest.raises(Misconfigured) as refused:
        read_token(path)
    assert not text.strip() or text not in str(refused.value)


def test_a_token_is_given_and_withdrawn_without_a_restart(tmp_path: Path) -> None:
    now = 0.0
    tokens = Tokens(tmp_path)
    first = tokens.give("first", "status")
    follow = Followed(tokens.path, read_holders, clock=lambda: now)
    second = tokens.give("second", "status")
    assert holder_of(second, follow()) is None, "it looks once a second"
    now += LOOK_EVERY_S
    assert holder_of(second, follow()) is not None
    lines = tokens.path.read_text().splitlines()
    tokens.path.write_text("\n".join(line for line in lines if not line.startswith("first")))
    now += LOOK_EVERY_S
    assert holder_of(first, follow()) is None
    assert holder_of(second, follow()) is not None


@pytest.mark.parametrize("spoil", [lambda path: path.write_text("half a li"), Path.unlink], ids=["half", "gone"])
def test_a_file_spoilt_while_it_is_followed_locks_nobody_out(
    tmp_path: Path, spoil: object, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    tokens = Tokens(tmp_path)
    token = tokens.give("one", "status")
    follow = Followed(tokens.path, read_holders, clock=lambda: now)
    whole = tokens.path.read_text()
    assert callable(spoil)
    spoil(tokens.path)
    now += LOOK_EVERY_S
    assert holder_of(token, follow()) is not None
    told = capsys.readouterr()
    assert "what it said before holds" in told.out + told.err
    tokens.path.write_text(whole)
    another = tokens.give("another", "status")
    now += LOOK_EVERY_S
    assert holder_of(another, follow()) is not None


def test_the_command_prints_a_token_and_the_line_by_which_it_is_known(tmp_path: Path) -> None:
    arguments = ["token", "new", "--name", "dashboard", "--scope", "status", "--scope", "read:device-state:press-"]
    made = [json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout) for _ in range(2)]
    assert made[0]["token"] != made[1]["token"]
    path = tmp_path / "tokens"
    path.write_text(made[0]["line"] + "\n")
    credentials = Credentials.of(Settings(http_tokens_file=path))
    assert credentials is not None
    caller = credentials.caller(made[0]["token"])
    assert caller is not None
    assert (caller.name, caller.rights.may(Right.STATUS)) == ("dashboard", True)
    assert caller.rights.may_read("device-state", b"press-07")
    assert credentials.caller(made[1]["token"]) is None
    spoken = CliRunner().invoke(app, arguments).stdout
    assert spoken.count("statelog_") == 1
    assert "sha256:" in spoken


@pytest.mark.parametrize(
    ("name", "scope"),
    [("two words", "status"), ("a#b", "status"), ("", "status"), ("ok", "everything"), ("ok", "read:t:")],
)
def test_the_command_makes_no_line_that_a_worker_would_refuse(name: str, scope: str) -> None:
    result = CliRunner().invoke(app, ["token", "new", "--name", name, "--scope", scope])
    assert result.exit_code == 2
    assert "statelog_" not in result.output
    with pytest.raises(Misconfigured):
        line_of(name, new_token(), [scope])
