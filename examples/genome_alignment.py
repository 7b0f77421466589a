"""Genome alignment: reads are partitioned, aligned to a genome and merged; units hand their files on as data units.

    python examples/genome_alignment.py [--reads 2000] [--partitions 4]

The workflow is that of the Pilot-Data paper (Luckow and others, J. Parallel Distrib. Comput. 79-80, 16 (2015)), on made-up data: a random
genome, and reads of it with errors whose true places are in their names, so that the table at the end can tell how many
were found again. Nobody waits between the steps: all units are submitted at once, and each starts when the data units that it
reads are there.

Needs the aligner `bwa`, for example Debian's bwa.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pilot import ComputeDataService, DataUnit, PilotComputeService, PilotDataService

GENOME_BASES, READ_BASES = 200_000, 100
ERROR_RATE = 0.01
COMPLEMENT = str.maketrans("ACGT", "TGCA")
LINES_PER_READ = 4


class Alignment(NamedTuple):
    """Where a read was found."""

    partition: str
    is_aligned: bool
    is_right: bool


def make_data(folder: Path, reads: int) -> None:
    """Write ``genome.fa`` and ``reads.fq``; the name of a read is ``<number>:<its true position, from 1>``."""
    chance = random.Random(7)
    genome = "".join(chance.choices("ACGT", k=GENOME_BASES))
    (folder / "genome.fa").write_text(f">made-up\n{genome}\n")
    with (folder / "reads.fq").open("w") as file:
        for number in range(reads):
            start = chance.randrange(GENOME_BASES - READ_BASES)
            bases = genome[start : start + READ_BASES]
            if chance.random() < 0.5:  # the other strand
                bases = bases.translate(COMPLEMENT)[::-1]
            read = "".join(chance.choice("ACGT") if chance.random() < ERROR_RATE else base for base in bases)
            file.write(f"@{number}:{start + 1}\n{read}\n+\n{'I' * READ_BASES}\n")


def names_of_parts(partitions: int) -> list[str]:
    """Return what `split` calls its files: ``aa``, ``ab``, …"""
    return [f"{chr(97 + number // 26)}{chr(97 + number % 26)}" for number in range(partitions)]


def submit(work: ComputeDataService, folder: Path, reads: int, partitions: int) -> DataUnit:
    """Submit all units of the workflow; return the data unit of its result."""
    genome = work.submit_data_unit({"file_urls": [f"{folder}/genome.fa"], "name": "genome"})
    all_reads = work.submit_data_unit({"file_urls": [f"{folder}/reads.fq"], "name": "reads"})
    index, parts, alignments, result = (
        work.submit_data_unit({"name": name}) for name in ("index", "parts", "alignments", "result")
    )
    names = names_of_parts(partitions)
    lines = LINES_PER_READ * -(-reads // partitions)
    work.submit_compute_units(
        [
            {
                "executable": "bwa",
                "arguments": ["index", "genome.fa"],
                "input_data": [genome],
                "output_data": [{index: ["genome.fa.*"]}],
                "name": "index",
            },
            {
                "executable": "split",
                "arguments": [f"--lines={lines}", "--additional-suffix=.fq", "reads.fq", "part-"],
                "input_data": [all_reads],
                "output_data": [{parts: ["part-*.fq"]}],
                "name": "partition",
            },
            *(
                {
                    "executable": "bwa",
                    "arguments": ["mem", "-v", "1", "genome.fa", f"part-{name}.fq"],
                    "output": f"part-{name}.sam",
                    "input_data": [genome, index, {parts: [f"part-{name}.fq"]}],
                    "output_data": [{alignments: [f"part-{name}.sam"]}],
                    "name": f"align {name}",
                }
                for name in names
            ),
            {
                "executable": "grep",
                "arguments": [
                    "--with-filename",
                    "--invert-match",
                    "^@",
                    *(f"part-{name}.sam" for name in names),
                ],
                "output": "all.sam",
                "input_data": [alignments],
                "output_data": [{result: ["all.sam"]}],
                "name": "merge",
            },
        ]
    )
    return result


def alignments_in(merged: Path) -> Iterator[Alignment]:
    """Read the merged file; each line begins with the name of the file that it comes from."""
    for line in merged.read_text().splitlines():
        source, _, record = line.partition(":")
        name, flags, _, position, *_ = record.split("\t")
        if int(flags) & 0x900:  # a further place of a read that comes elsewhere, too
            continue
        is_aligned = not int(flags) & 4
        true_position = int(name.partition(":")[2])
        yield Alignment(source, is_aligned, is_aligned and abs(int(position) - true_position) <= 5)


def print_table(merged: Path) -> None:
    rows: dict[str, Counter[str]] = {}
    for found in alignments_in(merged):
        row = rows.setdefault(found.partition, Counter())
        row["reads"] += 1
        row["aligned"] += found.is_aligned
        row["right"] += found.is_right
    print("partition      reads  aligned  at the right place")
    for name, row in sorted(rows.items()):
        print(f"{name:<12}{row['reads']:8}{row['aligned']:9}{row['right']:12}")
    together = sum(rows.values(), Counter())
    print(f"{'all':<12}{together['reads']:8}{together['aligned']:9}{together['right']:12}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Genome alignment with data units.")
    parser.add_argument("--reads", type=int, default=2000)
    parser.add_argument("--partitions", type=int, default=4)
    options = parser.parse_args()
    if not 1 <= options.partitions <= options.reads:
        parser.error(
            f"--partitions is {options.partitions}; 1 to {options.reads} is allowed, the number of reads"
        )
    with (
        tempfile.TemporaryDirectory() as name,
        PilotComputeService() as pilots,
        PilotDataService() as stores,
        ComputeDataService() as work,
    ):
        folder = Path(name)
        make_data(folder, options.reads)
        pilots.create_pilot({"service_url": "fork://localhost", "number_of_processes": 2, "walltime": 10})
        stores.create_pilot({"service_url": f"file://{folder}/store"})
        work.add_pilot_compute_service(pilots)
        work.add_pilot_data_service(stores)
        result = submit(work, folder, options.reads, options.partitions)
        work.wait()
        for unit in work.list_compute_units():
            unit.result()
        result.export(f"{folder}/result")
        print_table(folder / "result" / "all.sam")


if __name__ == "__main__":
    main()
