"""Celery beside us: `python celery_bench.py URL best WORKLOAD TASKS`.

As fast as its documents make it: no results, no events, no rate limits, many tasks fetched ahead,
workers that run tasks in their own process, one producer that keeps its connection.
"""

import json
import multiprocessing
import os
import sys
import time

import redis
from celery import Celery

URL, MODE, WORKLOAD, TASKS = sys.argv[1:]
COUNT = int(TASKS)
WORKERS = int(os.environ.get("WORKERS", "2"))
PAYLOAD_BYTES = 200
PATIENCE = 60

app = Celery("bench", broker=URL)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=1_000,
    worker_disable_rate_limits=True,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)
seen = multiprocessing.RawArray("B", COUNT)
late = multiprocessing.RawArray("d", COUNT)


@app.task(name="bench")
def bench(payload):
    number = payload["number"]
    seen[number] += 1
    if "due" in payload:
        late[number] = time.monotonic() - payload["due"]


def payload(number, **more):
    bare = {"number": number, **more, "pad": ""}
    return {**bare, "pad": "x" * (PAYLOAD_BYTES - len(json.dumps(bare)))}


def produce():
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(COUNT):
            bench.apply_async((payload(number),), producer=producer)


def produce_steadily(rate=100):
    began = time.monotonic()
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(COUNT):
            due = began + number / rate
            time.sleep(max(0, due - time.monotonic()))
            bench.apply_async((payload(number, due=due),), producer=producer)


def work():
    words = ["worker", "--pool=solo", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main([*words, "--loglevel=ERROR", f"--hostname=bench-{os.getpid()}"])


def started(target):
    process = multiprocessing.Process(target=target)
    process.start()
    return process


def is_empty(broker):
    return broker.llen("celery") == 0 and broker.hlen("unacked") == 0


def balance(broker):
    """Waits until every task was executed and is gone; a minute without progress is a failure."""
    before, heard = -1, time.monotonic()
    while True:
        done = COUNT - bytes(seen).count(0)
        if done == COUNT and is_empty(broker):
            return
        if done != before:
            before, heard = done, time.monotonic()
        if time.monotonic() - heard > PATIENCE:
            raise SystemExit(f"{COUNT - done} tasks are missing")
        time.sleep(0.01)


def until_workers_wait(broker):
    while not broker.scard("_kombu.binding.celery") or len(app.control.ping(timeout=0.5)) < WORKERS:
        pass


def rate(began):
    return {"tasks_per_second": COUNT / (time.monotonic() - began)}


def measure(broker):
    began = time.monotonic()
    if WORKLOAD == "fill":
        return produce(), []
    if WORKLOAD in ("enqueue", "drain"):
        produce()
        figures = rate(began)
        began = time.monotonic()
        workers = [started(work) for _ in range(WORKERS)]
        balance(broker)
        return (rate(began) if WORKLOAD == "drain" else figures), workers
    workers = [started(work) for _ in range(WORKERS)]
    until_workers_wait(broker)
    began = time.monotonic()
    producer = started(produce_steadily if WORKLOAD == "latency" else produce)
    balance(broker)
    figures = rate(began)
    producer.join()
    if WORKLOAD == "latency":
        in_order = sorted(1_000 * span for span in late)
        figures = {"p50_ms": in_order[COUNT // 2], "p99_ms": in_order[COUNT * 99 // 100]}
    return figures, workers


def main():
    broker = redis.Redis.from_url(URL)
    figures, workers = measure(broker)
    for worker in workers:
        worker.kill()
    duplicates = sum(count - 1 for count in seen if count > 1)
    print(json.dumps({"tasks": COUNT, "duplicates": duplicates, "figures": figures or {}}))


if __name__ == "__main__":
    main()
