"""What the gateway does with a command: claim, publish, wait for the committed outcome, answer."""
