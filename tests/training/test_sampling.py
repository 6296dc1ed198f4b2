"""Batches: an epoch is what its number says, and processes share what one would have."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tunetseg.training.sampling import Batches, OrderedBatches, generator_of


def epoch_of(batches: Batches, epoch: int) -> list:
    batches.set_epoch(epoch)
    return list(batches)


def test_an_epoch_is_a_permutation_that_its_number_gives() -> None:
    one, other = (Batches(10, 4, entropy=[7], stage=1) for _ in range(2))
    first = epoch_of(one, 3)
    assert first == epoch_of(other, 3)
    assert sorted(key.sample for batch in first for key in batch) == list(range(10))
    assert [key.position for batch in first for key in batch] == list(range(10))
    assert first != epoch_of(one, 4)
    assert [len(batch) for batch in first] == [4, 4, 2]


@given(samples=st.integers(1, 40), share=st.integers(1, 3), processes=st.integers(1, 4), epoch=st.integers(0, 3))
def test_processes_share_the_batches_of_one(samples: int, share: int, processes: int, epoch: int) -> None:
    size = share * processes
    alone = epoch_of(Batches(samples, size, entropy=[0]), epoch)
    parts = [Batches(samples, size, entropy=[0], rank=rank, processes=processes) for rank in range(processes)]
    shared = [epoch_of(part, epoch) for part in parts]
    assert {len(part) for part in parts} == {len(epoch) for epoch in shared} == {len(shared[0])}
    together = [list(itertools.chain(*batch)) for batch in zip(*shared, strict=True)]
    left_out = alone[len(together) :]
    assert together == alone[: len(together)]
    assert sum(map(len, left_out)) < processes
    assert all(batch for epoch in shared for batch in epoch)


def test_a_resumed_epoch_begins_at_a_batch() -> None:
    batches = Batches(10, 3, entropy=[0])
    whole = epoch_of(batches, 2)
    batches.resume(2, 2)
    assert list(batches) == whole[2:]
    assert list(batches) == whole, "only once"


def test_streams_of_stages_seeds_epochs_and_positions_differ() -> None:
    """Some coincided: order and first sample of an epoch, stage 1 of seed 0 and stage 0 of seed 1000 (B8)."""
    keys = [
        ((seed,), *key) for seed in (0, 1, 1000) for key in [(0, 0), (0, 0, 0), (1, 0), (1, 0, 0), (0, 1), (0, 1, 0)]
    ]
    first = [int(generator_of(entropy, *key).integers(2**62)) for entropy, *key in keys]
    assert len(set(first)) == len(keys)


def test_validation_batches_are_dealt_whole() -> None:
    parts = [OrderedBatches(7, 2, rank=rank, processes=3) for rank in range(3)]
    assert [len(part) for part in parts] == [2, 1, 1]
    found = sorted(key.sample for part in parts for batch in part for key in batch)
    assert found == list(range(7))


def test_entropy_of_any_size() -> None:
    draws = {int(generator_of(entropy, 0).integers(2**62)) for entropy in ([0], [0, 2**63], [2**64 - 1])}
    assert len(draws) == 3
    assert generator_of([np.uint64(3)], 1).integers(10) == generator_of([3], 1).integers(10)
