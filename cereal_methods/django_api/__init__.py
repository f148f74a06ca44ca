"""The undocumented parts of Django that the library uses: one function for each.

A comment in each function says why it is needed, and after "Else" what could replace it. The test
of the same name in ``tests/unit/django_api`` fails if a version of Django does it differently.
"""
