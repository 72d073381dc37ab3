"""Bradley-Terry ratings with ties by maximum likelihood, a thousand resamples at once.

Model (Davidson 1970): P(i beats j) : P(tie) : P(j beats i) = e^(d/2) : e^eta : e^(-d/2), with d =
theta_i - theta_j. The log-likelihood is concave in (theta, eta) and its maximum depends on the
counts only, so the order of the votes cannot matter. Newton's method runs on all resamples
together; the counts of a resample are one multinomial draw over the distinct outcomes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from selene_lib.errors import UserError
from selene_lib.evaluation.arena.elo import START
from selene_lib.evaluation.arena.many import draw_shifts
from selene_lib.evaluation.arena.votes import ELO_PER_NAT, Battles

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Ties = Literal["davidson", "half"]
ResampledBy = Literal["vote", "voter"]
RIDGE = 0.01
# From so many counts to be drawn on (resamples x pairs x outcomes: 160 MB), and so many
# votes for every judge, resamples come from the normal limit.
MANY_COUNTS, MANY_VOTES = 20_000_000, 500
CELLS_AT_ONCE = 4_000_000
_MAX_STEP = 2.0
_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class PairCounts:
    """Distinct pairs [n_pairs, 2] and the counts of their outcomes [n_pairs, 3].

    Outcomes are: the first of the pair won, tie, the second won.
    """

    n_judges: int
    pairs: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True, eq=False)
class BradleyTerry:
    """`ratings` in Elo points around 1200, `tie_log_odds` eta (-inf: no ties).

    `standard_errors` come from the curvature of the likelihood.
    """

    ratings: np.ndarray
    standard_errors: np.ndarray
    tie_log_odds: float
    n_steps: int


def count_outcomes(battles: Battles) -> PairCounts:
    """Count the outcomes of each pair of judges that met."""
    pairs, cell = _cells(battles)
    counts = np.bincount(cell, minlength=3 * len(pairs)).reshape(-1, 3)
    return PairCounts(len(battles.judges), pairs, counts.astype(float))


def _cells(battles: Battles) -> tuple[np.ndarray, np.ndarray]:
    """Number the outcomes: battle -> 3 * pair + (0 first won, 1 tie, 2 second won)."""
    low, high = np.minimum(battles.left, battles.right), np.maximum(battles.left, battles.right)
    keys, pair = np.unique(low * len(battles.judges) + high, return_inverse=True)
    pairs = np.stack(np.divmod(keys, len(battles.judges)), axis=1)
    score_first = np.where(battles.left == low, battles.score_left, 1 - battles.score_left)
    return pairs, 3 * pair + np.rint(2 - 2 * score_first).astype(int)


def fit_bradley_terry(
    battles: Battles, *, ties: Ties = "davidson", ridge: float = RIDGE
) -> BradleyTerry:
    """Fit the ratings of all judges.

    `ties="davidson"` estimates how often equals draw; `"half"` counts a tie as half a win for each,
    as most leaderboards do. `ridge` is the precision of a Gaussian prior on each parameter in nats:
    0.01 weighs as 0.04 battles, and is there so that a judge who won every battle has a finite
    rating. Raises UserError if two groups of judges never met: their ratings cannot be compared.
    """
    outcomes = count_outcomes(battles)
    check_connected(battles, outcomes)
    fit = _newton(
        outcomes.pairs, _treat_ties(outcomes.counts, ties)[None], outcomes.n_judges, ridge=ridge
    )
    return BradleyTerry(
        _to_elo(fit.theta)[0], _standard_errors(fit), float(fit.eta[0]), fit.n_steps
    )


def bootstrap_ratings(
    battles: Battles,
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    by: ResampledBy = "vote",
    ties: Ties = "davidson",
    ridge: float = RIDGE,
) -> np.ndarray:
    """Return Bradley-Terry ratings (Elo points) of resampled battles, [n_resamples, n_judges].

    `by="vote"` resamples votes; `by="voter"` resamples people with all their votes, which is wider
    where a person votes many times. Of very many votes (`MANY_COUNTS`, `MANY_VOTES`) the resamples
    are those of the normal limit (`arena.many`).
    """
    outcomes, rng = count_outcomes(battles), np.random.default_rng(seed)
    check_connected(battles, outcomes)
    counts = _treat_ties(outcomes.counts, ties)
    start = _newton(outcomes.pairs, counts[None], outcomes.n_judges, ridge=ridge)
    many = outcomes.counts.size * n_resamples >= MANY_COUNTS
    if many and battles.n_votes().min() >= MANY_VOTES:
        shifts = _shifts(battles, outcomes, start, n_resamples, rng, by)
        return _to_elo(start.theta + shifts[:, : outcomes.n_judges])
    # some of the resamples at a time: each has a matrix of judges by judges
    step = max(1, CELLS_AT_ONCE // max(outcomes.counts.size, outcomes.n_judges**2))
    parts = []
    for begin in range(0, n_resamples, step):
        drawn = _resample(battles, outcomes, min(step, n_resamples - begin), rng, by)
        fit = _newton(
            outcomes.pairs,
            _treat_ties(drawn, ties),
            outcomes.n_judges,
            ridge=ridge,
            start=start,
            with_ties=bool(counts[:, 1].any()),
        )
        parts.append(fit.theta)
    return _to_elo(np.concatenate(parts))


def _resample(
    battles: Battles,
    outcomes: PairCounts,
    n_resamples: int,
    rng: np.random.Generator,
    by: ResampledBy,
) -> np.ndarray:
    shape = (n_resamples, *outcomes.counts.shape)
    if by == "vote":
        shares = outcomes.counts.ravel() / len(battles)
        return rng.multinomial(len(battles), shares, size=n_resamples).astype(float).reshape(shape)
    if by != "voter":
        raise ValueError(f"by={by!r} is not one of vote, voter")
    voter = _voters(battles)
    n_voters = int(voter.max()) + 1
    table = np.zeros((n_voters, outcomes.counts.size))
    np.add.at(table, (voter, _cells(battles)[1]), 1)
    weights = rng.multinomial(n_voters, np.full(n_voters, 1 / n_voters), size=n_resamples)
    return (weights @ table).reshape(shape)


def _shifts(
    battles: Battles,
    outcomes: PairCounts,
    fit: _Fit,
    n_resamples: int,
    rng: np.random.Generator,
    by: ResampledBy,
) -> np.ndarray:
    """How resamples move theta (and eta, where ties have one), [n_resamples, n_parameters]."""
    from scipy.sparse import coo_array

    n_pairs, size = len(outcomes.pairs), len(fit.information[0])
    first, second = np.repeat(outcomes.pairs, 3, axis=0).T
    p_gap, p_tie = _expected(fit, outcomes.pairs)
    pull = (np.tile([1.0, 0.0, -1.0], n_pairs) - np.repeat(p_gap, 3)) / 2
    cell = np.arange(3 * n_pairs)
    rows, columns, values = [cell, cell], [first, second], [pull, -pull]
    if size > outcomes.n_judges:
        rows.append(cell)
        columns.append(np.full(len(cell), outcomes.n_judges))
        values.append(np.tile([0.0, 1.0, 0.0], n_pairs) - np.repeat(p_tie, 3))
    where = (np.concatenate(rows), np.concatenate(columns))
    scores = coo_array((np.concatenate(values), where), shape=(len(cell), size)).tocsr()
    units = _votes_of_voters(battles) if by == "voter" else None
    counts = outcomes.counts.ravel()
    return draw_shifts(scores, counts, units, fit.information[0], n_resamples, rng)


def _expected(fit: _Fit, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of wins less share of losses, and share of ties, that a fit gives each pair."""
    half = np.exp((fit.theta[0, pairs[:, 0]] - fit.theta[0, pairs[:, 1]]) / 2)
    tie = np.exp(fit.eta[0])
    total = half + 1 / half + tie
    return (half - 1 / half) / total, tie / total


