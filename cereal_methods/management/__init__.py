"""The commands of ``manage.py`` that send methods and show their results."""
