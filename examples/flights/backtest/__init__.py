"""The real flights of 2013 through the judge, in their own time, next to plain threshold rules: README of the example.

Every flight is a prediction at departure, its label comes with the landing: the delay of the label is the air time.
"""
