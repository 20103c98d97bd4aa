"""The messages: versioned, frozen, defined once, one module per owning service.

The exported JSON Schemas beside this file (`schemas/`) are what other languages and reviewers read; a test compares
them with the code. Adding an optional field is compatible; anything else is a new version of the type.
"""