def _votes_of_voters(battles: Battles) -> csr_array:
    """Votes of each voter by cell, [n_voters, n_cells]."""
    from scipy.sparse import coo_array

    voter, (pairs, cell) = _voters(battles), _cells(battles)
    shape = (int(voter.max()) + 1, 3 * len(pairs))
    return coo_array((np.ones(len(cell)), (voter, cell)), shape=shape).tocsr()


def _voters(battles: Battles) -> np.ndarray:
    if battles.voter is None:
        raise UserError("resampling by voter needs a column 'voter' or 'worker' in the votes file")
    return battles.voter


def check_connected(battles: Battles, outcomes: PairCounts) -> None:
    """Raise UserError unless every judge is linked to every other through battles."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = outcomes.pairs.T
    graph = coo_array(
        (np.ones(len(first)), (first, second)), shape=(outcomes.n_judges, outcomes.n_judges)
    )
    n_groups, group = connected_components(graph, directed=False)
    if n_groups > 1:
        names = [battles.judges[int(np.flatnonzero(group == g)[0])] for g in (0, 1)]
        raise UserError(
            f"{n_groups} groups of judges never met ({names[0]!r} and {names[1]!r} are not "
            "linked): rate each group by itself"
        )


def finite_ratings(outcomes: PairCounts) -> np.ndarray:
    """Whether the likelihood alone gives each judge a finite rating, [n_judges]; Ford (1957).

    False outside the largest group in which each has beaten or drawn with each through some chain:
    there the `ridge` sets the distance.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = outcomes.pairs.T
    wins_first, ties, wins_second = outcomes.counts.T
    beats = np.concatenate([wins_first + ties, wins_second + ties])
    graph = coo_array(
        (beats, (np.concatenate([first, second]), np.concatenate([second, first]))),
        shape=(outcomes.n_judges,) * 2,
    )
    graph.eliminate_zeros()
    _, group = connected_components(graph, directed=True, connection="strong")
    return group == np.bincount(group).argmax()


