"""YAML for configuration files of tests: JSON is YAML, so a value is written as JSON."""
import json


def dump(value) -> str:
    """The text of a value."""
    return json.dumps(value, indent=1) + "\n"
