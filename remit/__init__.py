"""The program `remit`: speaks HTTP as a client would, and reads the book as an auditor would."""
