"""Reading what the workers have committed, through the views that each of them grants to the gateway."""
