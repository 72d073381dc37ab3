"""A pytest plugin: tests whose answers a judge passes or fails.

    def test_refund_answer(assert_judged):
        question = "How do I get a refund?"
        rubric = "Does the answer name the form and the deadline?"
        assert_judged(my_assistant(question), instruction=question, rubric=rubric, expect="Yes")

`--judge-model` (or `judge_model` in the ini file) names the judge, as `selene judge --model` does.
`@pytest.mark.judged(...)` sets defaults for a test: any argument of `assert_judged`. What was
judged is kept in pytest's cache, so that a second run asks nothing again; `--cache-clear` forgets
it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from selene_lib.integrations.judging_once import JudgeOnce

_ONCE = pytest.StashKey["JudgeOnce | None"]()
MARKER = "judged(expect=None, at_least=None, **item): defaults for `assert_judged` in this test"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--judge-model` and the ini option `judge_model`."""
    group = parser.getgroup("selene", "answers that a judge passes or fails")
    group.addoption(
        "--judge-model",
        default=None,
        help="judge of `assert_judged`: a folder or hub id, or http://host/v1#model",
    )
    parser.addini(
        "judge_model", "judge of `assert_judged`, where --judge-model is not given", default=""
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", MARKER)
    config.stash[_ONCE] = None


@pytest.fixture(scope="session")
def _judge_once(pytestconfig: pytest.Config) -> Iterator[JudgeOnce]:
    from selene_lib.integrations.judging_once import JudgeOnce

    model = pytestconfig.getoption("--judge-model") or pytestconfig.getini("judge_model")
    if not model:
        pytest.fail(
            "no judge: give --judge-model http://host/v1#model (or a folder or hub id), or set "
            "judge_model in the ini file",
            pytrace=False,
        )
    cache = getattr(pytestconfig, "cache", None)  # absent with -p no:cacheprovider
    folder = cache.mkdir("selene") if cache is not None else None
    once = JudgeOnce(model, folder / "judged.jsonl" if folder is not None else None)
    pytestconfig.stash[_ONCE] = once
    yield once


@pytest.fixture
def assert_judged(_judge_once: JudgeOnce, request: pytest.FixtureRequest) -> AssertJudged:
    """A function that fails the test unless the judge passes a response; see `AssertJudged`."""
    marker = request.node.get_closest_marker("judged")
    return AssertJudged(_judge_once, dict(marker.kwargs) if marker else {})


class AssertJudged:
    """Call it with a response and how it is judged; what the judge said is returned.

    `expect` is the verdict wanted (Yes or True, A, 4 ...), `at_least` the lowest score; by default
    Yes for a classification, A for a pair and at least 4 of 1 to 5. Other arguments are those of
    `Judge.score`: instruction, rubric, reference, context, response_b, task (default:
    classification where `expect` is Yes or No). A verdict that cannot be read fails the test.
    """

    def __init__(self, once: JudgeOnce, defaults: dict[str, Any]) -> None:
        self._once, self._defaults = once, defaults

    def __call__(
        self, response: Any, *, expect: Any = None, at_least: float | None = None, **item: Any
    ) -> Any:
        __tracebackhide__ = True
        given = {"expect": expect, "at_least": at_least, **item}
        asked = {
            **self._defaults,
            **{key: value for key, value in given.items() if value is not None},
        }
        expect, at_least = asked.pop("expect", None), asked.pop("at_least", None)
        result = self._once.score(response, expect, at_least, asked)
        if not result.passed:
            pytest.fail(result.words, pytrace=False)
        return result


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say how many answers were judged, and how many of them came from the cache."""
    once = config.stash.get(_ONCE, None)
    if once is not None:
        terminalreporter.write_line(
            f"judge {once.model}: {once.n_asked} asked, {once.n_cached} from the cache"
        )
