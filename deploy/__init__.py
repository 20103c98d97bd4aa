"""How Remit is run: `deploy.local` starts a whole stack on one machine."""
