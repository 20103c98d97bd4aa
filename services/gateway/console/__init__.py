"""The console: one page for operators, of files that stand here as browsers get them. It asks the public API alone."""
