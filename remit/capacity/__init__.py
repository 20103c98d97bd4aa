"""How many of each a rate needs: reckoned from what `remit bench` has measured, and nothing else."""
