"""Secure aggregation: the server learns a sum over the organisations that stayed, and nothing else.

      organisation                                        |  server
    ------------------------------------------------------+---------------------------------------------------
      1 advertise   check the plan against our own        |  invite: plan, last sum
                    two one-time keys, signed ----------->|
      2 share       check every key   <-------------------|  everybody's keys
                    sealed shares of two secrets -------->|
      3 upload      check every share, train, encode  <---|  the shares dealt to us
                    update + self mask +/- pair masks --->|  adds what comes: it looks uniform
      4 agree       is my upload in?  <-------------------|  who stayed
                    one signature over the list --------->|
      5 unmask      did tau sign it?  <-------------------|  tau signatures
                    one share for each member ----------->|  takes the masks off the sum

Why two kinds of masks: pair masks cancel between two members that both stay, so the sum of all uploads is the sum of
the updates plus the self masks. If a member stayed, its self mask is opened; if it dropped after dealing, its mask key
is opened so that its pair masks can be taken off. Never both: together they would open its own update. That is why
everybody signs one list of who stayed before any share is given, and gives one share for each member.

After the run, or at the end of a settlement period, one number for each member is opened from the same uploads:

    settle        endorse the list of rounds <------------|  agenda
                  check, recompute <----------------------|  reveal: directions, certificates, rows
                  one number for each peer -------------->|  value = <q, upload> - masks
                  confirm or object <---------------------|  statement

Who learns what. The server, together with up to f members, learns in one round the sum over one set of at least u_min
survivors, and in one period one number for each member, and what follows from these. It learns who took part and when.
Members learn the sum, and in the end everybody's number. Nobody learns an update, a loss or an accuracy of a single
organisation: metrics are inside the masked vector. Weights are public: they stand in the manifest.

What is not protected. The sum itself: in a small federation it can say much about one member, and over many rounds with
changing members more; differential privacy is the answer to that, not this package. Honesty of inputs: a member may
send anything within its norm bound. Availability: the server, or a member ready to be named, can stop a round. Secrecy
against a future quantum computer that replays recorded traffic. A disk that is stolen before its rounds are settled:
it opens that member's own updates of those rounds.

Start at `client` and `server` (the five steps) and `dealing` (key shares), then `transcript` (what is bound to what),
`keyring` (which secret follows from which), `encoding` (updates as whole numbers) and `evidence` (proofs against who
lies). `participant` is a member as a program; `fedgap.rounds` is the loop of the server; `local` is a whole federation
in one process; `plain` is the same sum without masks. Settlement: `settlement` (its messages), `inspection` (what a
member checks), `settler` and `clearing` (its two sides), `credit` and `valuation` (from answers to values), `dispute`
(who lied about an edge), `tenures` (what a change of keys or of the roster means), `together` (parts of a period),
`plain_opening` (the same values without messages); `fedgap.settling` is its loop.
docs/protocol.md gives every byte.
"""

from fedgap.secagg.desk import Desk
from fedgap.secagg.encoding import Contribution, Encoding, Mean, Metric, next_clip
from fedgap.secagg.errors import SecaggError
from fedgap.secagg.evaluation import Evaluation
from fedgap.secagg.local import LocalFederation, Settled, local_federation
from fedgap.secagg.manifest import Manifest, Member, SignedManifest
from fedgap.secagg.participant import Application, Participant, Vault
from fedgap.secagg.plain import mean_of, plain_mean, plain_sum
from fedgap.secagg.plain_opening import PlainOpening
from fedgap.secagg.quorum import Quorum
from fedgap.secagg.server import Server
from fedgap.secagg.settler import Settler
from fedgap.secagg.stages import Opened
from fedgap.secagg.transcript import Plan, state_digest
from fedgap.secagg.valuation import Settlement

__all__ = [
    "Application",
    "Contribution",
    "Desk",
    "Encoding",
    "Evaluation",
    "LocalFederation",
    "Manifest",
    "Mean",
    "Member",
    "Metric",
    "Opened",
    "Participant",
    "PlainOpening",
    "Plan",
    "Quorum",
    "SecaggError",
    "Server",
    "Settled",
    "Settlement",
    "Settler",
    "SignedManifest",
    "Vault",
    "local_federation",
    "mean_of",
    "next_clip",
    "plain_mean",
    "plain_sum",
    "state_digest",
]
