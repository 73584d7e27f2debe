"""Draws rings as a function of seed, epoch and place alone, so that every process knows the whole order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DistributedSampler

from fsmde_core.errors import FsmdeError
from fsmde_training.distill.dataset import MixedRings, RingDraw


@dataclass(frozen=True, eq=False)
class Stratum:
    """Holds rings of a set that are drawn alike, and their proportion of all draws (any positive number)."""

    dataset: int
    rings: NDArray[np.int64]
    proportion: float


def interleave(proportions: Sequence[float], count: int) -> NDArray[np.int64]:
    """Choose strata for all draws, evenly spaced, so that batches are alike.

    Args:
        proportions: How often each is chosen, positive numbers of any sum.
        count: Number of draws.

    Returns:
        (count,) indices into `proportions`.
    """
    wanted = np.asarray(proportions) / sum(proportions)
    drawn = np.zeros(len(proportions))
    order = np.empty(count, np.int64)
    for place in range(count):
        order[place] = np.argmax(wanted * (place + 1) - drawn)
        drawn[order[place]] += 1
    return order


class RingSampler(DistributedSampler):
    """Draws rings of every stratum without replacement while it lasts, and deals them out batch by batch.

    Batch i of all `processes` together is what one process would draw at `processes` times the batch size.
    samples: Draws per epoch over all processes; rounded down to whole batches of all of them.
    """

    def __init__(
        self,
        rings: MixedRings,
        strata: Sequence[Stratum],
        samples: int,
        batch_size: int,
        seed: int,
        processes: int = 1,
        rank: int = 0,
    ) -> None:
        super().__init__(rings, num_replicas=processes, rank=rank, seed=seed)
        self._strata, self._batch_size = strata, batch_size
        self._steps = samples // (processes * batch_size)
        if self._steps == 0:
            least = processes * batch_size
            raise FsmdeError(f"samples={samples}, expected at least {least}, a batch of every process; raise samples")

    def __len__(self) -> int:
        return self._steps * self._batch_size

    def __iter__(self) -> Iterator[RingDraw]:
        places = np.arange(self._steps * self.num_replicas * self._batch_size)
        order = interleave([stratum.proportion for stratum in self._strata], len(places))
        rings = np.empty(len(places), np.int64)
        for number, stratum in enumerate(self._strata):
            rng = np.random.default_rng((self.seed, self.epoch, number))
            count = int((order == number).sum())
            rounds = [rng.permutation(stratum.rings) for _ in range(-(-count // len(stratum.rings)))]
            rings[order == number] = np.concatenate([stratum.rings[:0], *rounds])[:count]
        for place in places.reshape(self._steps, self.num_replicas, self._batch_size)[:, self.rank].flat:
            yield RingDraw(self._strata[order[place]].dataset, int(rings[place]), (self.seed, self.epoch, int(place)))
