"""What type checkers say about code that uses the library; checked, and never run.

``assert_type`` shows what is right. What is wrong has an ignore comment for mypy
and one for pyright: both report a comment that ignores nothing, so a check that
no longer finds the error fails here.
"""
