"""HTTP in, commands out, errors to status: one module a part of the API, each with the table of its calls."""
