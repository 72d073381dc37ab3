"""Overlaps and near-duplicates.

Against slow reference code, against planted leaks, and on the publishers' own files.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import replace
from itertools import islice, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selene_lib import contamination as c
from selene_lib.contamination import minhash, ngrams, paraphrases, words
from selene_lib.records import Sample

SYLLABLES = [a + b for a in "bdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "el", "or")]


def reference_words(text: str) -> list[str]:
    """The normalisation of `words`, one character at a time."""
    found, word = [], ""
    for character in unicodedata.normalize("NFC", text):
        code = ord(character)
        folded = words.fold_code_point(code) if code < 0x20000 else code
        alone = code >= 0x20000 or any(low <= code < high for low, high in words._NO_BLANKS)
        if not folded or alone:
            found, word = found + [word] * bool(word), ""
        if folded and alone:
            found.append(chr(folded))
        elif folded:
            word += chr(folded)
    return found + [word] * bool(word)


def made_text(rng: np.random.Generator, n_words: int) -> str:
    """Words of one to four syllables, each text with its own draw: nothing is shared but by copying
    or by chance.
    """
    lengths = rng.integers(1, 5, n_words)
    syllables = iter([SYLLABLES[k] for k in rng.integers(0, len(SYLLABLES), lengths.sum())])
    return " ".join("".join(islice(syllables, n)) for n in lengths.tolist())


def paraphrase(text: str, rng: np.random.Generator) -> str:
    """A light one: 6 % of the words replaced, 4 % deleted, 4 % inserted, 4 % swapped with the next,
    half in upper case, commas put in.
    """
    out = []
    for word in text.split():
        dice = rng.random()
        if dice < 0.06:
            out.append(made_text(rng, 1))
        elif dice > 0.10:
            out += [word] if dice > 0.14 else [word, made_text(rng, 1)]
    for i in range(len(out) - 1):
        if rng.random() < 0.04:
            out[i], out[i + 1] = out[i + 1], out[i]
    joined = ", ".join(" ".join(out[i : i + 9]) for i in range(0, len(out), 9))
    return joined.upper() if rng.random() < 0.5 else joined


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(codec="utf-8"), max_size=40), max_size=6))
def test_words_are_those_of_the_slow_reading(texts):
    table = words.hash_words(texts)
    expected = [reference_words(t) for t in texts]
    assert table.n_words.tolist() == [len(w) for w in expected]
    flat = [w for part in expected for w in part]
    assert (
        len(set(zip(flat, table.hashes.tolist())))
        == len(set(flat))
        == len(set(table.hashes.tolist()))
    )
    assert table.n_chars.tolist() == [sum(map(len, w)) + max(len(w) - 1, 0) for w in expected]


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("Don’t panic!", "don't PANIC", True),
        ("café", "cafe\u0301", True),
        ("café", "cafe", True),
        ("Ｆｕｌｌ width", "full width", True),
        ("snake_case", "snake case", True),
        ("one two", "two one", False),
        ("on etwo", "one two", False),
        ("你好", "你 好", True),
        ("", "?!", True),
    ],
)
def test_case_accents_and_punctuation_do_not_count(a, b, same):
    left, right = (words.text_hashes(words.hash_words([t]))[0] for t in (a, b))
    assert bool(left == right) is same


def test_a_text_hash_does_not_depend_on_its_neighbours():
    texts = ["alpha beta gamma", "", "delta", "ünïcode “text”"]
    alone = [words.text_hashes(words.hash_words([t]))[0] for t in texts]
    assert words.text_hashes(words.hash_words(texts)).tolist() == alone


def test_ngrams_stay_inside_their_text():
    hashes, rows = words.ngram_hashes(words.hash_words(["a b c d", "c d", "b c", "x"]), 2)
    assert rows.tolist() == [0, 0, 0, 1, 2]
    ab, bc, cd, cd_again, bc_again = hashes.tolist()
    assert (cd, bc) == (cd_again, bc_again) and len({ab, bc, cd}) == 3


@pytest.mark.parametrize("n_threads", [1, 3])
def test_batches_come_back_in_order(n_threads, monkeypatch):
    texts = [f"text {i} " * (i % 7) for i in range(50)]
    monkeypatch.setattr(words, "BATCH_CHARS", 40)
    parts = list(
        words.map_batches(lambda begin, batch: (begin, list(batch)), texts, n_threads=n_threads)
    )
    assert [t for _, batch in parts for t in batch] == texts
    assert all(begin + len(batch) == after for (begin, batch), (after, _) in pairwise(parts))


def test_exact_needs_sixty_characters():
    text = "x" * 29 + " " + "y" * 30
    assert len(text) == 60
    assert c.find_overlaps([("t", text.upper() + "!")], [("b", text)], methods=["exact"]) == [
        c.Overlap("t", "b", "exact", 1.0)
    ]
    assert c.find_overlaps([("t", text[:-1])], [("b", text[:-1])], methods=["exact"]) == []


def test_ngram_share_by_hand():
    word = [f"w{i}" for i in range(40)]
    bench = " ".join(word[:20])  # 8 thirteen-grams
    train = " ".join(
        [*word[4:20], *word[30:40]]
    )  # holds those of words 4..19: 4 of 8, and has 14 itself
    assert c.find_overlaps([("t", train)], [("b", bench)], methods=["ngram"]) == [
        c.Overlap("t", "b", "ngram", 0.5)
    ]
    assert (
        c.find_overlaps(
            [("t", train)],
            [("b", bench)],
            methods=["ngram"],
            thresholds=c.Thresholds(ngram_share=0.51),
        )
        == []
    )


@pytest.mark.parametrize(("n_shared", "n_words"), [(13, 200), (40, 200), (50, 100)])
def test_any_thirteen_words_are_found_whatever_their_share(n_shared, n_words):
    rng = np.random.default_rng(n_shared)
    shared = made_text(rng, n_shared)
    bench = f"{made_text(rng, n_words - n_shared)} {shared}"
    train = f"{made_text(rng, 20)} {shared} {made_text(rng, n_words - n_shared)}"
    strict = c.find_overlaps([("t", train)], [("b", bench)], methods=["any13"])
    share = (n_shared - 12) / (n_words - 12)
    assert [(o.method, o.similarity) for o in strict] == [("any13", round(share, 6))]
    both = c.find_overlaps([("t", train)], [("b", bench)], methods=["ngram", "any13"])
    assert [o.method for o in both] == ["any13"]
    broken = shared.replace(" ", " x ", 6).split()  # no 13 words in a row are left of 13
    if n_shared == 13:
        other = f"{made_text(rng, 20)} {' '.join(broken)}"
        assert c.find_overlaps([("t", other)], [("b", bench)], methods=["any13"]) == []


def test_any_thirteen_words_name_every_record_once_with_its_nearest():
    rng = np.random.default_rng(5)
    shared = [made_text(rng, 15) for _ in range(2)]
    bench = [(f"b{i}", f"{shared[i % 2]} {made_text(rng, 20)}") for i in range(6)]
    train = [(f"t{i}", f"{made_text(rng, 20)} {shared[i % 2]}") for i in range(4)]
    found = c.find_overlaps(train, bench, methods=["any13"])
    assert {o.train_id for o in found} == {i for i, _ in train}
    assert {o.bench_id for o in found} == {i for i, _ in bench}
    assert len(found) <= len(train) + len(bench)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Who painted the Mona Lisa?", True),
        ("name three rivers", True),
        ("I'm sorry, but I can't assist with that.", False),
        ("Hello! How can I help you today?", False),
        ("Yes, it is.", False),
        ("Photosynthesis", False),  # one word coincides by nature
        ("a 1", False),
    ],
)
def test_short_repeats_are_found_and_stock_phrases_are_not(text, found):
    overlaps = c.find_overlaps([("t", text.upper())], [("b", f"{text} ")], methods=["short"])
    assert [o.method for o in overlaps] == ["short"] * found
    assert c.find_overlaps([("t", text)], [("b", text)], methods=["exact"]) == []


def test_short_and_strict_findings_take_nothing_out_unless_asked():
    sample = Sample("t-1", "t", "absolute", "Who painted the Mona Lisa?", "r", label="1")
    bench = replace(sample, id="b-1", source="b", response="other words")
    overlaps = c.find_overlaps(
        c.all_texts([sample]), c.all_texts([bench]), methods=("short", "any13")
    )
    assert {o.method for o in overlaps} == {"short"}
    assert c.remove_contaminated([sample], overlaps).kept == [sample]
    gone = c.remove_contaminated([sample], overlaps, methods=c.METHODS)
    assert (gone.kept, gone.n_dropped) == ([], {"short": 1})
    assert c.clean_part([bench], overlaps) == [bench]
    assert c.clean_part([bench], overlaps, methods=c.METHODS) == []


def test_a_repeated_ngram_counts_once():
    round_ = " ".join(f"w{i}" for i in range(13))
    bench = " ".join([round_, round_, "and now something quite different to end with"])
    found = c.find_overlaps([("t", round_)], [("b", bench)], methods=["ngram"])
    assert found == [c.Overlap("t", "b", "ngram", 1.0)]


def test_boilerplate_of_many_benchmark_texts_is_nobodys():
    rng = np.random.default_rng(3)
    boilerplate = made_text(rng, 30)
    bench = [(f"b{i}", f"{boilerplate} {made_text(rng, 5)}") for i in range(9)]
    train = [("t", boilerplate)]
    assert (
        len(c.find_overlaps(train, bench, methods=["ngram"], thresholds=c.Thresholds(max_owners=9)))
        == 9
    )
    assert (
        c.find_overlaps(train, bench, methods=["ngram"], thresholds=c.Thresholds(max_owners=8))
        == []
    )


def test_every_record_of_a_shared_text_is_named():
    text = made_text(np.random.default_rng(0), 20)
    train, bench = [(f"t{i}", text) for i in range(3)], [(f"b{i}", text.upper()) for i in range(5)]
    found = c.find_overlaps(train, bench, methods=["exact"])
    assert len(found) == 5
    assert {o.train_id for o in found} == {"t0", "t1", "t2"} and {o.bench_id for o in found} == {
        "b0",
        "b1",
        "b2",
        "b3",
        "b4",
    }


def test_nothing_on_either_side_is_no_overlap():
    some = [("a", made_text(np.random.default_rng(0), 30))]
    for train, bench in [
        ([], some),
        (some, []),
        ([("x", "")], some),
        (some, [("x", " . ")]),
        ([("x", "short")], [("y", "short")]),
    ]:
        assert c.find_overlaps(train, bench, methods=c.METHODS) == []


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="'fuzzy' is not one of exact"):
        c.find_overlaps([], [], methods=["fuzzy"])


def test_planted_copies_and_paraphrases_are_found_without_false_alarms():
    rng = np.random.default_rng(7)
    bench = [(f"b{i}", made_text(rng, int(rng.integers(15, 120)))) for i in range(400)]
    copies = [
        (f"copy{i}", text.upper().replace(" ", ", ", 3) + "!")
        for i, (_, text) in enumerate(bench[:100])
    ]
    inside = [
        (f"inside{i}", f"{made_text(rng, 40)}\n{text}\n{made_text(rng, 40)}")
        for i, (_, text) in enumerate(bench[:100])
    ]
    light = [(f"light{i}", paraphrase(text, rng)) for i, (_, text) in enumerate(bench)]
    clean = [(f"clean{i}", made_text(rng, int(rng.integers(15, 120)))) for i in range(1_000)]
    found = c.find_overlaps([*copies, *inside, *light, *clean], bench, methods=c.METHODS)
    right = {o.train_id for o in found if re.sub(r"\D", "", o.train_id) == o.bench_id[1:]}
    assert {i for i, _ in copies} | {i for i, _ in inside} <= right, "a planted copy was missed"
    assert len(right & {i for i, _ in light}) >= 0.9 * len(light)
    assert sum(o.train_id.startswith("clean") for o in found) <= 0.01 * len(clean)
    exact = {o.train_id for o in found if o.method == "exact"}
    assert {i for i, _ in copies} <= exact <= {i for i, _ in copies + light}, (
        "a paraphrase may by chance change nothing"
    )


def test_copies_are_found_by_the_default_methods_alone():
    rng = np.random.default_rng(8)
    bench = [(f"b{i}", made_text(rng, 15)) for i in range(200)]
    train = [(f"t{i}", f"Please rate: {text}.") for i, (_, text) in enumerate(bench)]
    found = c.find_overlaps(train, bench)
    assert {o.train_id for o in found} == {i for i, _ in train}


def test_findings_do_not_depend_on_the_order_of_the_records():
    rng = np.random.default_rng(9)
    bench = [(f"b{i}", made_text(rng, 40)) for i in range(60)]
    train = [(f"t{i}", paraphrase(text, rng)) for i, (_, text) in enumerate(bench)]
    assert c.find_overlaps(train, bench, methods=c.METHODS) == c.find_overlaps(
        train[::-1], bench[::-1], methods=c.METHODS
    )


def test_jaccard_by_hand():
    left = ["a b c d e", "a b c", "a b", "", "q r s t"]
    right = ["a b c d x", "A, b. C", "a b", "", "t s r q"]
    # shingles abc bcd cde | abc bcd cdx share 2 of 4; two words are one shingle; no words share
    # nothing
    assert minhash.exact_jaccard(left, right).tolist() == [0.5, 1.0, 1.0, 0.0, 0.0]


def test_signatures_estimate_the_jaccard_index():
    rng = np.random.default_rng(1)
    left = [made_text(rng, 100) for _ in range(300)]
    right = [
        " ".join(
            [*text.split()[: (k := int(rng.integers(10, 100)))], *made_text(rng, 100 - k).split()]
        )
        for text in left
    ]
    exact = minhash.exact_jaccard(left, right)
    signed = [minhash.signatures(words.hash_words(side)) for side in (left, right)]
    error = minhash.estimated_jaccard(*signed) - exact
    expected = np.sqrt(
        (exact * (1 - exact)).mean() / minhash.N_PERMUTATIONS
    )  # of independent permutations
    assert abs(error.mean()) < 0.01 and error.std() < 1.25 * expected


@pytest.mark.parametrize(("threshold", "shape"), [(0.8, (10, 6)), (1.0, (1, 64)), (0.05, (64, 1))])
def test_band_shape(threshold, shape):
    assert minhash.band_shape(threshold) == shape


def test_paraphrase_search_loses_no_pair_of_the_full_product():
    rng = np.random.default_rng(2)
    right = [made_text(rng, 30) for _ in range(80)] + [""]
    left = [paraphrase(paraphrase(t, rng), rng) for t in right] + ["?"]
    idf = paraphrases._inverse_frequencies(left, right)
    full = (
        paraphrases._weigh(paraphrases._count_features(left), idf)
        @ paraphrases._weigh(paraphrases._count_features(right), idf).T
    ).toarray()
    for threshold in (0.3, 0.5, 0.8):
        found = paraphrases.cosine_matches(left, right, threshold=threshold)
        assert [(i, j) for i, j, _ in found] == list(
            zip(*(a.tolist() for a in np.nonzero(full >= threshold)))
        )
        assert np.allclose([s for *_, s in found], full[full >= threshold], atol=1e-5)


def test_near_duplicates_keep_the_smallest_id():
    rng = np.random.default_rng(4)
    text, other = made_text(rng, 60), made_text(rng, 60)
    near = text.replace(text.split()[30], "changed")
    texts = [
        ("d", near),
        ("b", text.upper()),
        ("c", text),
        ("a", other),
        ("e", "short"),
        ("f", "Short!"),
        ("g", ""),
        ("h", ""),
    ]
    expected = {"a": "a", "b": "b", "c": "b", "d": "b", "e": "e", "f": "e", "g": "g", "h": "h"}
    assert c.near_duplicates(texts) == expected
    assert c.near_duplicates(texts[::-1]) == expected


def test_near_duplicates_do_not_chain():
    word = made_text(np.random.default_rng(5), 100).split()
    steps = [
        " ".join([f"new{k}" if i < 4 * k else w for i, w in enumerate(word)]) for k in range(6)
    ]
    kept = c.near_duplicates([(f"s{k}", text) for k, text in enumerate(steps)], threshold=0.8)
    similarity = dict(
        zip(kept, minhash.exact_jaccard(steps, [steps[int(k[1:])] for k in kept.values()]))
    )
    assert all(value >= 0.8 for value in similarity.values())
    assert len(set(kept.values())) > 1, (
        "the ends of the chain share less than 0.8 and must not stand for each other"
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_every_dropped_text_is_like_the_one_that_stands_for_it(seed, n):
    rng = np.random.default_rng(seed)
    origin = made_text(rng, 40).split()
    texts = {}
    for i in range(n):
        changed = list(origin)
        for place in rng.integers(0, 40, rng.integers(0, 4)):
            changed[place] = made_text(rng, 1)
        texts[f"t{i:02d}"] = " ".join(changed)
    kept = c.near_duplicates(list(texts.items()))
    assert set(kept) == set(texts)
    dropped = [(texts[i], texts[k]) for i, k in kept.items() if i != k]
    assert all(kept[k] == k and k < i for i, k in kept.items() if i != k)
    assert (minhash.exact_jaccard(*map(list, zip(*dropped))) >= 0.8).all() if dropped else True


def test_a_large_bucket_of_near_copies_comes_down_to_one():
    rng = np.random.default_rng(6)
    text = made_text(rng, 80)
    texts = [(f"t{i:03d}", f"{text} {made_text(rng, 1)}") for i in range(100)]
    assert set(c.near_duplicates(texts).values()) == {"t000"}


def test_texts_of_one_template_are_told_apart_as_a_slow_search_does():
    rng = np.random.default_rng(12)
    template, texts = made_text(rng, 60), []
    cores = [made_text(rng, 12) for _ in range(100)]
    for i in range(400):
        texts.append((f"t{i:03d}", f"{template} {cores[i // 4]} {made_text(rng, 1)}"))
    shingles = [
        {tuple(w[k : k + 3]) for k in range(len(w) - 2)} for w in (t.split() for _, t in texts)
    ]
    kept: list[int] = []
    for i, mine in enumerate(shingles):
        if not any(len(mine & shingles[k]) >= 0.9 * len(mine | shingles[k]) for k in kept):
            kept.append(i)
    assert sorted(set(c.near_duplicates(texts, threshold=0.9).values())) == [
        f"t{k:03d}" for k in kept
    ]
    assert len(kept) == 100


def test_near_duplicates_refuse_what_has_no_meaning():
    assert c.near_duplicates([]) == {}
    with pytest.raises(ValueError, match="'a' comes twice"):
        c.near_duplicates([("a", "x"), ("a", "y")])
    with pytest.raises(ValueError, match="threshold 0"):
        c.near_duplicates([("a", "x")], threshold=0)


def make_sample(
    name: str, instruction: str = "ask", response: str = "answer", response_b: str | None = None
) -> Sample:
    return Sample(
        name,
        "made",
        "absolute" if response_b is None else "pairwise",
        instruction,
        response,
        response_b,
    )


def test_samples_in_and_out():
    pair = make_sample("s#1", "ask", "one", "two")
    assert c.sample_texts(pair) == [
        ("s#1#instruction", "ask"),
        ("s#1#response", "one"),
        ("s#1#response_b", "two"),
    ]
    assert c.sample_texts(pair, ("instruction",)) == [("s#1#instruction", "ask")]
    assert c.sample_id("s#1#response") == "s#1" and c.sample_id("plain") == "plain"


def test_contaminated_samples_go_and_are_counted_once():
    samples = [make_sample(f"s{i}") for i in range(5)]
    overlaps = [
        c.Overlap("s1#instruction", "b1#instruction", "minhash", 0.9),
        c.Overlap("s1#response", "b2#response", "exact", 1.0),
        c.Overlap("s3#response", "b2#response", "embedding", 0.8),
        c.Overlap("elsewhere#response", "b3#response", "exact", 1.0),
    ]
    removal = c.remove_contaminated(samples, overlaps)
    assert [s.id for s in removal.kept] == ["s0", "s2", "s4"]
    assert removal.n_dropped == {"exact": 1, "embedding": 1}
    assert len(samples) == len(removal.kept) + sum(removal.n_dropped.values())
    bench = [make_sample(f"b{i}") for i in range(5)]
    assert [s.id for s in c.clean_part(bench, overlaps)] == ["b0", "b4"]


def read_jsonl(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def instructions(rows: list[dict], prefix: str) -> list[tuple[str, str]]:
    return [(f"{prefix}{i}#instruction", row["instruction"]) for i, row in enumerate(rows)]


def test_alpaca_eval_instructions_are_found_in_three_benchmarks(data_dir):
    train = instructions(
        json.loads((data_dir / "alpaca_eval_cot/annotations.json").read_text(encoding="utf-8")),
        "alpaca",
    )
    vicuna = json.loads((data_dir / "vicuna_bench/vicuna_eval.json").read_text(encoding="utf-8"))
    inner = re.compile(
        r"###The instruction to evaluate:\n(.*?)\n\n###Response to evaluate:", re.DOTALL
    )
    sets = {
        "vicuna": [
            (f"vicuna{i}", inner.search(row["instruction"])[1]) for i, row in enumerate(vicuna)
        ],
        "flask": instructions(read_jsonl(data_dir / "flask/flask_evaluation.jsonl"), "flask"),
        "infobench": instructions(
            read_jsonl(data_dir / "infobench/expert_all_agree.jsonl"), "infobench"
        ),
    }
    n_exact = {
        name: len({o.train_id for o in c.find_overlaps(train, bench, methods=["exact"])})
        for name, bench in sets.items()
    }
    assert n_exact == {"vicuna": 70, "flask": 213, "infobench": 25}
    seen = {
        slow for _, text in sets["vicuna"] if len(slow := " ".join(reference_words(text))) >= 60
    }
    assert sum(" ".join(reference_words(text)) in seen for _, text in train) == 70, (
        "the slow reading finds as many"
    )


def test_auto_j_training_repeats_auto_j(data_dir):
    split = re.compile(
        r"\[Query\]: (.*?)\n\*\*\*\n\[Response\]: (.*?)\n\*\*\*\n\[END DATA\]", re.DOTALL
    )
    train, bench = [], []
    for i, row in enumerate(read_jsonl(data_dir / "auto_j_training/single_traindata.jsonl")):
        query, response = split.search(row["usrmsg"]).groups()
        train += [(f"t{i}#instruction", query), (f"t{i}#response", response)]
    for name, parts in {
        "pairwise": ("prompt", "response 1", "response 2"),
        "critique": ("prompt", "response"),
    }.items():
        for i, row in enumerate(read_jsonl(data_dir / f"auto_j/testdata_{name}.jsonl")):
            bench += [(f"{name}{i}#{part}", row[part]) for part in parts]
    texts = dict(train)
    found = c.find_overlaps(train, bench)
    exact = {" ".join(reference_words(texts[o.train_id])) for o in found if o.method == "exact"}
    assert 60 <= len(exact) <= 70, "the manifest counts about 65 texts in common"
    assert len({c.sample_id(o.train_id) for o in found}) > len(exact), (
        "13-grams and near-duplicates add changed copies"
    )


def test_the_ngram_index_is_right_about_who_owns_what():
    rng = np.random.default_rng(11)
    shared = made_text(rng, 13)
    texts = [f"{shared} {shared}", made_text(rng, 30), f"lead in {shared}", "short"]
    index = ngrams.NgramIndex(texts, max_owners=10)
    assert index.n_of_text.tolist() == [
        13,
        18,
        3,
        0,
    ]  # 14 windows in the first, the last like the first
    i, j, share = index.shares(words.hash_words(["nothing", f"{shared} tail"]))
    assert list(zip(i.tolist(), j.tolist(), share.tolist())) == [(1, 0, 0.5), (1, 2, 0.5)]
