"""Jobs: corrections on their way into the weights, run by workers beside or far from the web process.

The web process begins and cancels them (service.py, queue.py); a worker process (worker.py) runs each as a durable
workflow (runs.py), whose stages a trainer process (trainer.py) computes. Knows the rows of
corrections, not their rules.
"""
