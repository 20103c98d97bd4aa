"""How messages move: connections that come back, natural batches, confirmed publishing, bounded retries, parking."""
