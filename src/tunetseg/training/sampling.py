"""The order of samples: which are in which batch of which epoch, on which process."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Sampler

__all__ = ["Batches", "Key", "OrderedBatches", "generator_of"]


class Key(NamedTuple):
    """One sample of one epoch; all that is random in it follows from this.

    Args:
        epoch: From 0.
        position: Place in the order of the epoch.
        sample: Number of the sample of the dataset that stands there.
    """

    epoch: int
    position: int
    sample: int


def generator_of(entropy: Sequence[int], *key: int) -> np.random.Generator:
    """Return a random generator whose stream is independent of that of any other key.

    Args:
        entropy: Of the run.
        key: Such as stage, epoch and position.
    """
    return np.random.default_rng(np.random.SeedSequence(entropy=tuple(entropy), spawn_key=key))


class Batches(Sampler[list[Key]]):
    """Batches of an epoch, each process's part of them.

    A batch of all processes together is the batch of a single process. Which samples it holds depends on nothing but
    the entropy, the stage and the epoch, so that a resumed run sees what it would have seen. The last batch may be
    smaller; where it has fewer samples than there are processes, it is left out.

    Args:
        samples: Samples of the dataset.
        batch_size: Samples per batch, over all processes.
        entropy: Of the run.
        stage: Of the recipe.
        rank: Number of this process.
        processes: Number of processes.

    Examples:
        >>> [len(batch) for batch in Batches(5, 2, entropy=[0])]
        [2, 2, 1]
    """

    def __init__(
        self,
        samples: int,
        batch_size: int,
        *,
        entropy: Sequence[int],
        stage: int = 0,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.samples = samples
        self.batch_size = batch_size
        self.entropy = entropy
        self.stage = stage
        self.rank = rank
        self.processes = processes
        self.epoch = 0
        self.done = 0

    def resume(self, epoch: int, done: int) -> None:
        """Begin the next iteration at a batch of an epoch: in a resumed run, after those that were trained on."""
        self.epoch, self.done = epoch, done

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning does so before each."""
        self.epoch = epoch

    @property
    def sampler(self) -> "Batches":
        """Where Lightning looks for ``set_epoch`` in a loader that is given batches."""
        return self

    def __len__(self) -> int:
        whole, rest = divmod(self.samples, self.batch_size)
        return whole + (rest >= self.processes)

    def __iter__(self) -> Iterator[list[Key]]:
        """Yield this process's part of each batch."""
        order = self._order()
        first, self.done = self.done, 0
        for number in range(first, len(self)):
            begin = number * self.batch_size
            batch = range(begin, min(begin + self.batch_size, self.samples))
            share = np.array_split(batch, self.processes)[self.rank].tolist()
            yield [Key(self.epoch, position, order[position]) for position in share]

    def _order(self) -> list[int]:
        seed = int(generator_of(self.entropy, self.stage, self.epoch).integers(2**63))
        return torch.randperm(self.samples, generator=torch.Generator().manual_seed(seed)).tolist()


class OrderedBatches(Sampler[list[Key]]):
    """Batches of a dataset in its own order, dealt over the processes.

    Args:
        samples: Samples of the dataset.
        batch_size: Samples per batch and process.
        rank: Number of this process.
        processes: Number of processes.

    Examples:
        >>> [[key.sample for key in batch] for batch in OrderedBatches(5, 2)]
        [[0, 1], [2, 3], [4]]
    """

    def __init__(self, samples: int, batch_size: int, *, rank: int = 0, processes: int = 1) -> None:
        firsts = range(0, samples, batch_size)[rank::processes]
        self.batches = [
            [Key(0, index, index) for index in range(first, min(first + batch_size, samples))] for first in firsts
        ]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Key]]:
        """Yield the batches of this process."""
        return iter(self.batches)
