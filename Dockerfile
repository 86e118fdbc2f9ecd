# The environment of this project, and a copy of it in /alexnet. docs/devices.md explains the options and the volumes.
#
#   docker build -t alexnet .
#   docker run --rm -it --gpus all --user "$(id -u):$(id -g)" \
#     -v "$PWD":/alexnet -v /data/imagenet:/data:ro alexnet
#
# The second command runs the pipeline in the present folder, a clone of this project: its params.yaml and machine.yaml
# (data_root: /data) are read, and the results, the resumable state and DVC's cache are written into it.
# The CUDA libraries come with the Python packages. The host needs a driver and NVIDIA's container toolkit.
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}
RUN apt-get update \
 && apt-get install --no-install-recommends -y git g++ make \
 && rm -rf /var/lib/apt/lists/*
# Git refuses folders of another user, and a mounted one may be of any. DVC's experiments are commits, which need a name.
RUN git config --system --add safe.directory '*' \
 && git config --system user.name alexnet \
 && git config --system user.email alexnet@localhost \
 && useradd --create-home --uid 1000 alexnet \
 && chmod a+rwx /home/alexnet \
 && install -d -o alexnet -g alexnet -m 777 /alexnet /alexnet/alexnet /opt/alexnet
# A user that --user gives by number has no name and no home.
ENV HOME=/home/alexnet USER=alexnet ALEXNET_VENV=/opt/alexnet PATH=/opt/alexnet/bin:$PATH
USER alexnet
WORKDIR /alexnet
# What the environment depends on, so that other changes do not install it again. umask 0: any user may write there.
COPY --chown=alexnet:alexnet Makefile pyproject.toml constraints.txt README.md ./
COPY --chown=alexnet:alexnet alexnet/__init__.py alexnet/
RUN umask 0 && PIP_NO_CACHE_DIR=1 make /opt/alexnet/installed
COPY --chown=alexnet:alexnet . .
RUN chmod -R a+rwX .
CMD ["make", "repro"]
