"""Starting processes, reaping them and ending whole process trees. Linux, standard library only."""
