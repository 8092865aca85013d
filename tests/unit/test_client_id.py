import pytest

from pipeline.client_id import ClientId, parse_client_id


@pytest.mark.parametrize("address", ["127.0.0.1:8101", "[::1]:80", "worker-0.aggregate.svc:8080", None])
def test_what_is_written_is_read_back(address: str | None) -> None:
    worker = ClientId("aggregate-0.a_B", address)
    assert parse_client_id(str(worker)) == worker


@pytest.mark.parametrize(
    "text",
    [
        "rdkafka",
        "",
        "statelog;;h:1",
        "statelog;a b;h:1",
        "statelog;a;h",
        "statelog;a;h:1/path",
        "statelog;a;user@h:1",
        "statelog;a;h:1\n",
        "statelog;a;b;h:1",
        "statelog;a",
    ],
)
def test_another_clients_id_is_none_of_ours(text: str) -> None:
    assert parse_client_id(text) is None


def test_an_id_that_could_not_be_read_back_is_not_written() -> None:
    with pytest.raises(ValueError, match="made of"):
        str(ClientId("a;b", None))
