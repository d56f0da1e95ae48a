"""The same site as a Flower ClientApp, for stock SuperNodes: `flower-supernode --node-config 'site="/path/site.toml"'`.

Weaker than `fedgap client run`: the server chooses which code a stock SuperNode runs, this application among others,
and starts it anew for every message. What protects the update is the same: keys, journal, limits and egress log are the
site's own, and only `Participant` answers. Use it to try fedgap on an existing Flower installation.
"""

import os
from datetime import datetime
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from fedgap.config.site import load_site
from fedgap.crypto import system
from fedgap.errors import UsageError
from fedgap.flower.contract import EnvelopeError, Request, VersionError, read_request, write_reply
from fedgap.flower.desk import Desk
from fedgap.flower.egress import EgressLog
from fedgap.flower.membership import SiteFolder
from fedgap.flower.meter import Machine, Meter
from fedgap.flower.resident import Resident
from fedgap.flower.supervisor import PASSPHRASE

app = ClientApp()
"""Answers messages of the type `query.fedgap` and no other."""


@app.query("fedgap")
def answer(message: Message, context: Context) -> Message:
    """Answer one message as the site of this node.

    Raises:
        UsageError: the node was started without the path of a site.toml.
    """
    path = context.node_config.get("site")
    if not isinstance(path, str):
        raise UsageError(
            "The node does not say which site it is.", remedy="Add --node-config 'site=\"/path/site.toml\"'."
        )
    site = load_site(Path(path))
    folder = SiteFolder(site.folder)
    membership = folder.membership()
    identity, _ = folder.keys(os.environ.get(PASSPHRASE))
    with folder.alone(), EgressLog(folder.egress, to=membership.address) as egress:
        resident = Resident(
            site=site,
            folder=folder,
            membership=membership,
            identity=identity,
            desk=Desk(membership.address, ca=membership.ca, egress=egress),
            meter=Meter(Machine()),
            say=lambda kind, **facts: folder.note_status(event=kind, **{key: str(facts[key]) for key in facts}),
            rand=system,
            now=datetime.now,
        )
        try:
            request = _read(message)
            reply = resident.answer(request)
            purpose = request.purpose if isinstance(request, Request) else "unreadable"
            egress.note(purpose, reply.body, status=reply.status, **({"code": reply.code} if reply.code else {}))
        finally:
            resident.close()
    return Message(write_reply(reply), reply_to=message)


def _read(message: Message) -> Request | EnvelopeError | VersionError:
    try:
        return read_request(message.content)
    except (EnvelopeError, VersionError) as error:
        return error
