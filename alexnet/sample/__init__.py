"""A small data set drawn from a seed, in the files of ILSVRC-2012.

It lets every stage of the pipeline run, from the official archives on, where ImageNet is missing.
`pictures` draws, `files` packs.
"""
