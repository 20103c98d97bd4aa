"""`remit prove`: a private Remit, a recorded workload, faults by a seed, and every invariant afterwards.

`workload` says what clients do and `schedule` what is broken when, both as functions of the seed alone; `clients` do it
over HTTP and keep the `history`; `lab` is the stack they meet, every server behind a proxy; `nemesis` holds the faults;
`checks` compares what clients were told with what the books say, and asks `remit.invariants` for the rest; `report` is
what a person reads.
"""
