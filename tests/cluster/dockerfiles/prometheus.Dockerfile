# Prometheus as Debian builds it (one program); its configuration and its data are mounted.
ARG PYTHON_IMAGE=python:3.11-slim
FROM ${PYTHON_IMAGE}
COPY programs/prometheus /usr/local/bin/prometheus
USER 65532:65532
EXPOSE 9090
ENTRYPOINT ["prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
