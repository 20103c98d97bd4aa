"""What Remit can do: load from a process of its own on a private stack, measured where it counts, in PostgreSQL."""
