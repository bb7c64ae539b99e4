# Generated from _async/__init__.py by tools/generate.py: do not edit.

"""The synchronous client. `_sync` is made from this folder by tools/generate.py."""
