# What the tests run in pods of their own: Python and its standard library.
ARG PYTHON_IMAGE=python:3.11-slim
FROM ${PYTHON_IMAGE}
USER 65532:65532
ENTRYPOINT ["python3"]
