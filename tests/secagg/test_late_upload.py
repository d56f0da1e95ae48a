"""An upload that comes after its sender was left out: not used, and not readable, although the mask key was opened."""

import numpy as np

from fedgap.crypto import Keystream
from fedgap.secagg.encoding import encode
from fedgap.secagg.evidence import read_sealed, share_fits
from fedgap.secagg.keyring import edge_secret, mask_key, pair_mask, self_mask
from fedgap.secagg.masking import Ring
from fedgap.secagg.messages import Adverts, Agree, Upload
from fedgap.secagg.plain import plain_sum
from fedgap.secagg.shamir import recover
from fedgap.secagg.states import Uploaded
from fedgap.secagg.transcript import first_transcript
from fedgap.secagg.wire import kind_of, unpack
from tests.secagg.lying_member import CONTRIBUTION, LIAR, Case, N, answer_of, dealt_in

HELD = f"fedgap/1/{Upload.KIND}"


class LateCase(Case):
    """The upload of one member arrives with the signatures of exchange 4; what is needed to read it is noted."""

    def __init__(self) -> None:
        super().__init__()
        self.late: list[bytes] = []
        self.shares_of_b: dict[int, bytes] = {}
        self.deliver = self._hold_back

    def _hold_back(self, seat: int, reply: bytes) -> list[tuple[int, bytes]]:
        state = self.members[seat]._state()
        if isinstance(state, Uploaded):
            self.shares_of_b[seat] = next(held.of_b for held in state.held if held.seat == LIAR)
        if seat == LIAR and kind_of(reply) == HELD:
            self.late.append(reply)
            return []
        if seat == 0 and kind_of(reply) == f"fedgap/1/{Agree.KIND}":
            return [(seat, reply), (LIAR, self.late[0])]
        return [(seat, reply)]

    def without_pair_masks(self, sigma: bytes) -> Ring:
        """What the late upload is once the opened mask key took its pair masks off."""
        adverts = read_sealed(self.manifest, self.members[LIAR]._vault.get("000001-01-adverts-request"))
        assert isinstance(adverts, Adverts)
        t1, key = first_transcript(self.manifest, self.plan.sid, adverts.adverts), mask_key(sigma, self.plan.sid, LIAR)
        bare = np.frombuffer(unpack(Upload, self.late[0]).body, "<u4").copy()
        for advert in adverts.adverts:
            if advert.seat != LIAR:
                mask = pair_mask(edge_secret(key, advert.mask_public, t1=t1, seats=(LIAR, advert.seat)))
                words = _words(mask, len(bare))
                bare = bare - words if advert.seat > LIAR else bare + words
        return bare


def _words(key: bytes, count: int) -> Ring:
    return np.frombuffer(Keystream(key).read(0, 4 * count), "<u4")


def test_a_late_upload_is_not_used_and_stays_hidden_by_the_self_mask() -> None:
    case = LateCase()
    opened = case.run()
    assert [(fault.seat, fault.exchange) for fault in opened.faults] == [(LIAR, "agree")]
    expected, _ = plain_sum(
        case.manifest,
        [(org, CONTRIBUTION) for seat, org in enumerate(case.orgs) if seat != LIAR],
        clip=1.0,
        round_=1,
    )
    assert np.array_equal(opened.total, expected)

    vector = encode(case.manifest.encoding, CONTRIBUTION, clip=1.0, share=1.0, round_=1, org=case.orgs[LIAR], members=N)
    bare = case.without_pair_masks(opened.secrets[LIAR])
    assert not np.any(bare == vector)
    of_b = dict(list(case.shares_of_b.items())[: case.manifest.quorum.t])
    key = self_mask(recover(of_b), case.plan.sid, LIAR)
    assert np.array_equal(bare - _words(key, len(bare)), vector)


def test_nobody_gave_a_share_of_the_late_members_self_mask() -> None:
    """So the key that the test beside needs is out of reach: every answer has the share of its mask key instead."""
    case = LateCase()
    case.run()
    dealer = dealt_in(case)[LIAR]
    for holder in set(range(N)) - {LIAR}:
        share = answer_of(case, holder).shares[32 * LIAR : 32 * LIAR + 32]
        assert share_fits(share, dealer=dealer, position=holder, kind="sigma")
        assert not share_fits(share, dealer=dealer, position=holder, kind="b")
