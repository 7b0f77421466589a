"""The command line of a unit on its placement, one module per launcher; and what each rank of an MPI unit runs. Pure."""
