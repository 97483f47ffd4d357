"""Train a fully connected network on MNIST on the CPU, watch it learn, draw a digit and see it read.

Imports point one way:

    app -> views -> trainer, measure, probes, benchmark -> status -> jobs, process, reading, peers -> worker, store
        -> runs, rejection, outliers, pen, results
        -> checkpoint, speed, events, sweep, drawing, strokes, curves, diagnosis, survey -> engine, pictures, explain, export
        -> backprop, optimizer, augment, data, records, team -> model, limits, log -> config, files, unpickling

Streamlit is known in app.py and views/ alone; processes, pipes and signals in process.py and worker.py (also Ctrl-C in
__main__.py and views/serving.py, and other people's programs in benchmark.py). Nothing below views/ prints or draws, but for
__main__.py, the command line, and peers.py, whose output is its result.
"""
