"""Word count as map and reduce: chunks of a text are data, and so is what goes from the mappers to the reducers.

    python examples/word_count.py [--chunks 4] [--reducers 2]

Each mapper counts the words of one chunk and writes a folder for each reducer; each reducer reads its folder of all mappers.
The units of both steps are this program again, as `word_count.py map …` and `word_count.py reduce`.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pilot import ComputeDataService, DataUnit, PilotComputeService, PilotDataService

WORDS = [
    "the",
    "pilot",
    "holds",
    "nodes",
    "and",
    "its",
    "agent",
    "runs",
    "units",
    "while",
    "data",
    "wait",
    "beside",
    "them",
    "for",
    "cores",
    "that",
    "become",
    "free",
]
WORDS_PER_CHUNK = 5000


def make_text(folder: Path, chunks: int) -> Counter[str]:
    """Write the chunks; return how often each word is in them, to compare with."""
    chance = random.Random(7)
    weights = [1 / rank for rank in range(1, len(WORDS) + 1)]  # Zipf's law
    counts: Counter[str] = Counter()
    folder.mkdir()
    for number in range(chunks):
        words = chance.choices(WORDS, weights, k=WORDS_PER_CHUNK)
        (folder / f"chunk-{number}.txt").write_text(" ".join(words))
        counts.update(words)
    return counts


def map_words(chunk: Path, reducers: int) -> None:
    """Count the words of a chunk; each word is for one reducer."""
    for word, count in sorted(Counter(chunk.read_text().split()).items()):
        folder = Path(f"for-{zlib.crc32(word.encode()) % reducers}")
        folder.mkdir(exist_ok=True)
        with (folder / f"{chunk.stem}.tsv").open("a") as file:
            file.write(f"{word}\t{count}\n")


def reduce_words(reducer: int) -> None:
    """Add up what all mappers have for a reducer."""
    counts = read_counts(Path().glob(f"for-{reducer}/*.tsv"))
    Path(f"counts-{reducer}.tsv").write_text("".join(f"{word}\t{count}\n" for word, count in counts.items()))


def read_counts(paths: Iterable[Path]) -> Counter[str]:
    """Add up the counts of some files."""
    counts: Counter[str] = Counter()
    for path in paths:
        for line in path.read_text().splitlines():
            word, count = line.split("\t")
            counts[word] += int(count)
    return counts


def submit(work: ComputeDataService, text: Path, chunks: int, reducers: int) -> DataUnit:
    """Submit all units; return the data unit of the result."""
    chunks_of_text = work.submit_data_unit({"file_urls": [f"{text}/"], "name": "text"})
    shuffled = work.submit_data_unit({"name": "what mappers have for reducers"})
    result = work.submit_data_unit({"name": "result"})
    mappers: list[dict[str, object]] = [
        {
            "executable": sys.executable,
            "arguments": [__file__, "map", f"chunk-{number}.txt", str(reducers)],
            "input_data": [{chunks_of_text: [f"chunk-{number}.txt"]}],
            "output_data": [{shuffled: ["for-*/*.tsv"]}],
        }
        for number in range(chunks)
    ]
    of_reducers: list[dict[str, object]] = [
        {
            "executable": sys.executable,
            "arguments": [__file__, "reduce", str(number)],
            "input_data": [{shuffled: [f"for-{number}/*"]}],
            "output_data": [{result: ["counts-*.tsv"]}],
        }
        for number in range(reducers)
    ]
    work.submit_compute_units([*mappers, *of_reducers])
    return result


def count_words(chunks: int, reducers: int) -> None:
    """Count the words of a made-up text with a pilot, and compare with counting them here."""
    with (
        tempfile.TemporaryDirectory() as name,
        PilotComputeService() as pilots,
        PilotDataService() as stores,
        ComputeDataService() as work,
    ):
        folder = Path(name)
        expected = make_text(folder / "text", chunks)
        pilots.create_pilot({"service_url": "fork://localhost", "number_of_processes": 2, "walltime": 10})
        stores.create_pilot({"service_url": f"file://{folder}/store"})
        work.add_pilot_compute_service(pilots)
        work.add_pilot_data_service(stores)
        result = submit(work, folder / "text", chunks, reducers)
        work.wait()
        for unit in work.list_compute_units():
            unit.result()
        result.export(f"{folder}/result")
        counts = read_counts((folder / "result").glob("*.tsv"))
    print(f"{chunks} mappers, {reducers} reducers, {counts.total()} words")
    for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:5]:
        print(f"{word:<8}{count:6}  {'#' * (count * 40 // counts.total())}")
    print("the same as when counted here" if counts == expected else "DIFFERENT from what was counted here")


def main() -> None:
    parser = argparse.ArgumentParser(description="Word count as map and reduce.")
    parser.add_argument("--chunks", type=int, default=4)
    parser.add_argument("--reducers", type=int, default=2)
    options = parser.parse_args()
    if min(options.chunks, options.reducers) < 1:
        parser.error(f"--chunks is {options.chunks} and --reducers {options.reducers}; 1 and more is allowed")
    count_words(options.chunks, options.reducers)


if __name__ == "__main__":
    if sys.argv[1:2] == ["map"]:
        map_words(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["reduce"]:
        reduce_words(int(sys.argv[2]))
    else:
        main()