@dataclass(frozen=True, eq=False)
class _Fit:
    theta: np.ndarray
    eta: np.ndarray
    information: np.ndarray
    n_steps: int


def _treat_ties(counts: np.ndarray, ties: Ties) -> np.ndarray:
    if ties == "davidson":
        return counts
    if ties != "half":
        raise ValueError(f"ties={ties!r} is not one of davidson, half")
    half = counts[..., 1] / 2
    return np.stack([counts[..., 0] + half, np.zeros_like(half), counts[..., 2] + half], axis=-1)


def _newton(
    pairs: np.ndarray,
    counts: np.ndarray,
    n_judges: int,
    *,
    ridge: float,
    start: _Fit | None = None,
    with_ties: bool | None = None,
) -> _Fit:
    """Maximise the likelihood of each of `counts` [n_sets, n_pairs, 3].

    Gives theta [n_sets, n_judges] and eta [n_sets]; `start` is a fit of one set.
    """
    n_sets = len(counts)
    if with_ties is None:
        with_ties = bool(counts[..., 1].any())
    theta, eta = np.zeros((n_sets, n_judges)), np.zeros(n_sets)
    if start is not None:
        theta = np.repeat(start.theta, n_sets, axis=0)
        eta = np.repeat(start.eta, n_sets)
    if not with_ties:
        eta = np.full(n_sets, -np.inf)
    incidence = np.zeros((len(pairs), n_judges))
    incidence[np.arange(len(pairs)), pairs[:, 0]] = 1
    incidence[np.arange(len(pairs)), pairs[:, 1]] = -1
    for n_steps in range(1, 101):
        gradient, information = _derivatives(pairs, counts, incidence, theta, eta, ridge)
        try:
            step = np.linalg.solve(information, gradient[..., None])[..., 0]
        except np.linalg.LinAlgError:
            break
        longest = np.abs(step).max(axis=1, keepdims=True)
        step *= np.minimum(1, _MAX_STEP / np.maximum(longest, 1e-300))
        theta = theta + step[:, :n_judges]
        if with_ties:
            eta = eta + step[:, n_judges]
        if np.abs(step).max() < _TOLERANCE:
            return _Fit(theta, eta, information, n_steps)
    raise ValueError(
        "Bradley-Terry has no finite maximum: some judge won or lost every battle; use ridge > 0"
    )


def _derivatives(
    pairs: np.ndarray,
    counts: np.ndarray,
    incidence: np.ndarray,
    theta: np.ndarray,
    eta: np.ndarray,
    ridge: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and negative Hessian of the penalised log-likelihood in (theta, eta).

    eta is left out where it is -inf.
    """
    n_sets, n_judges = theta.shape
    first, second = pairs.T
    half = np.exp((theta[:, first] - theta[:, second]) / 2)
    tie = np.exp(eta)[:, None]
    total = half + 1 / half + tie
    p_tie, p_gap = tie / total, (half - 1 / half) / total
    n = counts.sum(axis=-1)
    with_ties = bool(np.isfinite(eta).all())
    size = n_judges + with_ties

    gradient = np.empty((n_sets, size))
    excess_wins = (counts[..., 0] - counts[..., 2] - n * p_gap) / 2
    gradient[:, :n_judges] = excess_wins @ incidence - ridge * theta
    information = np.zeros((n_sets, size, size))
    curvature = n * (1 - p_tie - p_gap**2) / 4
    information[:, first, second] = information[:, second, first] = -curvature
    diagonal = np.arange(n_judges)
    information[:, diagonal, diagonal] = curvature @ np.abs(incidence) + ridge
    # Pins the common level, which no battle speaks of; the centred ratings do not change.
    information[:, :n_judges, :n_judges] += 1
    if with_ties:
        gradient[:, n_judges] = (counts[..., 1] - n * p_tie).sum(axis=1) - ridge * eta
        information[:, n_judges, n_judges] = (n * p_tie * (1 - p_tie)).sum(axis=1) + ridge
        cross = -(n * p_gap * p_tie / 2) @ incidence
        information[:, :n_judges, n_judges] = information[:, n_judges, :n_judges] = cross
    return gradient, information


def _to_elo(theta: np.ndarray) -> np.ndarray:
    return START + ELO_PER_NAT * (theta - theta.mean(axis=1, keepdims=True))


def _standard_errors(fit: _Fit) -> np.ndarray:
    """Standard errors of the centred ratings in Elo points; no vote speaks of the level."""
    n = fit.theta.shape[1]
    centre = np.eye(n) - 1 / n
    covariance = centre @ np.linalg.inv(fit.information[0])[:n, :n] @ centre
    return ELO_PER_NAT * np.sqrt(np.diag(covariance))
