"""The console in a real browser, by what a person does on it, against a whole Remit with real transfers."""
