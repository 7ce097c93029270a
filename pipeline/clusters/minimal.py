"""Groups of accounts that may be one: alike in content, and tied by payment or by a network few others use.

A minimal beginning. Two accounts are linked when (a) they share a payment id or a client network that at most
`RARE` scorable accounts use, and (b) their mean prompts point the same way, noise taken out: the cosine of the
centroids over the root of both mean pairwise cosines. Clusters are the connected components of at least
`MIN_MEMBERS` accounts. A company with several accounts for one purpose is linked just the same; whether a cluster
attacks is judged from the sum of its members' profiles, not from the links.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline import readings
from pipeline.kernels.distinct import PADDING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pipeline.profiles import Profiles

MIN_MEMBERS = 3
RARE = 32
MIN_COSINE = 0.9
# Below this mean pairwise cosine an account points nowhere, and dividing by it would make noise look alike.
MIN_COHERENCE = 0.02
PAYMENT, NETWORK = "payment", "network"


@dataclass(frozen=True, slots=True)
class AccountTies:
    """What scoring keeps of each account for clustering.

    ``account_id`` object[n] sorted; ``centroid`` float32[n, d], mean grid vector; ``coherence`` float64[n], mean
    pairwise cosine; ``records`` int64[n]; ``networks`` per account, hashes of its client networks (at most 64).
    """

    account_id: NDArray[np.object_]
    centroid: NDArray[np.float32]
    coherence: NDArray[np.float64]
    records: NDArray[np.int64]
    networks: Sequence[NDArray[np.uint64]]

    def __len__(self) -> int:
        return len(self.account_id)

    @classmethod
    def of(cls, profiles: Profiles) -> AccountTies:
        """Of profiles by account."""
        n = np.maximum(profiles.records, 1).astype(np.float64)
        sketch = profiles.distinct["client_network_distinct"]
        return cls(
            profiles.account_id,
            (profiles.embedding_sum / n[:, None]).astype(np.float32),
            readings.mean_pairwise_cosine(profiles),
            profiles.records.copy(),
            [row[row != PADDING] for row in sketch],
        )

    @classmethod
    def joined(cls, parts: Sequence[AccountTies], dimension: int) -> AccountTies:
        """Several, one after the other."""
        return cls(
            np.concatenate([np.empty(0, object), *(part.account_id for part in parts)]),
            np.concatenate([np.empty((0, dimension), np.float32), *(part.centroid for part in parts)]),
            np.concatenate([np.empty(0), *(part.coherence for part in parts)]),
            np.concatenate([np.empty(0, np.int64), *(part.records for part in parts)]),
            [networks for part in parts for networks in part.networks],
        )


@dataclass(frozen=True, slots=True)
class Cluster:
    """One group.

    ``members`` account ids, sorted; ``links`` per member, how many others it is linked to; ``cosine`` per member,
    with the mean of the others; ``shared`` what the links rest on.
    """

    cluster_id: str
    members: tuple[str, ...]
    links: tuple[int, ...]
    cosine: tuple[float, ...]
    shared: tuple[str, ...]


def cluster_id(members: Sequence[str]) -> str:
    """A name that depends on the members alone.

    Examples
    --------
    >>> cluster_id(["b", "a"]) == cluster_id(["a", "b"])
    True
    """
    text = "\n".join(sorted(members)).encode()
    return f"cluster-{hashlib.blake2b(text, digest_size=8).hexdigest()}"


def find_clusters(ties: AccountTies, payments: Mapping[str, Sequence[str]]) -> list[Cluster]:
    """Clusters, in order of their first member.

    Parameters
    ----------
    ties
        Accounts with records enough to be judged.
    payments
        Payment ids of accounts.
    """
    if len(ties) < MIN_MEMBERS:
        return []
    pairs: dict[tuple[int, int], set[str]] = {}
    for kind, groups in ((PAYMENT, _by_payment(ties, payments)), (NETWORK, _by_network(ties))):
        for group in groups:
            if 2 <= len(group) <= RARE:
                for place, one in enumerate(group):
                    for two in group[place + 1 :]:
                        pairs.setdefault((one, two), set()).add(kind)
    if not pairs:
        return []
    ends = np.array(sorted(pairs), np.int64)
    alike = _alike(ties, ends) >= MIN_COSINE
    ends = ends[alike]
    n = len(ties)
    graph = coo_array((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    links = np.bincount(ends.reshape(-1), minlength=n)
    order = np.argsort(component, kind="stable")
    found = []
    for rows in np.split(order, np.flatnonzero(np.diff(component[order])) + 1):
        if len(rows) < MIN_MEMBERS:
            continue
        inside = set(rows.tolist())
        shared = {kind for one, two in ends.tolist() if one in inside for kind in pairs[one, two]}
        found.append(_cluster(ties, np.sort(rows), links, shared))
    return sorted(found, key=lambda cluster: cluster.members[0])


def _cluster(
    ties: AccountTies, rows: NDArray[np.int64], links: NDArray[np.int64], shared: set[str]
) -> Cluster:
    sums = ties.centroid[rows].astype(np.float64) * ties.records[rows, None]
    rest = sums.sum(axis=0) - sums
    length = np.linalg.norm(sums, axis=1) * np.linalg.norm(rest, axis=1)
    cosine = (sums * rest).sum(axis=1) / np.maximum(length, 1e-12)
    members = [str(name) for name in ties.account_id[rows]]
    return Cluster(
        cluster_id(members),
        tuple(members),
        tuple(int(count) for count in links[rows]),
        tuple(round(float(value), 6) for value in cosine),
        tuple(sorted(shared)),
    )


def _by_payment(ties: AccountTies, payments: Mapping[str, Sequence[str]]) -> list[list[int]]:
    groups: dict[str, list[int]] = {}
    for row, account in enumerate(ties.account_id):
        for payment in payments.get(account, ()):
            groups.setdefault(payment, []).append(row)
    return list(groups.values())


def _by_network(ties: AccountTies) -> list[list[int]]:
    groups: dict[int, list[int]] = {}
    for row, networks in enumerate(ties.networks):
        for network in networks.tolist():
            groups.setdefault(network, []).append(row)
    return list(groups.values())


def _alike(ties: AccountTies, ends: NDArray[np.int64]) -> NDArray[np.float64]:
    """Cosine of the mean prompts of pairs, each corrected for the noise of a mean over few prompts."""
    out = np.empty(len(ends))
    norm = np.linalg.norm(ties.centroid.astype(np.float64), axis=1)
    coherence = ties.coherence
    n = np.maximum(ties.records, 2)
    # |mean|^2 = |q|^2 (c + (1 - c) / n): what is left of it without the noise is |q|^2 c.
    kept = coherence / (coherence + (1 - coherence) / n)
    usable = coherence >= MIN_COHERENCE
    for start in range(0, len(ends), 65_536):
        part = ends[start : start + 65_536]
        dot = np.einsum("ij,ij->i", ties.centroid[part[:, 0]], ties.centroid[part[:, 1]], dtype=np.float64)
        scale = np.prod(norm[part], axis=1) * np.sqrt(np.prod(np.where(usable, kept, 1.0)[part], axis=1))
        out[start : start + 65_536] = np.where(usable[part].all(axis=1), dot / np.maximum(scale, 1e-12), 0.0)
    return out
