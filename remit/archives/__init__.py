"""Retention of the audit log: a month leaves it as files that prove themselves, and as a table of its own.

`detaching` takes a month out of the log; `files` writes and checks what it leaves behind.
"""
