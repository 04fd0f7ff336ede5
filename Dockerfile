FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN useradd --system --uid 10001 --home-dir /app portal && install --directory --owner=portal /results

WORKDIR /app
COPY requirements.txt ./
RUN pip install --require-hashes --requirement requirements.txt
COPY manage.py ./
COPY static static
COPY flows flows
COPY runs runs
COPY agents agents
COPY portal portal
RUN python -m compileall -q .

USER portal
WORKDIR /flows
EXPOSE 4200
ENTRYPOINT ["python", "/app/manage.py"]
CMD ["serve", "--host", "0.0.0.0"]
