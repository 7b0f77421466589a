"""What the local resource management system (the batch system) has given this pilot.

One module a batch system reads what its jobs find (`slurm`, `pbs`, `sge`, `lsf`, `condor`, `loadl`, `cobalt`), without doing
anything else; `detect` does the looking around, `local` decides what the agent uses of it on the node it runs on.
"""
