"""What the library uses of Django that Django does not document: one function for each.

A comment in each function says why it is needed, and after "Else" what would do in its place. The
test of the same name in ``tests/unit/django_api`` fails if a version of Django does it differently.
"""
