# JupyterLab with the course: docker build -t course . && docker run -p 8888:8888 course
# A GPU build of torch: docker build --build-arg TORCH_BACKEND=auto -t course .
# For grading (labs/README.md): docker build --build-arg SETUP=.venv/.test -t course-grader .
FROM python:3.12-slim

ARG TORCH_BACKEND=cpu
ARG SETUP=book
RUN apt-get update && apt-get install -y --no-install-recommends git make && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home reader && install -d -o reader /course
USER reader
WORKDIR /course
COPY --chown=reader . .
RUN make ${SETUP} TORCH_BACKEND=${TORCH_BACKEND}

EXPOSE 8888
CMD [".venv/bin/jupyter", "lab", "--ip=0.0.0.0", "--port=8888", "--no-browser"]
