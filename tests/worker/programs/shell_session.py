# Run the lines that a reader types, in Django's shell; exit with the number of wrong answers.
import doctest
import os
import sys

failed, _ = doctest.testfile(
    os.path.abspath("session.txt"),
    module_relative=False,
    optionflags=doctest.ELLIPSIS | doctest.REPORT_ONLY_FIRST_FAILURE,
)
sys.exit(failed)
