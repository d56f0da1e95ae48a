"""The site as a Flower ClientApp: the same answers, from the folder that the node names."""

import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.app.message import make_message
from flwr.app.metadata import Metadata

from fedgap.crypto.codec import pack, unpack
from fedgap.errors import UsageError
from fedgap.flower import contract, course
from fedgap.flower.client_app import app
from fedgap.flower.contract import STATISTICS, Request
from fedgap.flower.egress import read_egress
from fedgap.flower.preparation import AskStatistics, Statistics
from fedgap.ids import OrgId
from tests.flower.sites import village

SITE = """
[site]
organisation = "ash"
server = "https://fed.example.org"
data = "ash.csv"
folder = "site-ash"
[limits]
tasks = ["tabular-classification"]
rounds = 2
minimum_cohort = 3
"""


def asked(content: RecordDict) -> Message:
    """A message as a server sends it."""
    metadata = Metadata(
        run_id=1,
        message_id="a" * 64,
        src_node_id=1,
        dst_node_id=7,
        reply_to_message_id="",
        group_id="1",
        created_at=time.time(),
        ttl=60.0,
        message_type=contract.MESSAGE_TYPE,
    )
    return make_message(metadata=metadata, content=content)


def at(site: str | None) -> Context:
    """A node that names this site."""
    config: dict[str, str | int | float | bool] = {} if site is None else {"site": site}
    return Context(run_id=1, node_id=7, node_config=config, state=RecordDict(), run_config={})


def test_a_stock_node_gives_the_same_answer_as_the_client(tmp_path: Path) -> None:
    with ExitStack() as stack:
        made = village(tmp_path, stack)
        plan = course.plan_digest(made.config.document())
        wanted = made.ask(OrgId("ash"), STATISTICS, pack(AskStatistics(plan=plan)))
    path = tmp_path / "site.toml"
    path.write_text(SITE)
    request = Request(purpose=STATISTICS, federation="tiny", stage_s=5.0, body=pack(AskStatistics(plan=plan)))
    reply = contract.read_reply(app(asked(contract.write_request(request)), at(str(path))).content)

    assert reply == wanted
    assert unpack(Statistics, reply.body).rows > 0
    assert [line["purpose"] for line in read_egress(tmp_path / "site-ash" / "egress.jsonl")] == [STATISTICS]
    refused = contract.read_reply(app(asked(RecordDict()), at(str(path))).content)
    assert (refused.status, refused.code) == ("refused", "flower.bad-envelope")


def test_a_node_that_names_no_site_is_told_so() -> None:
    with pytest.raises(UsageError, match="which site"):
        app(asked(RecordDict()), at(None))
