"""An ensemble of LAMMPS runs, each an MPI unit of two ranks: energy and pressure of a fluid at several temperatures.

Needs LAMMPS (`lmp`) and an MPI, for example Debian's lammps and openmpi-bin.
"""

from __future__ import annotations

from pathlib import Path

from pilot import ComputeDataService, ComputeUnit, PilotComputeService

FLUID = Path(__file__).with_name("fluid.lmp")
TEMPERATURES = [0.8, 1.1, 1.4]
STEPS = 100


def described(temperature: float) -> dict[str, object]:
    """Return the description of one run."""
    variables = {"temperature": temperature, "seed": 4711, "steps": STEPS, "run": 0, "files": "fluid"}
    words = [word for name, value in variables.items() for word in ("-var", name, str(value))]
    return {
        "executable": "lmp",
        "arguments": ["-in", str(FLUID), "-log", "none", *words],
        "spmd_variation": "mpi",
        "number_of_processes": 2,
        "name": f"fluid at {temperature}",
    }


def means(unit: ComputeUnit) -> tuple[float, float]:
    """Return mean energy per atom and mean pressure, when the unit has ended."""
    printed = unit.result().stdout()
    line = next(line for line in printed.splitlines() if line.startswith("RESULT "))
    energy, pressure, _ = map(float, line.split()[1:])
    return energy, pressure


def main() -> None:
    with PilotComputeService() as pilots, ComputeDataService() as work:
        pilots.create_pilot({"service_url": "fork://localhost", "number_of_processes": 2, "walltime": 10})
        work.add_pilot_compute_service(pilots)
        units = work.submit_compute_units([described(temperature) for temperature in TEMPERATURES])
        print("temperature  energy/atom  pressure")
        for temperature, unit in zip(TEMPERATURES, units, strict=True):
            energy, pressure = means(unit)
            print(f"{temperature:11.2f}  {energy:11.3f}  {pressure:8.3f}")


if __name__ == "__main__":
    main()
