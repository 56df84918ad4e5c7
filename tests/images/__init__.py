"""The project's container images, built on this machine from the repository's Dockerfiles, for the tests.

`python -m images build` with `tests` on PYTHONPATH; `images.build.build` in tests. No registry is asked: the base image
is made here, of Debian's packages.
"""
