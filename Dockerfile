# docker build -t alexnet . && docker run --gpus all -v /data/imagenet:/data -it alexnet
# The CUDA libraries come with the Python packages; the host needs NVIDIA's container toolkit alone.
FROM python:3.12-slim-bookworm
RUN apt-get update \
 && apt-get install --no-install-recommends -y git g++ make \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /alexnet
COPY . .
RUN rm -rf .venv .state && make .venv/installed
ENTRYPOINT ["make"]
CMD ["repro"]
