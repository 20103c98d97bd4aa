"""The five services. Each is its own process, its own database schema and role, its own broker user."""
