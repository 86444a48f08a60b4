"""Updating: a population carried over to an edited blueprint with the fewest changes.

`match` says which field and value is which under its new name, `update` goes through the fields, `reassignment` chooses
who stays and who changes where counts decide, and `coupling` where every value was drawn independently.
"""
