"""Files to replay, and the script that makes them."""
