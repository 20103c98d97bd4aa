"""What the gateway decides: requests read, ids and fingerprints derived, answers rendered. No I/O, no clock."""
