"""What openings show: the sum and one number for each member, and nothing else about anybody's update."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedgap.secagg.directions import Whole
from fedgap.secagg.masking import Ring
from fedgap.secagg.opening import product

SIZE = 5
words = st.lists(st.integers(0, 2**32 - 1), min_size=SIZE, max_size=SIZE).map(
    lambda numbers: np.asarray(numbers, dtype=np.uint64).astype(np.uint32)
)
entries = st.lists(st.integers(-(2**15), 2**15 - 1), min_size=SIZE, max_size=SIZE).map(
    lambda numbers: np.asarray([1, *numbers[1:]], np.int16)
)


def orthogonal(q: Whole, vector: Ring) -> Ring:
    """Change the first word so that the product with q (whose first entry is 1) is zero in the ring."""
    changed = vector.copy()
    changed[0] = (int(vector[0]) - product(q, vector)) % 2**32
    assert product(q, changed) == 0
    return changed


@given(st.integers(3, 6), entries, st.data())
def test_the_servers_view_depends_on_the_sum_and_the_opened_numbers_alone(
    n: int, q: Whole, data: st.DataObject
) -> None:
    """For any inputs with one sum and the same numbers there are masks that give the same uploads and answers.

    The coupling of the design notes (opening, section 1.1): move the difference of the inputs, which is orthogonal to
    q, along the path 0 - 1 - ... - (n - 1) of mask edges; uniform masks stay uniform, every upload is unchanged, and so
    is every r_ij.
    """
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    masks = {pair: data.draw(words) for pair in pairs}
    inputs = [data.draw(words) for _ in range(n)]
    moves = [orthogonal(q, data.draw(words)) for _ in range(n - 1)]
    others = [x + move for x, move in zip(inputs, moves, strict=False)]
    last = inputs[-1] - np.sum(moves, axis=0, dtype=np.uint32)
    others.append(last)
    moved, carry = dict(masks), np.zeros(SIZE, np.uint32)
    for i in range(n - 1):
        carry = carry + others[i] - inputs[i]
        moved[i, i + 1] = masks[i, i + 1] - carry

    assert [u.tolist() for u in uploads(inputs, masks)] == [u.tolist() for u in uploads(others, moved)]
    assert [product(q, masks[pair]) for pair in pairs] == [product(q, moved[pair]) for pair in pairs]
    assert [product(q, x) for x in inputs] == [product(q, x) for x in others]


def uploads(inputs: list[Ring], masks: dict[tuple[int, int], Ring]) -> list[Ring]:
    """y_i = x_i + masks towards higher seats - masks towards lower ones."""
    found = [vector.copy() for vector in inputs]
    for (low, high), mask in masks.items():
        found[low] += mask
        found[high] -= mask
    return found
