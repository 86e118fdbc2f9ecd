"""Typed, validated parameters, a section a file, so that DVC can track them one by one."""
