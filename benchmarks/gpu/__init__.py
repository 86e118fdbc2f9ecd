"""What can be measured on a GPU, in one command that may be cut off and called again.

    python -m benchmarks.gpu [--steps TEXT] [--again] [--photographs FOLDER] [--tiny-imagenet FOLDER]
    python -m benchmarks.gpu --rehearse

Exactness, the training step, the loop, two processes, whole trainings, and what the full recipe would take:
see `plan.py`. Figures are kept in benchmarks/results/DEVICE.json, where DEVICE is the name of
the GPU. Neither DALI nor DVC is needed; what needs DALI says so where it is missing.

The rehearsal takes the same steps at toy size on the CPU, so that no mistake waits for the GPU. Its figures
mean nothing.
"""
