"""Transfer: owns accounts and transactions (schema `transfer`); the only service that moves money.

Consumes `transfer.screened`, `account.command` and its own `dead_letter.command`s; publishes `transfer.settled` and
`account.changed`, and answers the gateway that waits. A transfer's funds are checked in `domain.settle`.
"""
