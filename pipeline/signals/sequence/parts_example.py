"""Small accounts with and without a part that works off a list: for the examples and the tests of parts."""

from __future__ import annotations

import numpy as np

from pipeline.signals.sequence.base import AccountSequence


def two_uses(people: int = 60, listed: int = 60, *, metadata: bool = True, seed: int = 1) -> AccountSequence:
    """People who stay with six subjects and ask again, and a list of new prompts on everything, in turns.

    Parameters
    ----------
    people, listed
        Records of each.
    metadata
        With sampling parameters, a template and lengths of answers of their own.
    seed
        Of the contents and the order.

    Examples
    --------
    >>> len(two_uses(30, 10)), int(two_uses(30, 10).code("sampling").sum())
    (40, 10)
    """
    rng = np.random.default_rng(seed)
    n, dimension = people + listed, 96
    is_list = np.zeros(n, bool)
    is_list[rng.permutation(n)[:listed]] = True
    subjects = rng.normal(size=(6, dimension))
    prompts = rng.normal(size=(n, dimension))
    prompt, topic = np.arange(n), 100 + rng.integers(0, 60, n)
    # People change the subject now and then, and send one of its few prompts.
    subject = np.repeat(rng.integers(0, 6, n // 5 + 1), 5)[:n]
    asked = subject * 10 + rng.integers(0, 10, n)
    few = subjects[np.arange(60) // 10] + 0.5 * rng.normal(size=(60, dimension))
    prompts[~is_list] = few[asked[~is_list]]
    prompt[~is_list] = n + asked[~is_list]
    topic[~is_list] = subject[~is_list]
    # A corpus is a corpus: its prompts have something in common.
    prompts[is_list] += 0.6 * rng.normal(size=dimension)
    length = np.sqrt((prompts**2).sum(axis=1, keepdims=True))
    vectors = np.rint(prompts / length * 400).clip(-127, 127).astype(np.int8)
    time = 1_767_225_600_000_000 + np.cumsum(rng.integers(60, 900, n)) * 1_000_000
    if not metadata:
        return AccountSequence(vectors, time.astype(np.int64), topic.astype(np.int64))
    own = is_list.astype(np.int64)
    return AccountSequence(
        vectors,
        time.astype(np.int64),
        topic.astype(np.int64),
        {"prompt": prompt.astype(np.int64), "sampling": own, "template": own, "model": np.zeros(n, np.int64)},
        {"output_tokens": np.where(is_list, 800, 100).astype(np.int64)},
    )
