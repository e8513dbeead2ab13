"""Terraform's language: reading files, and computing what needs no Terraform.

A reader of terralive's own, because a configuration has to be read although it has an error
somewhere: a parser for correct files gives up, or takes the blocks behind the error for a part of
it. Nothing here knows AWS. Only `folders` reads files; all else is pure.
"""
