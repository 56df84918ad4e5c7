"""What every part of the project agrees on: the HFModel type, names, phases, the wire contract, errors.

Imports stay light (pydantic, PyYAML, jsonschema): every process of the project loads this package.
"""
