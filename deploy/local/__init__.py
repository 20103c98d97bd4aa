"""The launcher behind `make up`: private PostgreSQL, Redis and RabbitMQ, and the five services, on one machine.

`stack.Stack` is its API, also for tests; `commands` is what the Makefile calls.
"""
