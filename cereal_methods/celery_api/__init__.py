"""What the library uses of Celery and kombu that they do not document: one function for each.

A comment in each function says why it is needed, and after "Else" what would do in its place. The
test of the same name in ``tests/unit/celery_api`` fails if a version of Celery does it differently.
"""
