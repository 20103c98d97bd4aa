"""Who calls: users, passwords, tokens that still count, and what the gateway itself has to tell the audit."""
