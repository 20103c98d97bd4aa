"""Replaying a file of accounts and a file of transfers through the public API, in the file's order, exactly once."""
