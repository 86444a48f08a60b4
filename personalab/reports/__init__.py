"""Reports: how closely a population follows its blueprint.

`fidelity` measures, `report` holds the figures as a value and tells them.
"""
