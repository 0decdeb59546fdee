"""Loading: from names and files to a subject, each family of PMs and format of SAEs in a file."""
