"""What Redis keeps: idempotency records, sliding windows, and the epoch that tells whether it has lost them."""
