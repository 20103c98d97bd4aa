"""The chain of the audit log: its canonical form, its hashes, and the walk that proves a log against them.

Audit extends the chain; the gateway and the program verify it; an archive carries a part of it. All of them must write
a row down in the same way to the byte, so that way stands here and nowhere else.
"""
