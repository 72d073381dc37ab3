"""Speed of the corpus checks on generated rows shaped like real ones, beside `datasketch` in the
same process, and of the local map.

    python bench/corpus.py [--rows 100000] [--map-rows 50000] [--json]
    python bench/corpus.py --planted [--rows 2000]

`--planted` measures no speed but recall: benchmark texts are hidden in training rows in nine ways,
as many clean rows stand beside them, and each method is asked what it finds of both.

Shape of a row: 150 words on average (log-normal, sigma 0.7), words drawn by Zipf's law from 50,000,
a fifth of the rows with typographic quotes and accents, 5 % near-copies of an earlier row, 1 %
copies of one of the 20,000 benchmark texts, which have the same shape. Rates count training rows;
the time holds everything from the text to the findings, benchmark index included. `datasketch` is
measured on fewer rows, since its rate does not depend on their number; it is optional (`pip install
datasketch`).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import time
import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np

from selene_lib import embeddings
from selene_lib.contamination import METHODS, find_overlaps, near_duplicates

N_BENCH, N_WORDS, N_PEER_ROWS, N_PARAPHRASE_ROWS = 20_000, 50_000, 4_000, 20_000
Texts = list[tuple[str, str]]


def vocabulary(rng: np.random.Generator) -> np.ndarray:
    """Made-up words of 1 to 14 letters, one in fifty with an accent."""
    lengths = 1 + rng.poisson(4.2, N_WORDS).clip(max=13)
    letters = rng.choice(list("etaoinshrdlucmfwypvbgkjqxz"), lengths.sum(), p=_zipf(26))
    words = np.split(letters, np.cumsum(lengths)[:-1])
    return np.array(["".join(w) + ("é" if i % 50 == 7 else "") for i, w in enumerate(words)])


def _zipf(n: int) -> np.ndarray:
    weights = 1 / np.arange(2, n + 2)
    return weights / weights.sum()


def make_rows(
    n: int, rng: np.random.Generator, words: np.ndarray, prefix: str, copies: Texts = ()
) -> Texts:
    """n texts with ids; one in twenty a near-copy of an earlier one, and one in a hundred a copy
    out of `copies`.
    """
    plain, weights = np.array([w.rstrip("é") for w in words]), np.cumsum(_zipf(len(words)))
    lengths = rng.lognormal(np.log(118), 0.7, n).astype(int).clip(5, 3_000)
    texts: list[str] = []
    for i, length in enumerate(lengths.tolist()):
        dice = rng.random()
        if dice < 0.05 and texts:
            copy = texts[int(rng.integers(len(texts)))].split(" ")
            copy[int(rng.integers(len(copy)))] = f"changed{i}"
            texts.append(" ".join(copy))
        elif dice < 0.06 and copies:
            texts.append(copies[int(rng.integers(len(copies)))][1].upper())
        else:
            fancy = dice > 0.8
            drawn = (words if fancy else plain)[np.searchsorted(weights, rng.random(length))]
            text = ", ".join(" ".join(part) for part in np.array_split(drawn, max(1, length // 12)))
            texts.append(f"“{text}”." if fancy else f"{text}.")
    return [(f"{prefix}{i:07d}", text) for i, text in enumerate(texts)]


def seconds(work: Callable[[], object], n: int = 3) -> tuple[float, float]:
    """Median wall time and median processor time (of all threads) of n calls."""
    times = []
    for _ in range(n):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - wall, time.process_time() - processor))
    middle = np.median(times, axis=0)
    return float(middle[0]), float(middle[1])


def measure_checks(train: Texts, bench: Texts, n: int) -> dict[str, float]:
    """Rows a second of each part of the check, end to end; per processor second too, which a busy
    machine does not disturb.
    """
    some = train[:N_PARAPHRASE_ROWS]
    jobs: dict[str, tuple[int, Callable[[], object]]] = {
        "exact_13gram": (
            len(train),
            lambda: find_overlaps(train, bench, methods=("exact", "short", "ngram", "any13")),
        ),
        "exact_13gram_minhash": (len(train), lambda: find_overlaps(train, bench)),
        "near_duplicates": (len(train), lambda: near_duplicates(train)),
        "all_with_minhash": (
            len(train),
            lambda: (find_overlaps(train, bench), near_duplicates(train)),
        ),
        "paraphrases": (len(some), lambda: find_overlaps(some, bench, methods=("embedding",))),
    }
    figures = {}
    for name, (n_rows, job) in jobs.items():
        wall, processor = seconds(job, n)
        figures |= {
            f"{name}_rows_per_second": n_rows / wall,
            f"{name}_rows_per_processor_second": n_rows / processor,
        }
    return figures


def planted(n: int, rng: np.random.Generator, words: np.ndarray) -> tuple[Texts, Texts]:
    """(training rows, benchmark texts): n rows that hide a benchmark text, in nine ways, and n that
    hide none. The id of a hiding row is `<way>-<number of the benchmark text>`.
    """
    weights = np.cumsum(_zipf(len(words)))

    def text(length: int) -> list[str]:
        return list(words[np.searchsorted(weights, rng.random(length))])

    train: Texts = []
    bench: Texts = []
    for i in range(n):
        way = WAYS[i % len(WAYS)]
        length = {"short": 5, "50 of 100": 100}.get(way, 200)
        own = code(text(40)) if way == "code" else " ".join(text(length))
        bench.append((f"b{i:05d}", own))
        train.append((f"{way}-{i:05d}", hide(way, own, text, rng)))
    train += [(f"clean-{i:05d}", " ".join(text(int(rng.integers(5, 300))))) for i in range(n)]
    return train, bench


WAYS = (
    "exact",
    "short",
    "case",
    "unicode",
    "13 of 200",
    "40 of 200",
    "50 of 100",
    "paraphrase",
    "code",
)


def code(names: list[str]) -> str:
    """Lines of a program with these names."""
    lines = [f"def {names[0]}({names[1]}, {names[2]}):"]
    for a, b, c in zip(names[3::3], names[4::3], names[5::3]):
        lines.append(f"    {a}_{b} = {c}({a}[{len(b)}] + {b}.{c})")
    return "\n".join([*lines, f"    return {names[3]}_{names[4]}"])


def hide(way: str, text: str, more: Callable[[int], list[str]], rng: np.random.Generator) -> str:
    """A benchmark text as a training row holds it."""
    parts = text.split(" ")
    if way == "case":
        return text.upper().replace(" ", ", ", len(parts) // 8) + "!"
    if way == "unicode":
        wide = str.maketrans({chr(c): chr(c + 0xFEE0) for c in range(ord("a"), ord("z") + 1)})
        plain = [p.translate(wide) if p.isascii() else p for p in parts]
        return unicodedata.normalize("NFD", " ".join(plain))
    if way == "code":  # indented anew, with a comment a line
        return "\n".join(
            f"{line.replace('    ', chr(9))}  # {more(1)[0]}" for line in text.splitlines()
        )
    if " of " in way:
        n_shared, length = (int(word) for word in way.split(" of "))
        begin = int(rng.integers(0, len(parts) - n_shared + 1))
        rest = more(length - n_shared)
        return " ".join(
            [*rest[: length // 3], *parts[begin : begin + n_shared], *rest[length // 3 :]]
        )
    if way == "paraphrase":  # one word in ten is another one, one in twenty is gone
        dice = rng.random(len(parts))
        others = more(len(parts))
        kept = [o if d < 0.1 else p for p, o, d in zip(parts, others, dice) if d < 0.95]
        return " ".join(kept)
    return text


def measure_planted(n: int) -> None:
    """Print the recall of each method on each way of hiding, and its false alarms on clean rows."""
    rng = np.random.default_rng(0)
    train, bench = planted(n, rng, vocabulary(rng))
    found = find_overlaps(train, bench, methods=METHODS)
    print(f"{'hidden as':12s} {'rows':>5s} " + " ".join(f"{m:>9s}" for m in (*METHODS, "any")))
    for way in (*WAYS, "clean"):
        rows = [i for i, _ in train if i.startswith(f"{way}-")]
        # a clean row is a false alarm whatever it is said to repeat
        hits = [
            o
            for o in found
            if o.train_id.rpartition("-")[0] == way
            and (way == "clean" or o.train_id[-5:] == o.bench_id[1:])
        ]
        shares = [len({o.train_id for o in hits if o.method == m}) / len(rows) for m in METHODS]
        shares.append(len({o.train_id for o in hits}) / len(rows))
        print(f"{way:12s} {len(rows):5d} " + " ".join(f"{share:9.3f}" for share in shares))


def measure_datasketch(train: Texts) -> dict[str, float]:
    """The same near-duplicate search as its users write it: word 3-grams, 64 permutations, LSH at
    0.8; and our rate on the same rows.
    """
    from datasketch import MinHash, MinHashLSH

    def search() -> None:
        index = MinHashLSH(threshold=0.8, num_perm=64)
        for name, text in train:
            words = text.lower().split()
            sketch = MinHash(num_perm=64)
            sketch.update_batch(
                [" ".join(words[i : i + 3]).encode() for i in range(max(1, len(words) - 2))]
            )
            index.query(sketch)
            index.insert(name, sketch)

    peer, ours = seconds(search, 1)[0], seconds(lambda: near_duplicates(train), 3)[0]
    return {
        "datasketch_rows_per_second": len(train) / peer,
        "same_rows_per_second": len(train) / ours,
        "times_datasketch": peer / ours,
    }


def measure_map(rows: Texts) -> dict[str, float]:
    """Seconds of the parts of the local map, and of all that comes after the embedding; the first
    UMAP of a process compiles.
    """
    from selene_lib.embeddings import local

    figures: dict[str, float] = {"map_rows": len(rows)}

    def timed(part: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        figures[f"map_{part}_seconds"] = time.perf_counter() - start
        return result

    counts, terms = timed(
        "count_words",
        lambda: local.term_counts([text[: embeddings.MAX_TEXT_CHARS] for _, text in rows]),
    )
    vectors = timed("embed", lambda: local.embed_counts(counts, 0))
    topics = timed("topics", lambda: local.cluster(vectors, local.default_n_topics(len(rows)), 0))
    timed("names", lambda: local.name_topics(counts, terms, topics))
    timed("projection", lambda: local.project(vectors, method="umap", seed=0))
    figures["map_without_embedding_seconds"] = sum(
        figures[f"map_{part}_seconds"] for part in ("topics", "names", "projection")
    )
    return figures


def peak_gb() -> float:
    """Peak resident memory of this process so far, texts included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def measure(n_rows: int, n_map_rows: int, n_repeats: int) -> dict[str, float]:
    rng = np.random.default_rng(0)
    words = vocabulary(rng)
    bench = make_rows(N_BENCH, rng, words, "b")
    train = make_rows(n_rows, rng, words, "t", bench)
    figures = {
        "rows": n_rows,
        "words_per_row": float(np.mean([len(t.split()) for _, t in train[:20_000]])),
        "texts_gb": peak_gb(),
    }
    figures |= measure_checks(train, bench, n_repeats)
    figures["peak_gb"] = peak_gb()
    if importlib.util.find_spec("datasketch"):
        figures |= measure_datasketch(train[:N_PEER_ROWS])
    else:
        print("datasketch is not installed: not compared")
    if n_map_rows:
        figures |= measure_map(train[:n_map_rows])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="speed of the corpus checks and of the local map")
    parser.add_argument("--rows", type=int, default=100_000, help="training rows")
    parser.add_argument(
        "--map-rows", type=int, default=50_000, help="points of the map; 0 leaves it out"
    )
    parser.add_argument("--repeats", type=int, default=3, help="runs each rate is the median of")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--planted", action="store_true", help="recall instead of speed")
    options = parser.parse_args()
    if options.planted:
        measure_planted(min(options.rows, 2_000))
        return
    figures = measure(options.rows, options.map_rows, options.repeats)
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:36s} {value:14,.2f}")


if __name__ == "__main__":
    main()
