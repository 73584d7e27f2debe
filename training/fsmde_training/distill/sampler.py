"""Which ring comes when: a function of seed, epoch and place alone, so that any process can tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DistributedSampler

from fsmde_core.errors import FsmdeError
from fsmde_training.distill.rings import MixedRings, RingDraw


@dataclass(frozen=True, eq=False)
class Stratum:
    """Rings of a set that are drawn alike, and their share of all draws (any positive number)."""

    dataset: int
    rings: NDArray[np.int64]
    share: float


def interleave(shares: Sequence[float], count: int) -> NDArray[np.int64]:
    """(count,) indices into `shares`: each as often as its share asks, evenly spaced, so that batches are alike."""
    wanted = np.asarray(shares) / sum(shares)
    taken = np.zeros(len(shares))
    order = np.empty(count, np.int64)
    for place in range(count):
        order[place] = np.argmax(wanted * (place + 1) - taken)
        taken[order[place]] += 1
    return order


class RingSampler(DistributedSampler):
    """`samples` draws per epoch, of every stratum without replacement while it lasts, dealt out batch by batch.

    Batch i of all `processes` together is what one process would draw at `processes` times the batch size.
    samples: of all processes; rounded down to whole batches of all of them.
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
        order = interleave([stratum.share for stratum in self._strata], len(places))
        rings = np.empty(len(places), np.int64)
        for number, stratum in enumerate(self._strata):
            rng = np.random.default_rng((self.seed, self.epoch, number))
            count = int((order == number).sum())
            rounds = [rng.permutation(stratum.rings) for _ in range(-(-count // len(stratum.rings)))]
            rings[order == number] = np.concatenate([stratum.rings[:0], *rounds])[:count]
        for place in places.reshape(self._steps, self.num_replicas, self._batch_size)[:, self.rank].flat:
            yield RingDraw(self._strata[order[place]].dataset, int(rings[place]), (self.seed, self.epoch, int(place)))
